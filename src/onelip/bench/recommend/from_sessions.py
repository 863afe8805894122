"""What measuring sessions say of networks that were not trained beside them, such as the published ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from onelip.bench.recommend.options import Choice, Known, Missing, Number
from onelip.bench.records import CostEntry, CostRecord
from onelip.bench.statistics import DECISIVE_SAMPLES, quartiles, ratio_quartiles


def with_sessions(choice: Choice, sessions: Iterable[CostRecord], *, width: int, batch: int) -> Choice:
    """A choice with the costs that sessions measured of the same network, where it has none that were measured.

    One whose training failed stays without: what costs little and gives nothing is no choice.

    Args:
        choice: Whose costs are asked for.
        sessions: What was measured, on any machine; the newest counts.
        width: Of the choice's network, on the images that its costs are of.
        batch: How many images are inferred at a time.
    """
    if not choice.seeds:
        return choice
    made = choice.method, choice.revision, choice.padding
    wanted = width, choice.kernel_size, choice.cost_image
    numbers: dict[str, Number] = {}
    for session in sorted(sessions, key=lambda one: one.started):
        if (session.width, session.kernel_size, session.image) != wanted:
            continue
        place = session.machine.device_name
        for entry in session.entries:
            if entry.status == "ok" and (entry.method.name, entry.method.revision, entry.padding) == made:
                evidence, train = f"{session.id} on {place}", session.batch_size == choice.batch
                found = session_numbers(entry, session, batch, train=train, evidence=evidence)
                numbers |= {key: replace(number, place=place) for key, number in found.items()}
    own = {key: number for key, number in choice.numbers.items() if not _is_open(number)}
    return replace(choice, numbers={**choice.numbers, **numbers, **own})


def _is_open(number: Number) -> bool:
    return isinstance(number, Missing) or number.basis != "measured"


def session_numbers(
    entry: CostEntry, session: CostRecord, batch: int, *, train: bool, evidence: str
) -> dict[str, Known]:
    """What a session says of one of its networks: of training where that is asked for, of inference by the batch.

    Args:
        entry: The network.
        session: Where it was measured, beside the unconstrained network.
        batch: How many images are inferred at a time.
        train: Whether training takes the session's batch.
        evidence: Where it was measured.
    """
    unit = next((one for one in session.entries if not one.method.constrained and one.padding == entry.padding), None)
    found: dict[str, Known] = {}
    if train and entry.train_bytes:
        found["train_memory"] = _exact(entry.train_bytes, session.batch_size, evidence)
    if batch == session.batch_size and entry.inference_bytes:
        found["inference_memory"] = _exact(entry.inference_bytes, batch, evidence)
    if train and unit is not None and entry.train_step and unit.train_step:
        found["train_step_ratio"] = ratio_number(entry.train_step, unit.train_step, evidence)
    samples, units = _inference(entry, session, batch), () if unit is None else _inference(unit, session, batch)
    if samples:
        found["latency"] = time_number(samples, evidence)
        if units:
            found["latency_ratio"] = ratio_number(samples, units, evidence)
    return found


def _inference(entry: CostEntry, session: CostRecord, batch: int) -> Sequence[float]:
    """Seconds of inferring a batch; none of a batch that was not measured."""
    if batch == session.batch_size:
        return entry.inference
    return entry.latency if batch == 1 else ()


def time_number(samples: Sequence[float], evidence: str) -> Known:
    """Median and quartiles of times."""
    return _known(quartiles(samples), len(samples), evidence)


def ratio_number(samples: Sequence[float], units: Sequence[float], evidence: str) -> Known:
    """Those of times over the unconstrained network's."""
    return _known(ratio_quartiles(samples, units), len(samples), evidence)


def _known(spread: tuple[float, float, float], samples: int, evidence: str) -> Known:
    low, middle, high = spread
    few = samples < DECISIVE_SAMPLES
    return Known(value=middle, low=low, high=high, basis="measured", evidence=evidence, few=few)


def _exact(size: int, batch: int, evidence: str) -> Known:
    return Known(value=size, low=size, high=size, basis="measured", evidence=f"{evidence}, batch {batch}")
