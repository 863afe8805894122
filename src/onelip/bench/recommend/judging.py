"""Limits, and whether choices keep to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from onelip.bench.recommend.options import Choice, Known, Missing, Number
from onelip.bench.recommend.quantities import Quantity

Status = Literal["meets", "unknown", "fails"]
WITHIN, FEW = "within its spread", "of too few samples"
"""Why numbers do not decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A limit of a quantity: an upper one where less is better, else a lower one.

    Attributes:
        limit: In base units.
        given: As the user wrote it.
    """

    quantity: Quantity
    limit: float
    given: str = ""

    @property
    def text(self) -> str:
        """As a user would say it."""
        sign = "\u2265" if self.quantity.higher_is_better else "\u2264"
        rounded = self.given and not self.quantity.shows(self.limit)
        return f"{self.quantity.title} {sign} {self.given if rounded else self.quantity.format(self.limit)}"

    @property
    def key(self) -> str:
        """In scripts."""
        return self.quantity.key

    def judge(self, choice: Choice) -> Judgement:
        """Whether a choice keeps to it, and by how much."""
        number = choice.number(self.key)
        if isinstance(number, Missing):
            status: Status = "fails" if number.settled else "unknown"
            return Judgement(constraint=self, number=number, status=status, margin=None, sure=number.settled)
        sign = 1.0 if self.quantity.higher_is_better else -1.0
        unit = 1.0 if self.quantity.kind == "share" else self.limit
        margin = sign * (number.value - self.limit) / unit + 0.0
        worst, best = (number.low, number.high) if sign > 0 else (number.high, number.low)
        kept = margin >= 0
        edge = worst if kept else best
        sure = not number.few and (sign * (edge - self.limit) >= 0) == kept
        return Judgement(constraint=self, number=number, status="meets" if kept else "fails", margin=margin, sure=sure)


@dataclass(frozen=True, slots=True, kw_only=True)
class Orthogonal:
    """The constraint that layers keep the norm of gradients."""

    key: str = "orthogonal"
    text: str = "layers that keep the norm of gradients"

    def judge(self, choice: Choice) -> Judgement:
        """Whether a choice keeps to it."""
        if choice.orthogonal is None:
            # A convolution with zero padding loses what leaves the image, unless its construction minds the edge.
            padded = "promised with circular padding only, and this network has zero padding"
            missing = Missing(reason=padded if choice.padding == "zeros" else "not known of this method")
            return Judgement(constraint=self, number=missing, status="unknown", margin=None, sure=False)
        status: Status = "meets" if choice.orthogonal else "fails"
        return Judgement(constraint=self, number=None, status=status, margin=None, sure=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What became of one constraint for one choice.

    Attributes:
        number: What was judged; None where it is a fact and no number.
        margin: How far inside the limit the number lies: of shares the difference, of other numbers as a share of the
            limit; negative: outside.
        sure: Whether the whole spread lies on the same side, and is one of enough samples.
    """

    constraint: Constraint | Orthogonal
    number: Number | None
    status: Status
    margin: float | None
    sure: bool

    @property
    def doubt(self) -> str:
        """Why a number does not decide; empty where it does."""
        if self.sure or not isinstance(self.number, Known):
            return ""
        return FEW if self.number.few else WITHIN
