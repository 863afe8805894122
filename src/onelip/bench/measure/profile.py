"""Where the time of a callable goes, operation by operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One kind of operation.

    Attributes:
        name: As PyTorch names it.
        calls: Per run.
        seconds: Per run, without the operations that it calls.
        share: Of the time of all operations.
    """

    name: str
    calls: float
    seconds: float
    share: float


def profile_operations(fn: Callable[[], object], *, device: torch.device, runs: int) -> tuple[Operation, ...]:
    """The operations that a callable runs, the costliest first; on CUDA by the time of their kernels.

    Args:
        fn: What to run. Bring it to its steady state before.
        device: Where it runs.
        runs: How often, at least 1.
    """
    cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities, acc_events=True) as profiler:
        for _ in range(runs):
            fn()
        if cuda:
            torch.cuda.synchronize(device)
    found = [
        (event.key, event.count, event.self_device_time_total if cuda else event.self_cpu_time_total)
        for event in profiler.key_averages()
    ]
    total = sum(time for _, _, time in found)
    operations = [
        Operation(name=name, calls=calls / runs, seconds=1e-6 * time / runs, share=time / total)
        for name, calls, time in found
        if time > 0
    ]
    return tuple(sorted(operations, key=lambda one: one.seconds, reverse=True))
