"""Measuring sessions of a comparison folder: which are there, and what a new one must contain."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from onelip.bench.costs import Case
from onelip.bench.origin import Machine
from onelip.bench.records import HARNESS_REVISION, CostRecord
from onelip.bench.results import COST_PATTERN, read_record, write_record
from onelip.bench.subject import Workload
from onelip.errors import RecordError
from onelip.method import Method
from onelip.models.sizes import width_of


def find_sessions(folder: Path, workload: Workload, machine: Machine) -> dict[Path, CostRecord]:
    """The usable sessions of this workload on this machine; files that cannot be read are left to the report."""
    return {path: record for path, record in _readable(folder) if _fits(record, workload, machine)}


def covers(session: CostRecord, cases: Collection[Case]) -> bool:
    """Whether a session has all these cases, failed ones included."""
    return {(method.name, method.revision, padding) for method, padding in cases} <= _entries(session)


def together(cases: Iterable[Case], sessions: Iterable[CostRecord], known: Mapping[str, Method]) -> tuple[Case, ...]:
    """The cases, and those of earlier sessions: only what is measured in one session can be compared."""
    earlier = [
        (known[entry.method.name], entry.padding)
        for session in sessions
        for entry in session.entries
        if entry.method.name in known
    ]
    return tuple(dict.fromkeys([*cases, *earlier]))


def free_path(folder: Path, session: CostRecord) -> Path:
    """Where to write a session: its own name, or with a number where that is taken."""
    path, number = folder / f"{session.id}.json", 2
    while path.exists():
        path, number = folder / f"{session.id}-{number}.json", number + 1
    return path


def keep(session: CostRecord, folder: Path, *, instead_of: Mapping[Path, CostRecord] | None = None) -> None:
    """Writes a session, and only then deletes those of these that it replaces: all of whose entries it has.

    Raises:
        RecordError: A file cannot be written or deleted.
    """
    write_record(session, free_path(folder, session))
    there = _entries(session)
    replaced = [path for path, old in (instead_of or {}).items() if _entries(old) <= there]
    for path in replaced:
        try:
            path.unlink()
        except OSError as error:
            raise RecordError(f"cannot replace {path}: {error.strerror or error}") from error


def _entries(session: CostRecord) -> set[tuple[str, int, str]]:
    return {(entry.method.name, entry.method.revision, entry.padding) for entry in session.entries}


def _readable(folder: Path) -> Iterator[tuple[Path, CostRecord]]:
    for path in sorted(folder.glob(COST_PATTERN)):
        try:
            record = read_record(path)
        except RecordError:
            continue
        if isinstance(record, CostRecord) and record.harness == HARNESS_REVISION:
            yield path, record


def _fits(record: CostRecord, workload: Workload, machine: Machine) -> bool:
    width = width_of(workload.size, workload.image[1])
    asked = (width, workload.kernel_size, workload.image, workload.classes, workload.batch_size, *_place(machine))
    there = (record.width, record.kernel_size, record.image, record.classes, record.batch_size)
    return (*there, *_place(record.machine)) == asked


def _place(machine: Machine) -> tuple[str, str, str, int]:
    return machine.device, machine.device_name, machine.processor, machine.threads
