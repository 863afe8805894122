"""What can be chosen by our own records."""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from onelip.bench.choice import RADIUS
from onelip.bench.recommend.costs import COSTS, FormulaBook, Network, formula_numbers, measure_command, no_network
from onelip.bench.recommend.from_sessions import ratio_number, time_number, with_sessions
from onelip.bench.recommend.options import Choice, Known, Missing, Number, keeps_norms
from onelip.bench.recommend.quantities import QUANTITIES, RADII
from onelip.bench.records import Cell, CostEntry, CostRecord, TrainRecord
from onelip.bench.report.candidates import field
from onelip.bench.report.formats import three_digits
from onelip.bench.report.groups import comparisons
from onelip.bench.report.metrics import METRICS
from onelip.bench.report.rows import Group, Row
from onelip.bench.report.wording import FAILURES, counted
from onelip.bench.results import Records
from onelip.bench.statistics import wilson

Image = tuple[int, int, int]
ROOM, FEW_RUNS = 1.1, 4
"""By what factor another run of as many epochs may be slower than the slowest, or faster than the fastest, of few."""
UNCHOSEN = Missing(
    reason="it was run with several settings, of which no scan chose one",
    remedy="onelip compare --scan RATES --scan-budget TIME chooses one",
)


def measured_choices(
    records: Records,
    *,
    batch: int,
    image: Image | None = None,
    book: FormulaBook | None,
    sessions: Sequence[CostRecord] = (),
    widths: Callable[[str, int], int] | None = None,
    own: Container[str] = (),
) -> tuple[Choice, ...]:
    """The networks of a folder that were trained or failed, but unconstrained ones.

    Nothing is known of those that failed, nor of a method that was run with several settings of which no scan chose.

    Args:
        records: Of the folder.
        batch: How many images are inferred at a time.
        image: The shape of the images that costs are asked of; None for those of the data set.
        book: What formulas say of a network, for what was not measured; None where they cannot be asked.
        sessions: What was measured elsewhere of the same networks.
        widths: Channels of a size on images of a side; None where no other images than the data set's are asked of.
        own: Names of methods of the user's own.
    """
    everywhere, choices = (*records.cost, *sessions), []
    for group in comparisons(records):
        if (cell := group.cell) is None:
            continue
        for row in _eligible(group):
            found = _with_formulas(_choice(group, row, batch, image, own), cell, row.padding, book, batch)
            choices.append(with_sessions(found, everywhere, width=_width(found, cell, widths), batch=batch))
        choices += [_unchosen(group, row, batch, image, own) for row in field(group).unchosen]
    return tuple(choices)


def _eligible(group: Group) -> tuple[Row, ...]:
    """One row per method, which the test images have no part in choosing; also of those that failed."""
    found = field(group)
    return (
        *(candidate.row for candidate in found.candidates),
        *found.constant,
        *(row for row in found.absent if row.runs),
    )


def _width(choice: Choice, cell: Cell, widths: Callable[[str, int], int] | None) -> int:
    """Channels of a choice's network on the images that its costs are of."""
    if choice.cost_image == choice.image:
        return cell.width
    assert widths is not None
    return widths(cell.size, choice.cost_image[1])


def _unchosen(group: Group, row: Row, batch: int, image: Image | None, own: Container[str]) -> Choice:
    """A method of whose settings none is chosen; nothing is said of it by one of them."""
    found = _choice(group, row, batch, image, own)
    return replace(found, detail="", numbers=dict.fromkeys(QUANTITIES, UNCHOSEN))


