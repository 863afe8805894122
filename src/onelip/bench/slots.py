"""Where the record of a training belongs, and whether what lies there may be taken."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from onelip.bench.cell import check_continues, read_started
from onelip.bench.comparison import Job
from onelip.bench.origin import Machine
from onelip.bench.records import HARNESS_REVISION, Started, TrainRecord
from onelip.bench.results import RECORD_NAME, machine_place, read_record
from onelip.bench.selection import method_info
from onelip.bench.train.budget import Budget
from onelip.bench.train.checkpoint import FILE_NAME
from onelip.errors import RecordError


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a job's record belongs, and the record if it is there."""

    folder: Path
    record: TrainRecord | None


class Slots:
    """The folders of a comparison's runs.

    Args:
        out: The folder of them all.
        machine: Where runs are made now.
        force: Whether what is there will be replaced.
    """

    def __init__(self, out: Path, machine: Machine, *, force: bool) -> None:
        self._out, self._machine, self._force = out, machine, force

    def locate(self, job: Job) -> Slot:
        """The folder of a job; a result of another machine keeps the plain name that it has."""
        plain, here = self._out / job.cell.id, self._place(job, self._machine)
        found = self._read(plain, job)
        there = self._begun_at(plain, job) if found is None else self._place(job, found.machine)
        if there in (None, here):
            self._check_begun(plain, job, found)
            return Slot(plain, found)
        digest = hashlib.sha256(repr(here).encode()).hexdigest()[:6]
        folder = self._out / f"{job.cell.id}-{digest}"
        found = self._read(folder, job)
        self._check_begun(folder, job, found)
        return Slot(folder, found)

    def _place(self, job: Job, machine: Machine) -> tuple[str, ...]:
        """What a result of the job depends on besides its cell."""
        return machine_place(machine, by_clock=Budget.parse(job.cell.budget).seconds is not None)

    def _begun_at(self, folder: Path, job: Job) -> tuple[str, ...] | None:
        """Where the interrupted run of a folder was begun, if there is one; perhaps another process is at it."""
        earlier = self._begun(folder)
        return None if earlier is None else self._place(job, earlier.machine)

    def _begun(self, folder: Path) -> Started | None:
        """What was interrupted in a folder after its first checkpoint."""
        return None if self._force or not (folder / FILE_NAME).exists() else read_started(folder)

    def _read(self, folder: Path, job: Job) -> TrainRecord | None:
        path = folder / RECORD_NAME
        if not path.exists():
            return None
        try:
            record = read_record(path)
        except RecordError as error:
            if self._force:
                return None
            raise RecordError(f"{error}; delete {folder}, or replace its run with --force") from error
        if not isinstance(record, TrainRecord):
            raise RecordError(f"{path} is the record of a measuring session, not of a training run")
        if not self._force:
            _check_comparable(record, job, path)
        return record

    def _check_begun(self, folder: Path, job: Job, found: TrainRecord | None) -> None:
        """Refuses an interrupted run that cannot be gone on with, before hours are spent on others."""
        if found is not None or (earlier := self._begun(folder)) is None:
            return
        now = earlier.model_copy(
            update={
                "harness": HARNESS_REVISION,
                "method": method_info(job.method),
                "images": job.data.digest,
                "augmentation": job.data.info().augmentation,
                "machine": self._machine,
            }
        )
        check_continues(earlier, now, folder)


def _check_comparable(record: TrainRecord, job: Job, path: Path) -> None:
    """Refuses a result of the same cell that does not belong beside the new ones."""
    remedy = "name another --out, or replace it with --force"
    if record.replayed:
        raise RecordError(f"{path} is another run trained again; {remedy}")
    if record.harness != HARNESS_REVISION:
        raise RecordError(f"{path} was made by harness revision {record.harness}, not {HARNESS_REVISION}; {remedy}")
    if record.data.digest != job.data.digest:
        raise RecordError(f"{path} was made with other images of {job.data.name}; {remedy}")
    if job.cell.recipe.augment and record.data.augmentation != job.data.info().augmentation:
        raise RecordError(f"{path} was made with another augmentation of {job.data.name}; {remedy}")
    if record.method.source != method_info(job.method).source:
        raise RecordError(f"{path} was made with other code of {job.method.name}; raise its revision, {remedy}")
