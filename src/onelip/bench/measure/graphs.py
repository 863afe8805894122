"""CUDA graphs: the kernels of a step, recorded once and launched together, for networks that wait for launches."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch

from onelip.errors import UnsupportedOperationError

SETTLING = 3
"""Runs before the recording, on a stream of their own, in which libraries choose algorithms and caches are filled."""

SPARE = 2**28
"""Bytes that libraries and caches may take meanwhile, and keep."""


def captured(fn: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """Records what a callable does on a GPU, and gives a callable that does it again.

    A recording that fails may leave the process without a GPU that answers, or with memory that it cannot give back,
    see `recovers`.

    Args:
        fn: It must always use the same memory: the same parameters, and inputs that are overwritten in place.
        device: A CUDA device.

    Raises:
        UnsupportedOperationError: The device is none of CUDA, or the callable waits for the host in between.
        torch.OutOfMemoryError: As the callable itself would.
    """
    if device.type != "cuda":
        raise UnsupportedOperationError(f"CUDA graphs need a CUDA device, not {device.type}")
    with torch.cuda.device(device):
        usual, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(usual)
        with torch.cuda.stream(side):
            for _ in range(SETTLING):
                fn()
        usual.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=side):
                fn()
        except RuntimeError as error:
            # What failed within the recording is hidden by what then fails at its end.
            first = error.__context__ if isinstance(error.__context__, RuntimeError) else error
            if isinstance(first, torch.OutOfMemoryError):
                raise first from None
            raise UnsupportedOperationError(f"it cannot be recorded as a CUDA graph: {first}") from error
        finally:
            torch.cuda.set_stream(usual)  # a recording that fails at its end leaves its own
    return graph.replay


def let_go(device: torch.device) -> None:
    """Frees what no network holds any more."""
    gc.collect()
    if device.type == "cuda":
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()


def held_bytes(device: torch.device) -> int:
    """What PyTorch keeps of a GPU's memory; on a CPU 0."""
    return torch.cuda.memory_reserved(device) if device.type == "cuda" else 0


def recovers(device: torch.device, *, held: int) -> bool:
    """Whether a device still computes, and has its memory back, once all is let go.

    After some errors CUDA refuses everything for the rest of a process; a recording that failed may keep its memory.

    Args:
        device: Which.
        held: `held_bytes` of before.
    """
    try:
        let_go(device)
        answer = torch.ones((), device=device).add(1).item()
    except RuntimeError:
        return False
    return answer == 2 and held_bytes(device) <= held + SPARE