def _choice(group: Group, row: Row, batch: int, image: Image | None, own: Container[str]) -> Choice:
    """A network with what was measured beside it."""
    cell, data = group.cell, group.data
    assert cell is not None
    assert data is not None
    image = None if image is None else (data.image[0], *image[1:])
    runs = [run for run in row.runs if run.status == "ok"]
    place = row.runs[0].machine.device_name
    evidence = f"{counted(len(runs), 'run')} of {row.label} on {place}"
    is_own = row.method.name in own
    remedy = functools.partial(_remedy, group, row, batch, image or data.image, is_own=is_own)
    numbers: dict[str, Number] = {
        "accuracy": _share(row, "accuracy", evidence),
        **{f"cra{radius}": _certified(row, radius, evidence) for radius in RADII},
        "train_time": _train_time(runs, evidence, row),
        **dict(_session_numbers(group, row, batch, remedy)),
    }
    if image not in (None, data.image):
        trained = f"trained on images of {data.image[1]}x{data.image[2]}"
        numbers["train_time"] = Missing(reason=trained)
        numbers |= {key: Missing(reason="not measured of such images", remedy=remedy(key)) for key in COSTS}
    if not runs:  # what costs little and gives nothing is no choice
        numbers = dict.fromkeys(QUANTITIES, Missing(reason=row.reason))
    return Choice(
        method=row.method.name,
        title=row.title,
        size=cell.size,
        kernel_size=cell.kernel_size,
        padding=row.padding,
        data=data.name,
        image=data.image,
        cost_image=image or data.image,
        classes=data.classes,
        batch=cell.recipe.batch_size,
        budget=cell.budget,
        place=place,
        source="measured",
        orthogonal=keeps_norms(row.method, row.padding, cell.kernel_size),
        images=row.evaluations[0].images if row.evaluations else 0,
        seeds=len(runs),
        revision=row.method.revision,
        is_own=is_own,
        learned=row.learned or not row.evaluations,
        failed=row.failed,
        detail=row.detail,
        records=tuple(run.cell.id for run in runs or row.runs),
        numbers=numbers,
    )


def _with_formulas(
    choice: Choice, cell: Cell, padding: Literal["circular", "zeros"], book: FormulaBook | None, batch: int
) -> Choice:
    """A choice, if its run was not in vain, with what formulas say of that which was not measured."""
    if not choice.seeds:
        return choice
    is_asked = choice.cost_image != choice.image
    network = Network(
        method=choice.method,
        padding=padding,
        size=cell.size if is_asked else str(cell.width),
        image=choice.cost_image,
        classes=choice.classes,
        kernel_size=cell.kernel_size,
    )
    said, numbers = formula_numbers(book, network, train_batch=choice.batch, batch=batch), dict(choice.numbers)
    if book is not None and not said and is_asked:
        numbers |= dict.fromkeys(COSTS, no_network(cell.size))
    numbers |= {
        key: number
        for key, number in said.items()
        if key not in numbers or (isinstance(numbers[key], Missing) and isinstance(number, Known))
    }
    return replace(choice, numbers=numbers)


def _share(row: Row, key: str, evidence: str) -> Number:
    """With Wilson's interval over the test images, and the range of the seeds where that is wider."""
    value = METRICS[key].of(row)
    if value.value is None or value.low is None or value.high is None:
        return Missing(reason=value.missing)
    images = row.evaluations[0].images
    low, high = wilson(value.value * images, images)
    return Known(
        value=value.value,
        low=min(low, value.low),
        high=max(high, value.high),
        basis="measured",
        evidence=evidence,
        seeds=(value.low, value.high) if len(row.evaluations) > 1 else None,
    )


def _certified(row: Row, radius: int, evidence: str) -> Number:
    """What does not exceed a constant answer is no certified accuracy to choose by."""
    if row.evaluations and not row.learned:
        settled = all(one.certified[RADIUS] <= one.largest_class for one in row.evaluations)
        surely = "" if settled else "surely "
        return Missing(reason=f"no more is {surely}certified than of a constant answer", settled=settled)
    return _share(row, f"cra_{radius}", evidence)


