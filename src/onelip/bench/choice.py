"""Which of several training runs of one method was best; the rule of the learning-rate scan. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from onelip.bench.records import Evaluation, TrainRecord
from onelip.bench.statistics import wilson

RADIUS = 36
"""The radius that decides, in multiples of 1/255."""


def best_run(runs: Iterable[TrainRecord]) -> TrainRecord | None:
    """The run with the highest certified accuracy at 36/255; of equal ones that with the lowest loss where evaluated.

    A network that always answers the same class certifies that class's images at any radius, so certified accuracy
    counts only where it is above that, see `learned`; below, the loss decides.

    None where no run succeeded.
    """
    return max((run for run in runs if run.evaluation is not None), key=_merit, default=None)


def at_border(rate: float, tried: Collection[float]) -> bool:
    """Whether a better learning rate may lie outside of those tried; of a single one there is no telling."""
    return len(set(tried)) > 1 and rate in (min(tried), max(tried))


def learned(evaluation: Evaluation) -> bool:
    """Whether more is certified at 36/255 than by always answering the most frequent class, by Wilson's interval."""
    low, _ = wilson(evaluation.certified[RADIUS], evaluation.images)
    return low > evaluation.largest_class / evaluation.images


def score(evaluation: Evaluation) -> float:
    """The rule as one number, the larger the better: certified accuracy, or the negative loss where that counts."""
    return evaluation.certified[RADIUS] / evaluation.images if learned(evaluation) else -evaluation.loss


def _merit(run: TrainRecord) -> tuple[float, float]:
    assert run.evaluation is not None
    result = run.evaluation
    return result.certified[RADIUS] / result.images if learned(result) else 0.0, -result.loss
