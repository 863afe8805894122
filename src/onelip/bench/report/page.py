"""The report as data: sections, tables, figures and sentences, which Markdown and HTML then only lay out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onelip.bench.choice import RADIUS
from onelip.bench.report import figures, sheets
from onelip.bench.report.asking import Asking, asking
from onelip.bench.report.bars import cost_bars
from onelip.bench.report.cells import Column, Line, Table, TableCell
from onelip.bench.report.cost_sheet import costs
from onelip.bench.report.depth_figure import depth_drawing, undiagnosed
from onelip.bench.report.groups import comparisons
from onelip.bench.report.palette import Style
from onelip.bench.report.promises import READING, promises, promises_drawing, uncertified
from onelip.bench.report.protocol import protocol
from onelip.bench.report.radar import RULE, Radar, radar
from onelip.bench.report.radar_figure import radar_panels, radar_sheet
from onelip.bench.report.rounding_figure import rounding_drawing
from onelip.bench.report.rows import Group
from onelip.bench.report.scan_figure import scan_drawing
from onelip.bench.report.scans import Scan, scans
from onelip.bench.report.svg import Drawing
from onelip.bench.report.trade_off import accuracy_against_costs
from onelip.bench.report.verdict import Verdict, group_verdict
from onelip.bench.results import Records

COMMAND = "onelip report ."
"""Rebuilds the page, in the folder of the records."""

HOW_TO_READ = (
    (
        "CRA",
        "Certified robust accuracy: the share of test images that are classified correctly and provably keep their "
        f"class under every change of Euclidean length up to the radius. CRA {RADIUS} means radius {RADIUS}/255, with "
        "pixels between 0 and 1. A network that always answers the same class certifies that class's images at any "
        "radius: what does not exceed that stands last and is never the best.",
    ),
    (
        "What the proof covers",
        "The radius of an image is its margin divided by \u221a2 times a proved upper bound of the network's Lipschitz "
        "constant. It speaks of the network in exact real arithmetic: the rounding errors of evaluating the network "
        "in floating point are not paid for, but where a table says so.",
    ),
    (
        "Steps",
        "A training step is forward pass, loss, backward pass and optimiser on one batch. An inference step is the "
        "forward pass of one batch with the weights already constructed; latency is the same for one image. "
        "Construction is computing all weights once as a training step does, but without gradients.",
    ),
    (
        "Memory",
        "The peak during a step. On a processor: the bytes of all live tensors, looked at after every operation, what "
        "the backward pass needs included; not what an operation takes and releases inside itself (the workspace of a "
        "convolution or a factorisation), nor the libraries. On a GPU: the peak of PyTorch's allocator, in its blocks. "
        "While inferring, the raw parameters lie beside the constructed weights and count too.",
    ),
    (
        "Ratio",
        "\u00d7 gives a cost in multiples of the unconstrained network's, with the same padding and in the same "
        "measuring session; of times, the median over the rounds of the ratio within a round. Ratios carry over "
        "between machines better than milliseconds do. Each padding has an unconstrained network of its own, so "
        "methods are ranked by milliseconds and bytes and not by ratios. Where plain torch was measured along, u marks "
        "these multiples, and p those of plain torch: nn.Conv2d with circular padding, contiguous, eager.",
    ),
    (
        "Spread",
        "Shares of one seed stand with their 95 % Wilson interval over the test images, means of several seeds with "
        "the lowest and the highest. Times are medians with their quartiles, of at least 8 rounds unless fewer were "
        "asked for. The verdict counts the test images once, however many seeds there are, because all seeds see the "
        "same images. It names a method if its lead is more than the root of the sum of squares of both intervals, "
        "each widened to its seeds, as Newcombe's interval of a difference has it, and if no seeds meet.",
    ),
    (
        "Bold",
        "The best constrained method of a column, as printed; nothing where all are equal. Where the spreads overlap, "
        "bold decides nothing.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One comparison.

    Attributes:
        anchor: Its id in the page.
        main: The six metrics; of a mere measuring session its costs.
        further: None where nothing was run.
        promises: What each arithmetic certifies; None where no network was certified in them.
        uncertified: Which methods that table lacks.
        panels: A key and one radar per method; `sheet` has them all in one figure.
        scores: The radar's numbers as a table.
        costs: Of the session that trained networks take theirs from, where plain torch was measured along.
        protocol: What all cells share.
    """

    title: str
    anchor: str
    verdict: Verdict
    main: Table
    further: Table | None
    promises: Table | None
    uncertified: str
    panels: tuple[Drawing, ...]
    sheet: Drawing | None
    scores: Table | None
    radar_note: str
    drawings: tuple[Drawing, ...]
    failures: Table | None
    costs: Table | None
    operations: Table | None
    runs: Table
    protocol: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The whole report.

    Attributes:
        asking: The recommender; None where there is nothing to choose between.
        scans: Each with its figure, where a table does not say it all.
        undiagnosed: How networks are seen layer by layer; empty where some are.
    """

    title: str
    sections: tuple[Section, ...]
    asking: Asking | None
    scans: tuple[tuple[Scan, Drawing | None], ...]
    undiagnosed: str
    set_aside: Table | None
    machines: Table
    how_to_read: tuple[tuple[str, str], ...]
    command: str = COMMAND


def page(records: Records) -> Page:
    """Everything that the report says: a function of the records alone."""
    groups = comparisons(records)
    look = figures.group_styles(groups)
    sections = tuple(
        _section(group, records, look, f"comparison-{index}") for index, group in enumerate(groups, start=1)
    )
    return Page(
        title="1-Lipschitz layers compared",
        asking=asking(records),
        sections=sections,
        scans=tuple((scan, scan_drawing(scan, look, f"scan-{index}")) for index, scan in enumerate(scans(records), 1)),
        undiagnosed=undiagnosed(groups, records.depths),
        set_aside=sheets.set_aside(records, groups),
        machines=sheets.machines(records),
        how_to_read=HOW_TO_READ + (READING,) * any(section.promises for section in sections),
    )


def _section(group: Group, records: Records, look: Mapping[str, Style], anchor: str) -> Section:
    scores = radar(group)
    # One polygon alone would always be perfect: it is compared with nothing.
    drawn = len(scores.scores) > 1
    drawings = (
        *accuracy_against_costs(group, look, f"{anchor}-cost"),
        figures.curves(group, look, f"{anchor}-curves"),
        cost_bars(group, look, f"{anchor}-bars"),
        *figures.learning(group, look, f"{anchor}-learning"),
        depth_drawing(group, records.depths, look, f"{anchor}-depth"),
        promises_drawing(group, records.arithmetics, f"{anchor}-promises"),
        rounding_drawing(group, records.arithmetics, look, f"{anchor}-rounding"),
    )
    trained, beside = group.cell is not None, costs(group.session) if group.session is not None else None
    return Section(
        title=group.title,
        anchor=anchor,
        verdict=group_verdict(group),
        main=sheets.six_metrics(group) if trained or beside is None else beside,
        further=sheets.further_numbers(group) if trained else None,
        promises=promises(group, records.arithmetics),
        uncertified=uncertified(group, records.arithmetics),
        panels=radar_panels(scores, look, f"{anchor}-radar") if drawn else (),
        sheet=radar_sheet(scores, look, f"{anchor}-sheet") if drawn else None,
        scores=_scores(scores) if drawn else None,
        radar_note=_radar_note(scores),
        drawings=tuple(drawing for drawing in drawings if drawing is not None),
        failures=sheets.failures(group),
        costs=beside if trained and group.session is not None and group.session.others else None,
        operations=sheets.operations(group),
        runs=sheets.runs(group),
        protocol=tuple(protocol(group)),
    )


def _scores(scores: Radar) -> Table:
    return Table(
        caption="The scores of the radar",
        head="Method",
        columns=tuple(Column(title=title) for title in scores.axes),
        lines=tuple(
            Line(
                head=row.label,
                cells=tuple(_score(score, low, high) for score, (low, high) in zip(of_row, spreads, strict=True)),
            )
            for (row, of_row), spreads in zip(scores.scores, scores.spreads, strict=True)
        ),
    )


def _score(score: float, low: float, high: float) -> TableCell:
    if low == high:
        return TableCell(text=f"{score:.1f}")
    parts = (("low", f"{low:.1f}"), ("high", f"{high:.1f}"))
    return TableCell(text=f"{score:.1f}", note=f"{low:.1f}\u2013{high:.1f}", parts=parts)


def _radar_note(scores: Radar) -> str:
    left_out = [f"{label} ({reason})" for label, reason in scores.left_out]
    return RULE + (f" Left out, because a number is missing: {', '.join(left_out)}." if left_out else "")
