"""Learning-rate scans: what was tried on held-out training images, kept apart from the comparison itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from onelip.bench.choice import at_border, best_run
from onelip.bench.records import TrainRecord
from onelip.bench.report.cells import Column, Line, Table, TableCell, text_cell
from onelip.bench.report.groups import grouped, known_methods, labels
from onelip.bench.report.metrics import percent
from onelip.bench.report.wording import PADDINGS, failure, joined, plain
from onelip.bench.results import Records

Setting = tuple[float, float]
"""A learning rate and a weight decay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One scan.

    Attributes:
        table: Methods by settings, certified accuracy at 36/255; the one chosen is marked.
        warnings: Methods whose best learning rate lies at the border of what was tried.
    """

    table: Table
    warnings: tuple[str, ...]


def scans(records: Records) -> tuple[Scan, ...]:
    """All scans of a folder, one per data set, size, budget and padding."""
    validation = [run for run in records.train if run.cell.evaluate_on == "validation"]
    tested = [run for run in records.train if run.cell.evaluate_on == "test"]
    titles = labels(known_methods(records).values())
    return tuple(_scan(alike, tested, titles) for alike in grouped(validation).values())


def _scan(alike: Sequence[TrainRecord], tested: Sequence[TrainRecord], titles: Mapping[str, str]) -> Scan:
    settings = sorted({_setting(run) for run in alike})
    decays = {decay for _, decay in settings}
    names = sorted({run.method.name for run in alike}, key=lambda name: titles[name])
    by_name = {name: [run for run in alike if run.method.name == name] for name in names}
    columns = [Column(title=f"{rate:g}" + (f", wd {decay:g}" if len(decays) > 1 else "")) for rate, decay in settings]
    columns.append(Column(title="Used", note="in the comparison"))
    lines = tuple(_line(titles[name], runs, settings, _used(runs[0], tested)) for name, runs in by_name.items())
    warnings = tuple(text for name, runs in by_name.items() if (text := _border(titles[name], runs)))
    return Scan(
        table=Table(caption=_caption(alike[0]), head="Method", columns=tuple(columns), lines=lines), warnings=warnings
    )


def _caption(first: TrainRecord) -> str:
    cell = first.cell
    return (
        f"Learning rates tried on {plain(first.data.title)}, size {plain(cell.size)}, budget {plain(cell.budget)}, "
        f"{PADDINGS[cell.padding]}: CRA 36 in percent on {first.data.test} held-out training images. Marked is the "
        "one chosen: the highest that is above chance, or else that of the lowest loss."
    )


def _line(title: str, runs: Sequence[TrainRecord], settings: Sequence[Setting], used: str) -> Line:
    chosen = best_run(runs)
    best = None if chosen is None else _setting(chosen)
    cells = [_cell([run for run in runs if _setting(run) == setting], setting == best) for setting in settings]
    return Line(head=title, cells=(*cells, text_cell(used)), muted=not runs[0].method.constrained)


def _cell(runs: Sequence[TrainRecord], best: bool) -> TableCell:
    shares = _shares(runs)
    if not shares:
        return text_cell("", failure(runs[0]) if runs else "not run")
    several = f"{percent(min(shares))}\u2013{percent(max(shares))}, n = {len(shares)}" if len(shares) > 1 else ""
    return TableCell(text=percent(sum(shares) / len(shares)), note=several, best=best)


def _border(title: str, runs: Sequence[TrainRecord]) -> str:
    best = best_run(runs)
    tried = {run.cell.recipe.learning_rate for run in runs}
    if best is None or len(tried) < 2 or not at_border(best.cell.recipe.learning_rate, tried):
        return ""
    return f"{title}: the best learning rate, {best.cell.recipe.learning_rate:g}, lies at the border of those tried."


def _used(scanned: TrainRecord, tested: Iterable[TrainRecord]) -> str:
    """The learning rates of the same method and network in the comparison."""
    alike = ("method", "data", "width", "padding")
    same = [run.cell for run in tested if all(getattr(run.cell, k) == getattr(scanned.cell, k) for k in alike)]
    return joined(f"{rate:g}" for rate in sorted({cell.recipe.learning_rate for cell in same}))


def _setting(run: TrainRecord) -> Setting:
    return run.cell.recipe.learning_rate, run.cell.recipe.weight_decay


def _shares(runs: Iterable[TrainRecord]) -> list[float]:
    evaluations = [run.evaluation for run in runs if run.status == "ok" and run.evaluation is not None]
    return [evaluation.certified[36] / evaluation.images for evaluation in evaluations]
