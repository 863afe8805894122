"""The time of a training step, measured on real steps that leave no trace."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count, pairwise

import torch
from torch import nn

from onelip.bench.train.batches import Batches
from onelip.bench.train.descent import Descent
from onelip.bench.train.stopwatch import Stopwatch

TIMED_STEPS = 2
LARGEST_SHARE = 0.05


def seconds_per_step(descent: Descent, batches: Batches, watch: Stopwatch, *, limit: float) -> float:
    """Times a first step, which warms up, and a few more; then puts everything back to where it was.

    Args:
        descent: What to time. Its optimiser stays as it is: the steps are taken with another.
        batches: Those of the first epochs are used.
        watch: Has been running since the beginning of the training.
        limit: No further step is begun after a twentieth of this time.

    Returns:
        The median, without the first step unless there was no other.
    """
    trial = Descent(descent.model, descent.loss, descent.recipe)
    marks = [watch.seconds()]
    with _untouched(descent.model):
        for images_BCHW, labels_B in chain.from_iterable(map(batches.epoch, count())):
            trial.step(images_BCHW, labels_B, progress=0.0)
            marks.append(watch.seconds())
            if len(marks) > 1 + TIMED_STEPS or marks[-1] > LARGEST_SHARE * limit:
                break
        trial.optimizer.zero_grad()
    times = [end - start for start, end in pairwise(marks)]
    return statistics.median(times[1:] or times)


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Restores parameters, buffers and the global random states."""
    tensors = (*model.parameters(), *model.buffers())
    originals = [tensor.detach().clone() for tensor in tensors]
    devices = {tensor.device for tensor in tensors if tensor.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(devices)):
        yield
    with torch.no_grad():
        for tensor, original in zip(tensors, originals, strict=True):
            tensor.copy_(original)
