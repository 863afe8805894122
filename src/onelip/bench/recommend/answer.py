"""The answer to a question: a ranking with margins, the Pareto front, what rules out what, and whether data decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from onelip.bench.recommend.judging import Constraint, Judgement, Orthogonal, Status
from onelip.bench.recommend.options import Choice, Known, Missing, Number
from onelip.bench.recommend.quantities import QUANTITIES, Quantity
from onelip.bench.statistics import stands_above

ALWAYS_WEIGHED = ("cra36", "train_time")
"""On the Pareto front, whatever was asked."""


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

    @property
    def doubtful(self) -> tuple[Judgement, ...]:
        """The limits that it keeps to by its number, but not by all of its spread."""
        return tuple(one for one in self.judgements if one.status == "meets" and not one.sure)

    @property
    def possible(self) -> bool:
        """Whether it may meet everything: what it misses it misses within its spread."""
        within = all(one.status == "meets" or (one.status == "fails" and not one.sure) for one in self.judgements)
        return within and isinstance(self.objective, Known)


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
            fail, fewest limits first; each by the objective, then by certified accuracy, training time and what is
            limited.
    """

    question: Question
    ranking: tuple[Ranked, ...]

    @cached_property
    def fitting(self) -> tuple[Ranked, ...]:
        """The choices that are known to meet everything."""
        return tuple(one for one in self.ranking if one.status == "meets")

    @cached_property
    def possible(self) -> Ranked | None:
        """The best of those that miss limits within their spread only, where nothing is known to meet everything."""
        return None if self.fitting else next((one for one in self.ranking if one.possible), None)

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
    def decided(self) -> bool:
        """Whether the data decide: the best stands above all other methods, and surely meets everything."""
        return len(self.tied) == 1 and not self.tied[0].doubtful

    @cached_property
    def weighed(self) -> tuple[str, ...]:
        """What the Pareto front is of, by its titles."""
        return tuple(quantity.title for quantity in _weighed(self.question).values())

    @cached_property
    def blames(self) -> tuple[Blame, ...]:
        """What each constraint rules out."""
        return tuple(self._blame(constraint) for constraint in self.question.constraints)

    def _stands_above(self, one: Number, other: Number) -> bool:
        if isinstance(one, Missing) or isinstance(other, Missing):
            return False
        better, worse = (one, other) if self.question.objective.higher_is_better else (other, one)
        apart = stands_above((better.low, better.value, better.high), (worse.low, worse.value, worse.high))
        # A single seed is one of those that others could be compared with.
        lowest, highest = (better.seeds or (better.value,))[0], (worse.seeds or (worse.value,))[-1]
        return apart and lowest > highest

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
            without=min(alone, key=_order(self.question)) if alone else None,
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
    marked = [replace(one, on_front=id(one) in front) for one in ranked]
    return Answer(question, tuple(sorted(marked, key=_order(question))))


Place = tuple[int, int, tuple[float, ...], str]


def _order(question: Question) -> Callable[[Ranked], Place]:
    """What choices are sorted by: of those that are equal in the objective none comes before one that beats it."""
    weighed = _weighed(question)

    def place(one: Ranked) -> Place:
        failed = sum(judged.status == "fails" for judged in one.judgements)
        merits = [_merit(one.objective, question.objective)]
        merits += [_merit(one.choice.number(key), quantity) for key, quantity in weighed.items()]
        return _ORDER[one.status], failed, tuple(merits), one.choice.label

    return place


def _merit(number: Number, quantity: Quantity) -> float:
    """The lower the better; what is not known comes last."""
    if isinstance(number, Missing):
        return float("inf")
    return -number.value if quantity.higher_is_better else number.value


def _weighed(question: Question) -> dict[str, Quantity]:
    """Certified accuracy, training time, what is limited, and what is sought."""
    keys = {key: QUANTITIES[key] for key in ALWAYS_WEIGHED}
    keys |= {one.key: one.quantity for one in question.constraints if isinstance(one, Constraint)}
    keys[question.objective.key] = question.objective
    return keys


def _front(question: Question, ranked: Sequence[Ranked]) -> set[int]:
    """Those that nothing is better than, in certified accuracy, training time, the objective and all that is asked for.

    Only choices of which all of these are known can be on it. Times of different places are not compared.
    """
    weighed = _weighed(question)
    points: list[tuple[int, tuple[str, ...], tuple[float, ...]]] = []
    for one in ranked:
        facts = [judged.status for judged in one.judgements if not isinstance(judged.constraint, Constraint)]
        numbers = [one.choice.number(key) for key in weighed]
        known = [number for number in numbers if isinstance(number, Known)]
        if len(known) == len(numbers) and "unknown" not in facts:
            merits = [float(status == "meets") for status in facts]
            merits += [-_merit(number, quantity) for number, quantity in zip(known, weighed.values(), strict=True)]
            places = tuple(number.place or one.choice.place for number in known)
            points.append((id(one), places, tuple(merits)))
    return {
        name
        for name, places, point in points
        if not any(there == places and _beats(other, point) for _, there, other in points)
    }


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(mine >= theirs for mine, theirs in zip(one, other, strict=True))
