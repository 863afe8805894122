"""Scores from 1 (worst) to 5 (best) on the six axes, among the constrained methods of one table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onelip.bench.report.metrics import METRICS, SIX, Metric
from onelip.bench.report.rows import Group, Row

DIRECTION = "outer = better (5), inner = worst (1)"
"""Stands on every figure: on the axes of costs, less is outer."""

RULE = (
    "On each axis the worst constrained method of this table scores 1 and the best 5. Between them the score is "
    "continuous: linear in certified and in clean accuracy, logarithmic in milliseconds and in bytes, of which less "
    "is better; if all are equal, all score 5. A low score means last in this company, not bad in itself. The bands "
    "are the spreads of the numbers by the same scale, cut off at its ends."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Radar:
    """The scores of a group.

    Attributes:
        axes: Titles of the axes.
        scores: (row, one score per axis) for the rows in which no metric is missing.
        spreads: For the same rows, the scores of both ends of each number's spread, the worse one first.
        left_out: (label, what is missing) of the other constrained rows.
    """

    axes: tuple[str, ...]
    scores: tuple[tuple[Row, tuple[float, ...]], ...]
    spreads: tuple[tuple[tuple[float, float], ...], ...]
    left_out: tuple[tuple[str, str], ...]


def radar(group: Group) -> Radar:
    """Score the constrained methods of a group.

    A method with a missing number on an axis is left out of the figure, but its other numbers still count for the
    worst and the best of their axes.
    """
    metrics, rows = [METRICS[key] for key in SIX], group.constrained
    columns = [_axis(metric, rows) for metric in metrics]
    scores: list[tuple[Row, tuple[float, ...]]] = []
    spreads: list[tuple[tuple[float, float], ...]] = []
    left_out: list[tuple[str, str]] = []
    for index, row in enumerate(rows):
        present = [score for column in columns if (score := column[index]) is not None]
        if len(present) == len(columns):
            scores.append((row, tuple(score for score, _ in present)))
            spreads.append(tuple(spread for _, spread in present))
        else:
            left_out.append((row.label, next(metric.of(row).missing for metric in metrics if metric.of(row).missing)))
    return Radar(
        axes=tuple(METRICS[key].title for key in SIX),
        scores=tuple(scores),
        spreads=tuple(spreads),
        left_out=tuple(left_out),
    )


def _axis(metric: Metric, rows: Sequence[Row]) -> list[tuple[float, tuple[float, float]] | None]:
    """Score and spread of each row; None where its number is missing."""
    values, better = [metric.of(row) for row in rows], bool(metric.higher_is_better)
    known = [value.value for value in values]
    found: list[tuple[float, tuple[float, float]] | None] = []
    for value, score in zip(values, scored(known, better), strict=True):
        if score is None or value.value is None:
            found.append(None)
            continue
        # An end of a spread takes a place among the numbers themselves, and changes no scale.
        ends = [_placed(end, known, better) for end in (value.low, value.high) if end is not None] or [score]
        found.append((score, (min(*ends, score), max(*ends, score))))
    return found


def _placed(end: float, values: Sequence[float | None], better: bool) -> float:
    """The score that a number would have by the scale of others, cut off at its ends."""
    present = [value for value in values if value is not None]
    inside = min(max(end, min(present)), max(present))
    score = scored([*present, inside], better)[-1]
    assert score is not None
    return score


def scored(values: Sequence[float | None], higher_is_better: bool) -> list[float | None]:
    """Scores of one axis: linear where higher is better, else logarithmic.

    Args:
        values: One per method; None where it is missing.
        higher_is_better: Shares, which may be 0; otherwise times and sizes, which are positive.

    >>> scored([0.25, 0.5, None, 0.75], higher_is_better=True)
    [1.0, 3.0, None, 5.0]
    >>> scored([1.0, 2.0, 4.0], higher_is_better=False)
    [5.0, 3.0, 1.0]
    """
    merits = [None if v is None else v if higher_is_better else -math.log(v) for v in values]
    present = [merit for merit in merits if merit is not None]
    if not present:
        return [None for _ in merits]
    worst, best = min(present), max(present)
    # The quotient is formed first: with nearly equal values it still lies in [0, 1], and keeps their order.
    return [None if m is None else 5.0 if worst == best else 1 + 4 * ((m - worst) / (best - worst)) for m in merits]
