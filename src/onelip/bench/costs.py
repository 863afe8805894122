"""What the methods cost: one session that interleaves all of them with the unconstrained network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from functools import partial

import torch

from onelip.bench.failure import failure
from onelip.bench.measure.machine import describe_machine
from onelip.bench.measure.precision import full_precision
from onelip.bench.measure.timing import interleave
from onelip.bench.records import CostEntry, CostRecord, PaddingChoice
from onelip.bench.selection import method_info, yardstick
from onelip.bench.subject import Subject, Workload
from onelip.errors import UnsupportedOperationError
from onelip.linalg.conv import Padding
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


@full_precision()
def measure_costs(
    cases: Iterable[Case], workload: Workload, *, rounds: int, time_limit: float | None, note: Note = lambda _: None
) -> CostRecord:
    """Measures times, memory and multiply-accumulates of networks in one session.

    Memory is taken with one network alone; then all networks are timed in turn. A network that fails is an entry that
    says so, and the session goes on without it.

    Args:
        cases: Methods with their padding.
        workload: What they have in common.
        rounds: Time samples of each kind.
        time_limit: Seconds for the timed rounds, shared by the kinds; some rounds of each are always taken.
        note: Is told what is measured next.
    """
    started, began, machine = datetime.now(timezone.utc), time.perf_counter(), describe_machine(workload.device)
    entries: dict[Case, CostEntry] = {}
    for case in cases:
        note(f"memory and operations of {case[0].title}, {case[1]}")
        entries[case] = _examined(case, workload)
    entries = _timed(entries, workload, rounds, time_limit, note)
    return CostRecord(
        size=workload.size,
        width=width_of(workload.size, workload.image[1]),
        image=workload.image,
        classes=workload.classes,
        batch_size=workload.batch_size,
        machine=machine,
        started=started.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - began,
        entries=tuple(entries.values()),
    )


def _examined(case: Case, workload: Workload) -> CostEntry:
    """Everything but the times, of a network that has the device for itself."""
    method, padding = case
    try:
        subject = Subject(method, padding, workload)
        train_bytes, inference_bytes = subject.train_bytes(), subject.inference_bytes()
        counted, message = _counted(subject)
        return CostEntry(
            method=method_info(method),
            padding=padding,
            status="ok",
            message=message,
            train_bytes=train_bytes,
            inference_bytes=inference_bytes,
            forward_macs=subject.forward_macs(),
            construction_macs=subject.construction_macs(),
            counted_forward_macs=counted,
        )
    except Exception as error:  # noqa: BLE001  # one method's failure must not end the session
        return _failed(case, error)


def _counted(subject: Subject) -> tuple[int, str]:
    """The count, or 0 and the reason why a method uses an operation that cannot be counted."""
    try:
        return subject.counted_forward_macs(), ""
    except UnsupportedOperationError as error:
        return 0, str(error)


def _failed(case: Case, error: Exception) -> CostEntry:
    status, message = failure(error)
    return CostEntry(method=method_info(case[0]), padding=case[1], status=status, message=message)


def _timed(
    entries: Mapping[Case, CostEntry], workload: Workload, rounds: int, time_limit: float | None, note: Note
) -> dict[Case, CostEntry]:
    """The entries with their times; a network that fails now becomes an entry that says so."""
    entries = dict(entries)
    subjects = _subjects(entries, workload)
    for phase, share in SHARES.items():
        note(f"time: {phase.replace('_', ' ')}")
        limit = None if time_limit is None else share * time_limit
        samples = _phase(phase, subjects, entries, device=workload.device, rounds=rounds, limit=limit)
        for case, taken in samples.items():
            entries[case] = entries[case].model_copy(update={phase: taken})
    return entries


def _subjects(entries: dict[Case, CostEntry], workload: Workload) -> dict[Case, Subject]:
    subjects: dict[Case, Subject] = {}
    for case, entry in entries.items():
        if entry.status != "ok":
            continue
        try:
            subjects[case] = Subject(*case, workload)
        except Exception as error:  # noqa: BLE001  # as above
            entries[case] = _failed(case, error)
    return subjects


class _CaseError(Exception):
    """What one of the interleaved cases raised."""

    def __init__(self, case: Case, error: Exception) -> None:
        super().__init__(str(error))
        self.case, self.error = case, error


def _phase(
    phase: str,
    subjects: dict[Case, Subject],
    entries: dict[Case, CostEntry],
    *,
    device: torch.device,
    rounds: int,
    limit: float | None,
) -> dict[Case, tuple[float, ...]]:
    """The samples of one phase; cases that fail are taken out and the phase begins anew without them."""
    while subjects:
        try:
            calls = {
                _name(case): partial(_guarded, case, _prepared(phase, case, subject))
                for case, subject in subjects.items()
            }
            samples = interleave(calls, rounds=rounds, warmup=WARMUP, device=device, time_limit=limit)
            return {case: samples[_name(case)] for case in subjects}
        except _CaseError as broken:
            status, message = failure(broken.error)
            entries[broken.case] = entries[broken.case].model_copy(update={"status": status, "message": message})
            del subjects[broken.case]
    return {}


def _prepared(phase: str, case: Case, subject: Subject) -> Callable[[], object]:
    """What is timed in a phase, with the network in the mode for it."""
    if phase in ("inference", "latency"):
        if subject.model.training:
            _guarded(case, subject.to_inference)
        return subject.infer if phase == "inference" else subject.infer_one
    subject.model.train()
    return subject.train_step if phase == "train_step" else subject.construct


def _guarded(case: Case, call: Callable[[], object]) -> None:
    try:
        call()
    except Exception as error:
        raise _CaseError(case, error) from error


def _name(case: Case) -> str:
    return f"{case[0].name}, {case[1]}"
