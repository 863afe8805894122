"""Records beside the published numbers, cell by cell: the difference, what else differs, and a verdict by one rule."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence

from onelip.bench.published.paper import Paper
from onelip.bench.published.rows import AUGMENTATIONS, IMAGES, Accuracy
from onelip.bench.records import Recipe, TrainRecord
from onelip.bench.report.groups import comparisons
from onelip.bench.report.metrics import METRICS, SIX
from onelip.bench.report.reproduction import Difference, Number, Ours, Published, Reproduction, Verdict
from onelip.bench.report.rows import Row
from onelip.bench.report.wording import counted, joined, kernels
from onelip.bench.results import Records
from onelip.errors import plain

POINTS = 1.0
"""How far a number may be from the published one and still reproduce it, in percentage points."""

RULE = (
    f"Reproduced: every published number of the cell is within {POINTS:g} percentage point of ours or inside our "
    "interval (95 % Wilson for one seed, lowest to highest for several); otherwise ours are above or below. This is "
    "judged where images, budget, padding and recipe are the published ones and the published run did not collapse; "
    "learning rate and weight decay are free, since they were searched there too. A budget is laid beside the "
    "published one nearest to it as a ratio. A published budget is as many epochs as one A100-80GB does in that time, "
    "and so many epochs of ours are the same budget. Published numbers are of one seed."
)

PROTOCOL = Recipe()
"""The paper's recipe, but for learning rate and weight decay."""

HARDWARE = "one A100-80GB"

_SEARCHED = ("learning_rate", "weight_decay")


def reproductions(records: Records, paper: Paper) -> tuple[Reproduction, ...]:
    """Every network that was trained for the test images beside what is published of it, in the order of the tables."""
    rows = ((group.title, row) for group in comparisons(records) for row in group.rows if row.runs)
    return tuple(_reproduction(title, row, paper) for title, row in rows)


def without_record(found: Iterable[Reproduction], paper: Paper) -> tuple[Reproduction, ...]:
    """The published cells that no record stands beside."""
    beside = {
        (cell.method, cell.size, cell.data, cell.kernel_size, cell.published.hours)
        for cell in found
        if cell.published is not None
    }
    return tuple(
        Reproduction(
            method=row.method,
            size=row.size,
            data=row.data,
            kernel_size=row.kernel,
            published=_published(row, paper),
            numbers=tuple(Number(metric=key, published=share) for key, share in _shares(row, paper)),
            verdict="no record",
        )
        for row in paper.accuracy
        if (row.method, row.size, row.data, row.kernel, row.hours) not in beside
    )


def _reproduction(title: str, row: Row, paper: Paper) -> Reproduction:
    cell, data = row.runs[0].cell, row.runs[0].data.name
    # A method of one's own may bear a name that the paper uses; it is another method.
    results = paper.results(cell.method, cell.size, data, cell.kernel_size) if not row.method.source else ()
    hours = _hours(row.runs[0], results, paper)
    known = Reproduction(
        method=cell.method,
        size=cell.size,
        data=data,
        kernel_size=cell.kernel_size,
        ours=_ours(title, row),
        verdict="nothing published",
    )
    if hours is None:
        return known.model_copy(update={"reason": _unknown(row, paper)})
    result = min(results, key=lambda result: abs(math.log(hours / result.hours)))
    numbers = tuple(_number(row, key, share) for key, share in _shares(result, paper))
    differences = (*_decisive(row, result, hours), *_further(row, result, paper))
    verdict, reason = _verdict(row, result, numbers, differences)
    return known.model_copy(
        update={
            "published": _published(result, paper),
            "numbers": numbers,
            "differences": differences,
            "verdict": verdict,
            "reason": reason,
        }
    )


def _ours(title: str, row: Row) -> Ours:
    cell = row.runs[0].cell
    return Ours(
        comparison=title,
        title=row.label,
        budget=cell.budget,
        padding=row.padding,
        seeds=tuple(run.cell.seed for run in row.runs),
        learning_rate=cell.recipe.learning_rate,
        weight_decay=cell.recipe.weight_decay,
    )


def _published(result: Accuracy, paper: Paper) -> Published:
    return Published(
        hours=result.hours,
        epochs=paper.epochs(result),
        learning_rate=result.learning_rate,
        weight_decay=result.weight_decay,
        source=" ".join(result.source.split()),
    )


def _hours(run: TrainRecord, results: Sequence[Accuracy], paper: Paper) -> float | None:
    """A budget in hours of the paper; None where there is nothing to compare it with."""
    if not results:
        return None
    if run.budget_seconds is not None:
        return run.budget_seconds / 3600 if run.budget_seconds > 0 else None
    epochs = re.fullmatch(r"([1-9]\d*)epochs?", run.cell.budget)
    theirs = paper.epochs(results[0])
    return results[0].hours * int(epochs[1]) / theirs if epochs and theirs else None


