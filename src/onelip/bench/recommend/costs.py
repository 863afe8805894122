"""What formulas say of networks, as numbers to choose by; who computes them is not said here, for that takes torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from onelip.bench.recommend.options import Known, Missing, Number
from onelip.bench.records import KernelSize

COSTS = ("train_step_ratio", "train_memory", "latency", "latency_ratio", "inference_memory", "frozen_memory")
"""What depends on the images that are asked of, besides the time of a whole training."""
ROOM = 0.25
"""How far a measured peak of memory may lie from the sum that formulas give, as a share of it."""
STEP_ROOM = (0.5, 1.5)
"""How far the time of a training step may lie below and above its operations, both over the unconstrained network's.

Products of many small matrices take longer per operation than convolutions do.
"""
INFERENCE_ROOM = 0.1
"""How far inference over the unconstrained network's may lie from what formulas say of it, as a share of it."""
SHOWN = 0.4
"""How much of the operations beyond the unconstrained network's shows as time, at the least.

What is no convolution takes every network the same, and the terms of a series find their kernel and image in the cache:
a series of twelve convolutions took 5.4 to 8.8 times as long as one.
"""
OWN_METHOD = "--method package.module:NAME"
"""How commands name a method of the user's own; where it is no record says."""
PER_FREQUENCY = Missing(
    reason="it acts per frequency, which took 1.9 to 3 times as long as its operations say wherever we measured it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Which network formulas are asked of.

    Attributes:
        method: Its key.
        padding: What its layers use.
        size: A name or a width.
        image: Shape (C, H, W).
        classes: Number of logits.
        kernel_size: Of its blocks.
    """

    method: str
    padding: Literal["circular", "zeros"]
    size: str
    image: tuple[int, int, int]
    classes: int
    kernel_size: KernelSize


@dataclass(frozen=True, slots=True, kw_only=True)
class FormulaCosts:
    """What formulas say of a network.

    Attributes:
        train_bytes: Of a training step.
        inference_bytes: Of inference, raw parameters and weights both in memory.
        frozen_bytes: Of inference by a frozen network, which has the weights alone.
        step_macs: Multiply-accumulates of a training step.
        step_ratio: The same over the unconstrained network's.
        inference_ratio: Multiply-accumulates of inference over the unconstrained network's; None where they say nothing
            of the time, see `PER_FREQUENCY`.
    """

    train_bytes: float
    inference_bytes: float
    frozen_bytes: float
    step_macs: float
    step_ratio: float
    inference_ratio: float | None


class FormulaBook(Protocol):
    """Finds what formulas say of a network."""

    def __call__(self, network: Network, *, train_batch: int, batch: int) -> FormulaCosts | None:
        """None of a method that is not known, or of a network that does not exist."""


def formula_numbers(
    book: FormulaBook | None, network: Network, *, train_batch: int, batch: int
) -> Mapping[str, Number]:
    """Costs by formula, with room for what formulas leave out; nothing where they cannot be asked."""
    said = None if book is None else book(network, train_batch=train_batch, batch=batch)
    if said is None:
        return {}
    image = "x".join(map(str, network.image))
    inferred = f"our formulas, images {image}, batch {batch}"
    return {
        "train_memory": _by_formula(
            said.train_bytes, (ROOM, ROOM), f"our formulas, images {image}, batch {train_batch}"
        ),
        "train_step_ratio": _by_formula(
            said.step_ratio, STEP_ROOM, f"multiply-accumulates by our formulas, images {image}, batch {train_batch}"
        ),
        "inference_memory": _by_formula(
            said.inference_bytes, (ROOM, ROOM), f"{inferred}, parameters and weights both in memory"
        ),
        "frozen_memory": _by_formula(said.frozen_bytes, (ROOM, ROOM), f"{inferred}, as onelip.freeze leaves it"),
        "latency_ratio": _inference(said.inference_ratio, f"multiply-accumulates by {inferred}, weights kept"),
    }


def _inference(ratio: float | None, evidence: str) -> Number:
    """The time of inference over the unconstrained network's."""
    if ratio is None:
        return PER_FREQUENCY
    low, high = inference_range(ratio)
    return Known(value=ratio, low=low, high=high, basis="theory", evidence=evidence)


def inference_range(ratio: float) -> tuple[float, float]:
    """Between what the time of inference lies if operations are so many times the unconstrained network's.

    >>> low, high = inference_range(2.0)
    >>> round(low, 2), round(high, 2)
    (1.26, 2.2)
    """
    return (1 - INFERENCE_ROOM) * min(ratio, 1 + SHOWN * (ratio - 1)), (1 + INFERENCE_ROOM) * ratio


def measure_command(
    method: str,
    size: str,
    *,
    image: tuple[int, int, int],
    classes: int,
    kernel_size: int,
    batch: int,
    padding: str = "paper",
    is_own: bool = False,
) -> str:
    """The command that measures a network, by default with the padding of its method's paper, and what reads it.

    Both name a method of the user's own by where it is.
    """
    named, reads = (OWN_METHOD, f"{OWN_METHOD} FOLDER") if is_own else (f"--methods {method}", "FOLDER")
    own = f" --kernel-size {kernel_size}" * (kernel_size != 3)
    own += f" --image {'x'.join(map(str, image))}" * (image != (3, 32, 32))
    own += f" --classes {classes}" * (classes != 10)
    own += f" --padding {padding}" * (padding != "paper")
    return (
        f"onelip measure {named} --sizes {size}{own} --batch-size {batch} --out FOLDER measures it here, "
        f"and onelip recommend {reads} reads that"
    )


def no_network(size: str) -> Missing:
    """Why there are no costs of images for which a size is too small."""
    return Missing(reason=f"there is no network of size {size} for such images")


def _by_formula(value: float, room: tuple[float, float], evidence: str) -> Known:
    below, above = room
    return Known(value=value, low=(1 - below) * value, high=(1 + above) * value, basis="theory", evidence=evidence)
