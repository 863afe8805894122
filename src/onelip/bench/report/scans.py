"""Scans and searches: what was tried on held-out training images, kept apart from the comparison itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from onelip.bench.choice import RADIUS, at_border, best_run, learned
from onelip.bench.records import TrainRecord
from onelip.bench.report.cells import Column, Line, Table, TableCell, text_cell
from onelip.bench.report.formats import percent
from onelip.bench.report.groups import grouped, known_methods, same_networks
from onelip.bench.report.rows import Group, Setting, setting_of
from onelip.bench.report.titles import distinct, labels, run_title
from onelip.bench.report.wording import FAILURES, failure, joined
from onelip.bench.results import Records

SCAN_RULE = (
    f"the highest certified accuracy at {RADIUS}/255 that is above that of a constant answer; where none is, the "
    "lowest loss on the held-out images"
)
"""How the best of several trials is chosen."""

MOST_COLUMNS = 6
"""Of learning rates beside each other; more are drawn, and only those chosen are in the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One scan or search.

    Attributes:
        table: One line per method: what was tried and chosen, certified accuracy and loss, and what decided.
        warnings: Of which methods the choice is not to be trusted, and why.
        title: The networks and images.
        trials: By the title of the method.
    """

    table: Table
    warnings: tuple[str, ...]
    title: str
    trials: Mapping[str, Sequence[TrainRecord]]

    @property
    def is_drawn(self) -> bool:
        """Whether too much was tried for a table."""
        return len(_settings(self.trials)) > MOST_COLUMNS


def scans(records: Records) -> tuple[Scan, ...]:
    """All scans and searches of a folder, one per data set, size, budget and padding."""
    alike = list(grouped(run for run in records.train if run.cell.evaluate_on == "validation").values())
    tested = [run for run in records.train if run.cell.evaluate_on == "test"]
    names = labels(known_methods(records).values())
    titles = distinct(run_title(runs[0]) for runs in alike)
    return tuple(_scan(title, _by_title(runs, names), tested) for title, runs in zip(titles, alike, strict=True))


def group_warnings(group: Group) -> tuple[str, ...]:
    """Which learning rates of a comparison are not to be trusted, and why."""
    names = {row.method.name: row.title for row in group.rows}
    found = (_warnings(_by_title(runs, names)) for runs in grouped(group.trials).values())
    return tuple(dict.fromkeys(chain.from_iterable(found)))


def _by_title(trials: Iterable[TrainRecord], names: Mapping[str, str]) -> dict[str, list[TrainRecord]]:
    """The trials of each method, in the order of the titles."""
    by_title: dict[str, list[TrainRecord]] = {}
    for run in sorted(trials, key=lambda run: names[run.method.name]):
        by_title.setdefault(names[run.method.name], []).append(run)
    return by_title


def _scan(title: str, by_title: Mapping[str, Sequence[TrainRecord]], tested: Sequence[TrainRecord]) -> Scan:
    settings = _settings(by_title)
    held_out = next(runs[0].data.test for runs in by_title.values())
    few = len(settings) <= MOST_COLUMNS
    table = _every_setting(by_title, settings, tested) if few else _chosen_only(by_title, tested)
    decays = len({decay for _, decay in settings}) > 1
    tried = "Learning rates and weight decays" if decays else "Learning rates"
    caption = (
        f"{tried} tried on {title}: CRA {RADIUS} in percent on {held_out} held-out training images, and the mean loss "
        f"there. {'Marked is the one chosen' if few else 'Chosen is'}: {SCAN_RULE}."
    )
    return Scan(table=replace(table, caption=caption), warnings=_warnings(by_title), title=title, trials=dict(by_title))


def _settings(by_title: Mapping[str, Sequence[TrainRecord]]) -> list[Setting]:
    return sorted({setting_of(run) for runs in by_title.values() for run in runs})


def _every_setting(
    by_title: Mapping[str, Sequence[TrainRecord]], settings: Sequence[Setting], tested: Sequence[TrainRecord]
) -> Table:
    """One column per setting."""
    decays = {decay for _, decay in settings}
    columns = [
        Column(title=f"{rate:.3g}" + (f", wd {decay:.2g}" if len(decays) > 1 else "")) for rate, decay in settings
    ]
    columns += [Column(title="Decided by", numeric=False), Column(title="Used", note="in the comparison")]
    lines = tuple(_line(name, runs, settings, tested) for name, runs in by_title.items())
    return Table(caption="", head="Method", columns=tuple(columns), lines=lines)


def _chosen_only(by_title: Mapping[str, Sequence[TrainRecord]], tested: Sequence[TrainRecord]) -> Table:
    """One column per fact about what was chosen."""
    several = len({decay for _, decay in _settings(by_title)}) > 1
    columns = [Column(title="Trials"), Column(title="Learning rate", note="chosen")]
    columns += [Column(title="Weight decay", note="chosen")] * several
    columns += [Column(title=f"CRA {RADIUS}", unit="%"), Column(title="Loss")]
    columns += [Column(title="Decided by", numeric=False), Column(title="Used", note="in the comparison")]
    lines = []
    for title, runs in by_title.items():
        best, failed = best_run(runs), [FAILURES[run.status] for run in runs if run.status != "ok"]
        texts = [str(len(runs))]
        if best is None or best.evaluation is None:
            texts += [""] * (5 + several)
        else:
            rate, decay = setting_of(best)
            share = best.evaluation.certified[RADIUS] / best.evaluation.images
            texts += [f"{rate:.3g}", *[f"{decay:.2g}"] * several, percent(share), f"{best.evaluation.loss:.3g}"]
            texts += [_decider(best), _used(runs[0], tested)]
        notes = [joined(f"{failed.count(why)} {why}" for why in dict.fromkeys(failed))] + [""] * (len(texts) - 1)
        cells = tuple(TableCell(text=text, note=note) for text, note in zip(texts, notes, strict=True))
        lines.append(Line(head=title, cells=cells, muted=not runs[0].method.constrained))
    return Table(caption="", head="Method", columns=tuple(columns), lines=tuple(lines))


def _line(title: str, runs: Sequence[TrainRecord], settings: Sequence[Setting], tested: Iterable[TrainRecord]) -> Line:
    best = best_run(runs)
    chosen = None if best is None else setting_of(best)
    cells = [_cell([run for run in runs if setting_of(run) == setting], setting == chosen) for setting in settings]
    decided = "" if best is None else _decider(best)
    used = text_cell(_used(runs[0], tested))
    return Line(head=title, cells=(*cells, text_cell(decided), used), muted=not runs[0].method.constrained)


def _cell(runs: Sequence[TrainRecord], best: bool) -> TableCell:
    evaluations = [run.evaluation for run in runs if run.evaluation is not None]
    if not evaluations:
        return text_cell("", failure(runs[0]) if runs else "not run")
    shares = [evaluation.certified[RADIUS] / evaluation.images for evaluation in evaluations]
    losses = [evaluation.loss for evaluation in evaluations]
    several = f", n = {len(shares)}" if len(shares) > 1 else ""
    note = f"loss {sum(losses) / len(losses):.3g}{several}"
    return TableCell(text=percent(sum(shares) / len(shares)), note=note, best=best)


def _warnings(by_title: Mapping[str, Sequence[TrainRecord]]) -> tuple[str, ...]:
    found = {title: (best, runs) for title, runs in by_title.items() if (best := best_run(runs)) is not None}
    rates, decays = (
        [
            f"{title} ({setting_of(best)[which]:.{digits}g})"
            for title, (best, runs) in found.items()
            if at_border(setting_of(best)[which], {setting_of(run)[which] for run in runs})
        ]
        for which, digits in ((0, 3), (1, 2))
    )
    # Of an unconstrained network nothing is certified however long it is trained.
    short = [title for title, (best, _) in found.items() if best.method.constrained and not _above_chance(best)]
    texts = (
        ("At the border of the learning rates tried, so that a better one may lie beyond", rates),
        ("At the border of the weight decays tried, so that a better one may lie beyond", decays),
        ("The scan was too short to decide by certified accuracy, and the loss decided", short),
    )
    return tuple(f"{text}: {joined(titles)}." for text, titles in texts if titles)


def _decider(best: TrainRecord) -> str:
    return f"CRA {RADIUS}" if _above_chance(best) else "loss"


def _above_chance(run: TrainRecord) -> bool:
    return run.evaluation is not None and learned(run.evaluation)


def _used(scanned: TrainRecord, tested: Iterable[TrainRecord]) -> str:
    """The learning rates of the same method and network in the comparison."""
    cells = [run.cell for run in tested if run.cell.method == scanned.cell.method]
    same = [cell for cell in cells if same_networks(cell, scanned.cell)]
    return joined(f"{rate:.3g}" for rate in sorted({cell.recipe.learning_rate for cell in same}))
