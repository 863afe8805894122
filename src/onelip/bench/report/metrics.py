"""Every metric, declared once: its title, unit, direction, format, and how it follows from a row's records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from onelip.bench.choice import RADIUS
from onelip.bench.records import CostEntry, Evaluation
from onelip.bench.report.formats import bound_digits, megabytes, milliseconds, percent, two_decimals
from onelip.bench.report.rows import Row
from onelip.bench.statistics import quartiles, ratio_quartiles, wilson

RADII = (RADIUS, 72, 108, 255)
"""The four marked radii, in multiples of 1/255."""

Spread = Literal["share", "range", "quartiles", "exact"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A number with what it rests on.

    Attributes:
        value: In base units (shares, seconds, bytes); None where it is missing.
        low: Lower end of the spread, None where there is no spread.
        high: Upper end of the spread.
        n: Number of seeds or samples.
        missing: Why the number is missing.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One quantity of the comparison.

    Attributes:
        key: Its name for scripts, base unit included.
        unit: The unit that `format` prints in.
        higher_is_better: None where no direction is better.
        format: From base units to the printed number.
        spread: What stands beside the number. "share": Wilson's 95 % interval for one seed, lowest to highest for
            several; "range": lowest to highest; "quartiles": of the time samples; "exact": nothing.
        of: The value for a row.
        ratio: Key of the metric that divides this one by the unconstrained network's. It is for reading: methods are
            compared by the number itself, since each padding has an unconstrained network of its own.
        certified: Whether a constant answer reaches it too, so that a row which learned nothing cannot be the best.
    """

    key: str
    title: str
    unit: str
    higher_is_better: bool | None
    format: Callable[[float], str]
    spread: Spread
    of: Callable[[Row], Value]
    ratio: str = ""
    certified: bool = False


def interval(row: Row, radius: int) -> tuple[float, float, float] | None:
    """(low, share, high) of the certified accuracy at radius/255, or None where no run succeeded.

    The share is the mean over the seeds. The interval is Wilson's over the test images, counted once: all seeds are
    evaluated on the same images, so further seeds do not make the test set larger.
    """
    evaluations = row.evaluations
    if not evaluations:
        return None
    images = evaluations[0].images
    mean = sum(evaluation.certified[radius] for evaluation in evaluations) / len(evaluations)
    low, high = wilson(mean, images)
    return low, mean / images, high


def _share(count: Callable[[Evaluation], int]) -> Callable[[Row], Value]:
    def of(row: Row) -> Value:
        counts = [(count(evaluation), evaluation.images) for evaluation in row.evaluations]
        if not counts:
            return Value(missing=row.reason)
        shares = [correct / images for correct, images in counts]
        low, high = (min(shares), max(shares)) if len(shares) > 1 else wilson(*counts[0])
        return Value(value=sum(shares) / len(shares), low=low, high=high, n=len(shares))

    return of


def _certified(radius: int) -> Callable[[Row], Value]:
    return _share(lambda evaluation: evaluation.certified[radius])


def _bound(row: Row) -> Value:
    bounds = [evaluation.lipschitz for evaluation in row.evaluations]
    if not bounds:
        return Value(missing=row.reason)
    return Value(value=max(bounds), low=min(bounds), high=max(bounds), n=len(bounds))


def _parameters(row: Row) -> Value:
    # A run that failed before its network existed has counted none.
    counts = [run.parameters for run in row.runs if run.parameters]
    return Value(value=float(max(counts)), n=1) if counts else Value(missing=row.reason)


def _time(samples: Callable[[CostEntry], Sequence[float]]) -> Callable[[Row], Value]:
    def of(row: Row) -> Value:
        times = samples(row.cost) if row.cost is not None else ()
        if not times:
            return Value(missing=row.cost_absence or "not measured")
        low, middle, high = quartiles(times)
        return Value(value=middle, low=low, high=high, n=len(times))

    return of


def _bytes(size: Callable[[CostEntry], int]) -> Callable[[Row], Value]:
    def of(row: Row) -> Value:
        peak = size(row.cost) if row.cost is not None else 0
        return Value(value=float(peak), n=1) if peak else Value(missing=row.cost_absence or "not measured")

    return of