def _train_time(runs: Sequence[TrainRecord], evidence: str, row: Row) -> Number:
    """What the runs took; of a budget in time that budget, since what they leave of it is no merit of a method."""
    if not runs:
        return Missing(reason=row.reason)
    taken = [run.seconds for run in runs]
    least, most, budget = min(taken), max(taken), runs[0].budget_seconds
    if budget is None:
        mean, room = sum(taken) / len(taken), ROOM if len(taken) < FEW_RUNS else 1.0
        evidence += f"; a factor of {ROOM:g} to either side, as they are few" if len(taken) < FEW_RUNS else ""
        return Known(value=mean, low=least / room, high=most * room, basis="measured", evidence=evidence)
    shown = list(dict.fromkeys(three_digits(time) for time in (least, most)))
    evidence += f", which took {' to '.join(shown)} s of {three_digits(budget)} s"
    return Known(value=budget, low=min(budget, least), high=max(budget, most), basis="measured", evidence=evidence)


def _remedy(group: Group, row: Row, batch: int, image: Image, key: str, *, is_own: bool) -> str:
    """The command that measures a cost."""
    assert group.cell is not None
    assert group.data is not None
    return measure_command(
        row.method.name,
        group.cell.size,
        image=image,
        classes=group.data.classes,
        kernel_size=group.cell.kernel_size,
        batch=group.cell.recipe.batch_size if key.startswith("train") else batch,
        padding=group.cell.padding,
        is_own=is_own,
    )


def _session_numbers(group: Group, row: Row, batch: int, remedy: Callable[[str], str]) -> Iterator[tuple[str, Number]]:
    """What the measuring session says: of a batch of its size, and of one image."""
    session, entry = group.session, row.cost
    if session is None or entry is None:
        reason = row.cost_absence or "not measured"
        failed = reason in FAILURES.values()
        yield from ((key, Missing(reason=reason, remedy="" if failed else remedy(key))) for key in COSTS)
        return
    evidence = f"{session.id} on {session.machine.device_name}"
    unit, key = row.yardstick, "train_step_ratio"
    yield key, _ratio(lambda entry: entry.train_step, entry, unit, evidence, remedy(key))
    key = "train_memory"
    yield key, _bytes(entry.train_bytes, f"{evidence}, batch {session.batch_size}", remedy(key))
    samples, inference = _samples(session, batch), remedy("latency")
    if samples is None:
        sizes = " and ".join(map(str, sorted({1, session.batch_size})))
        missing = Missing(reason=f"measured for batches of {sizes}, not of {batch}", remedy=inference)
        yield from (("latency", missing), ("latency_ratio", missing))
    else:
        yield "latency", _quartiles(samples(entry), evidence, inference)
        yield "latency_ratio", _ratio(samples, entry, unit, evidence, inference)
    if batch == session.batch_size:
        yield "inference_memory", _bytes(entry.inference_bytes, f"{evidence}, batch {batch}", inference)
    else:
        reason = f"measured for batches of {session.batch_size}, not of {batch}"
        yield "inference_memory", Missing(reason=reason, remedy=inference)


def _samples(session: CostRecord, batch: int) -> Callable[[CostEntry], Sequence[float]] | None:
    if batch == session.batch_size:
        return lambda entry: entry.inference
    return (lambda entry: entry.latency) if batch == 1 else None


def _quartiles(samples: Sequence[float], evidence: str, remedy: str) -> Number:
    if not samples:
        return Missing(reason="not measured", remedy=remedy)
    return time_number(samples, evidence)


def _ratio(
    samples: Callable[[CostEntry], Sequence[float]],
    entry: CostEntry,
    unit: CostEntry | None,
    evidence: str,
    remedy: str,
) -> Number:
    if unit is None or not samples(unit) or not samples(entry):
        return Missing(reason="the unconstrained network was not measured beside it", remedy=remedy)
    return ratio_number(samples(entry), samples(unit), evidence)


def _bytes(size: int, evidence: str, remedy: str) -> Number:
    if not size:
        return Missing(reason="not measured", remedy=remedy)
    return Known(value=size, low=size, high=size, basis="measured", evidence=evidence)
