"""The answer to a question: a ranking with margins, the Pareto front, what rules out what, and whether data decide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from onelip.bench.recommend.options import Choice, Known, Missing, Number
from onelip.bench.recommend.quantities import QUANTITIES, Quantity

Status = Literal["meets", "unknown", "fails"]
ALWAYS_WEIGHED = ("cra36", "train_time")
"""On the Pareto front, whatever was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A limit of a quantity: an upper one where less is better, else a lower one."""

    quantity: Quantity
    limit: float

    @property
    def text(self) -> str:
        """As a user would say it."""
        sign = "\u2265" if self.quantity.higher_is_better else "\u2264"
        return f"{self.quantity.title} {sign} {self.quantity.format(self.limit)}"

    @property
    def key(self) -> str:
        """In scripts."""
        return self.quantity.key

    def judge(self, choice: Choice) -> Judgement:
        """Whether a choice keeps to it, and by how much."""
        number = choice.number(self.key)
        if isinstance(number, Missing):
            return Judgement(constraint=self, number=number, status="unknown", margin=None, sure=False)
        sign = 1.0 if self.quantity.higher_is_better else -1.0
        unit = 1.0 if self.quantity.kind == "share" else self.limit
        margin = sign * (number.value - self.limit) / unit + 0.0
        worst, best = (number.low, number.high) if sign > 0 else (number.high, number.low)
        kept = margin >= 0
        edge = worst if kept else best
        sure = (sign * (edge - self.limit) >= 0) == kept
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
        sure: Whether the whole spread lies on the same side.
    """

    constraint: Constraint | Orthogonal
    number: Number | None
    status: Status
    margin: float | None
    sure: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A choice with everything that was judged.

    Attributes:
        objective: What is sought of it.
        on_front: Whether no other choice is at least as good in everything that counts, and better in something.
    """

    choice: Choice
    objective: Number
    judgements: tuple[Judgement, ...]
    on_front: bool = False

    @property
    def status(self) -> Status:
        """Of the choice as a whole."""
        found = {one.status for one in self.judgements}
        if isinstance(self.objective, Missing):
            found.add("unknown")
        return "fails" if "fails" in found else "unknown" if "unknown" in found else "meets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a user asks.

    Attributes:
        objective: What is to be best.
        constraints: What must be kept to.
    """

    objective: Quantity
    constraints: tuple[Constraint | Orthogonal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Blame:
    """What one constraint does.

    Attributes:
        ruled_out: How many choices it rules out, perhaps with others.
        alone: How many it alone rules out.
        shared: How many of them another constraint rules out too.
        unknown: How many it cannot be judged for.
        without: The best of those that it alone rules out.
        nearest: Of those that it alone rules out, that which misses it by least.
    """

    constraint: Constraint | Orthogonal
    ruled_out: int
    alone: int
    shared: int
    unknown: int
    without: Ranked | None
    nearest: Ranked | None


@dataclass(frozen=True)
class Answer:
    """The answer to a question.

    Attributes:
        question: What was asked.
        ranking: All choices, best first: those that meet everything, those of which something is not known, those that
            fail, fewest limits first; each by the objective.
    """

    question: Question
    ranking: tuple[Ranked, ...]

    @cached_property
    def fitting(self) -> tuple[Ranked, ...]:
        """The choices that are known to meet everything."""
        return tuple(one for one in self.ranking if one.status == "meets")

    @cached_property
    def per_method(self) -> tuple[Ranked, ...]:
        """The best choice of each method."""
        found: dict[str, Ranked] = {}
        for one in self.ranking:
            found.setdefault(one.choice.method, one)
        return tuple(found.values())

    @cached_property
    def tied(self) -> tuple[Ranked, ...]:
        """The best, and the best choice of every other method from which the data do not tell it apart."""
        if not self.fitting:
            return ()
        best = self.fitting[0]
        others = (one for one in self.per_method if one.status == "meets" and one is not best)
        return (best, *(one for one in others if not self._stands_above(best.objective, one.objective)))

    @cached_property
    def weighed(self) -> tuple[str, ...]:
        """What the Pareto front is of, by its titles."""
        return tuple(quantity.title for quantity in _weighed(self.question).values())

    @cached_property
    def blames(self) -> tuple[Blame, ...]:
        """What each constraint rules out."""
        return tuple(self._blame(constraint) for constraint in self.question.constraints)

    def _merit(self, one: Ranked) -> float:
        """The lower the better."""
        if isinstance(one.objective, Missing):
            return float("inf")
        return -one.objective.value if self.question.objective.higher_is_better else one.objective.value

    def _stands_above(self, one: Number, other: Number) -> bool:
        if isinstance(one, Missing) or isinstance(other, Missing):
            return False
        return one.low > other.high if self.question.objective.higher_is_better else one.high < other.low

    def _blame(self, constraint: Constraint | Orthogonal) -> Blame:
        def of(ranked: Ranked) -> Status:
            return next(one.status for one in ranked.judgements if one.constraint == constraint)

        failing = [one for one in self.ranking if of(one) == "fails"]
        alone = [
            one
            for one in failing
            if all(judged.status == "meets" for judged in one.judgements if judged.constraint != constraint)
            and isinstance(one.objective, Known)
        ]
        return Blame(
            constraint=constraint,
            ruled_out=len(failing),
            alone=len(alone),
            shared=sum(
                any(judged.status == "fails" for judged in one.judgements if judged.constraint != constraint)
                for one in failing
            ),
            unknown=sum(of(one) == "unknown" for one in self.ranking),
            without=min(alone, key=self._merit) if alone else None,
            nearest=max(alone, key=lambda one: _margin(one, constraint)) if alone else None,
        )


def _margin(ranked: Ranked, constraint: Constraint | Orthogonal) -> float:
    found = next(one.margin for one in ranked.judgements if one.constraint == constraint)
    return float("-inf") if found is None else found


_ORDER: dict[Status, int] = {"meets": 0, "unknown": 1, "fails": 2}


def answer(question: Question, choices: Iterable[Choice]) -> Answer:
    """Judges and ranks choices.

    Args:
        question: What is asked.
        choices: What can be chosen.
    """
    ranked = [
        Ranked(
            choice=choice,
            objective=choice.number(question.objective.key),
            judgements=tuple(constraint.judge(choice) for constraint in question.constraints),
        )
        for choice in choices
    ]
    front = _front(question, ranked)
    sign = -1.0 if question.objective.higher_is_better else 1.0

    def place(one: Ranked) -> tuple[int, int, float, str]:
        value = sign * one.objective.value if isinstance(one.objective, Known) else float("inf")
        failed = sum(judged.status == "fails" for judged in one.judgements)
        return _ORDER[one.status], failed, value, one.choice.label

    marked = [
        Ranked(choice=one.choice, objective=one.objective, judgements=one.judgements, on_front=id(one) in front)
        for one in ranked
    ]
    return Answer(question, tuple(sorted(marked, key=place)))


def _weighed(question: Question) -> dict[str, Quantity]:
    """Certified accuracy, training time, what is limited, and what is sought."""
    keys = {key: QUANTITIES[key] for key in ALWAYS_WEIGHED}
    keys |= {one.key: one.quantity for one in question.constraints if isinstance(one, Constraint)}
    keys[question.objective.key] = question.objective
    return keys


def _front(question: Question, ranked: Sequence[Ranked]) -> set[int]:
    """Those that nothing is better than, in certified accuracy, training time, the objective and all that is limited.

    Only choices of which all of these are known can be on it. Times of different places are not compared.
    """
    keys = _weighed(question)
    points: list[tuple[int, str, tuple[float, ...]]] = []
    for one in ranked:
        numbers = [one.choice.number(key) for key in keys]
        known = [number for number in numbers if isinstance(number, Known)]
        if len(known) == len(numbers):
            merits = [
                number.value if quantity.higher_is_better else -number.value
                for number, quantity in zip(known, keys.values(), strict=True)
            ]
            points.append((id(one), one.choice.place, tuple(merits)))
    return {
        name
        for name, place, point in points
        if not any(there == place and _beats(other, point) for _, there, other in points)
    }


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(mine >= theirs for mine, theirs in zip(one, other, strict=True))
