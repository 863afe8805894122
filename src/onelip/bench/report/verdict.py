"""Which method to take, in one sentence, or that the data do not decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onelip.bench.report.groups import Group, Row, comparisons
from onelip.bench.report.metrics import METRICS, interval, judged, percent
from onelip.bench.report.wording import joined
from onelip.bench.results import Records

RADIUS = 36
"""The radius that decides, in multiples of 1/255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer for one table.

    Attributes:
        headline: One sentence.
        detail: What it rests on: intervals, costs, and which methods are not in it.
    """

    headline: str
    detail: str

    @property
    def text(self) -> str:
        """Headline and detail."""
        return f"{self.headline} {self.detail}".strip()


@dataclass(frozen=True, slots=True)
class _Candidate:
    row: Row
    low: float
    share: float
    high: float

    @property
    def shown(self) -> str:
        return f"{self.row.label} {percent(self.share)} % ({percent(self.low)}\u2013{percent(self.high)})"


def verdict(records: Records) -> str:
    """The verdicts of all tables, each led by the table's title where there are several."""
    groups = comparisons(records)
    if not groups:
        return "No verdict: there is no finished run on test images."
    if len(groups) == 1:
        return group_verdict(groups[0]).text
    return "\n".join(f"{group.title}: {group_verdict(group).text}" for group in groups)


def group_verdict(group: Group) -> Verdict:
    """The verdict of one table: the highest certified accuracy at 36/255, if its interval stands apart."""
    found = [(row, interval(row, RADIUS)) for row in group.constrained]
    candidates = [_Candidate(row, *numbers) for row, numbers in found if numbers is not None]
    candidates.sort(key=lambda candidate: (-candidate.share, candidate.row.label))
    missing = _missing(group.constrained)
    if not candidates:
        return _none(group, missing)
    if len(candidates) == 1:
        return _single(candidates[0], missing)
    if candidates[0].share == 0:
        return Verdict(
            headline=f"The data do not decide: no method certifies a single test image at radius {RADIUS}/255.",
            detail=_sentences(_cheapest([candidate.row for candidate in candidates]), missing),
        )
    tied = [candidate for candidate in candidates if candidate.high >= candidates[0].low]
    return _decided(candidates, missing) if len(tied) == 1 else _undecided(tied, missing)


def _none(group: Group, missing: str) -> Verdict:
    if group.cell is None:
        return Verdict(headline="No verdict: only costs were measured here, nothing was trained.", detail="")
    return Verdict(headline="No verdict: no constrained method has a finished run.", detail=missing)


def _single(only: _Candidate, missing: str) -> Verdict:
    headline = f"Only {only.row.label} has a result, so there is nothing to compare it with."
    detail = f"Certified at radius {RADIUS}/255: {only.shown}; {_basis([only])}, 95 % Wilson interval."
    return Verdict(headline=headline, detail=_sentences(detail, missing))


def _decided(candidates: Sequence[_Candidate], missing: str) -> Verdict:
    best, second = candidates[:2]
    headline = (
        f"Take {best.row.label}: it certifies {percent(best.share)} % of the test images at radius {RADIUS}/255, "
        "more than every other method."
    )
    detail = (
        f"Its 95 % Wilson interval stands apart from the next one: {best.shown}, {second.shown}; "
        f"{_basis(candidates[:2])}."
    )
    return Verdict(headline=headline, detail=_sentences(detail, _price(best.row), missing))


def _undecided(tied: Sequence[_Candidate], missing: str) -> Verdict:
    names = joined(candidate.row.label for candidate in tied)
    headline = (
        f"The data do not decide between {names}: the 95 % Wilson intervals of their certified accuracy at radius "
        f"{RADIUS}/255 overlap that of {tied[0].row.label}, the highest."
    )
    detail = f"{joined(candidate.shown for candidate in tied)}; {_basis(tied)}."
    return Verdict(
        headline=headline, detail=_sentences(detail, _cheapest([candidate.row for candidate in tied]), missing)
    )


def _basis(candidates: Sequence[_Candidate]) -> str:
    evaluations = [candidate.row.evaluations for candidate in candidates]
    seeds = sorted({len(of_row) for of_row in evaluations})
    number = "1 seed" if seeds == [1] else f"mean of {' or '.join(map(str, seeds))} seeds"
    return f"{evaluations[0][0].images} test images, {number}"


def _price(row: Row) -> str:
    training = judged(METRICS["train_step_seconds"])
    inference = judged(METRICS["inference_seconds"])
    costs = [(word, metric.of(row).value) for word, metric in (("training", training), ("inference", inference))]
    known = [f"{training.format(value)}\u00d7 in {word}" for word, value in costs if value is not None]
    return f"A step of {row.label} costs {joined(known)}, the unconstrained network's being 1." if known else ""


def _cheapest(rows: Sequence[Row]) -> str:
    verbs = (("train_step_seconds", "trains"), ("inference_seconds", "infers"))
    parts = [part for key, verb in verbs if (part := _cheapest_in(rows, key, verb))]
    if not parts:
        return "Their costs were not measured."
    return f"Among them {'; '.join(parts)}, in multiples of the unconstrained network's step."


def _cheapest_in(rows: Sequence[Row], key: str, verb: str) -> str:
    """Who is cheapest, by the ratio to the unconstrained network; overlapping quartiles share the place."""
    metric = judged(METRICS[key])
    found = [(row.label, metric.of(row)) for row in rows]
    ranked = sorted(
        (value.value, value.low or value.value, value.high or value.value, label)
        for label, value in found
        if value.value is not None
    )
    if not ranked:
        return ""
    names = [f"{label} ({metric.format(middle)}\u00d7)" for middle, low, _, label in ranked if low <= ranked[0][2]]
    each = verb if len(names) == 1 else verb.removesuffix("s")
    return f"{joined(names)} {each} cheapest"


def _missing(rows: Sequence[Row]) -> str:
    absent = [f"{row.label} ({row.reason})" for row in rows if not row.evaluations]
    partial = [
        f"{row.label} ({len(row.runs) - len(row.evaluations)} of {len(row.runs)}: {row.failures})"
        for row in rows
        if row.evaluations and row.failures
    ]
    return _sentences(
        f"Without a result: {', '.join(absent)}." if absent else "",
        f"Seeds that failed: {', '.join(partial)}." if partial else "",
    )


def _sentences(*parts: str) -> str:
    return " ".join(part for part in parts if part)
