"""Times of callables: synchronised, interleaved, and every sample kept.

Cases are timed in turn within one session, one call of each per round, so that a slow drift of the machine (heat,
neighbours, clock rates) meets all of them alike and their ratios stay comparable. Every round has an order of its own,
so that no case always runs first, or always after the same other one, whose caches it would inherit.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch

from onelip.bench.measure.machine import find_device
from onelip.errors import OnelipError

Case = Callable[[], object]

MIN_ROUNDS = 8
"""Rounds that are taken even when time is up: the quartiles of fewer samples say little."""


def interleave(
    cases: Mapping[str, Case],
    *,
    rounds: int,
    warmup: int,
    device: torch.device | str,
    time_limit: float | None = None,
) -> dict[str, tuple[float, ...]]:
    """Time every case once per round, in an order that is drawn anew for each round, the same in every session.

    On CUDA a sample is the time between two device events around the call, on the current stream, which is idle when
    the first is recorded: waiting for the host counts, work left over from another case does not. On the CPU it is
    wall-clock time. Python's cyclic garbage collector runs between rounds, never within a sample.

    Args:
        cases: What to time, by name.
        rounds: Timed rounds, at least 1.
        warmup: Rounds before them whose samples are thrown away.
        device: Where the cases run.
        time_limit: Seconds, warm-up included, after which no further round starts; the first `MIN_ROUNDS` timed rounds
            (or `rounds` if fewer) are taken in any case.

    Returns:
        All samples in seconds, by name, in the order in which they were taken.

    Raises:
        OnelipError: For no cases, no rounds, or a negative warm-up or time limit.
    """
    _check(cases, rounds, warmup, time_limit)
    seconds = _stopwatch(find_device(device))
    samples: dict[str, list[float]] = {name: [] for name in cases}
    order = random.Random(0)
    with _garbage_collected_by_hand():
        started = time.perf_counter()
        for turn in range(-warmup, rounds):
            if turn >= MIN_ROUNDS and time_limit is not None and time.perf_counter() - started >= time_limit:
                break
            gc.collect(0)
            for name in order.sample(list(cases), len(cases)):
                sample = seconds(cases[name])
                if turn >= 0:
                    samples[name].append(sample)
    return {name: tuple(taken) for name, taken in samples.items()}


def _check(cases: Mapping[str, Case], rounds: int, warmup: int, time_limit: float | None) -> None:
    """Refuse what could not be timed, before anything runs."""
    if not cases:
        raise OnelipError("cases is empty, must name at least one callable")
    if rounds < 1:
        raise OnelipError(f"rounds is {rounds}, must be at least 1")
    if warmup < 0:
        raise OnelipError(f"warmup is {warmup}, must be at least 0")
    if time_limit is not None and not time_limit >= 0:
        raise OnelipError(f"time_limit is {time_limit}, must be at least 0 seconds")


def _stopwatch(device: torch.device) -> Callable[[Case], float]:
    """The function that runs a case once and returns its seconds."""
    return partial(_device_seconds, device) if device.type == "cuda" else _host_seconds


def _host_seconds(case: Case) -> float:
    """Wall-clock time of a call that returns when its work is done."""
    start = time.perf_counter()
    case()
    return time.perf_counter() - start


def _device_seconds(device: torch.device, case: Case) -> float:
    """Time between two events around a call that returns while its work is still queued."""
    stream = torch.cuda.current_stream(device)
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(device)
    start.record(stream)
    case()
    end.record(stream)
    torch.cuda.synchronize(device)
    return start.elapsed_time(end) / 1e3


@contextmanager
def _garbage_collected_by_hand() -> Iterator[None]:
    """Turn the automatic garbage collector off after a full collection, and leave it as it was found."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
