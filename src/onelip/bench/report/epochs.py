"""How many epochs a budget is, from measured training steps, beside the published ones. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import Field

from onelip.bench.origin import Model
from onelip.bench.published.rows import EpochBudget
from onelip.bench.records import CostEntry, CostRecord
from onelip.bench.report.cells import Column, Line, Table, TableCell
from onelip.bench.report.formats import milliseconds, three_digits
from onelip.bench.report.reproduce import HARDWARE, PROTOCOL
from onelip.bench.report.wording import failure, software
from onelip.bench.statistics import quartiles


class Epochs(Model):
    """What one network does in each budget.

    Attributes:
        method: Its key; `title` is its name in tables.
        step: Seconds of a training step: lower quartile, median and upper quartile; None where it failed.
        images_per_second: In training, by the median.
        epochs: By budget, as it was given.
        published: Published epochs by budget, where this network and budget are in the paper.
        message: Why there are no numbers.
    """

    method: str
    title: str
    size: str
    padding: str
    step: tuple[float, float, float] | None = None
    images_per_second: float | None = None
    epochs: dict[str, float] = Field(default_factory=dict)
    published: dict[str, int] = Field(default_factory=dict)
    message: str = ""


def epochs_of(
    record: CostRecord, budgets: dict[str, float], *, images: int, data: str, published: Iterable[EpochBudget]
) -> tuple[Epochs, ...]:
    """Epochs per budget of every network of a session.

    Args:
        record: The session.
        budgets: Seconds of each budget, by its text.
        images: Training images of an epoch.
        data: Key of the data set, for the published numbers.
        published: Table 8.
    """
    published = tuple(published)
    return tuple(
        _row(entry, record, budgets, images, _published(entry, record, data, published)) for entry in record.entries
    )


def epochs_table(rows: Sequence[Epochs], record: CostRecord, title: str) -> Table:
    """One line per network."""
    budgets = tuple(dict.fromkeys(budget for row in rows for budget in row.epochs))
    columns = (
        Column(title="Step", unit="ms", note="quartiles"),
        Column(title="Images/s"),
        *(Column(title=budget, unit="epochs") for budget in budgets),
    )
    machine = f"{record.machine.device_name}, onelip {software(record.machine)}"
    caption = f"Epochs on {title}, size {record.size}, batch {record.batch_size}; {machine}"
    return Table(
        caption=f"{caption}. Below: as published, on {HARDWARE}",
        head="Method",
        columns=columns,
        lines=tuple(_line(row, budgets) for row in rows),
    )


def _row(
    entry: CostEntry, record: CostRecord, budgets: dict[str, float], images: int, published: dict[str, int]
) -> Epochs:
    known = Epochs(
        method=entry.method.name,
        title=entry.method.title,
        size=record.size,
        padding=entry.padding,
        published={budget: published[budget] for budget in budgets if budget in published},
    )
    if not entry.train_step:
        return known.model_copy(update={"message": failure(entry)})
    lower, median, upper = quartiles(entry.train_step)
    epoch = median * max(1, images // record.batch_size)  # an epoch leaves out what does not fill a batch
    return known.model_copy(
        update={
            "step": (lower, median, upper),
            "images_per_second": record.batch_size / median,
            "epochs": {budget: seconds / epoch for budget, seconds in budgets.items()},
        }
    )


def _published(entry: CostEntry, record: CostRecord, data: str, published: Iterable[EpochBudget]) -> dict[str, int]:
    """The published epochs of this network by budget.

    None of another batch or padding, nor of a method of one's own that bears a name of the paper.
    """
    key = (entry.method.name, record.size)
    alike = record.batch_size == PROTOCOL.batch_size and entry.padding == entry.method.padding
    for row in published if alike and not entry.method.source else ():
        if (row.method, row.size) == key and data in row.data:
            found = {"2h": row.epochs_2h, "10h": row.epochs_10h, "24h": row.epochs_24h}
            return {budget: epochs for budget, epochs in found.items() if epochs is not None}
    return {}


def _line(row: Epochs, budgets: Sequence[str]) -> Line:
    head = f"{row.title}, {row.padding}"
    if row.step is None or row.images_per_second is None:
        missing = TableCell(text="—", note=row.message, missing=True)
        return Line(head=head, cells=(missing,) * (2 + len(budgets)))
    lower, median, upper = map(milliseconds, row.step)
    return Line(
        head=head,
        cells=(
            TableCell(text=median, note=f"{lower}\u2013{upper}"),
            TableCell(text=three_digits(row.images_per_second)),
            *(_epochs(row, budget) for budget in budgets),
        ),
    )


def _epochs(row: Epochs, budget: str) -> TableCell:
    published = row.published.get(budget)
    return TableCell(text=three_digits(row.epochs[budget]), note="" if published is None else str(published))
