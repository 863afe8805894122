"""Scores from 1 (worst) to 5 (best) on the six axes, among the constrained methods of one table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onelip.bench.report.metrics import METRICS, SIX
from onelip.bench.report.rows import Group, Row

DIRECTION = "outer = better (5), inner = worst (1)"
"""Stands on every figure: on the axes of costs, less is outer."""

RULE = (
    "On each axis the worst constrained method of this table scores 1 and the best 5. Between them the score is "
    "continuous: linear in certified and in clean accuracy, logarithmic in milliseconds and in bytes, of which less "
    "is better; if all are equal, all score 5. A low score means last in this company, not bad in itself, and "
    "ignores the spread."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Radar:
    """The scores of a group.

    Attributes:
        axes: Titles of the axes.
        scores: (row, one score per axis) for the rows in which no metric is missing.
        left_out: (label, what is missing) of the other constrained rows.
    """

    axes: tuple[str, ...]
    scores: tuple[tuple[Row, tuple[float, ...]], ...]
    left_out: tuple[tuple[str, str], ...]


def radar(group: Group) -> Radar:
    """Score the constrained methods of a group.

    A method with a missing number on an axis is left out of the figure, but its other numbers still count for the
    worst and the best of their axes.
    """
    metrics = [METRICS[key] for key in SIX]
    rows = group.constrained
    columns = [scored([metric.of(row).value for row in rows], bool(metric.higher_is_better)) for metric in metrics]
    scores: list[tuple[Row, tuple[float, ...]]] = []
    left_out: list[tuple[str, str]] = []
    for index, row in enumerate(rows):
        present = tuple(score for column in columns if (score := column[index]) is not None)
        if len(present) == len(columns):
            scores.append((row, present))
        else:
            left_out.append((row.label, next(metric.of(row).missing for metric in metrics if metric.of(row).missing)))
    return Radar(axes=tuple(METRICS[key].title for key in SIX), scores=tuple(scores), left_out=tuple(left_out))


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
