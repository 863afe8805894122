"""Functions of stacks of matrices, taken apart among threads.

LAPACK takes the matrices of a stack one by one and shares each among the threads. For small matrices that is slower
than one thread for each part of the stack; and beside another program, threads that meet thousands of times in one
decomposition wait at each meeting for one that is not running.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, RLock

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

WORTH = 2**19
"""Entries times sides of a stack from which on it is shared: a thread takes about 0.1 ms to begin."""

Factors = tuple[Tensor, ...]

_LOCK = RLock()
"""For one pool at a time; a forked process, whose other threads are gone, has a new one."""


def in_parts(function: Callable[[Tensor], Factors], stack: Tensor) -> Factors:
    """Several tensors of each matrix of a stack; no gradient is kept.

    Args:
        function: From matrices (B, M, N) to tensors of B parts each, on which no other matrix has an influence.
        stack: Shape (..., M, N).

    Returns:
        What the function gives for the whole stack.
    """
    if not _may_be_shared(stack) or stack.numel() * min(stack.shape[-2:]) < WORTH:
        return tuple(function(stack))
    threads, count = torch.get_num_threads(), stack.shape[:-2].numel()
    if min(threads, count) < 2:
        return tuple(function(stack))
    parts = stack.detach().flatten(0, -3).chunk(min(threads, count))
    try:
        with _LOCK:
            pool = _pool(threads, process=os.getpid())
        futures = [pool.submit(_quietly, function, part) for part in parts]
    except RuntimeError:  # no thread can begin any more: the process ends, or has too many
        return tuple(function(stack))
    results = [future.result() for future in futures]
    return tuple(torch.cat(pieces).unflatten(0, stack.shape[:-2]) for pieces in zip(*results, strict=True))


def _may_be_shared(stack: Tensor) -> bool:
    """Whether these are numbers that other threads can see, unobserved: modes and transforms belong to one thread."""
    hidden = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if hidden or type(stack) is not Tensor or stack.device.type != "cpu" or torch.is_inference_mode_enabled():
        return False
    transformed = torch._C._functorch.peek_interpreter_stack() is not None
    observed = _get_current_dispatch_mode() is not None or torch.autograd._profiler_enabled()  # type: ignore[attr-defined]
    return not transformed and not observed and _threads_are_separate()


def _quietly(function: Callable[[Tensor], Factors], part: Tensor) -> Factors:
    with torch.no_grad():
        return tuple(function(part))


@functools.lru_cache(maxsize=1)
def _threads_are_separate() -> bool:
    """Whether `set_num_threads` speaks of the thread that calls it, as with OpenMP, and not of the whole process."""
    return "backend: OpenMP" in torch.__config__.parallel_info()


@functools.lru_cache(maxsize=1)
def _pool(threads: int, *, process: int) -> ThreadPoolExecutor:  # noqa: ARG001  # part of the key
    """Threads for a process, each of which computes alone; those of a parent process do not live in its children.

    PyTorch gives a thread that is new to it the number that was set last, by whichever thread: so each sets its own
    only after it was asked for the first time, and in the end the number is the caller's again.
    """
    pool, meeting, before = ThreadPoolExecutor(threads, "onelip"), Barrier(threads), torch.get_num_threads()

    def compute_alone() -> None:
        torch.get_num_threads()
        torch.set_num_threads(1)
        meeting.wait()  # so that each thread does this once

    try:
        for future in [pool.submit(compute_alone) for _ in range(threads)]:
            future.result()
    except BaseException:
        meeting.abort()
        pool.shutdown(wait=True, cancel_futures=True)  # what still runs sets the number of threads
        raise
    finally:
        torch.set_num_threads(before)
    return pool


def _renew_lock() -> None:
    global _LOCK  # noqa: PLW0603
    _LOCK = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
