"""Numbers of other machines, scaled to the user's own by a short measuring session there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from onelip.bench.published.rows import EpochBudget
from onelip.bench.recommend.costs import FormulaBook, FormulaCosts, Network, measure_command
from onelip.bench.recommend.from_paper import MethodFacts
from onelip.bench.recommend.from_sessions import session_numbers
from onelip.bench.recommend.options import Choice, Known, Missing, Number
from onelip.bench.records import CostEntry, CostRecord
from onelip.bench.results import Records
from onelip.bench.statistics import quartiles

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
    budgets: Iterable[EpochBudget], methods: Mapping[str, MethodFacts], data: str, size: str
) -> dict[Made, float]:
    """Seconds of a step of batch 256 of all methods at a size on the published hardware."""
    return {
        (row.method, methods[row.method].padding): row.ms_per_batch / 1e3
        for row in budgets
        if row.size == size and data in row.data and row.ms_per_batch is not None and row.method in methods
    }


def recorded_steps(session: CostRecord, records: Records, place: str) -> dict[Made, float]:
    """Seconds of a step of the same network in the sessions of a folder that were measured at a place."""
    facts = ("width", "kernel_size", "image", "classes", "batch_size")
    return {
        (entry.method.name, entry.padding): quartiles(entry.train_step)[1]
        for one in records.cost
        if one.machine.device_name == place and all(getattr(one, name) == getattr(session, name) for name in facts)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What is known of this machine.

    Attributes:
        session: Measured here.
        slower: See `factors`, by the place of a choice.
        elsewhere: Seconds of a step of a choice's own network at its place, where that is known.
        batch: How many images are inferred at a time.
        book: What formulas say.
    """

    session: CostRecord
    slower: Mapping[str, Mapping[Made | None, Factor]]
    elsewhere: Callable[[Choice], float | None]
    batch: int
    book: FormulaBook | None

    @property
    def place(self) -> str:
        """The device."""
        return self.session.machine.device_name

    def costs(self, network: Network) -> FormulaCosts | None:
        """What formulas say of a network, trained with the session's batch."""
        if self.book is None:
            return None
        return self.book(network, train_batch=self.session.batch_size, batch=self.batch)


def calibrated(choices: Sequence[Choice], known: Calibration) -> tuple[Choice, ...]:
    """The same choices, with the times and the memory that they would take here.

    What the session measured itself counts as measured here; inference that was measured elsewhere does not. Training
    times are multiplied. Memory by formula is multiplied by what the session measured over what the formula says of the
    measured network.

    Args:
        choices: Of any place.
        known: Of this machine.
    """
    return tuple(_calibrated(choice, known) for choice in choices)


def _calibrated(choice: Choice, known: Calibration) -> Choice:
    if not choice.seeds:
        return choice
    numbers, session = dict(choice.numbers), known.session
    if isinstance(time := choice.number("train_time"), Known):
        numbers["train_time"] = _time(choice, time, known)
    entry = _entry(choice, session)
    if entry is not None and (said := known.costs(_network(entry, session))) is not None:
        numbers |= _corrected(numbers, entry, said, session, known.batch)
    latency = choice.number("latency")
    if ((latency.place if isinstance(latency, Known) else "") or choice.place) != known.place:
        numbers["latency"] = _elsewhere(choice, known.batch)
    if entry is not None and (choice.size, choice.kernel_size) == (session.size, session.kernel_size):
        numbers |= session_numbers(
            entry, session, known.batch, train=choice.batch == session.batch_size, evidence="measured here"
        )
    here = isinstance(numbers["train_time"], Known)
    return replace(choice, numbers=numbers, place=known.place if here else choice.place)


def _elsewhere(choice: Choice, batch: int) -> Missing:
    """Why no time of inference is known here."""
    return Missing(
        reason=f"not measured here at size {choice.size}",
        remedy=measure_command(
            choice.method,
            choice.size,
            image=choice.cost_image,
            classes=choice.classes,
            kernel_size=choice.kernel_size,
            batch=batch,
            padding=choice.padding if choice.source == "measured" else "paper",
            is_own=choice.is_own,
        ),
    )


def _time(choice: Choice, time: Known, known: Calibration) -> Number:
    """A training time here: by the factor of the measured network, and by that of operations for other sizes."""
    if choice.place == known.place:
        return time
    slower = known.slower.get(choice.place, {})
    factor = slower.get((choice.method, choice.padding), slower.get(None))
    if factor is None:
        remedy = (
            f"onelip measure --sizes {known.session.size} --batch-size {known.session.batch_size} --out FOLDER there"
        )
        return Missing(reason=f"no training step of {choice.title} was measured both here and there", remedy=remedy)
    ends, value = [factor.low, factor.high], factor.value
    by_operations = _by_operations(choice, known)
    if by_operations is not None:
        ends.append(by_operations)
        value = math.sqrt(value * by_operations)
    # What a log says of a published run, it says of the hardware there.
    low, high = (time.low, time.high) if time.basis == "measured" else (time.value, time.value)
    return Known(
        value=time.value * value,
        low=low * min(*ends, value),
        high=high * max(*ends, value),
        basis="calibrated",
        evidence=f"{time.evidence}; steps take {value:.3g} times as long here ({min(ends):.3g} to {max(ends):.3g}, "
        f"over the methods at size {known.session.size}" + (", and by operations)" if by_operations else ")"),
    )


def _by_operations(choice: Choice, known: Calibration) -> float | None:
    """How many times longer a step of another size takes here than there, if time here follows operations."""
    entry, there = _entry(choice, known.session), known.elsewhere(choice)
    if entry is None or there is None or choice.size == known.session.size or not entry.train_step:
        return None
    small = known.costs(_network(entry, known.session))
    large = known.costs(replace(_network(entry, known.session), size=choice.size, kernel_size=choice.kernel_size))  # type: ignore[arg-type]
    if small is None or large is None:
        return None
    return quartiles(entry.train_step)[1] * large.step_macs / small.step_macs / there


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
