"""What formulas say of networks, as numbers to choose by; who computes them is not said here, for that takes torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from onelip.bench.recommend.options import Known, Missing, Number
from onelip.bench.records import KernelSize

COSTS = ("train_step_ratio", "train_memory", "latency", "latency_ratio", "inference_memory")
"""What depends on the images that are asked of, besides the time of a whole training."""
ROOM = 0.25
"""How far a measured peak of memory may lie from the sum that formulas give, as a share of it."""
STEP_ROOM = (0.5, 1.5)
"""How far the time of a training step may lie below and above its operations, both over the unconstrained network's.

Products of many small matrices take longer per operation than convolutions do.
"""


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
    """

    train_bytes: float
    inference_bytes: float
    frozen_bytes: float
    step_macs: float
    step_ratio: float


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
    frozen = f"; frozen {said.frozen_bytes / 1e6:.3g} MB"
    return {
        "train_memory": _by_formula(
            said.train_bytes, (ROOM, ROOM), f"our formulas, images {image}, batch {train_batch}"
        ),
        "train_step_ratio": _by_formula(
            said.step_ratio, STEP_ROOM, f"multiply-accumulates by our formulas, images {image}, batch {train_batch}"
        ),
        "inference_memory": _by_formula(
            said.inference_bytes, (ROOM, ROOM), f"our formulas, images {image}, batch {batch}{frozen}"
        ),
    }


def no_network(size: str) -> Missing:
    """Why there are no costs of images for which a size is too small."""
    return Missing(reason=f"there is no network of size {size} for such images")


def _by_formula(value: float, room: tuple[float, float], evidence: str) -> Known:
    below, above = room
    return Known(value=value, low=(1 - below) * value, high=(1 + above) * value, basis="theory", evidence=evidence)
