"""The answer to a question: a ranking with margins, the Pareto front, what rules out what, and whether data decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from onelip.bench.recommend.judging import Constraint, Judgement, Orthogonal, Status
from onelip.bench.recommend.options import Choice, Known, Missing, Number
from onelip.bench.recommend.weighing import Question, compared, merit, pareto_front, weighed
from onelip.bench.statistics import stands_above


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
        """Of the choice as a whole; what failed as it was trained is none."""
        if not self.choice.seeds:
            return "fails"
        found = {one.status for one in self.judgements}
        if isinstance(self.objective, Missing):
            found.add("fails" if self.objective.settled else "unknown")
        return "fails" if "fails" in found else "unknown" if "unknown" in found else "meets"

    @property
    def doubtful(self) -> tuple[Judgement, ...]:
        """The limits that it keeps to by its number, but not by all of its spread."""
        return tuple(one for one in self.judgements if one.status == "meets" and not one.sure)

    @property
    def open(self) -> tuple[Judgement, ...]:
        """The limits that it is not known to keep to, or misses."""
        return tuple(one for one in self.judgements if one.status != "meets")

    @property
    def gaps(self) -> tuple[Missing, ...]:
        """What is not known of what was asked for."""
        numbers = (self.objective, *(one.number for one in self.judgements))
        return tuple(one for one in numbers if isinstance(one, Missing))

    @property
    def may_meet(self) -> bool:
        """Whether it may meet everything: misses lie within their spread, and what is sought of it is known."""
        if not self.choice.seeds or isinstance(self.objective, Missing):
            return False
        return not any(one.status == "fails" and one.sure for one in self.open)


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
            fail, fewest limits first, and last those whose training failed; each by the objective, then by certified
            accuracy, training time and what is limited.
        notes: What else has to be said, such as which records are not among the choices.
    """

    question: Question
    ranking: tuple[Ranked, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def trained(self) -> tuple[Ranked, ...]:
        """The choices but those whose training failed."""
        return tuple(one for one in self.ranking if one.choice.seeds)

    @cached_property
    def fitting(self) -> tuple[Ranked, ...]:
        """The choices that are known to meet everything."""
        return tuple(one for one in self.ranking if one.status == "meets")

    @cached_property
    def possible(self) -> Ranked | None:
        """The best of those that miss limits within their spread, where nothing is known to meet everything.

        Those of which all is known come before others.
        """
        near = [one for one in self.ranking if one.status == "fails" and one.may_meet]
        unknown = [sum(judged.status == "unknown" for judged in one.open) for one in near]
        return None if self.fitting or not near else near[unknown.index(min(unknown))]

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
    def rivals(self) -> tuple[Ranked, ...]:
        """Of each method the best choice that would undo the answer if what is open of it turned out to fit.

        It would come first, or is of a method of which no choice is tied, and would be.
        """
        if not self.fitting:
            return ()
        tied, best = {one.choice.method for one in self.tied}, self.fitting[0].objective
        near = [
            one
            for one in self.ranking
            if one.status != "meets"
            and one.may_meet
            and (
                self.comes_before_best(one)
                or not (one.choice.method in tied or self._stands_above(best, one.objective))
            )
        ]
        found: dict[str, Ranked] = {}
        for one in sorted(near, key=lambda one: merit(one.objective, self.question.objective)):
            found.setdefault(one.choice.method, one)
        return tuple(found.values())

    def comes_before_best(self, one: Ranked) -> bool:
        """Whether an open choice has more of what is sought than the best that is known to fit."""
        objective = self.question.objective
        return merit(one.objective, objective) < merit(self.fitting[0].objective, objective)

    @cached_property
    def alike(self) -> tuple[Ranked, ...]:
        """The other choices of the best one's method that fit, and that the data do not tell apart from it."""
        best, *others = self.fitting or (None,)
        if best is None:
            return ()
        mine = (one for one in others if one.choice.method == best.choice.method)
        return tuple(one for one in mine if not self._stands_above(best.objective, one.objective))

    @cached_property
    def unsought(self) -> tuple[Choice, ...]:
        """Of each method one choice that may keep to all limits, where of none of these it is known what is sought."""
        left = [
            one
            for one in self.trained
            if not any(judged.status == "fails" and judged.sure for judged in one.judgements)
            and not (isinstance(one.objective, Missing) and one.objective.settled)
        ]
        known = {one.choice.method for one in left if isinstance(one.objective, Known)}
        found: dict[str, Choice] = {}
        for one in left:
            if one.choice.method not in known:
                found.setdefault(one.choice.method, one.choice)
        return tuple(found.values())

    @cached_property
    def alone(self) -> bool:
        """Whether all choices are of one method."""
        return len({one.choice.method for one in self.trained}) == 1

    @cached_property
    def decided(self) -> bool:
        """Whether the data decide: the best surely meets everything and stands above all other methods.

        Where a better or an equal one may meet everything, nothing is known of a method, or there is no other one, they
        do not.
        """
        undone = self.rivals or self.unsought or self.alone
        return len(self.tied) == 1 and not (self.tied[0].doubtful or undone)

    @cached_property
    def weighed(self) -> tuple[str, ...]:
        """What the Pareto front is of, by its titles."""
        choices = [one.choice for one in self.ranking]
        return tuple(quantity.title for quantity in compared(self.question, choices).values())

    @cached_property
    def blames(self) -> tuple[Blame, ...]:
        """What each constraint rules out."""
        return tuple(self._blame(constraint) for constraint in self.question.constraints)

    def _stands_above(self, one: Number, other: Number) -> bool:
        if isinstance(one, Missing) or isinstance(other, Missing) or one.few or other.few:
            return False
        better, worse = (one, other) if self.question.objective.higher_is_better else (other, one)
        if self.question.objective.kind != "share":
            # Quartiles of few samples are no intervals, and what formulas leave open is no chance.
            return better.low > worse.high
        apart = stands_above((better.low, better.value, better.high), (worse.low, worse.value, worse.high))
        # A single seed is one of those that others could be compared with.
        lowest, highest = (better.seeds or (better.value,))[0], (worse.seeds or (worse.value,))[-1]
        return apart and lowest > highest

    def _blame(self, constraint: Constraint | Orthogonal) -> Blame:
        def of(ranked: Ranked) -> Status:
            return next(one.status for one in ranked.judgements if one.constraint == constraint)

        failing = [one for one in self.trained if of(one) == "fails"]
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
            unknown=sum(of(one) == "unknown" for one in self.trained),
            without=min(alone, key=_order(self.question)) if alone else None,
            nearest=max(alone, key=lambda one: _margin(one, constraint)) if alone else None,
        )


