"""What the methods cost: one session that interleaves all of them with the unconstrained network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from functools import partial
from itertools import product, starmap

import torch

from onelip.bench.entrants import Entrant, MethodEntrant, OtherEntrant
from onelip.bench.failure import failure
from onelip.bench.measure.machine import describe_machine
from onelip.bench.measure.timing import interleave
from onelip.bench.others import Other
from onelip.bench.records import CostEntry, CostRecord, Costs, KernelSize, OtherCosts, PaddingChoice
from onelip.bench.selection import yardstick
from onelip.bench.subject import Subject, Trained, Workload, planned_network
from onelip.linalg.conv import Padding
from onelip.linalg.precision import full_precision
from onelip.method import Method
from onelip.models.sizes import width_of

Case = tuple[Method, Padding]

WARMUP = 2
"""Rounds whose times are thrown away."""

SHARES = {"train_step": 0.5, "inference": 0.25, "latency": 0.125, "construction": 0.125}
"""Which part of the time limit each phase may take."""

Note = Callable[[str], None]


def cases_of(methods: Iterable[Method], padding: PaddingChoice) -> tuple[Case, ...]:
    """The methods with the padding that they are compared with, then the unconstrained network of each padding in use.

    Args:
        methods: What is compared.
        padding: "paper" for each method's own.
    """
    methods = tuple(methods)
    chosen = [(method, method.padding if padding == "paper" else padding) for method in methods]
    paddings = dict.fromkeys(used for _, used in chosen)
    return tuple(dict.fromkeys([*chosen, *((yardstick(methods), used) for used in paddings)]))


def workloads_for(
    cases: Iterable[Case],
    sizes: Iterable[str],
    *,
    image: tuple[int, int, int],
    classes: int,
    batch_size: int,
    device: torch.device,
    kernel_size: KernelSize = 3,
) -> tuple[Workload, ...]:
    """What is measured, one workload per size.

    Raises:
        OnelipError: A network does not fit the images; nothing was measured yet.
    """
    workloads = tuple(
        Workload(size=size, image=image, classes=classes, batch_size=batch_size, device=device, kernel_size=kernel_size)
        for size in sizes
    )
    for workload, case in product(workloads, tuple(cases)):
        planned_network(*case, workload)
    return workloads


@full_precision()
def measure_costs(
    cases: Iterable[Case],
    workload: Workload,
    *,
    rounds: int,
    time_limit: float | None,
    others: Iterable[Other] = (),
    phases: Iterable[str] = SHARES,
    note: Note = lambda _: None,
) -> CostRecord:
    """Measures times, memory and multiply-accumulates of networks in one session.

    Memory is taken with one network alone; then all networks are timed in turn. A network that fails is an entry that
    says so, and the session goes on without it.

    Args:
        cases: Methods with their padding.
        workload: What they have in common.
        rounds: Time samples of each kind.
        time_limit: Seconds for the timed rounds, shared by the kinds; some rounds of each are always taken.
        others: Layers that are not ours, to hold the methods against.
        phases: What is timed, of the keys of `SHARES`.
        note: Is told what is measured next.
    """
    started, began, machine = datetime.now(timezone.utc), time.perf_counter(), describe_machine(workload.device)
    costs: dict[Entrant, Costs] = {}
    entrants: list[Entrant] = [*starmap(MethodEntrant, cases), *map(OtherEntrant, others)]
    for entrant in entrants:
        note(f"memory and operations of {entrant.title}")
        costs[entrant] = _examined(entrant, workload)
    costs = _timed(costs, workload, rounds, {phase: _limit(phase, time_limit) for phase in phases}, note)
    return CostRecord(
        size=workload.size,
        width=width_of(workload.size, workload.image[1]),
        kernel_size=workload.kernel_size,
        image=workload.image,
        classes=workload.classes,
        batch_size=workload.batch_size,
        machine=machine,
        started=started.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - began,
        entries=tuple(entry for entry in costs.values() if isinstance(entry, CostEntry)),
        others=tuple(entry for entry in costs.values() if isinstance(entry, OtherCosts)),
    )


def _limit(phase: str, time_limit: float | None) -> float | None:
    return None if time_limit is None else SHARES[phase] * time_limit


def _examined(entrant: Entrant, workload: Workload) -> Costs:
    try:
        return entrant.examined(workload)
    except Exception as error:  # noqa: BLE001  # one network's failure must not end the session
        return entrant.failed(error)


def _timed(
    costs: Mapping[Entrant, Costs], workload: Workload, rounds: int, limits: Mapping[str, float | None], note: Note
) -> dict[Entrant, Costs]:
    """The costs with their times; a network that fails now becomes an entry that says so."""
    costs = dict(costs)
    networks = _networks(costs, workload)
    for phase, limit in limits.items():
        note(f"time: {phase.replace('_', ' ')}")
        samples = _phase(phase, networks, costs, device=workload.device, rounds=rounds, limit=limit)
        for entrant, taken in samples.items():
            costs[entrant] = costs[entrant].model_copy(update={phase: taken})
    return costs


def _networks(costs: dict[Entrant, Costs], workload: Workload) -> dict[Entrant, Trained]:
    networks: dict[Entrant, Trained] = {}
    for entrant, entry in costs.items():
        if entry.status != "ok":
            continue
        try:
            networks[entrant] = entrant.build(workload)
        except Exception as error:  # noqa: BLE001  # as above
            costs[entrant] = entrant.failed(error)
    return networks


class _EntrantError(Exception):
    """What one of the interleaved networks raised."""

    def __init__(self, entrant: Entrant, error: Exception) -> None:
        super().__init__(str(error))
        self.entrant, self.error = entrant, error


def _phase(
    phase: str,
    networks: dict[Entrant, Trained],
    costs: dict[Entrant, Costs],
    *,
    device: torch.device,
    rounds: int,
    limit: float | None,
) -> dict[Entrant, tuple[float, ...]]:
    """The samples of one phase; networks that fail are taken out and the phase begins anew without them."""
    while taking := [entrant for entrant in networks if phase != "construction" or isinstance(entrant, MethodEntrant)]:
        try:
            calls = {
                entrant.name: partial(_guarded, entrant, _prepared(phase, entrant, networks[entrant]))
                for entrant in taking
            }
            samples = interleave(calls, rounds=rounds, warmup=WARMUP, device=device, time_limit=limit)
            return {entrant: samples[entrant.name] for entrant in taking}
        except _EntrantError as broken:
            status, message = failure(broken.error)
            costs[broken.entrant] = costs[broken.entrant].model_copy(update={"status": status, "message": message})
            del networks[broken.entrant]
    return {}


def _prepared(phase: str, entrant: Entrant, network: Trained) -> Callable[[], object]:
    """What is timed in a phase, with the network in the mode for it."""
    if phase in ("inference", "latency"):
        if network.model.training:
            _guarded(entrant, network.to_inference)
        return network.infer if phase == "inference" else network.infer_one
    network.model.train()
    return network.construct if isinstance(network, Subject) and phase == "construction" else network.train_step


def _guarded(entrant: Entrant, call: Callable[[], object]) -> None:
    try:
        call()
    except Exception as error:
        raise _EntrantError(entrant, error) from error
