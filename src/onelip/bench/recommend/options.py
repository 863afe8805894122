"""What can be chosen: trained networks with the numbers that are known of them, and why others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

Basis = Literal["measured", "published", "theory", "calibrated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A number.

    Attributes:
        value: In base units: shares, seconds, bytes.
        low: Lower end of its spread; the value itself where there is none.
        high: Upper end.
        basis: Where it comes from.
        evidence: That in words.
        place: The hardware that it was measured on, where that is not the choice's.
        seeds: The lowest and the highest of several seeds, of which the value is the mean.
        few: Whether it is of too few samples to decide anything.
    """

    value: float
    low: float
    high: float
    basis: Basis
    evidence: str
    place: str = ""
    seeds: tuple[float, float] | None = None
    few: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Why there is no number, and what would produce it.

    Attributes:
        settled: Whether it counts as missing every limit: it is no more than what a constant answer reaches.
    """

    reason: str
    remedy: str = ""
    settled: bool = False


Number = Known | Missing


class NormFacts(Protocol):
    """What a method promises of norms, with circular padding and with zero padding."""

    @property
    def orthogonal(self) -> bool:
        """With circular padding."""

    @property
    def orthogonal_zeros(self) -> bool | None:
        """With zero padding too."""


def keeps_norms(method: NormFacts, padding: str, kernel_size: int) -> bool | None:
    """Whether the layers of a network keep norms: None where they promise it with another padding only."""
    if not method.orthogonal or padding == "circular" or kernel_size == 1:
        return method.orthogonal
    return method.orthogonal_zeros or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One trained network that could be chosen.

    Attributes:
        method: Its key; `title` is its name in tables.
        size: Of the network.
        kernel_size: Of its blocks.
        padding: What its layers use.
        data: Key of the data set.
        image: Shape of the images that it was trained on.
        cost_image: Shape of those that its costs are of.
        classes: Of its labels.
        batch: Images per training step.
        budget: The training as it was asked for, such as "2h".
        place: The hardware that its times are of.
        source: Whether it is one of our records or a published one.
        orthogonal: Whether its layers keep the norm of gradients; None: not known, see `keeps_norms`.
        images: Test images that its shares are of; 0 where it has none.
        revision: Of the method, as the network was trained; 0 where it is not known.
        is_own: Whether its method is the user's own, which commands name by where it is.
        learned: Whether more is certified of it at 36/255 than of a constant answer; also where that is not known.
        seeds: How many runs it rests on.
        failed: How many runs failed besides.
        detail: What else tells it from others of the same method, with a comma before.
        records: Which ones: the cells' names, or the table.
        numbers: By the keys of `quantities.QUANTITIES`.
    """

    method: str
    title: str
    size: str
    kernel_size: int
    padding: str
    data: str
    image: tuple[int, int, int]
    cost_image: tuple[int, int, int]
    classes: int
    batch: int
    budget: str
    place: str
    source: Literal["measured", "published"]
    orthogonal: bool | None
    images: int
    seeds: int
    records: tuple[str, ...]
    revision: int = 0
    is_own: bool = False
    learned: bool = True
    failed: int = 0
    detail: str = ""
    numbers: Mapping[str, Number] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Method, size and what else tells it from others of the same method."""
        kernels = "" if self.kernel_size == 3 else f", {self.kernel_size}x{self.kernel_size} kernels"
        return f"{self.title} {self.size}{kernels}, {self.budget}{self.detail}"

    def number(self, key: str) -> Number:
        """One number, or why there is none."""
        return self.numbers.get(key, Missing(reason="not known"))


def told_apart(choices: Sequence[Choice]) -> list[Choice]:
    """The same choices, with padding, source, hardware and record in those labels that would else be alike."""
    found = list(choices)
    for told in (_padding, _source, _place, _record):
        count = Counter((one.label, one.data) for one in found)
        found = [
            replace(one, detail=one.detail + told(one)) if count[one.label, one.data] > 1 else one for one in found
        ]
    return found


def _padding(choice: Choice) -> str:
    return f", {choice.padding} padding"


def _source(choice: Choice) -> str:
    return f", {choice.source}"


def _place(choice: Choice) -> str:
    return f", {choice.place}"


def _record(choice: Choice) -> str:
    return f", {choice.records[0]}" if choice.records else ""
