"""Numbers of other machines, scaled to the user's own by a short measuring session there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from onelip.bench.published.rows import EpochBudget
from onelip.bench.recommend.costs import FormulaBook, FormulaCosts, Network
from onelip.bench.recommend.from_paper import BATCH, MethodFacts
from onelip.bench.recommend.options import Choice, Known, Missing, Number
from onelip.bench.records import CostEntry, CostRecord
from onelip.bench.results import Records
from onelip.bench.statistics import quartiles, ratio_quartiles

Made = tuple[str, str]
"""A method and the padding of its layers."""

MEMORY_ROOM = 0.1
"""How far memory may lie from a formula that one measured network has corrected, as a share of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """How many times longer training steps take here than there.

    Attributes:
        value: Of one method's network, or the median over the methods.
        low: The lowest of all methods: how well one network's factor holds for another is not known better.
        high: The highest.
    """

    value: float
    low: float
    high: float


def published_steps(
    session: CostRecord, budgets: Iterable[EpochBudget], methods: Mapping[str, MethodFacts], data: str
) -> dict[Made, float]:
    """Seconds of a step of the session's network on the published hardware; nothing where it is another network."""
    if (session.batch_size, session.kernel_size) != (BATCH, 3):
        return {}
    return {
        (row.method, methods[row.method].padding): row.ms_per_batch / 1e3
        for row in budgets
        if row.size == session.size and data in row.data and row.ms_per_batch is not None and row.method in methods
    }


def recorded_steps(session: CostRecord, records: Records) -> dict[Made, float]:
    """Seconds of a step of the same network in the sessions of a folder."""
    facts = ("width", "kernel_size", "image", "classes", "batch_size")
    alike = [one for one in records.cost if all(getattr(one, name) == getattr(session, name) for name in facts)]
    return {
        (entry.method.name, entry.padding): quartiles(entry.train_step)[1]
        for one in alike
        for entry in one.entries
        if entry.train_step
    }


def factors(session: CostRecord, elsewhere: Mapping[Made, float]) -> dict[Made | None, Factor]:
    """How much longer training steps take here, by method; None stands for methods that were not measured at both.

    Args:
        session: Measured here.
        elsewhere: Seconds of a step of the same network there.
    """
    found = {
        (entry.method.name, entry.padding): quartiles(entry.train_step)[1] / elsewhere[entry.method.name, entry.padding]
        for entry in session.entries
        if entry.train_step and (entry.method.name, entry.padding) in elsewhere
    }
    if not found:
        return {}
    low, middle, high = min(found.values()), quartiles(list(found.values()))[1], max(found.values())
    made: dict[Made | None, Factor] = {key: Factor(value=one, low=low, high=high) for key, one in found.items()}
    return made | {None: Factor(value=middle, low=low, high=high)}


def calibrated(
    choices: Sequence[Choice],
    session: CostRecord,
    slower: Mapping[Made | None, Factor],
    *,
    batch: int,
    book: FormulaBook | None,
) -> tuple[Choice, ...]:
    """The same choices, with the times and the memory that they would take here.

    What the session measured itself counts as measured here. Training times are multiplied. Memory by formula is
    multiplied by what the session measured over what the formula says of the measured network.

    Args:
        choices: Of one place.
        session: Measured here.
        slower: See `factors`.
        batch: How many images are inferred at a time.
        book: What formulas say.
    """
    return tuple(_calibrated(choice, session, slower, batch, book) for choice in choices)


def _calibrated(
    choice: Choice,
    session: CostRecord,
    slower: Mapping[Made | None, Factor],
    batch: int,
    book: FormulaBook | None,
) -> Choice:
    numbers = dict(choice.numbers)
    time, factor = choice.number("train_time"), slower.get((choice.method, choice.padding), slower.get(None))
    if isinstance(time, Known):
        numbers["train_time"] = _scaled(time, factor, choice.title)
    entry = _entry(choice, session)
    if entry is not None:
        said = None if book is None else book(_network(entry, session), train_batch=session.batch_size, batch=batch)
        if said is not None:
            numbers |= _corrected(numbers, entry, said, session, batch)
        if (choice.size, choice.kernel_size) == (session.size, session.kernel_size):
            numbers |= _measured_here(entry, session, batch)
    here = isinstance(numbers["train_time"], Known)
    return replace(choice, numbers=numbers, place=session.machine.device_name if here else choice.place)


def _scaled(time: Known, factor: Factor | None, title: str) -> Number:
    if factor is None:
        return Missing(reason=f"no training step of {title} was measured both here and there")
    return Known(
        value=time.value * factor.value,
        low=time.low * factor.low,
        high=time.high * factor.high,
        basis="calibrated",
        evidence=f"{time.evidence}; steps take {factor.value:.3g} times as long here ({factor.low:.3g} to "
        f"{factor.high:.3g} over the methods)",
    )


def _entry(choice: Choice, session: CostRecord) -> CostEntry | None:
    made = choice.method, choice.padding
    return next((one for one in session.entries if (one.method.name, one.padding) == made and one.status == "ok"), None)


def _network(entry: CostEntry, session: CostRecord) -> Network:
    return Network(
        method=entry.method.name,
        padding=entry.padding,
        size=session.size,
        image=session.image,
        classes=session.classes,
        kernel_size=session.kernel_size,
    )


def _corrected(
    numbers: Mapping[str, Number], entry: CostEntry, said: FormulaCosts, session: CostRecord, batch: int
) -> dict[str, Number]:
    """Memory that is known by formula, times measured over formula; inference where the same batch was measured."""
    pairs = [("train_memory", entry.train_bytes, said.train_bytes)]
    if batch == session.batch_size:
        pairs.append(("inference_memory", entry.inference_bytes, said.inference_bytes))
    found: dict[str, Number] = {}
    for key, measured, formula in pairs:
        number = numbers.get(key)
        if isinstance(number, Known) and number.basis == "theory" and measured and formula:
            value = number.value * measured / formula
            found[key] = Known(
                value=value,
                low=(1 - MEMORY_ROOM) * value,
                high=(1 + MEMORY_ROOM) * value,
                basis="calibrated",
                evidence=f"{number.evidence}, times {measured / formula:.3g} as measured here at size {session.size}",
            )
    return found


def _measured_here(entry: CostEntry, session: CostRecord, batch: int) -> dict[str, Number]:
    """What the session says of the network itself."""
    unit = next((one for one in session.entries if not one.method.constrained and one.padding == entry.padding), None)
    found: dict[str, Number] = {"train_memory": _exact(entry.train_bytes, session.batch_size)}
    if batch == session.batch_size:
        found["inference_memory"] = _exact(entry.inference_bytes, batch)
    if unit is not None and unit.train_step:
        found["train_step_ratio"] = _known(ratio_quartiles(entry.train_step, unit.train_step))
    samples, units = (
        (entry.inference, unit.inference if unit else ())
        if batch == session.batch_size
        else (entry.latency, unit.latency if unit else ())
        if batch == 1
        else ((), ())
    )
    if samples:
        found["latency"] = _known(quartiles(samples))
        if units:
            found["latency_ratio"] = _known(ratio_quartiles(samples, units))
    return found


def _known(spread: tuple[float, float, float]) -> Known:
    low, middle, high = spread
    return Known(value=middle, low=low, high=high, basis="measured", evidence="measured here")


def _exact(size: int, batch: int) -> Known:
    return Known(value=size, low=size, high=size, basis="measured", evidence=f"measured here, batch {batch}")
