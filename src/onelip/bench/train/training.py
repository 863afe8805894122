"""Taking steps until the budget is used, and keeping the books: history, checkpoints, progress, divergence."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import torch
from torch import Tensor

from onelip.bench.records import Epoch
from onelip.bench.train.batches import Batches
from onelip.bench.train.checkpoint import Checkpoint, Position
from onelip.bench.train.descent import Descent, Measured
from onelip.bench.train.pace import Pacer
from onelip.bench.train.plan import Planned, Replay
from onelip.bench.train.progress import Progress, Snapshot, Stop
from onelip.bench.train.stopwatch import Stopwatch

STEPS_BETWEEN_LOOKS = {"cuda": 16}
"""Most steps between two looks at the losses and the clock; 1 on devices that do not have to be waited for."""

SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_BETWEEN_REPORTS = 0.25


Ending = Literal["ok", "diverged", "timeout", "pruned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOutcome:
    """How a training ended; the trained weights are in the model.

    Attributes:
        status: "ok"; "diverged": the loss or a weight was not finite; "timeout": the budget had no room for a step;
            "pruned": it was given up.
        message: Why the status is not "ok".
        history: One entry per epoch, the last one possibly of a part of an epoch.
        seconds: Time spent, including that before an interruption up to the checkpoint.
        planned_steps: Number of steps that the schedule was fitted to in the end.
        steps: Number of steps taken.
        plans: All plans, in their order.
        schedule_progress: How far the schedule came: 1 unless the time was up before.
    """

    status: Ending
    message: str
    history: tuple[Epoch, ...]
    seconds: float
    planned_steps: int
    steps: int
    plans: tuple[Planned, ...]
    schedule_progress: float


class Training:
    """One training, from a position to the end of its plan or of its time.

    Args:
        descent: Takes the steps.
        batches: What they are taken on.
        watch: The time that counts.
        start: Where the training stands.
        limit: The time in seconds at which it must have ended; None for plans that no clock changes.
        replay: The plans that it follows, if it is to follow any.
        progress: Is told how it goes.
        stop: Is asked whether to give up, as often.
        checkpoint: Is saved at the end of an epoch, if its interval has passed since it was saved and still lies before
            the limit; and in the end, outside of the time that counts. None for none.
    """

    def __init__(
        self,
        descent: Descent,
        batches: Batches,
        watch: Stopwatch,
        start: Position,
        *,
        limit: float | None,
        replay: Replay | None,
        progress: Progress,
        stop: Stop,
        checkpoint: Checkpoint | None,
    ) -> None:
        self._descent = descent
        self._batches = batches
        self._watch = watch
        self._limit = limit
        self._progress, self._stop = progress, stop
        self._pacer = Pacer(
            start.plans, limit=limit, taken=start.taken, seconds=watch.seconds(), pace=start.pace, replay=replay
        )
        self._history = list(start.history)
        self._reported_at = self._saved_at = watch.seconds()
        self._saved_step, self._ended = start.taken, start.ended
        self._checkpoint = checkpoint

    def run(self) -> TrainOutcome:
        """Trains to the end."""
        try:
            while self._pacer.allowance > 0 and not self._ended:
                self._epoch()
        except _EndedError as ending:
            return self._outcome(ending.status, str(ending))
        if self._pacer.taken == 0:
            return self._outcome("timeout", self._no_room())
        outcome = self._outcome("ok", "")
        checkpoint, left = self._checkpoint, self._pacer.taken > self._saved_step
        if checkpoint is not None and left and outcome.seconds - self._saved_at >= checkpoint.interval:
            self._ended = True
            self._save(checkpoint)  # what follows may be interrupted; the time of this is nobody's
        return outcome

    def _epoch(self) -> None:
        """Trains for one epoch, or for the beginning of one if the training ends within it."""
        began = self._watch.seconds()
        batches = self._batches.epoch(self._pacer.taken // self._batches.per_epoch)
        measured: list[Measured] = []
        while count := min(self._batches.per_epoch - len(measured), self._pacer.allowance, self._stride):
            measured += self._steps(count, batches)
            if self._pacer.seconds - self._reported_at >= SECONDS_BETWEEN_REPORTS:
                self._report(self._summary(measured, began), complete=False)
        self._check_weights()
        self._history.append(self._summary(measured, began))
        self._report(self._history[-1], complete=True)
        if len(measured) == self._batches.per_epoch:
            self._save_if_due()

    def _steps(self, count: int, batches: Iterator[tuple[Tensor, Tensor]]) -> list[Measured]:
        """Takes some steps, then waits for the device and looks at what they found."""
        first, plan = self._pacer.taken, self._pacer.plan
        found = [
            self._descent.step(images_BCHW, labels_B, plan.progress(step))
            for step, (images_BCHW, labels_B) in zip(range(first, first + count), batches, strict=False)
        ]
        measured = [Measured(*numbers) for numbers in torch.stack(found).tolist()]
        self._pacer.observe(first + count, self._watch.seconds())
        for step, numbers in enumerate(measured, start=first + 1):
            if not math.isfinite(numbers.loss):
                raise _EndedError("diverged", f"the loss was {numbers.loss} at step {step} of {plan.steps}")
        return measured

    @property
    def _stride(self) -> int:
        most = STEPS_BETWEEN_LOOKS.get(self._watch.device.type, 1)
        return max(1, min(most, math.floor(SECONDS_BETWEEN_LOOKS / self._pacer.pace.mean)))

    def _check_weights(self) -> None:
        finite = torch.stack([parameter.isfinite().all() for parameter in self._descent.model.parameters()])
        if not finite.all():
            raise _EndedError(
                "diverged", f"a weight was not finite after step {self._pacer.taken} of {self._pacer.plan.steps}"
            )

    def _summary(self, measured: list[Measured], began: float) -> Epoch:
        seconds = self._watch.seconds()
        return Epoch(
            epoch=(self._pacer.taken - 1) // self._batches.per_epoch + 1,
            step=self._pacer.taken,
            seconds=seconds,
            learning_rate=self._descent.learning_rate,
            loss=fmean(numbers.loss for numbers in measured),
            accuracy=fmean(numbers.accuracy for numbers in measured),
            nominal_cra36=fmean(numbers.nominal_cra36 for numbers in measured),
            images_per_second=len(measured) * self._batches.size / max(seconds - began, 1e-9),
        )

    def _report(self, epoch: Epoch, *, complete: bool) -> None:
        left = self._pacer.seconds_left
        steps = self._pacer.plan.steps
        snapshot = Snapshot(epoch=epoch, planned_steps=steps, seconds_left=left, complete=complete)
        self._progress(snapshot)
        self._reported_at = epoch.seconds
        if reason := self._stop(snapshot):
            raise _EndedError("pruned", reason)

    def _save_if_due(self) -> None:
        seconds = self._watch.seconds()
        left = math.inf if self._limit is None else self._limit - seconds
        if self._checkpoint is not None and min(seconds - self._saved_at, left) >= self._checkpoint.interval:
            self._save(self._checkpoint)

    def _save(self, checkpoint: Checkpoint) -> None:
        checkpoint.save(
            Position(
                taken=self._pacer.taken,
                seconds=self._watch.seconds(),
                pace=self._pacer.pace.mean,
                plans=tuple(self._pacer.plans),
                history=tuple(self._history),
                ended=self._ended,
            )
        )
        self._saved_at, self._saved_step = self._watch.seconds(), self._pacer.taken

    def _outcome(self, status: Ending, message: str) -> TrainOutcome:
        taken, plan = self._pacer.taken, self._pacer.plan
        return TrainOutcome(
            status=status,
            message=message,
            history=tuple(self._history),
            seconds=self._watch.seconds(),
            planned_steps=plan.steps,
            steps=taken,
            plans=tuple(self._pacer.plans),
            schedule_progress=plan.progress(taken - 1) if taken else 0.0,
        )

    def _no_room(self) -> str:
        return (
            f"the budget of {self._limit:g} s has no room for a step, which takes about {self._pacer.pace.mean:.2g} s"
            f" here; {self._pacer.seconds:.2g} s went into preparing and timing"
        )


class _EndedError(Exception):
    """Training on is pointless."""

    def __init__(self, status: Ending, reason: str) -> None:
        super().__init__(reason)
        self.status: Ending = status
