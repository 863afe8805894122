"""Every metric, declared once: its title, unit, direction, format, and how it follows from a row's records."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal
from types import MappingProxyType
from typing import Literal

from onelip.bench.records import CostEntry, Evaluation
from onelip.bench.report.groups import Row
from onelip.bench.report.statistics import quartiles, wilson

RADII = (36, 72, 108, 255)
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
        ratio: Key of the metric that divides this one by the unconstrained network's.
    """

    key: str
    title: str
    unit: str
    higher_is_better: bool | None
    format: Callable[[float], str]
    spread: Spread
    of: Callable[[Row], Value]
    ratio: str = ""


def percent(share: float) -> str:
    """A share in percent, one decimal.

    >>> percent(0.4417)
    '44.2'
    """
    return f"{100 * share:.1f}"


def three_digits(number: float) -> str:
    """Three significant digits, whole numbers above 100, no exponent.

    >>> three_digits(0.01234), three_digits(9.996), three_digits(1234.4)
    ('0.0123', '10.0', '1234')
    """
    rounded = float(f"{number:.2e}")
    if rounded == 0:
        return "0"
    return f"{number:.{max(0, 2 - math.floor(math.log10(abs(rounded))))}f}"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds."""
    return three_digits(1e3 * seconds)


def megabytes(size: float) -> str:
    """Bytes as megabytes of 10^6 bytes."""
    return three_digits(size / 1e6)


def two_decimals(number: float) -> str:
    """A ratio."""
    return f"{number:.2f}"


def bound_digits(bound: float) -> str:
    """An upper bound, rounded up: what is printed is still a bound.

    >>> bound_digits(1.0000002), bound_digits(12345678.0)
    ('1.000001', '1.24e7')
    """
    digits = 7 if bound < 10 else 3
    rounded = Context(prec=digits, rounding=ROUND_CEILING).create_decimal(repr(bound))
    if bound < 10:
        return f"{rounded.quantize(Decimal('0.000001'), rounding=ROUND_CEILING)}"
    return f"{float(rounded):.2e}".replace("e+0", "e").replace("e+", "e") if bound >= 1000 else f"{rounded:f}"


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


def _ratio(of: Callable[[Row], Value], unit: Callable[[CostEntry], float]) -> Callable[[Row], Value]:
    """The method's number over the unconstrained network's, of the same session and padding.

    The spread is the method's own; the unconstrained network enters by its median.
    """

    def ratio(row: Row) -> Value:
        own = of(row)
        if own.value is None:
            return own
        if row.yardstick is None or not (one := unit(row.yardstick)):
            return Value(missing="the unconstrained network was not measured")
        low, high = (None if end is None else end / one for end in (own.low, own.high))
        return Value(value=own.value / one, low=low, high=high, n=own.n)

    return ratio


def _median(samples: Callable[[CostEntry], Sequence[float]]) -> Callable[[CostEntry], float]:
    return lambda entry: quartiles(samples(entry))[1] if samples(entry) else 0.0


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
    return (own, _relative(own, _median(samples))) if ratio else (own,)


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
    return own, _relative(own, size)


def _relative(own: Metric, unit: Callable[[CostEntry], float]) -> Metric:
    return Metric(
        key=own.ratio,
        title=f"{own.title}, ratio",
        unit="\u00d7",
        higher_is_better=False,
        format=two_decimals,
        spread=own.spread,
        of=_ratio(own.of, unit),
    )


def _accuracy(key: str, title: str, of: Callable[[Row], Value]) -> Metric:
    return Metric(key=key, title=title, unit="%", higher_is_better=True, format=percent, spread="share", of=of)


METRICS = _table(
    _accuracy("accuracy", "Accuracy", _share(lambda evaluation: evaluation.correct)),
    *(_accuracy(f"cra_{radius}", f"CRA {radius}", _certified(radius)) for radius in RADII),
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

SIX = ("cra_36", "accuracy", "train_step_seconds", "inference_seconds", "train_bytes", "inference_bytes")
"""The six metrics of the comparison."""

FURTHER = ("cra_72", "cra_108", "cra_255", "latency_seconds", "construction_seconds", "lipschitz", "parameters")
"""What the second table shows."""


def shown(metric: Metric, value: Value) -> str:
    """The printed number, or a dash."""
    return "\u2014" if value.value is None else metric.format(value.value)


def judged(metric: Metric) -> Metric:
    """The metric that a comparison between methods uses: the ratio where there is one."""
    return METRICS[metric.ratio] if metric.ratio else metric
