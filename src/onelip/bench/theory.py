"""What theory says that a layer costs: formulas, their orders and their numbers, beside the published ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

from onelip.bench import published
from onelip.bench.formula import order, value
from onelip.bench.published.rows import Complexity
from onelip.bench.records import PaddingChoice
from onelip.bench.selection import yardstick
from onelip.cost import ConvShape, Cost, Theory
from onelip.linalg.conv import Image
from onelip.method import Method

LARGER_KERNELS = "of 1x1 kernels, a formula of larger ones does not hold"
AS_MANY = "published for as many outputs as inputs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One number of a layer's cost.

    Attributes:
        key: In JSON.
        title: In tables.
        ours: The name of its formula in `Theory`.
        theirs: The name of its formula in `Complexity`; empty where nothing was published.
        memory: Whether it is numbers in memory, and not multiply-accumulates.
    """

    key: str
    title: str
    ours: str
    theirs: str = ""
    memory: bool = False

    def of(self, cost: Cost) -> int:
        """The exact number."""
        if not self.memory:
            return int(getattr(cost, self.ours))
        return int(getattr(cost.memory, self.ours.removesuffix("_memory")))


QUANTITIES = (
    Quantity(key="training_macs", title="Forward pass, training", ours="training", theirs="input_macs"),
    Quantity(key="inference_macs", title="Forward pass, inference", ours="inference", theirs="input_macs"),
    Quantity(key="construction_macs", title="Construction", ours="construction", theirs="parameter_macs"),
    Quantity(
        key="training_numbers",
        title="Kept of the forward pass",
        ours="training_memory",
        theirs="input_memory",
        memory=True,
    ),
    Quantity(
        key="construction_numbers",
        title="Kept of the construction",
        ours="construction_memory",
        theirs="parameter_memory",
        memory=True,
    ),
    Quantity(key="inference_numbers", title="Peak of inference", ours="inference_memory", memory=True),
    Quantity(key="weights_numbers", title="Weights for inference", ours="weights_memory", memory=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One quantity of one method at one shape.

    Attributes:
        formula: Leading terms of ours; empty where the method says none, or where they do not hold.
        absence: Why they do not.
        order: Of ours.
        number: Exactly.
        ratio: To the unconstrained convolution of the same shape and padding; None where that takes nothing.
        published: The published formula; empty where there is none.
        published_order: Of that.
        published_number: What it says of the shape; None where it says nothing of such ones.
        published_absence: Why it does not.
    """

    quantity: Quantity
    formula: str
    absence: str
    order: str
    number: int
    ratio: float | None
    published: str
    published_order: str
    published_number: float | None
    published_absence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """All quantities of one method at one shape, and why they are not as published."""

    method: Method
    shape: ConvShape
    entries: tuple[Entry, ...]
    departs: str

    def as_json(self) -> dict[str, object]:
        """For a script; numbers are exact but for those of published formulas."""
        return {
            "method": self.method.name,
            "title": self.method.title,
            "shape": asdict(self.shape),
            "departs": self.departs,
            "costs": {
                one.quantity.key: {key: value for key, value in asdict(one).items() if key != "quantity"}
                for one in self.entries
            },
        }


def sheets(
    methods: Sequence[Method],
    *,
    batch: int,
    image: Image,
    channels: tuple[int, int],
    kernel_size: int,
    padding: PaddingChoice,
) -> tuple[Sheet, ...]:
    """What theory says of a layer of each method.

    Args:
        methods: Whose layers.
        batch: Images.
        image: Height and width.
        channels: Inputs and outputs.
        kernel_size: Side of the kernel.
        padding: "paper" for each method's own.

    Raises:
        UnsupportedShapeError: There is no such layer.
    """
    made = []
    for method in methods:
        shape = ConvShape(
            batch=batch,
            height=image[0],
            width=image[1],
            in_channels=channels[0],
            out_channels=channels[1],
            kernel_size=kernel_size,
            padding=method.padding if padding == "paper" else padding,
        )
        method.conv2d(*channels, kernel_size, device="meta")  # says what is wrong with the shape
        made.append(sheet(method, shape, yardstick(methods)))
    return tuple(made)


def sheet(method: Method, shape: ConvShape, unconstrained: Method) -> Sheet:
    """What theory says of one method.

    Args:
        method: Whose layer.
        shape: The layer's shape.
        unconstrained: What its costs are compared with.
    """
    theory, theirs = method.theory, complexity(method)
    cost, plain = method.cost(shape), unconstrained.cost(shape)
    entries = tuple(
        _entry(
            quantity,
            "" if theory is None else str(getattr(theory, quantity.ours)),
            "" if theirs is None or not quantity.theirs else str(getattr(theirs, quantity.theirs)),
            numbers=(quantity.of(cost), quantity.of(plain)),
            holds=partial(_holds, quantity=quantity, method=method, shape=shape),
            published=partial(_published, shape=shape, iterations=_iterations(quantity, theory)),
        )
        for quantity in QUANTITIES
    )
    return Sheet(method=method, shape=shape, entries=entries, departs="" if theory is None else theory.departs)


def complexity(method: Method) -> Complexity | None:
    """The published row of a method."""
    return next((row for row in published.complexity() if row.method == method.name), None)


def _entry(
    quantity: Quantity,
    ours: str,
    theirs: str,
    *,
    numbers: tuple[int, int],
    holds: Callable[[str], bool],
    published: Callable[[str], float | None],
) -> Entry:
    (number, of_plain), is_said = numbers, not ours or holds(ours)
    published_number = published(theirs) if theirs else None
    return Entry(
        quantity=quantity,
        formula=ours if is_said else "",
        absence="" if is_said else LARGER_KERNELS,
        order=order(ours) if ours and is_said else "",
        number=number,
        ratio=number / of_plain if of_plain else None,
        published=theirs,
        published_order=order(theirs) if theirs else "",
        published_number=published_number,
        published_absence=AS_MANY if theirs and published_number is None else "",
    )


def _holds(formula: str, quantity: Quantity, method: Method, shape: ConvShape) -> bool:
    """Whether leading terms, which are those of larger kernels, are those of a shape's kernel too.

    They are compared where nothing but leading terms counts.
    """
    if shape.kernel_size > 1:
        return True
    large = replace(shape, batch=512, height=1024, width=1024, in_channels=1024, out_channels=1024)
    return math.isclose(value(formula, large), quantity.of(method.cost(large)), rel_tol=0.1)


def _published(formula: str, shape: ConvShape, iterations: Mapping[str, int]) -> float | None:
    """What a published formula says of a layer of as many inputs as outputs."""
    return value(formula, shape, iterations) if shape.in_channels == shape.out_channels else None


def _iterations(quantity: Quantity, theory: Theory | None) -> dict[str, int]:
    """What t, t1 and t2 of the published table are."""
    if theory is None:
        return {}
    return dict(theory.inference_iterations if quantity.ours == "inference" else theory.iterations)


RESOLUTIONS = (32, 256)
"""Sides between which constructions are compared."""


def construction_growth(methods: Sequence[Method]) -> dict[str, float]:
    """How many times as many operations a construction takes for large images as for small ones, by formula.

    Of a method that constructs nothing it is 0.
    """
    small, large = RESOLUTIONS
    return {
        method.name: _construction(method, large) / max(_construction(method, small), 1)
        for method in methods
        if method.traits.constrained
    }


def _construction(method: Method, side: int) -> float:
    shape = ConvShape(
        batch=1, height=side, width=side, in_channels=64, out_channels=64, kernel_size=3, padding=method.padding
    )
    return method.cost(shape).construction
