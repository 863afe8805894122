"""Runs a comparison: skips what is done, does what is missing, and keeps every result as soon as it is there."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from onelip.bench.cell import clear_run, run_cell
from onelip.bench.choice import RADIUS, at_border, best_run, learned
from onelip.bench.comparison import Comparison, Job
from onelip.bench.costing import Costing, Say, Watch
from onelip.bench.grid import Choice, Final, Setting, Task, Trial, budget_of
from onelip.bench.measure.machine import describe_machine
from onelip.bench.records import ENDED, TrainRecord
from onelip.bench.results import RECORD_NAME
from onelip.bench.search import Draws
from onelip.bench.shared import SharedFolder
from onelip.bench.slots import Slot, Slots
from onelip.bench.train.budget import Budget
from onelip.bench.train.progress import Progress, Stop, never

SECONDS_BETWEEN_LOOKS = 2.0
"""At what another process is doing."""

Show = Callable[[str], AbstractContextManager[Progress]]


class ComparisonRun:
    """One process that runs a comparison in a folder, perhaps beside others.

    Args:
        asked: What is compared.
        draws: What its trials try; None where nothing is chosen.
        out: The folder of the records.
        shared: The same folder.
        costs: Whether to measure costs.
        force: Whether to do again, and replace, what is there.
        deadline: Moment of `time.monotonic` after which no training is to end, as far as its budget says; or None.
        say: Is told, line by line, what happens.
        show: Opens the progress display of one training.
        watch: Opens the progress display of one measuring session.
    """

    def __init__(
        self,
        asked: Comparison,
        draws: Draws | None,
        out: Path,
        *,
        shared: SharedFolder,
        costs: bool,
        force: bool,
        deadline: float | None,
        say: Say,
        show: Show,
        watch: Watch,
    ) -> None:
        self._asked, self._draws, self._shared = asked, draws, shared
        self._force, self._deadline = force, deadline
        self._say, self._show = say, show
        machine = describe_machine(asked.device)
        self._slots = Slots(out, machine, force=force)
        self._costing = Costing(asked, out, shared, machine, force=force, say=say, watch=watch) if costs else None
        self._refused = False
        self._done: dict[Task, TrainRecord] = {}

    def execute(self) -> tuple[TrainRecord, ...]:
        """Does everything that is missing, or what the limit leaves time for; waits for what other processes are doing.

        Returns:
            The records of the comparison itself, those that were there before included.
        """
        if self._costing is not None:
            self._costing.tell()
        measured = self._costing is None or self._costing.measure_missing()
        waited = False
        while left := [task for task in self._asked.tasks if task not in self._done]:
            self._refused = False
            if sum(map(self._advance, left)):
                continue
            if not self._refused:  # what is left has no room within the limit, or waits for trials that have none
                break
            if not waited:
                self._say(f"Another process does what is missing, {len(left)} runs at most: waiting for it")
            waited = True
            time.sleep(SECONDS_BETWEEN_LOOKS)
        if self._costing is not None and not measured and not self._costing.measure_missing():
            self._say("Costs are not measured yet, another process works here: the same command does it when alone")
        if late := len(self._asked.tasks) - len(self._done):
            self._say(
                f"The limit is reached, and {late} of {len(self._asked.tasks)} runs are left: the same command goes on."
            )
        return tuple(record for task, record in self._done.items() if isinstance(task, Final))

    def missing(self) -> tuple[Task, ...]:
        """The trainings that remain, as far as is known before it is known what is chosen.

        Raises:
            RecordError: A record or an interrupted run in the folder is in the way.
        """
        found: dict[Task, TrainRecord] = {}
        for task in self._asked.tasks:
            choice = self._known_choice(task, found)
            record = None if choice is None else self._slots.locate(self._asked.job(task, choice)).record
            if record is not None and not self._force:
                found[task] = record
        return tuple(task for task in self._asked.tasks if task not in found)

    def _in_time(self, task: Task) -> bool:
        return (Budget.parse(budget_of(self._asked.grid, task)).seconds or 0.0) <= self._seconds_left()

    def _seconds_left(self) -> float:
        return math.inf if self._deadline is None else self._deadline - time.monotonic()

    def _advance(self, task: Task) -> bool:
        """Does a training, or finds it done; not where it is too early or too late, or another process does it."""
        in_time = self._in_time(task)
        choice = self._choice(task, self._done) if in_time else self._known_choice(task, self._done)
        if choice is None:
            return False
        job = self._asked.job(task, choice)
        if not self._find(task, job):
            if not in_time:
                return False
            name = self._slots.locate(job).folder.name
            with self._shared.at_run(name) as mine:
                if not mine or self._slots.locate(job).folder.name != name:  # another machine may have come before
                    self._refused = True
                    return False
                if not self._find(task, job):  # it may have been done meanwhile
                    self._done[task] = self._train(task, job)
        if isinstance(task, Trial):
            if self._draws is not None:
                self._draws.tell(*task, self._done[task])
            self._choose(task.setting)
        return True

    def _find(self, task: Task, job: Job) -> bool:
        """Whether a training was done before; then it is noted."""
        where = self._slots.locate(job)
        if where.record is None or self._force:
            return False
        self._say(f"{self._count} {job.title}: {outcome(where.record)} (done before{_again(where)})")
        self._done[task] = where.record
        return True

    @property
    def _count(self) -> str:
        return f"[{len(self._done) + 1}/{len(self._asked.tasks)}]"

    def _train(self, task: Task, job: Job) -> TrainRecord:
        where, count = self._slots.locate(job), self._count
        if self._force:
            clear_run(where.folder)
        with self._show(f"{count} {job.title}") as progress, self._shared.working():
            record = run_cell(
                job.cell,
                job.method,
                job.data,
                where.folder,
                device=self._asked.device,
                progress=progress,
                stop=self._stop(task),
                beside=self._shared.is_beside,
                resume=True,
            )
        self._say(f"{count} {job.title}: {outcome(record)}, {record.seconds:.1f} s")
        return record

    def _stop(self, task: Task) -> Stop:
        return self._draws.stop(*task) if isinstance(task, Trial) and self._draws is not None else never

    def _choice(self, task: Task, done: Mapping[Task, TrainRecord]) -> Choice | None:
        """Learning rate and weight decay of a training; None while its trials are not all done."""
        if self._draws is None:
            return self._asked.unsearched
        if isinstance(task, Trial):
            return self._draws.choice(*task)
        records = [done.get(trial) for trial in self._trials(task.setting)]
        if None in records:
            return None
        best = best_run(filter(None, records))
        return self._asked.unsearched if best is None else chosen_of(best)

    def _known_choice(self, task: Task, done: Mapping[Task, TrainRecord]) -> Choice | None:
        """The same, where nothing has to be drawn for it."""
        if isinstance(task, Trial) and self._draws is not None:
            return self._draws.known(*task)
        return self._choice(task, done)

    def _choose(self, setting: Setting) -> None:
        """Says what was chosen, as soon as all is known."""
        trials = self._trials(setting)
        if not all(trial in self._done for trial in trials):
            return
        runs = [self._done[trial] for trial in trials]
        self._say(f"{self._asked.title(setting)}: {_verdict(runs, self._asked.unsearched)}")

    def _trials(self, setting: Setting) -> tuple[Trial, ...]:
        search = self._asked.grid.search
        return tuple(Trial(setting, number) for number in range(search.draws if search else 0))


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


def chosen_of(run: TrainRecord) -> Choice:
    """What a run was trained with."""
    recipe = run.cell.recipe
    return Choice(learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay)


def _verdict(trials: Sequence[TrainRecord], otherwise: Choice) -> str:
    """What was chosen, and whether that is to be trusted."""
    best = best_run(trials)
    if best is None or best.evaluation is None:
        return f"no trial succeeded; learning rate {otherwise.learning_rate:g} is used"
    tried, choice = list(map(chosen_of, trials)), chosen_of(best)
    facts = [f"learning rate {choice.learning_rate:.3g}"]
    if len({one.weight_decay for one in tried}) > 1:
        facts.append(f"weight decay {choice.weight_decay:.2g}")
    border = [
        name
        for name, value, values in (
            ("learning rates", choice.learning_rate, [one.learning_rate for one in tried]),
            ("weight decays", choice.weight_decay, [one.weight_decay for one in tried]),
        )
        if at_border(value, values)
    ]
    text = " and ".join(facts) + " chosen"
    text += f", at the border of the {' and of the '.join(border)} tried" if border else ""
    return text + (
        "" if learned(best.evaluation) else ", by its loss: none certifies more than a constant answer would"
    )
