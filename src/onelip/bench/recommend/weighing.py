"""What counts when choices are compared, and those that nothing is better than."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onelip.bench.recommend.judging import Constraint, Judgement, Orthogonal
from onelip.bench.recommend.options import Choice, Known, Missing, Number
from onelip.bench.recommend.quantities import QUANTITIES, Quantity

ALWAYS_WEIGHED = ("cra36", "train_time")
"""On the Pareto front, whatever was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a user asks.

    Attributes:
        objective: What is to be best.
        constraints: What must be kept to.
    """

    objective: Quantity
    constraints: tuple[Constraint | Orthogonal, ...] = ()


def merit(number: Number, quantity: Quantity) -> float:
    """The lower the better; what is not known comes last."""
    if isinstance(number, Missing):
        return float("inf")
    return -number.value if quantity.higher_is_better else number.value


def weighed(question: Question) -> dict[str, Quantity]:
    """Certified accuracy, training time, what is limited, and what is sought."""
    keys = {key: QUANTITIES[key] for key in ALWAYS_WEIGHED}
    keys |= {one.key: one.quantity for one in question.constraints if isinstance(one, Constraint)}
    keys[question.objective.key] = question.objective
    return keys


def compared(question: Question, choices: Sequence[Choice]) -> dict[str, Quantity]:
    """What of that the Pareto front is of: what is known of some choice."""
    return {
        key: quantity
        for key, quantity in weighed(question).items()
        if any(choice.seeds and isinstance(choice.number(key), Known) for choice in choices)
    }


def pareto_front(question: Question, judged: Sequence[tuple[Choice, tuple[Judgement, ...]]]) -> set[int]:
    """Those that nothing is better than, in certified accuracy, training time, the objective and all that is asked for.

    Only choices of which all of these are known can be on it, but for what is known of none, and none whose training
    failed. Times of different places are not compared.

    Args:
        question: What is asked.
        judged: Choices, and what became of the constraints.

    Returns:
        Their positions.
    """
    counted = compared(question, [choice for choice, _ in judged])
    points: list[tuple[int, tuple[str, ...], tuple[float, ...]]] = []
    for index, (choice, judgements) in enumerate(judged):
        facts = [one.status for one in judgements if not isinstance(one.constraint, Constraint)]
        numbers = {key: number for key in counted if isinstance(number := choice.number(key), Known)}
        is_known = bool(numbers or facts) and len(numbers) == len(counted) and "unknown" not in facts
        if choice.seeds and is_known:
            merits = [float(status == "meets") for status in facts]
            merits += [-merit(number, counted[key]) for key, number in numbers.items()]
            places = [number.place or choice.place for key, number in numbers.items() if counted[key].kind == "time"]
            points.append((index, tuple(places), tuple(merits)))
    return {
        index
        for index, places, point in points
        if not any(there == places and _beats(other, point) for _, there, other in points)
    }


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(mine >= theirs for mine, theirs in zip(one, other, strict=True))