def _unknown(row: Row, paper: Paper) -> str:
    """Why nothing is published of a network."""
    run = row.runs[0]
    found = [
        f"{what} {plain(shown)}"
        for what, shown, known in (
            ("data set", run.data.title, any(result.data == run.data.name for result in paper.accuracy)),
            ("method", row.title, _is_published(row, paper)),
            ("size", run.cell.size, any(result.size == run.cell.size for result in paper.accuracy)),
        )
        if not known
    ]
    size = f"{plain(run.cell.size)}{kernels(run.cell.kernel_size)}"
    network = f"{row.title} at size {size} and budget {plain(run.cell.budget)}"
    return joined(found) if found else network


def _is_published(row: Row, paper: Paper) -> bool:
    return not row.method.source and any(result.method == row.method.name for result in paper.accuracy)


def _shares(result: Accuracy, paper: Paper) -> Iterator[tuple[str, float]]:
    """The published numbers, in percent, by the keys of our metrics."""
    curve = paper.curve(result)
    yield SIX[0], result.cra36
    yield SIX[1], result.accuracy
    if curve is not None:
        yield from (("cra_72", curve.cra72), ("cra_108", curve.cra108), ("cra_255", curve.cra255))


def _number(row: Row, key: str, published: float) -> Number:
    value = METRICS[key].of(row)
    if value.value is None or value.low is None or value.high is None:
        return Number(metric=key, published=published)
    # Rounding to a millionth of a point keeps a number that lies on a border from falling beside it.
    low, high, difference = (
        round(share, 6) for share in (100 * value.low, 100 * value.high, 100 * value.value - published)
    )
    return Number(metric=key, ours=100 * value.value, low=low, high=high, published=published, difference=difference)


def _decisive(row: Row, result: Accuracy, hours: float) -> Iterator[Difference]:
    """What keeps the numbers from being compared."""
    run = row.runs[0]
    recipe = [(name.replace("_", " "), name) for name in Recipe.model_fields if name not in _SEARCHED]
    facts = (
        ("budget", run.cell.budget if hours != result.hours else f"{result.hours} h", f"{result.hours} h"),
        ("padding", row.padding, row.method.padding),
        ("images", _images(run.data.train, run.data.test), _images(*IMAGES[result.data])),
        ("augmentation", _augmentation(run, result), AUGMENTATIONS[result.data][0]),
        *((title, str(getattr(run.cell.recipe, name)), str(getattr(PROTOCOL, name))) for title, name in recipe),
    )
    for what, ours, published in facts:
        if ours != published:
            yield Difference(what=what, ours=plain(ours), published=published, decisive=True)


def _augmentation(run: TrainRecord, result: Accuracy) -> str:
    """In the published words, where it is the same; older records do not say."""
    published, pattern = AUGMENTATIONS[result.data]
    same = not run.cell.recipe.augment or re.fullmatch(pattern, run.data.augmentation)
    return published if same else run.data.augmentation or "not recorded"


def _images(train: int, test: int) -> str:
    return f"{train} + {test}"


def _further(row: Row, result: Accuracy, paper: Paper) -> Iterator[Difference]:
    """What else was not as published."""
    devices = list(dict.fromkeys(plain(run.machine.device_name) for run in row.runs))
    seeds = counted(len(row.runs), "seed") + (f", {row.failed} failed" if row.failed else "")
    facts = (
        ("epochs begun", _begun(row) if paper.epochs(result) else "", str(paper.epochs(result))),
        ("hardware", joined(devices) if not all(map(_is_theirs, devices)) else HARDWARE, HARDWARE),
        ("seeds", seeds, counted(1, "seed")),
    )
    for what, ours, published in facts:
        if ours and ours != published:
            yield Difference(what=what, ours=ours, published=published, decisive=False)


def _begun(row: Row) -> str:
    """How many epochs the runs began, lowest to highest; empty where none came to its first progress."""
    begun = [run.history[-1].epoch for run in row.runs if run.history]
    return " to ".join(map(str, sorted({min(begun), max(begun)}))) if begun else ""


def _is_theirs(device: str) -> bool:
    return "A100" in device and "80GB" in device


def _verdict(
    row: Row, result: Accuracy, numbers: Iterable[Number], differences: Iterable[Difference]
) -> tuple[Verdict, str]:
    """The rule: see `RULE`."""
    if not row.evaluations:
        return "no result", row.failures
    decisive = [difference.text for difference in differences if difference.decisive]
    if decisive:
        return "not comparable", ", ".join(decisive)
    if result.collapsed:
        return "not comparable", "the published run collapsed"
    apart: dict[str, list[str]] = {"alike": [], "above": [], "below": []}
    for number in numbers:
        apart[_standing(number)].append(METRICS[number.metric].title)
    if apart["above"] and apart["below"]:
        return "above and below", f"{joined(apart['above'])} above, {joined(apart['below'])} below"
    if apart["above"]:
        return "above", joined(apart["above"])
    return ("below", joined(apart["below"])) if apart["below"] else ("reproduced", "")


def _standing(number: Number) -> str:
    """How ours stands to the published number."""
    assert number.difference is not None
    assert number.low is not None
    assert number.high is not None
    if abs(number.difference) <= POINTS or number.low <= number.published <= number.high:
        return "alike"
    return "above" if number.difference > 0 else "below"
