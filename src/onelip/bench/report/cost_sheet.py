"""The table of a measuring session: every cost of every network, over the unconstrained one and over plain torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from onelip.bench.records import CostEntry, CostRecord, Costs
from onelip.bench.report.cells import Column, Line, Parts, Table, TableCell, text_cell
from onelip.bench.report.formats import megabytes, milliseconds, two_decimals
from onelip.bench.report.titles import labels
from onelip.bench.report.wording import failure, joined, kernels
from onelip.bench.statistics import quartiles, ratio_quartiles
from onelip.errors import plain

Samples = Callable[[Costs], Sequence[float]]

_TIMES: dict[str, Samples] = {
    "Train step": lambda costs: costs.train_step,
    "Infer step": lambda costs: costs.inference,
    "Latency": lambda costs: costs.latency,
    "Construct": lambda costs: costs.construction if isinstance(costs, CostEntry) else (),
}
_SIZES: dict[str, Samples] = {
    "Train mem.": lambda costs: (costs.train_bytes,) if costs.train_bytes else (),
    "Infer mem.": lambda costs: (costs.inference_bytes,) if costs.inference_bytes else (),
}
_OWN = ("Train step", "Infer step", "Latency", *_SIZES)
"""What is also told in multiples of other networks; an unconstrained network constructs nothing."""


def costs(session: CostRecord) -> Table:
    """One line per network, one column per cost.

    Below each number: x u the multiple of the unconstrained network with the same padding, x p that of plain torch.
    Times are medians, with half of their interquartile range.
    """
    titles = labels(entry.method for entry in session.entries)
    times = Counter(entry.method.name for entry in session.entries)
    lines = [
        _line(
            titles[entry.method.name] + (f", {entry.padding}" if times[entry.method.name] > 1 else ""),
            entry,
            session,
            muted=not entry.method.constrained,
        )
        for entry in session.entries
    ]
    lines += [_line(plain(other.title), other, session, muted=True) for other in session.others]
    clocks = [Column(title=title, unit="ms") for title in _TIMES]
    sizes = [Column(title=title, unit="MB") for title in _SIZES]
    image, versions = (
        "x".join(map(str, session.image)),
        joined(dict.fromkeys(other.version for other in session.others)),
    )
    network = f"ConvNet {session.size}{kernels(session.kernel_size)}"
    caption = f"{network}, images {image}, batch {session.batch_size}, {session.machine.device_name}"
    caption += f"; {versions}" if versions else ""
    return Table(caption=plain(f"Costs: {caption}"), head="Network", columns=(*clocks, *sizes), lines=tuple(lines))


def _line(head: str, entry: Costs, session: CostRecord, *, muted: bool) -> Line:
    if entry.status != "ok":
        cells: tuple[TableCell, ...] = tuple(text_cell("", failure(entry)) for _ in (*_TIMES, *_SIZES))
        return Line(head=head, cells=cells, muted=muted)
    cells = tuple(_time(title, samples, entry, session) for title, samples in _TIMES.items())
    cells += tuple(_size(samples, entry, session) for samples in _SIZES.values())
    return Line(head=head, cells=cells, muted=muted)


def _time(title: str, samples: Samples, entry: Costs, session: CostRecord) -> TableCell:
    if not samples(entry):
        return text_cell("", "")
    low, middle, high = quartiles(samples(entry))
    spread = f" \u00b1{50 * (high - low) / middle:.0f}%" if middle else ""
    multiples = _multiples(samples, entry, session) if title in _OWN else ()
    ends = (("low", milliseconds(low)), ("high", milliseconds(high)))
    return TableCell(text=milliseconds(middle) + spread, note=_noted(multiples), parts=(*ends, *multiples))


def _size(samples: Samples, entry: Costs, session: CostRecord) -> TableCell:
    if not samples(entry):
        return text_cell("", "")
    multiples = _multiples(samples, entry, session)
    return TableCell(text=megabytes(samples(entry)[0]), note=_noted(multiples), parts=multiples)


def _noted(multiples: Parts) -> str:
    return " ".join(f"{text} {name}" for name, text in multiples)


def _multiples(samples: Samples, entry: Costs, session: CostRecord) -> Parts:
    unconstrained = next(
        (other for other in session.entries if not other.method.constrained and other.padding == entry.padding), None
    )
    torch_alone = next((other for other in session.others if other.name == "plain"), None)
    units = (("u", unconstrained), ("p", torch_alone))
    return tuple(
        (name, f"\u00d7{two_decimals(ratio_quartiles(samples(entry), samples(unit))[1])}")
        for name, unit in units
        if unit is not None and unit is not entry and samples(unit)
    )
