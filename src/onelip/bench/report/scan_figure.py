"""What a search tried, drawn: certified accuracy and loss on held-out images over the learning rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from onelip.bench.choice import RADIUS, best_run
from onelip.bench.records import Evaluation, TrainRecord
from onelip.bench.report.legend import legend
from onelip.bench.report.marks import plain_marks
from onelip.bench.report.palette import COLOURS, YARDSTICK, Style, styles
from onelip.bench.report.scans import Scan
from onelip.bench.report.svg import Drawing, drawing, drawn

_SIZE = (5.1, 5.0)
"""Inches of 72 points, as wide as the other figures."""


def scan_drawing(scan: Scan, look: Mapping[str, Style], name: str) -> Drawing | None:
    """The figure of a search; None where a table says it all, or nothing came out.

    Args:
        scan: The search.
        look: Styles of the page, by the title of the method.
        name: Unique in the page.
    """
    found = {title: [run for run in runs if run.evaluation is not None] for title, runs in scan.trials.items()}
    found = {title: runs for title, runs in found.items() if runs}
    if not scan.is_drawn or not found:
        return None
    others = styles(found)
    looks = {
        title: look.get(title, others[title] if runs[0].method.constrained else YARDSTICK)
        for title, runs in found.items()
    }
    with drawing():
        figure = Figure(figsize=_SIZE, layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1))
        for title, runs in found.items():
            _draw(upper, runs, looks[title], _certified)
            _draw(lower, runs, looks[title], lambda evaluation: evaluation.loss)
        every = [run for runs in found.values() for run in runs]
        constant = max(100 * _of(run, lambda one: one.largest_class / one.images) for run in every)
        upper.axhline(constant, color=COLOURS["muted"][0], linewidth=0.9, dashes=(2, 2), zorder=0.5)
        top = max(constant, *(_of(run, _certified) for run in every))
        upper.set(ylabel=f"CRA at {RADIUS}/255, %", ylim=(-0.05 * top, 1.08 * top))
        lower.set(ylabel="loss", xlabel="learning rate", xscale="log", ylim=_losses(found))
        plain_marks(lower.xaxis)
        legend(figure, looks, marked=looks)
        return drawn(
            figure,
            name,
            f"Trials of {scan.title}: certified accuracy and loss over the learning rate. Chosen: {_said(found)}.",
            title="What the search tried",
            caption="Each trial on held-out training images; the large mark is the one chosen. Losses above the frame "
            "are worse.",
        )


def _said(found: Mapping[str, Sequence[TrainRecord]]) -> str:
    """What was chosen of each method, and what came of it."""
    chosen = {title: best for title, runs in found.items() if (best := best_run(runs)) is not None}
    return "; ".join(
        f"{title} {best.cell.recipe.learning_rate:.3g}, CRA {RADIUS} {_of(best, _certified):.1f} %, "
        f"loss {_of(best, lambda evaluation: evaluation.loss):.3g}"
        for title, best in chosen.items()
    )


def _draw(axes: Axes, runs: Sequence[TrainRecord], style: Style, quantity: Callable[[Evaluation], float]) -> None:
    points = sorted((run.cell.recipe.learning_rate, _of(run, quantity)) for run in runs)
    # Trials that differ in weight decay too are no curve.
    curve = len({run.cell.recipe.weight_decay for run in runs}) == 1
    axes.plot(*zip(*points, strict=True), color=style.colour, linestyle="none", marker=".", markersize=4)
    if curve:
        axes.plot(*zip(*points, strict=True), color=style.colour, dashes=style.dashes, linewidth=1)
    best = best_run(runs)
    if best is not None:
        rate = best.cell.recipe.learning_rate
        axes.plot([rate], [_of(best, quantity)], color=style.colour, marker=style.marker, markersize=8, zorder=4)


def _of(run: TrainRecord, quantity: Callable[[Evaluation], float]) -> float:
    assert run.evaluation is not None
    return quantity(run.evaluation)


def _certified(evaluation: Evaluation) -> float:
    return 100 * evaluation.certified[RADIUS] / evaluation.images


def _losses(found: Mapping[str, Sequence[TrainRecord]]) -> tuple[float, float]:
    """From the best loss of all to somewhat above the worst of those that were chosen."""
    chosen = [_of(best, lambda evaluation: evaluation.loss) for runs in found.values() if (best := best_run(runs))]
    low, high = min(chosen), max(chosen)
    room = 0.3 * (high - low) + 0.05 * high
    return low - room, high + room
