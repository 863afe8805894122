"""Runs a comparison: skips what is done, does what is missing, and keeps every result as soon as it is there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from onelip.bench.cell import ENDED, check_continues, clear_run, read_started, run_cell
from onelip.bench.choice import RADIUS, at_border, best_run, learned
from onelip.bench.comparison import Comparison, Job, Setting
from onelip.bench.costs import Case, Note, measure_costs
from onelip.bench.measure.machine import describe_machine
from onelip.bench.records import HARNESS_REVISION, Machine, TrainRecord
from onelip.bench.results import RECORD_NAME, place, read_record
from onelip.bench.selection import method_info
from onelip.bench.sessions import covers, find_sessions, keep, together
from onelip.bench.subject import Workload
from onelip.bench.train.checkpoint import FILE_NAME
from onelip.bench.train.progress import Progress
from onelip.errors import RecordError
from onelip.methods import METHODS

COST_ROUNDS = 30
COST_SECONDS = 60.0
"""Of the timed rounds of a measuring session, which may take longer where few rounds take that long."""

Say = Callable[[str], None]
Show = Callable[[str], AbstractContextManager[Progress]]
Watch = Callable[[str], AbstractContextManager[Note]]


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a job's record belongs, and the record if it is there."""

    folder: Path
    record: TrainRecord | None


class ComparisonRun:
    """One run of a comparison in a folder.

    Args:
        asked: What is compared.
        out: The folder of the records.
        costs: Whether to measure costs.
        force: Whether to do again, and replace, what is there.
        say: Is told, line by line, what happens.
        show: Opens the progress display of one training.
        watch: Opens the progress display of one measuring session.

    Attributes:
        total: Number of trainings, those that are done included.

    Raises:
        OnelipError: A network cannot be built.
    """

    def __init__(
        self, asked: Comparison, out: Path, *, costs: bool, force: bool, say: Say, show: Show, watch: Watch
    ) -> None:
        self._asked, self._out, self._costs, self._force = asked, out, costs, force
        self._say, self._show, self._watch = say, show, watch
        asked.check()
        self._machine = describe_machine(asked.device)
        self._trials = asked.trials()
        self.total = len(self._trials) + len(asked.finals({}))
        self._number = 0

    def execute(self) -> tuple[TrainRecord, ...]:
        """Does everything that is missing.

        Returns:
            The records of the comparison itself, those that were there before included.
        """
        if self._costs:
            for workload in self._asked.workloads():
                self._measure(workload)
        rates = self._scan()
        return tuple(self._train(job) for job in self._asked.finals(rates))

    def missing(self) -> tuple[Job, ...]:
        """The trainings that remain; those after an unfinished scan with the learning rates known so far.

        Raises:
            RecordError: A record or an interrupted run in the folder is in the way.
        """
        tried = [(job, self._locate(job).record) for job in self._trials]
        best = _best((job.setting, record) for job, record in tried if record is not None)
        finals = self._asked.finals(_rates(best))
        places = [*tried, *((job, self._locate(job).record) for job in finals)]
        return tuple(job for job, record in places if self._force or record is None)

    def _train(self, job: Job) -> TrainRecord:
        self._number += 1
        where = self._locate(job)
        count = f"[{self._number}/{self.total}]"
        if where.record is not None and not self._force:
            self._say(f"{count} {job.title}: {outcome(where.record)} (done before{_again(where)})")
            return where.record
        if self._force:
            clear_run(where.folder)
        with self._show(f"{count} {job.title}") as progress:
            record = run_cell(
                job.cell, job.method, job.data, where.folder, device=self._asked.device, progress=progress, resume=True
            )
        self._say(f"{count} {job.title}: {outcome(record)}, {record.seconds:.1f} s")
        return record

    def _scan(self) -> dict[Setting, float]:
        """The learning rate of each setting that has a trial which succeeded."""
        tried = [(job.setting, self._train(job)) for job in self._trials]
        best = _best(tried)
        for setting in dict(tried):
            method, data, size = setting
            self._say(f"{method} {size} on {data}: {self._chosen(best.get(setting))}")
        return _rates(best)

    def _chosen(self, best: TrainRecord | None) -> str:
        if best is None or best.evaluation is None or self._asked.scan is None:
            return f"no learning rate succeeded; {self._asked.recipe.learning_rate:g} is used"
        rate = best.cell.recipe.learning_rate
        border = ", at the border of those tried" if at_border(rate, self._asked.scan.rates) else ""
        loss = "" if learned(best.evaluation) else ", by its loss: none certifies more than a constant answer would"
        return f"learning rate {rate:g} chosen{border}{loss}"

    def _measure(self, workload: Workload) -> None:
        cases: Sequence[Case] = self._asked.cases()
        sessions = find_sessions(self._out, workload, self._machine)
        image = "x".join(map(str, workload.image))
        title = f"costs, size {workload.size}, images {image}, batch {workload.batch_size}"
        if not self._force and any(covers(session, cases) for session in sessions.values()):
            self._say(f"{title}: measured before")
            return
        known = {method.name: method for method in (*METHODS.values(), *self._asked.methods)}
        cases = together(cases, sessions.values(), known)
        self._say(f"{title}: measuring {len(cases)} networks in turn")
        with self._watch(title) as note:
            session = measure_costs(cases, workload, rounds=COST_ROUNDS, time_limit=COST_SECONDS, note=note)
        keep(session, self._out, instead_of=sessions if self._force else None)
        self._say(f"{title}: measured in {session.seconds:.0f} s")

    def _locate(self, job: Job) -> Slot:
        """The folder of a job; a result of another machine keeps the plain name that it has."""
        plain = self._out / job.cell.id
        found = self._read(plain, job)
        if found is None or _same_place(found, self._machine):
            return Slot(plain, found)
        here = found.model_copy(update={"machine": self._machine})
        digest = hashlib.sha256(repr(place(here)).encode()).hexdigest()[:6]
        folder = self._out / f"{job.cell.id}-{digest}"
        return Slot(folder, self._read(folder, job))

    def _read(self, folder: Path, job: Job) -> TrainRecord | None:
        path = folder / RECORD_NAME
        if not path.exists():
            self._check_begun(folder, job)
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

    def _check_begun(self, folder: Path, job: Job) -> None:
        """Refuses an interrupted run that cannot be gone on with, before hours are spent on others."""
        if self._force or not (folder / FILE_NAME).exists() or (earlier := read_started(folder)) is None:
            return
        now = earlier.model_copy(
            update={"harness": HARNESS_REVISION, "method": method_info(job.method), "machine": self._machine}
        )
        check_continues(earlier, now, folder)


