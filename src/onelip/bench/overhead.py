"""What the training loop costs beside its bare steps: images, schedule, metrics, reports."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from statistics import fmean, quantiles
from tempfile import TemporaryDirectory
from typing import Literal

import torch

from onelip.bench.compare import Show
from onelip.bench.comparison import Job
from onelip.bench.failure import failure
from onelip.bench.measure.machine import describe_machine
from onelip.bench.origin import Machine, MethodInfo, Model, Positive
from onelip.bench.records import Cell
from onelip.bench.report.wording import software
from onelip.bench.saved import build_network
from onelip.bench.selection import method_info
from onelip.bench.subject import Trained, Workload
from onelip.bench.train.budget import Budget
from onelip.bench.train.loop import train
from onelip.bench.train.progress import Progress, Snapshot
from onelip.bench.train.stopwatch import Stopwatch
from onelip.errors import plain
from onelip.linalg.precision import full_precision

FEWEST_PAIRS = 2
"""Quartiles need as many."""


class Overhead(Model):
    """Seconds per step of one network in the training loop, and of its bare steps.

    Attributes:
        loop: All that the loop does between two reports, per step.
        bare: Forward, loss, backward and optimiser on a batch that lies there, as `onelip measure` times them: as many
            steps, right after those of the loop.
        message: Why there are no samples.
    """

    cell: Cell
    method: MethodInfo
    loop: tuple[Positive, ...] = ()
    bare: tuple[Positive, ...] = ()
    message: str = ""


class OverheadRecord(Model):
    """A session of `benchmarks/loop.py`.

    Attributes:
        data: Title of the images.
    """

    kind: Literal["overhead"] = "overhead"
    data: str
    machine: Machine
    started: str
    overheads: tuple[Overhead, ...]


@full_precision()
def measure_overhead(jobs: Iterable[Job], device: torch.device, *, show: Show) -> OverheadRecord:
    """Trains networks as `onelip train` does, and stops the clock at every report for as many bare steps.

    What a neighbour takes from the machine is thus taken from both alike.

    Args:
        jobs: What to train, all on the same images; a job that fails has no samples, and its reason stands there.
        device: Where.
        show: Opens the display of one training, whose time counts.
    """
    jobs, started = tuple(jobs), datetime.now(timezone.utc)
    return OverheadRecord(
        data=jobs[0].data.title,
        machine=describe_machine(device),
        started=started.isoformat(timespec="seconds"),
        overheads=tuple(_overhead(job, device, show) for job in jobs),
    )


def _overhead(job: Job, device: torch.device, show: Show) -> Overhead:
    found = Overhead(cell=job.cell, method=method_info(job.method))
    try:
        pairs = _pairs(job, device, show)
    except Exception as error:  # noqa: BLE001  # one network's failure must not end the session
        return found.model_copy(update={"message": failure(error)[1]})
    if len(pairs) < FEWEST_PAIRS:
        message = f"the budget of {job.cell.budget} ended before {FEWEST_PAIRS} reports"
        return found.model_copy(update={"message": message})
    loop, bare = zip(*pairs, strict=True)
    return found.model_copy(update={"loop": loop, "bare": bare})


def _pairs(job: Job, device: torch.device, show: Show) -> list[tuple[float, float]]:
    cell, data = job.cell, job.data
    workload = Workload(
        size=cell.size, image=data.image, classes=data.classes, batch_size=cell.recipe.batch_size, device=device
    )
    beside = Trained(build_network(cell, job.method, data), workload)
    beside.to_training()
    with show(job.title) as progress, TemporaryDirectory() as folder:
        turns = _Turns(beside, progress)
        train(
            build_network(cell, job.method, data),
            data,
            cell.recipe,
            Budget.parse(cell.budget),
            seed=cell.seed,
            device=device,
            progress=turns.report,
            folder=Path(folder),
            clock=turns.clock,
        )
    return turns.pairs


class _Turns:
    """Bare steps after those of a training loop, whose clock stands still meanwhile."""

    def __init__(self, beside: Trained, progress: Progress) -> None:
        self.pairs: list[tuple[float, float]] = []
        self._beside = beside
        self._progress = progress
        self._away = 0.0
        self._last: tuple[int, float] | None = None

    def clock(self) -> float:
        """Seconds, those of the bare steps left out."""
        return time.perf_counter() - self._away

    def report(self, snapshot: Snapshot) -> None:
        """Shows how the training goes, then takes as many bare steps as it took since the last report."""
        self._progress(snapshot)
        step, now = snapshot.epoch.step, self.clock()
        if self._last is not None:
            count, seconds = step - self._last[0], now - self._last[1]
            if not count:  # the end of an epoch that was reported a moment before
                return
            self.pairs.append((seconds / count, self._bare(count) / count))
        self._last = step, self.clock()

    def _bare(self, count: int) -> float:
        watch = Stopwatch(time.perf_counter, self._beside.device)
        began = watch.seconds()
        for _ in range(count):
            self._beside.train_step()
        seconds = watch.seconds() - began
        self._away += seconds
        return seconds


def markdown(record: OverheadRecord) -> str:
    """The table: images per second in the loop and bare, over all samples; their ratio, and those of the pairs."""
    cell = record.overheads[0].cell
    lines = [
        f"Training on {record.data}, size {cell.size}, batch {cell.recipe.batch_size}, {cell.budget} per method; "
        f"{record.machine.device_name}, {record.machine.threads} threads, torch {record.machine.torch}, "
        f"onelip {software(record.machine)}.",
        "",
        "| | images/s in the loop | images/s in bare steps | ratio | of pairs: median (quartiles) | pairs |",
        "|---|---:|---:|---:|---:|---:|",
        *(_row(one) for one in record.overheads if one.loop),
    ]
    failed = [f"- {one.method.title}: {plain(one.message)}" for one in record.overheads if not one.loop]
    return "\n".join([*lines, *([""] if failed else []), *failed]) + "\n"


def _row(one: Overhead) -> str:
    loop, bare = fmean(one.loop), fmean(one.bare)
    ratios = (b / a for a, b in zip(one.loop, one.bare, strict=True))
    low, middle, high = quantiles(ratios, n=4, method="inclusive")
    speeds = " | ".join(f"{one.cell.recipe.batch_size / seconds:,.0f}" for seconds in (loop, bare))
    pairs = f"{middle:.3f} ({low:.3f}\u2013{high:.3f}) | {len(one.loop)}"
    return f"| {one.method.title} | {speeds} | {bare / loop:.3f} | {pairs} |"
