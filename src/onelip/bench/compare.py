"""Runs a comparison: skips what is done, does what is missing, and keeps every result as soon as it is there."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from onelip.bench.cell import ENDED, clear_run, run_cell
from onelip.bench.choice import RADIUS, at_border, best_run, learned
from onelip.bench.comparison import Comparison, Job
from onelip.bench.costs import Case, Note, measure_costs
from onelip.bench.grid import Choice, Final, Setting, Task, Trial, budget_of
from onelip.bench.measure.machine import describe_machine
from onelip.bench.records import TrainRecord
from onelip.bench.results import RECORD_NAME
from onelip.bench.search import Draws
from onelip.bench.sessions import covers, find_sessions, keep, together
from onelip.bench.shared import SharedFolder
from onelip.bench.slots import Slot, Slots
from onelip.bench.subject import Workload
from onelip.bench.train.budget import Budget
from onelip.bench.train.progress import Progress, Stop, never
from onelip.methods import METHODS

COST_ROUNDS = 30
COST_SECONDS = 60.0
"""Of the timed rounds of a measuring session, which may take longer where few rounds take that long."""

SECONDS_BETWEEN_LOOKS = 2.0
"""At what another process is doing."""

Say = Callable[[str], None]
Show = Callable[[str], AbstractContextManager[Progress]]
Watch = Callable[[str], AbstractContextManager[Note]]


class ComparisonRun:
    """One process that runs a comparison in a folder, perhaps beside others.

    Args:
        asked: What is compared.
        draws: What its trials try; None where nothing is chosen.
        out: The folder of the records.
        shared: The same folder.
        costs: Whether to measure costs.
        force: Whether to do again, and replace, what is there.
        limit: Seconds after which no training is to end, as far as its budget says; None: no limit.
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
        limit: float | None,
        say: Say,
        show: Show,
        watch: Watch,
    ) -> None:
        self._asked, self._draws, self._out, self._shared = asked, draws, out, shared
        self._costs, self._force, self._limit = costs, force, limit
        self._say, self._show, self._watch = say, show, watch
        self._machine = describe_machine(asked.device)
        self._slots = Slots(out, self._machine, force=force)
        self._began = time.monotonic()
        self._refused = False
        self._done: dict[Task, TrainRecord] = {}

    def execute(self) -> tuple[TrainRecord, ...]:
        """Does everything that is missing, or what the limit leaves time for; waits for what other processes are doing.

        Returns:
            The records of the comparison itself, those that were there before included.
        """
        costs_done = self._measure_all()
        waited = False
        while left := self._left():
            self._refused = False
            if sum(map(self._advance, left)):
                continue
            if not self._refused:  # what is left waits for trials that the limit has no room for
                break
            if not waited:
                self._say(f"Another process does what is missing, {len(left)} runs at most: waiting for it")
            waited = True
            time.sleep(SECONDS_BETWEEN_LOOKS)
        if not costs_done and not (self._seconds_left() > 0 and self._measure_all()):
            self._say("Costs were not measured: another process works here. The same command measures them when alone.")
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
            if isinstance(task, Trial) and self._draws is not None:
                choice = self._draws.known(*task)
            else:
                choice = self._choice(task, found)
            record = None if choice is None else self._slots.locate(self._asked.job(task, choice)).record
            if record is not None and not self._force:
                found[task] = record
        return tuple(task for task in self._asked.tasks if task not in found)

    def _left(self) -> list[Task]:
        """What is not done, and could end within the limit."""
        return [task for task in self._asked.tasks if task not in self._done and self._in_time(task)]

    def _in_time(self, task: Task) -> bool:
        return (Budget.parse(budget_of(self._asked.grid, task)).seconds or 0.0) <= self._seconds_left()

    def _seconds_left(self) -> float:
        return math.inf if self._limit is None else self._limit - (time.monotonic() - self._began)

    def _advance(self, task: Task) -> bool:
        """Does a training, or finds it done; not where it is too early or too late, or another process does it."""
        choice = self._choice(task, self._done) if self._in_time(task) else None
        if choice is None:
            return False
        job = self._asked.job(task, choice)
        with self._shared.claimed(job.cell.id) as mine:
            if not mine:
                self._refused = True
                return False
            self._done[task] = self._train(task, job)
            if isinstance(task, Trial) and self._draws is not None:
                self._draws.tell(*task, self._done[task])
        if isinstance(task, Trial):
            self._choose(task.setting)
        return True

    def _train(self, task: Task, job: Job) -> TrainRecord:
        where = self._slots.locate(job)
        count = f"[{len(self._done) + 1}/{len(self._asked.tasks)}]"
        if where.record is not None and not self._force:
            self._say(f"{count} {job.title}: {outcome(where.record)} (done before{_again(where)})")
            return where.record
        if self._force:
            clear_run(where.folder)
        with self._show(f"{count} {job.title}") as progress:
            record = run_cell(
                job.cell,
                job.method,
                job.data,
                where.folder,
                device=self._asked.device,
                progress=progress,
                stop=self._stop(task),
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

    def _measure_all(self) -> bool:
        """Measures all costs that are missing, unless another process would be measured along."""
        if not self._costs:
            return True
        with self._shared.quiet() as alone:
            if alone:
                for workload, cases in self._asked.measurements():
                    self._measure(workload, cases)
        return alone

    def _measure(self, workload: Workload, cases: Sequence[Case]) -> None:
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
