"""Training a network under a budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from onelip.bench.data.base import ImageData
from onelip.bench.records import Recipe
from onelip.bench.train.batches import Batches
from onelip.bench.train.budget import Budget
from onelip.bench.train.calibration import seconds_per_step
from onelip.bench.train.checkpoint import Checkpoint, Position, Run, network_digest
from onelip.bench.train.descent import Descent, Loss
from onelip.bench.train.pace import fitted_plan
from onelip.bench.train.plan import Plan, Planned, Replay
from onelip.bench.train.progress import Progress, Stop, never, silent
from onelip.bench.train.stopwatch import Stopwatch
from onelip.bench.train.training import Training, TrainOutcome
from onelip.errors import RecordError
from onelip.nn.loss import MarginCrossEntropy


def train(
    model: nn.Module,
    data: ImageData,
    recipe: Recipe,
    budget: Budget,
    *,
    seed: int,
    device: torch.device,
    loss: Loss | None = None,
    progress: Progress = silent,
    stop: Stop = never,
    folder: Path | None = None,
    resume: bool = False,
    replay: Replay | None = None,
    checkpoint_seconds: float = 30.0,
    clock: Callable[[], float] = time.perf_counter,
) -> TrainOutcome:
    """Trains a network in place.

    A budget in epochs gives the same weights and history to the bit for the same model and seed on the CPU, whether
    or not the training was interrupted and resumed. A budget in time is kept: the number of steps is planned from
    timed trial steps, refitted while the training runs, and no step is begun that would end too late.

    Errors of the network or the device, out of memory among them, and KeyboardInterrupt reach the caller.

    Args:
        model: The network, initialised; it is moved to the device and left in training mode.
        data: Its training images are used.
        recipe: Schedule, batch size, weight decay, augmentation, and the default loss.
        budget: A time, counted from the moment when the network is on the device; or a number of epochs.
        seed: Decides the order and the augmentation of the images.
        device: Where to train.
        loss: Mean loss of logits (B, K) and labels (B,); the recipe's margin cross-entropy by default.
        progress: Is told how the training goes.
        stop: Is asked whether to give up.
        folder: Where checkpoints are written at the ends of epochs; None for none.
        resume: Continue from the folder's checkpoint if it has one.
        replay: The plans of an earlier training, which are followed instead of the clock: on the CPU the weights and
            the history are the same again, to the bit.
        checkpoint_seconds: Least time between two checkpoints; none is written when less time than this is left, but
            one in the end, when the time is over.
        clock: Seconds since any fixed moment.

    Raises:
        RecordError: If the folder has a checkpoint that cannot be continued, or that was not asked to be continued.
    """
    model.to(device).train()
    descent = Descent(model, loss or MarginCrossEntropy(recipe.margin, recipe.temperature), recipe)
    run = _run(model, data, recipe, budget, seed=seed, replay=replay)
    checkpoint = None
    if folder is not None:
        checkpoint = Checkpoint(folder, run, model, descent.optimizer, interval=checkpoint_seconds)
    # Not earlier: the first optimiser of a process, and the first tensor on a GPU, load libraries for some seconds,
    # which would be taken from whichever method comes first.
    watch = Stopwatch(clock, device)
    batches = Batches(data, recipe, seed=seed, device=device)
    start = _resumed(checkpoint, resume=resume) or _beginning(budget, replay, descent, batches, watch)
    watch.add(start.seconds)
    return Training(
        descent,
        batches,
        watch,
        start,
        limit=budget.seconds if replay is None else None,
        replay=replay,
        progress=progress,
        stop=stop,
        checkpoint=checkpoint,
    ).run()


def _run(model: nn.Module, data: ImageData, recipe: Recipe, budget: Budget, *, seed: int, replay: Replay | None) -> Run:
    return Run(
        recipe=recipe,
        budget=str(budget),
        seed=seed,
        data=data.digest,
        augmentation=data.info().augmentation,
        replay="" if replay is None else replay.digest,
        network=network_digest(model),
    )


def _resumed(checkpoint: Checkpoint | None, *, resume: bool) -> Position | None:
    if checkpoint is None or not checkpoint.path.exists():
        return None
    if not resume:
        raise RecordError(f"{checkpoint.path} was left by an interrupted training; resume it, or delete the file")
    return checkpoint.load()


def _beginning(budget: Budget, replay: Replay | None, descent: Descent, batches: Batches, watch: Stopwatch) -> Position:
    if replay is not None:
        return Position(plans=replay.plans[:1])
    if budget.seconds is None:
        assert budget.epochs is not None
        return Position(plans=_planned(Plan(steps=budget.epochs * batches.per_epoch), 0.0))
    pace = seconds_per_step(descent, batches, watch, limit=budget.seconds)
    seconds = watch.seconds()
    return Position(plans=_planned(fitted_plan(limit=budget.seconds, seconds=seconds, pace=pace), seconds), pace=pace)


def _planned(plan: Plan, seconds: float) -> tuple[Planned, ...]:
    return (Planned(taken=0, seconds=seconds, plan=plan),)
