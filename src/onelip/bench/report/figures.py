"""The curves: certified accuracy by radius, and learning over the course of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from onelip.bench.choice import RADIUS
from onelip.bench.records import CURVE_STEPS, Epoch, TrainRecord
from onelip.bench.report.formats import percent
from onelip.bench.report.legend import legend
from onelip.bench.report.metrics import METRICS, RADII, SIX
from onelip.bench.report.palette import COLOURS, YARDSTICK, Style, styles
from onelip.bench.report.rows import Group, Row
from onelip.bench.report.svg import SIZE, Drawing, drawing, drawn, roomy
from onelip.bench.report.wording import joined


def group_styles(groups: Sequence[Group]) -> Mapping[str, Style]:
    """One style per method for the whole page."""
    rows = [row for group in groups for row in group.rows]
    drawn = styles(row.label for row in rows if row.method.constrained)
    return drawn | {row.label: YARDSTICK for row in rows if not row.method.constrained}


def curves(group: Group, look: Mapping[str, Style], name: str) -> Drawing | None:
    """Certified accuracy over the radius; None where no run succeeded."""
    rows = [row for row in group.rows if row.evaluations]
    if not rows:
        return None
    with drawing():
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.add_subplot()
        last = min(CURVE_STEPS, max(RADII[-1] + 15, *(_last_certified(row) for row in rows)))
        for row in reversed(rows):
            _draw_curve(axes, row, look[row.label], last)
        for radius in RADII:
            axes.axvline(radius, color=COLOURS["muted"][0], linewidth=0.6, dashes=(2, 2), zorder=0.5)
        axes.set(xlim=(0, last), ylim=(0, None), xlabel="radius, in multiples of 1/255", ylabel="certified, %")
        axes.set_xticks([0, *RADII, *range(400, last + 1, 100)])
        axes.grid(visible=False, axis="x")
        legend(figure, {row.label: look[row.label] for row in rows})
        band = " The band spans the seeds." if any(len(row.evaluations) > 1 for row in rows) else ""
        return drawn(
            figure,
            name,
            f"Certified accuracy over the radius. {_said_shares(rows)}",
            title="Certified accuracy by radius",
            caption=f"Share of the test images that are correct with a certified radius above the given one.{band}",
        )


def learning(group: Group, look: Mapping[str, Style], name: str) -> tuple[Drawing, ...]:
    """Training loss and training accuracy over the course of the runs; nothing where no run has two entries."""
    if all(len(run.history) < 2 for run in group.runs):
        return ()
    ends = " A cross marks where a run failed." if any(run.status != "ok" for run in group.runs) else ""
    loss = _Learned(
        title="Training loss",
        label="training loss",
        caption=f"Mean over the training images of each epoch, one line per seed.{ends}",
        quantity=lambda epoch: epoch.loss,
    )
    accuracy = _Learned(
        title="Training accuracy",
        label="training accuracy, %",
        caption="On the training images as the network saw them, while it learned: not the accuracy of the tables.",
        quantity=lambda epoch: 100 * epoch.accuracy,
        unit=" %",
    )
    return _learning(group, look, f"{name}-loss", loss), _learning(group, look, f"{name}-accuracy", accuracy)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Learned:
    """What is drawn over the course of training."""

    title: str
    label: str
    caption: str
    quantity: Callable[[Epoch], float]
    unit: str = ""


def _said_shares(rows: Sequence[Row]) -> str:
    metric = METRICS[SIX[0]]
    values = [(row.label, metric.of(row).value) for row in rows]
    return f"At {RADIUS}/255: " + ", ".join(f"{label} {percent(v)} %" for label, v in values if v is not None) + "."


def _said_ends(row: Row, learned: _Learned) -> str:
    """The last value of every run."""
    return joined(f"{learned.quantity(run.history[-1]):.3g}{learned.unit}" for run in row.runs if run.history)


def _curve(row: Row) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Certified accuracy in percent: one line per seed, one column per radius."""
    return np.array([[100 * c / evaluation.images for c in evaluation.certified] for evaluation in row.evaluations])


def _last_certified(row: Row) -> int:
    """The largest radius at which a constrained method still certifies half a percent of the images."""
    if not row.method.constrained:
        return 0
    return int(np.flatnonzero(_curve(row).mean(0) >= 0.5).max(initial=0))


def _draw_curve(axes: Axes, row: Row, style: Style, last: int) -> None:
    shares = _curve(row)[:, : last + 1]
    radii = np.arange(last + 1)
    axes.plot(radii, shares.mean(0), color=style.colour, dashes=style.dashes)
    if len(shares) > 1:
        axes.fill_between(radii, shares.min(0), shares.max(0), color=style.colour, alpha=0.18, linewidth=0)


def _learning(group: Group, look: Mapping[str, Style], name: str, learned: _Learned) -> Drawing:
    with drawing():
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.add_subplot()
        rows = [row for row in group.rows if any(run.history for run in row.runs)]
        by_clock = any(run.budget_seconds is not None for run in group.runs)
        heights = []
        for row in reversed(rows):
            for run in (run for run in row.runs if run.history):
                _draw_run(axes, run, look[row.label], by_clock, learned.quantity)
                heights += [learned.quantity(epoch) for epoch in run.history] if run.status == "ok" else []
        # A run that diverges leaves the frame: its last values would flatten all others.
        axes.set(xlim=(0, None), ylim=roomy(heights, 0.01 * max(heights)) if heights else None, ylabel=learned.label)
        axes.set_xlabel("seconds of training" if by_clock else "epoch")
        marked = [row.label for row in rows if any(len(run.history) == 1 for run in row.runs)]
        legend(figure, {row.label: look[row.label] for row in rows}, marked)
        ends = "; ".join(f"{row.label} {_said_ends(row, learned)}" for row in rows)
        said = f"{learned.title} over the course of training, one line per run. In the end: {ends}."
        return drawn(figure, name, said, title=learned.title, caption=learned.caption)


def _draw_run(axes: Axes, run: TrainRecord, style: Style, by_clock: bool, quantity: Callable[[Epoch], float]) -> None:
    across = [epoch.seconds if by_clock else epoch.epoch for epoch in run.history]
    up = [quantity(epoch) for epoch in run.history]
    # A line through a single point is invisible.
    marker = style.marker if len(up) == 1 else ""
    axes.plot(across, up, color=style.colour, dashes=style.dashes, linewidth=1.3, marker=marker)
    if run.status != "ok":
        axes.plot(across[-1:], up[-1:], color=style.colour, marker="x", markersize=8, markeredgewidth=2, zorder=4)