def _ratio(own: Metric, samples: Callable[[CostEntry], Sequence[float]]) -> Callable[[Row], Value]:
    """The samples over those of the unconstrained network, of the same session and padding, round by round."""

    def of(row: Row) -> Value:
        value = own.of(row)
        if value.value is None or row.cost is None:
            return value
        units = samples(row.yardstick) if row.yardstick is not None else ()
        if not units:
            return Value(missing="the unconstrained network was not measured")
        low, middle, high = ratio_quartiles(samples(row.cost), units)
        return (
            Value(value=middle, n=value.n)
            if own.spread == "exact"
            else Value(value=middle, low=low, high=high, n=value.n)
        )

    return of


def _table(*metrics: Metric) -> Mapping[str, Metric]:
    return MappingProxyType({metric.key: metric for metric in metrics})


def _timed(
    key: str, title: str, samples: Callable[[CostEntry], Sequence[float]], ratio: bool = True
) -> tuple[Metric, ...]:
    own = Metric(
        key=f"{key}_seconds",
        title=title,
        unit="ms",
        higher_is_better=False,
        format=milliseconds,
        spread="quartiles",
        of=_time(samples),
        ratio=f"{key}_ratio" if ratio else "",
    )
    return (own, _relative(own, samples)) if ratio else (own,)


def _sized(key: str, title: str, size: Callable[[CostEntry], int]) -> tuple[Metric, ...]:
    own = Metric(
        key=f"{key}_bytes",
        title=title,
        unit="MB",
        higher_is_better=False,
        format=megabytes,
        spread="exact",
        of=_bytes(size),
        ratio=f"{key}_bytes_ratio",
    )
    return own, _relative(own, lambda entry: (size(entry),) if size(entry) else ())


def _relative(own: Metric, samples: Callable[[CostEntry], Sequence[float]]) -> Metric:
    return Metric(
        key=own.ratio,
        title=f"{own.title}, ratio",
        unit="\u00d7",
        higher_is_better=False,
        format=two_decimals,
        spread=own.spread,
        of=_ratio(own, samples),
    )


def _accuracy(key: str, title: str, of: Callable[[Row], Value], certified: bool = False) -> Metric:
    return Metric(
        key=key,
        title=title,
        unit="%",
        higher_is_better=True,
        format=percent,
        spread="share",
        of=of,
        certified=certified,
    )


METRICS = _table(
    _accuracy("accuracy", "Accuracy", _share(lambda evaluation: evaluation.correct)),
    *(_accuracy(f"cra_{radius}", f"CRA {radius}", _certified(radius), certified=True) for radius in RADII),
    *_timed("train_step", "Training step", lambda entry: entry.train_step),
    *_timed("inference", "Inference step", lambda entry: entry.inference),
    *_sized("train", "Training memory", lambda entry: entry.train_bytes),
    *_sized("inference", "Inference memory", lambda entry: entry.inference_bytes),
    *_timed("latency", "Latency", lambda entry: entry.latency, ratio=False),
    *_timed("construction", "Construction", lambda entry: entry.construction, ratio=False),
    Metric(
        key="lipschitz",
        title="Lipschitz bound",
        unit="",
        higher_is_better=None,
        format=bound_digits,
        spread="range",
        of=_bound,
    ),
    Metric(
        key="parameters",
        title="Parameters",
        unit="",
        higher_is_better=None,
        format=lambda number: f"{number:,.0f}",
        spread="exact",
        of=_parameters,
    ),
)
"""All metrics of a row, in the order of the tables."""

SIX = (f"cra_{RADIUS}", "accuracy", "train_step_seconds", "inference_seconds", "train_bytes", "inference_bytes")
"""The six metrics of the comparison."""

FURTHER = (
    *(f"cra_{radius}" for radius in RADII[1:]),
    "latency_seconds",
    "construction_seconds",
    "lipschitz",
    "parameters",
)
"""What the second table shows."""


def shown(metric: Metric, value: Value) -> str:
    """The printed number, or a dash."""
    return "\u2014" if value.value is None else metric.format(value.value)
