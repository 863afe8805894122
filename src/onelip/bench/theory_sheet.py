"""Tables of what theory says of layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onelip.bench.formula import NONE
from onelip.bench.report.cells import Column, Line, Table, TableCell, text_cell
from onelip.bench.report.formats import short, two_decimals
from onelip.bench.report.wording import PADDINGS
from onelip.bench.theory import QUANTITIES, Entry, Quantity, Sheet

LEGEND = (
    "Multiply-accumulates are real ones, a complex product counts as four; memory is in float32 numbers of 4 bytes. "
    "b images of side s, c channels, kernels of side k; C = b s^2 c^2 k^2, M = b s^2 c, P = c^2 k^2. Ours: leading "
    "terms for as many inputs as outputs and circular padding; numbers are exact for the shape asked for, but for "
    "vectors. Published: Table 1 of 1-Lipschitz Layers Compared, with t, t1, t2 iterations; a training step's backward "
    "pass takes twice the forward pass more."
)


def quantity_table(sheet: Sheet) -> Table:
    """All quantities of one method: ours and the published ones, formula, order and number."""
    columns = [
        Column(title="Ours", numeric=False),
        Column(title="Order", numeric=False),
        Column(title="Number"),
        Column(title="Published", numeric=False),
        Column(title="Number"),
    ]
    lines = [
        Line(
            head=f"{one.quantity.title}, {'numbers' if one.quantity.memory else 'MACs'}",
            cells=(
                text_cell(one.formula, one.absence),
                text_cell(one.order),
                TableCell(text=short(one.number), note=_multiple(one.ratio)),
                text_cell(one.published, one.published_order if one.published else "not published"),
                text_cell("" if one.published_number is None else short(one.published_number), one.published_absence),
            ),
        )
        for one in sheet.entries
    ]
    return Table(caption=_caption(sheet), head=sheet.method.title, columns=tuple(columns), lines=tuple(lines))


def comparison_tables(sheets: Sequence[Sheet]) -> tuple[Table, Table]:
    """The numbers of all methods: multiply-accumulates, and memory."""
    layer = _layer(sheets[0])
    return (
        _numbers(sheets, [one for one in QUANTITIES if not one.memory], f"Multiply-accumulates of {layer}"),
        _numbers(sheets, [one for one in QUANTITIES if one.memory], f"Float32 numbers in memory of {layer}"),
    )


def published_table(sheets: Iterable[Sheet]) -> Table:
    """Table 1 row by row, and ours beside it."""
    quantities = [one for one in QUANTITIES if one.theirs]
    columns = [Column(title=f"{one.title}, {'numbers' if one.memory else 'MACs'}", numeric=False) for one in quantities]
    lines = []
    for sheet in sheets:
        found = {one.quantity.key: one for one in sheet.entries}
        cells = [
            TableCell(text=found[one.key].published or "\u2014", note=f"ours {_ours(found[one.key])}")
            for one in quantities
        ]
        lines.append(Line(head=sheet.method.title, cells=tuple(cells), muted=not sheet.method.traits.constrained))
    return Table(
        caption="Table 1 of 1-Lipschitz Layers Compared, and ours",
        head="Method",
        columns=tuple(columns),
        lines=tuple(lines),
    )


def _ours(entry: Entry) -> str:
    """Our formula beside the published one, or why it is none."""
    return entry.formula or entry.absence or NONE


def _numbers(sheets: Sequence[Sheet], quantities: Sequence[Quantity], caption: str) -> Table:
    lines = []
    for sheet in sheets:
        found = {one.quantity.key: one for one in sheet.entries}
        cells = tuple(
            TableCell(text=short(found[one.key].number), note=_multiple(found[one.key].ratio)) for one in quantities
        )
        lines.append(Line(head=_head(sheet), cells=cells, muted=not sheet.method.traits.constrained))
    columns = tuple(Column(title=one.title) for one in quantities)
    return Table(caption=caption, head="Method", columns=columns, lines=tuple(lines))


def _head(sheet: Sheet) -> str:
    return f"{sheet.method.title}, {sheet.shape.padding}"


def _caption(sheet: Sheet) -> str:
    return f"{sheet.method.title}: {_layer(sheet)}, {PADDINGS[sheet.shape.padding]}"


def _layer(sheet: Sheet) -> str:
    shape = sheet.shape
    return (
        f"a layer of {shape.in_channels} to {shape.out_channels} channels on {shape.batch} images of "
        f"{shape.height}x{shape.width}, {shape.kernel_size}x{shape.kernel_size} kernels"
    )


def _multiple(ratio: float | None) -> str:
    """Of the unconstrained convolution."""
    return "" if ratio is None else f"\u00d7{two_decimals(ratio)}"
