"""Which method to take, in one sentence, or that the data do not decide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from onelip.bench.choice import RADIUS
from onelip.bench.report.candidates import Candidate, Field, field
from onelip.bench.report.formats import percent
from onelip.bench.report.groups import comparisons
from onelip.bench.report.metrics import METRICS, SIX, shown
from onelip.bench.report.prices import cheapest, price
from onelip.bench.report.rows import Group
from onelip.bench.report.scans import group_warnings
from onelip.bench.report.wording import joined
from onelip.bench.results import Records


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer for one table.

    Attributes:
        headline: One sentence.
        details: Sentences on what it rests on: intervals, costs, which methods are not in it, doubts.
    """

    headline: str
    details: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All sentences."""
        return " ".join([self.headline, *self.details])


def verdict(records: Records) -> str:
    """The verdicts of all tables, each led by the table's title where there are several."""
    groups = comparisons(records)
    if not groups:
        return "No verdict: there is no finished run on test images."
    if len(groups) == 1:
        return group_verdict(groups[0]).text
    return "\n".join(f"{group.title}: {group_verdict(group).text}" for group in groups)


def group_verdict(group: Group) -> Verdict:
    """The verdict of one table: the highest certified accuracy at 36/255, if it stands apart from all others.

    It stands apart if the difference to every other method is more than their 95 % Wilson intervals over the test
    images, widened to the range of the seeds where there are several, leave to chance, and no seeds of both meet. The
    recommender judges by the same rule.
    """
    if group.cell is None:
        return Verdict(headline="No verdict: only costs were measured here, nothing was trained.")
    found = field(group)
    headline, *reasons = _answer(group, found)
    details = (*reasons, *_doubts(group, found), *group_warnings(group))
    return Verdict(headline=headline, details=tuple(filter(None, details)))


def _answer(group: Group, found: Field) -> tuple[str, ...]:
    """The headline, and what it rests on."""
    candidates = found.candidates
    if not candidates:
        return (_none(found),)
    if len(candidates) == 1:
        return _single(candidates[0], found)
    tied = [candidates[0], *(other for other in candidates[1:] if not candidates[0].stands_above(other))]
    return _decided(candidates, found) if len(tied) == 1 else _undecided(tied, group)


def _none(found: Field) -> str:
    if found.unchosen:
        return "No verdict: no method is left that could be judged."
    if found.constant:
        return (
            "The data do not decide: no method certifies more of the test images at radius "
            f"{RADIUS}/255 than a constant answer would."
        )
    return "No verdict: no constrained method has a finished run."


def _single(only: Candidate, found: Field) -> tuple[str, ...]:
    if found.constant and not found.unchosen:
        share = f"{percent(only.share)} % of the test images at radius {RADIUS}/255"
        known = ", ".join([share, *_reservations(only, [only])])
        headline = f"Only {only.row.title} certifies more than a constant answer would: {known}."
    else:
        why = "can be judged" if found.unchosen else "has a result"
        headline = f"Only {only.row.title} {why}, so there is nothing to compare it with."
        if found.constant:
            headline = (
                f"Of those that can be judged, only {only.row.title} certifies more than a constant answer would."
            )
    return headline, f"Certified at radius {RADIUS}/255: {only.shown}, 95 % Wilson interval; {_basis([only])}."


def _decided(candidates: Sequence[Candidate], found: Field) -> tuple[str, ...]:
    best, second = candidates[:2]
    named = ", ".join([best.row.title, *_reservations(best, candidates)])
    rivals = " that can be judged" if found.unchosen else " with a result" if found.absent else ""
    headline = (
        f"Take {named}: it certifies {percent(best.share)} % of the test images at radius {RADIUS}/255, "
        f"more than every other method{rivals}."
    )
    seeds = ", and no seeds meet" if min(len(best.seeds), len(second.seeds)) > 1 else ""
    apart = f"Its lead is more than the 95 % Wilson intervals leave to chance{seeds}: {best.shown}, {second.shown}; "
    return headline, f"{apart}{_basis([best, second])}.", price(best.row)


def _reservations(best: Candidate, candidates: Sequence[Candidate]) -> list[str]:
    """What the seeds leave open."""
    one_seed = any(len(candidate.seeds) == 1 for candidate in candidates)
    failed = f"although {best.row.failed} of its {len(best.row.runs)} seeds failed"
    return [*["as far as one seed tells"] * one_seed, *[failed] * bool(best.row.failed)]


def _undecided(tied: Sequence[Candidate], group: Group) -> tuple[str, ...]:
    names = joined(candidate.row.title for candidate in tied)
    several = any(len(candidate.seeds) > 1 for candidate in tied)
    seeds = ", or their seeds meet" if several else ""
    headline = (
        f"The data do not decide between {names}: the lead of {tied[0].row.title} in certified accuracy at radius "
        f"{RADIUS}/255 is no more than the 95 % Wilson intervals leave to chance{seeds}."
    )
    numbers = f"{joined(candidate.shown for candidate in tied)}; {_basis(tied)}."
    return headline, numbers, cheapest(group, [candidate.row for candidate in tied])


def _basis(candidates: Sequence[Candidate]) -> str:
    seeds = sorted({len(candidate.seeds) for candidate in candidates})
    number = "1 seed" if seeds == [1] else f"mean of {' or '.join(map(str, seeds))} seeds"
    return f"{candidates[0].row.evaluations[0].images} test images, {number}"


def _doubts(group: Group, found: Field) -> Iterable[str]:
    """What is not in the comparison, and what in it is incomplete."""
    metric = METRICS[SIX[0]]
    constant = [f"{row.title} ({shown(metric, metric.of(row))} %)" for row in found.constant]
    rates = [f"{row.title} {row.setting[0]:.3g}" for row in found.chosen if row.setting is not None]
    absent = [f"{row.title} ({row.reason})" for row in found.absent]
    partial = [
        f"{row.label} ({row.failed} of {len(row.runs)}: {row.failures})"
        for row in group.constrained
        if row.evaluations and row.failed
    ]
    beside = [row.label for row in group.constrained if row.evaluations and any(run.beside for run in row.runs)]
    lists = (
        ("Certified is no more than of a constant answer", constant),
        (
            "No verdict for those with several learning rates of which no scan chose one",
            [row.title for row in found.unchosen],
        ),
        ("Judged at the one of several learning rates that the scan chose", rates),
        ("Without a result", absent),
        ("Trained beside another process, with fewer steps than alone", beside),
        ("Seeds that failed", partial),
    )
    return (f"{lead}: {', '.join(names)}." for lead, names in lists if names)
