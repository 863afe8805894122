"""Which row speaks for each method, and which methods a verdict can weigh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onelip.bench.choice import RADIUS, best_run
from onelip.bench.records import TrainRecord
from onelip.bench.report.formats import percent
from onelip.bench.report.groups import grouped
from onelip.bench.report.metrics import interval
from onelip.bench.report.rows import Group, Row, setting_of
from onelip.bench.statistics import stands_above


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A method that certifies more than a constant answer would.

    Attributes:
        low: Lower end of the 95 % Wilson interval over the test images.
        share: Certified accuracy at the deciding radius, the mean over the seeds.
        high: Upper end.
        seeds: The certified accuracy of each seed.
    """

    row: Row
    low: float
    share: float
    high: float
    seeds: tuple[float, ...]

    @property
    def shown(self) -> str:
        """Title, share, interval, and the range of several seeds."""
        lowest, highest = percent(min(self.seeds)), percent(max(self.seeds))
        scatter = f"; seeds {lowest}\u2013{highest}" if len(self.seeds) > 1 else ""
        return f"{self.row.title} {percent(self.share)} % ({percent(self.low)}\u2013{percent(self.high)}{scatter})"

    def stands_above(self, other: Candidate) -> bool:
        """Whether the difference is more than intervals, widened to the seeds, leave to chance, and no seeds meet."""
        return stands_above(self._spread, other._spread) and min(self.seeds) > max(other.seeds)

    @property
    def _spread(self) -> tuple[float, float, float]:
        return min(self.low, *self.seeds), self.share, max(self.high, *self.seeds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """The constrained methods of a table.

    Attributes:
        candidates: From the highest certified accuracy down.
        constant: Those of which no more is certified than of a constant answer.
        unchosen: One row of each that was run with several settings, of which no scan chose one.
        absent: Those without a result.
        chosen: Of `candidates` and `constant`, those that a scan chose among several.
    """

    candidates: tuple[Candidate, ...]
    constant: tuple[Row, ...]
    unchosen: tuple[Row, ...]
    absent: tuple[Row, ...]
    chosen: tuple[Row, ...]


def field(group: Group) -> Field:
    """Sort the methods of a table; each is judged by one row, which the test images have no part in choosing."""
    by_method: dict[str, list[Row]] = {}
    for row in group.constrained:
        by_method.setdefault(row.method.name, []).append(row)
    judged = [_judged(rows, group.trials) for rows in by_method.values()]
    rows = [row for row in judged if row is not None]
    candidates = [_candidate(row) for row in rows if row.learned]
    several = {name for name, alike in by_method.items() if len(alike) > 1}
    return Field(
        candidates=tuple(sorted(candidates, key=lambda candidate: (-candidate.share, candidate.row.title))),
        constant=tuple(row for row in rows if row.evaluations and not row.learned),
        unchosen=tuple(alike[0] for alike, row in zip(by_method.values(), judged, strict=True) if row is None),
        absent=tuple(row for row in rows if not row.evaluations),
        chosen=tuple(row for row in rows if row.evaluations and row.method.name in several),
    )


def _judged(rows: Sequence[Row], trials: Sequence[TrainRecord]) -> Row | None:
    """The only row of a method, or the one whose setting the scan found best; None where there is no such row.

    Several scans, of different budgets or on different machines, choose only where they agree.
    """
    if len(rows) == 1:
        return rows[0]
    mine = [trial for trial in trials if trial.method.name == rows[0].method.name]
    best = {setting_of(chosen) for scan in grouped(mine).values() if (chosen := best_run(scan)) is not None}
    return next((row for row in rows if best == {row.setting}), None)


def _candidate(row: Row) -> Candidate:
    found = interval(row, RADIUS)
    assert found is not None
    low, share, high = found
    seeds = tuple(evaluation.certified[RADIUS] / evaluation.images for evaluation in row.evaluations)
    return Candidate(row=row, low=low, share=share, high=high, seeds=seeds)
