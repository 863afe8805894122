"""What formulas say of whole networks, beside what was measured of them: a table and a figure. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from onelip.bench.records import CostEntry, CostRecord
from onelip.bench.report.cells import Column, Line, Table, TableCell, text_cell
from onelip.bench.report.formats import megabytes, milliseconds, short, two_decimals
from onelip.bench.report.palette import COLOURS
from onelip.bench.report.svg import Drawing, drawing, drawn
from onelip.bench.report.wording import kernels, software
from onelip.bench.statistics import quartiles, ratio_quartiles
from onelip.errors import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What formulas say of a network.

    Attributes:
        step_macs: Multiply-accumulates of a training step: forward pass, construction, and twice both for the backward
            pass.
        inference_macs: Of an inference step of a batch.
        train_bytes: Parameters, their gradients and the optimiser's momenta, and what is kept for the backward pass.
        inference_bytes: Parameters, weights for inference, and the largest layer's input and peak.
    """

    step_macs: float
    inference_macs: float
    train_bytes: float
    inference_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One network: what was measured, and what formulas say of it; of both the same for the unconstrained network."""

    entry: CostEntry
    said: Said
    unit: CostEntry
    unit_said: Said


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measure:
    title: str
    of_time: bool
    attribute: str
    formula: str

    def known(self, held: Held) -> bool:
        """Whether both networks were measured."""
        return bool(getattr(held.entry, self.attribute) and getattr(held.unit, self.attribute))

    def measured(self, held: Held) -> tuple[float, float, float]:
        """Over the unconstrained network: quartiles of time, one number of memory."""
        found, unit = getattr(held.entry, self.attribute), getattr(held.unit, self.attribute)
        if self.of_time:
            return ratio_quartiles(found, unit)
        return (found / unit,) * 3

    def said(self, held: Held) -> float:
        """Over the unconstrained network."""
        return float(getattr(held.said, self.formula) / getattr(held.unit_said, self.formula))


MEASURES = (
    _Measure(title="Training step, time", of_time=True, attribute="train_step", formula="step_macs"),
    _Measure(title="Inference step, time", of_time=True, attribute="inference", formula="inference_macs"),
    _Measure(title="Training memory", of_time=False, attribute="train_bytes", formula="train_bytes"),
    _Measure(title="Inference memory", of_time=False, attribute="inference_bytes", formula="inference_bytes"),
)


def multiples(held: Held) -> dict[str, dict[str, float]]:
    """The measured multiple of the unconstrained network, and that by formula, of each cost that was measured."""
    return {
        one.attribute: {"measured": one.measured(held)[1], "by_formula": one.said(held)}
        for one in MEASURES
        if one.known(held)
    }


def table(session: CostRecord, networks: Sequence[Held]) -> Table:
    """Measured numbers, and below each what formulas say: operations or bytes, and multiples."""
    columns = [Column(title=one.title, unit="ms" if one.of_time else "MB") for one in MEASURES]
    lines = tuple(
        Line(
            head=_head(held),
            cells=tuple(_cell(one, held) for one in MEASURES),
            muted=not held.entry.method.constrained,
        )
        for held in networks
    )
    image = "x".join(map(str, session.image))
    caption = (
        f"Measured and by formula: ConvNet {session.size}{kernels(session.kernel_size)}, images {image}, batch "
        f"{session.batch_size}, {session.machine.device_name}, onelip {software(session.machine)}. \u00d7: over the "
        "unconstrained network of the same padding, measured and by formula"
    )
    return Table(caption=plain(caption), head="Network", columns=tuple(columns), lines=lines)


def theory_drawing(networks: Sequence[Held], name: str) -> Drawing:
    """A panel per cost: for every method the measured multiple of the unconstrained network, and that by formula."""
    said = "; ".join(
        f"{_head(held)} {one.title}: measured {two_decimals(one.measured(held)[1])}, by formula "
        f"{two_decimals(one.said(held))}"
        for held in networks
        for one in MEASURES
        if held.entry.method.constrained and one.known(held)
    )
    with drawing():
        return drawn(
            _figure([held for held in networks if held.entry.method.constrained]),
            name,
            f"Costs over the unconstrained network. {said}.",
            title="Formulas beside measurements",
            caption="Multiples of the unconstrained network of the same padding, measured and by formula.",
        )


def _figure(networks: Sequence[Held]) -> Figure:
    result = Figure(figsize=(9.6, 3.4), layout="constrained")
    for axes, one in zip(result.subplots(1, len(MEASURES), sharey=True), MEASURES, strict=True):
        for place, held in enumerate(reversed(networks)):
            _draw(axes, one, held, place)
        axes.set(title=one.title, ylim=(-0.6, len(networks) - 0.4), xscale="log")
        axes.set_xlabel("\u00d7 unconstrained")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.axvline(1.0, color=COLOURS["muted"][0], linewidth=0.9, dashes=(2, 2), zorder=0.5)
        axes.set_yticks(range(len(networks)), [_head(held) for held in reversed(networks)])
        axes.grid(visible=False, axis="y")
        axes.tick_params(left=False)
    handles, labels = result.axes[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    result.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=2)
    return result


def _draw(axes: Axes, one: _Measure, held: Held, place: int) -> None:
    accent, muted, grid = (COLOURS[name][0] for name in ("accent", "muted", "grid"))
    if not one.known(held):
        return
    low, middle, high = one.measured(held)
    said = one.said(held)
    axes.plot([middle, said], [place, place], color=grid, linewidth=2, zorder=1)
    axes.plot([low, high], [place, place], color=accent, linewidth=1.5, alpha=0.4, zorder=2)
    axes.plot(middle, place, "o", color=accent, zorder=4, label="measured (line: quartiles)")
    axes.plot(said, place, "D", color="none", markeredgecolor=muted, markersize=7, zorder=3, label="by our formulas")


def _head(held: Held) -> str:
    return f"{plain(held.entry.method.title)}, {held.entry.padding}"


def _cell(one: _Measure, held: Held) -> TableCell:
    found, said = getattr(held.entry, one.attribute), getattr(held.said, one.formula)
    if not one.known(held):
        return text_cell("", "not measured")
    measured = milliseconds(quartiles(found)[1]) if one.of_time else megabytes(found)
    by_formula = f"{short(said)} MACs" if one.of_time else f"{megabytes(said)} MB"
    multiples = f"\u00d7{two_decimals(one.measured(held)[1])}, by formula \u00d7{two_decimals(one.said(held))}"
    return TableCell(text=measured, note=f"{multiples}, {by_formula}")