def _again(where: Slot) -> str:
    """How to try again what failed for a reason that may have gone."""
    if where.record is None or where.record.status in ENDED:
        return ""
    return f"; delete {where.folder / RECORD_NAME} to try again"


def outcome(record: TrainRecord) -> str:
    """What a run came to, in a few words."""
    if record.evaluation is None:
        return f"{record.status}: {record.message}" if record.message else record.status
    result = record.evaluation
    robust = result.certified[RADIUS] / result.images
    return f"accuracy {result.correct / result.images:.1%}, CRA {RADIUS}/255 {robust:.1%}"


def _best(tried: Iterable[tuple[Setting, TrainRecord]]) -> dict[Setting, TrainRecord]:
    """The best trial of each setting that has one which succeeded."""
    runs: dict[Setting, list[TrainRecord]] = {}
    for setting, record in tried:
        runs.setdefault(setting, []).append(record)
    best = {setting: best_run(records) for setting, records in runs.items()}
    return {setting: run for setting, run in best.items() if run is not None}


def _rates(best: Mapping[Setting, TrainRecord]) -> dict[Setting, float]:
    return {setting: run.cell.recipe.learning_rate for setting, run in best.items()}


def _same_place(record: TrainRecord, machine: Machine) -> bool:
    return place(record) == place(record.model_copy(update={"machine": machine}))


def _check_comparable(record: TrainRecord, job: Job, path: Path) -> None:
    """Refuses a result of the same cell that does not belong beside the new ones."""
    remedy = "name another --out, or replace it with --force"
    if record.harness != HARNESS_REVISION:
        raise RecordError(f"{path} was made by harness revision {record.harness}, not {HARNESS_REVISION}; {remedy}")
    if record.data.digest != job.data.digest:
        raise RecordError(f"{path} was made with other images of {job.data.name}; {remedy}")
    if job.cell.recipe.augment and record.data.augmentation not in ("", job.data.info().augmentation):
        raise RecordError(f"{path} was made with another augmentation of {job.data.name}; {remedy}")
    if record.method.source != method_info(job.method).source:
        raise RecordError(f"{path} was made with other code of {job.method.name}; raise its revision, {remedy}")