def _margin(ranked: Ranked, constraint: Constraint | Orthogonal) -> float:
    found = next(one.margin for one in ranked.judgements if one.constraint == constraint)
    return float("-inf") if found is None else found


_ORDER: dict[Status, int] = {"meets": 0, "unknown": 1, "fails": 2}


def answer(question: Question, choices: Iterable[Choice], notes: Sequence[str] = ()) -> Answer:
    """Judges and ranks choices.

    Args:
        question: What is asked.
        choices: What can be chosen.
        notes: What else has to be said.
    """
    ranked = [
        Ranked(
            choice=choice,
            objective=choice.number(question.objective.key),
            judgements=tuple(constraint.judge(choice) for constraint in question.constraints),
        )
        for choice in choices
    ]
    front = pareto_front(question, [(one.choice, one.judgements) for one in ranked])
    marked = [replace(one, on_front=index in front) for index, one in enumerate(ranked)]
    return Answer(question, tuple(sorted(marked, key=_order(question))), tuple(notes))


Place = tuple[bool, int, int, tuple[float, ...], str]


def _order(question: Question) -> Callable[[Ranked], Place]:
    """What choices are sorted by: of those that are equal in the objective none comes before one that beats it."""
    counted = weighed(question)

    def place(one: Ranked) -> Place:
        failed = sum(judged.status == "fails" for judged in one.judgements)
        failed += isinstance(one.objective, Missing) and one.objective.settled
        merits = [merit(one.objective, question.objective)]
        merits += [merit(one.choice.number(key), quantity) for key, quantity in counted.items()]
        return not one.choice.seeds, _ORDER[one.status], failed, tuple(merits), one.choice.label

    return place
