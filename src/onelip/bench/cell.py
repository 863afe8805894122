"""One cell of the comparison: trained, evaluated and recorded; a failure is a result too."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import torch
from pydantic import ValidationError

from onelip.bench.arithmetics import ARITHMETICS_NAME
from onelip.bench.broken import broken_files
from onelip.bench.data.base import ImageData
from onelip.bench.depth import DEPTH_FIGURE_NAME, DEPTH_NAME
from onelip.bench.evaluate import evaluate
from onelip.bench.failure import failure
from onelip.bench.measure.machine import describe_machine
from onelip.bench.origin import Machine
from onelip.bench.records import ENDED, Cell, Epoch, Evaluation, Started, Status, TrainRecord
from onelip.bench.results import RECORD_NAME, RUN_NAME, machine_place, write_record
from onelip.bench.saved import CERTIFICATE_NAME, EXECUTED_CERTIFICATE_NAME, WEIGHTS_NAME, build_network, save_network
from onelip.bench.selection import method_info
from onelip.bench.train.budget import Budget
from onelip.bench.train.checkpoint import FILE_NAME, remove_checkpoint
from onelip.bench.train.loop import train
from onelip.bench.train.plan import Planned, Replay
from onelip.bench.train.progress import Progress, Snapshot, Stop, never, silent
from onelip.bench.train.training import TrainOutcome
from onelip.errors import RecordError
from onelip.files import remove_leftovers, write_text
from onelip.linalg.precision import full_precision
from onelip.method import Method


@full_precision()
def run_cell(
    cell: Cell,
    method: Method,
    data: ImageData,
    folder: Path,
    *,
    device: torch.device,
    progress: Progress = silent,
    stop: Stop = never,
    beside: Callable[[], bool] = lambda: False,
    resume: bool = False,
    replay: Replay | None = None,
) -> TrainRecord:
    """Trains, evaluates and records one cell; whatever the network raises becomes the record's status.

    The record is written last: a folder without one holds a run that is not finished. What the disk raises is not a
    result of the network: it ends the run, and the last checkpoint stays.

    Args:
        cell: What to do.
        method: The cell's method.
        data: Trained on its training images, evaluated on its test images; for a cell that is evaluated on
            "validation", the `validation_split` of a data set.
        folder: Of the run; it may not hold a record.
        device: Where to train and evaluate.
        progress: Is told how it goes.
        stop: Is asked whether to give up.
        beside: Says whether another process uses the same machine and device.
        resume: Continue from the folder's checkpoint if it has one.
        replay: The plans of an earlier run, which are followed instead of the clock.

    Raises:
        RecordError: The folder holds a record, cannot be written, or has a checkpoint that cannot be continued.
    """
    if (folder / RECORD_NAME).exists():
        raise RecordError(f"{folder} holds a finished run, which is not overwritten")
    began = time.perf_counter()
    run = _begin(cell, method, data, folder, describe_machine(device), resume=resume)
    course = _Course(show=progress, stop=stop, watch=lambda: _watch(run, beside, folder), disturbed=run.beside)
    course.disturbed = course.disturbed or course.watch()
    try:
        _run(cell, method, data, folder, course, device=device, resume=resume, replay=replay)
    except RecordError:
        raise
    except Exception as error:  # noqa: BLE001  # one cell's failure must not end the others
        course.fail(error, time.perf_counter() - began)
    finally:
        _release(device)
    by_clock = replay is None and Budget.parse(cell.budget).seconds is not None
    facts = {"replayed": replay is not None, "beside": by_clock and (course.disturbed or course.watch())}
    record = _record(run, data, course).model_copy(update=facts)
    write_record(record, folder / RECORD_NAME)
    if record.status in ENDED:
        remove_checkpoint(folder)
    return record


def read_started(folder: Path) -> Started | None:
    """What was begun in a folder, if anything.

    Raises:
        RecordError: The file that says so cannot be read, or is of another version.
    """
    path = folder / RUN_NAME
    if not path.exists():
        return None
    try:
        return Started.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise RecordError(f"{path} is cut or of another version of onelip; delete {folder} to begin anew") from error


def check_continues(earlier: Started, now: Started, folder: Path) -> None:
    """Refuses to go on with a run that was begun with another program, method, or kind of machine.

    Raises:
        RecordError: Names the first difference.
    """
    by_clock = Budget.parse(now.cell.budget).seconds is not None
    facts = {
        "harness revision": (earlier.harness, now.harness),
        "method": tuple(" ".join(f"{m.name} {m.revision} {m.source}".split()) for m in (earlier.method, now.method)),
        "set of images": (earlier.images or now.images, now.images),
        "augmentation": (earlier.augmentation or now.augmentation, now.augmentation),
        "machine": tuple(", ".join(machine_place(run.machine, by_clock=by_clock)) for run in (earlier, now)),
    }
    for name, (there, here) in facts.items():
        if there != here:
            raise RecordError(f"{folder} holds a run begun with another {name} ({there}, now {here}); delete it")


def _begin(cell: Cell, method: Method, data: ImageData, folder: Path, machine: Machine, *, resume: bool) -> Started:
    """Notes what is begun; a run that is resumed keeps the time of its beginning."""
    if not resume and (folder / FILE_NAME).exists():
        raise RecordError(f"{folder} was left by an interrupted training; resume it, or delete it")
    remove_leftovers(folder, (RECORD_NAME, RUN_NAME, WEIGHTS_NAME, FILE_NAME))
    run = Started(
        cell=cell,
        method=method_info(method),
        images=data.digest,
        augmentation=data.info().augmentation,
        machine=machine,
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    if resume and (folder / FILE_NAME).exists() and (earlier := read_started(folder)) is not None:
        check_continues(earlier, run, folder)
        run = run.model_copy(update={"started": earlier.started, "beside": earlier.beside})
    _note(run, folder)
    return run


def _watch(run: Started, beside: Callable[[], bool], folder: Path) -> bool:
    """Whether another process is seen now; then that is noted, also for who goes on with the run."""
    seen = beside()
    if seen:
        _note(run.model_copy(update={"beside": True}), folder)
    return seen


def _note(run: Started, folder: Path) -> None:
    write_text(folder / RUN_NAME, run.model_dump_json(indent=2) + "\n")


MADE_OF_WEIGHTS = (
    CERTIFICATE_NAME,
    EXECUTED_CERTIFICATE_NAME,
    ARITHMETICS_NAME,
    DEPTH_NAME,
    DEPTH_FIGURE_NAME,
)
"""What commands make of a finished run's weights, in its folder."""


