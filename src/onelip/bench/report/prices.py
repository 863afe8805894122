"""What methods cost, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from onelip.bench.report.metrics import METRICS
from onelip.bench.report.rows import Group, Row
from onelip.bench.report.wording import joined
from onelip.bench.statistics import DECISIVE_SAMPLES

_STEPS = (("train_step_seconds", "train", "training"), ("inference_seconds", "infer", "inference"))


def price(row: Row) -> str:
    """How much longer a step of one method takes than the unconstrained network's; empty where that is not known."""
    ratios = [(METRICS[METRICS[key].ratio], step) for key, _, step in _STEPS]
    known = [
        f"{metric.format(value)}\u00d7 ({step})"
        for metric, step in ratios
        if (value := metric.of(row).value) is not None
    ]
    return f"A step of {row.title} takes {joined(known)} the time of the unconstrained network's." if known else ""


def cheapest(group: Group, rows: Sequence[Row]) -> str:
    """Which of several methods train and infer cheapest, if the times tell."""
    measured = [row for row in rows if row.cost is not None]
    if not measured or group.session is None:
        return "Their costs were not measured."
    parts = [part for key, verb, _ in _STEPS if (part := _cheapest(measured, key, verb))]
    if not parts:
        return f"Fewer than {DECISIVE_SAMPLES} time samples do not tell which of them is cheapest."
    among = "Among them" if len(measured) == len(rows) else "Among those measured"
    return f"{among} {'; '.join(parts)}, per step of {group.session.batch_size} images."


def _cheapest(rows: Sequence[Row], key: str, verb: str) -> str:
    """Who takes the fewest milliseconds; overlapping quartiles share the place, and few samples decide nothing."""
    metric = METRICS[key]
    found = [(row.title, metric.of(row)) for row in rows]
    ranked = sorted(
        (value.value, value.low, value.high, title)
        for title, value in found
        if value.value is not None and value.low is not None and value.high is not None
    )
    if not ranked or min(value.n for _, value in found if value.value is not None) < DECISIVE_SAMPLES:
        return ""
    names = [f"{title} ({metric.format(middle)} ms)" for middle, low, _, title in ranked if low <= ranked[0][2]]
    return f"{joined(names)} {verb}{'s' * (len(names) == 1)} cheapest"