def clear_run(folder: Path) -> None:
    """Deletes what a run left in its folder, its record first, so that it never stands beside foreign weights."""
    try:
        names = (RECORD_NAME, *MADE_OF_WEIGHTS, WEIGHTS_NAME, RUN_NAME)
        # What refutes a network is the last to go.
        for path in (*(folder / name for name in names), *broken_files(folder)):
            path.unlink(missing_ok=True)
        remove_checkpoint(folder)
    except OSError as error:
        raise RecordError(f"cannot clear {folder}: {error.strerror or error}") from error


@dataclass(slots=True)
class _Course:
    """What is known of a run while it goes on, so that a failure keeps it."""

    show: Progress
    stop: Stop
    watch: Callable[[], bool]
    disturbed: bool
    status: Status = "ok"
    message: str = ""
    seconds: float = 0.0
    planned_steps: int = 0
    steps: int = 0
    plans: tuple[Planned, ...] = ()
    schedule_progress: float = 0.0
    parameters: int = 0
    history: list[Epoch] = field(default_factory=list)
    evaluation: Evaluation | None = None

    def report(self, snapshot: Snapshot) -> None:
        """Notes where the training stands, and passes it on."""
        self.seconds, self.steps = snapshot.epoch.seconds, snapshot.epoch.step
        self.planned_steps = snapshot.planned_steps
        if snapshot.complete:
            self.history.append(snapshot.epoch)
            self.disturbed = self.disturbed or self.watch()
        try:
            self.show(snapshot)
        except Exception:  # noqa: BLE001  # a display that breaks is no result of the network: it goes dark
            self.show = silent

    def finish(self, outcome: TrainOutcome) -> None:
        """Notes how the training ended."""
        self.status, self.message = outcome.status, outcome.message
        self.seconds, self.steps, self.planned_steps = outcome.seconds, outcome.steps, outcome.planned_steps
        self.schedule_progress, self.plans = outcome.schedule_progress, outcome.plans
        self.history = list(outcome.history)

    def fail(self, error: Exception, seconds: float) -> None:
        """Notes what was raised."""
        self.status, self.message = failure(error)
        self.seconds = self.seconds or seconds


def _run(
    cell: Cell,
    method: Method,
    data: ImageData,
    folder: Path,
    course: _Course,
    *,
    device: torch.device,
    resume: bool,
    replay: Replay | None,
) -> None:
    torch.manual_seed(cell.seed)
    model = build_network(cell, method, data)
    course.parameters = sum(parameter.numel() for parameter in model.parameters())
    outcome = train(
        model,
        data,
        cell.recipe,
        Budget.parse(cell.budget),
        seed=cell.seed,
        device=device,
        progress=course.report,
        stop=course.stop,
        folder=folder,
        resume=resume,
        replay=replay,
    )
    course.finish(outcome)
    if outcome.status != "ok":
        return
    if cell.evaluate_on == "test":  # a trial's network is of no further use
        save_network(model, cell, folder)
    course.evaluation = evaluate(model, data, cell.recipe, device=device)


def _record(run: Started, data: ImageData, course: _Course) -> TrainRecord:
    return TrainRecord(
        cell=run.cell,
        method=run.method,
        data=data.info(),
        machine=run.machine,
        status=course.status,
        message=course.message,
        started=run.started,
        seconds=course.seconds,
        budget_seconds=Budget.parse(run.cell.budget).seconds,
        planned_steps=course.planned_steps,
        steps=course.steps,
        plans=course.plans,
        schedule_progress=course.schedule_progress,
        parameters=course.parameters,
        history=tuple(course.history),
        evaluation=course.evaluation,
    )


def _release(device: torch.device) -> None:
    """Gives a network's memory back before the next one is built."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
