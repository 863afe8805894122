"""CUDA graphs: the kernels of a step, recorded once and launched together, for networks that wait for launches."""

from __future__ import annotations

from collections.abc import Callable

import torch

from onelip.errors import UnsupportedOperationError

SETTLING = 3
"""Runs before the recording, on a stream of their own, in which libraries choose algorithms and caches are filled."""


def captured(fn: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """Records what a callable does on a GPU, and gives a callable that does it again.

    A recording that fails may leave the process without a GPU that answers, see `answers`.

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
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise UnsupportedOperationError(f"it cannot be recorded as a CUDA graph: {error}") from error
        finally:
            torch.cuda.set_stream(usual)  # a recording that fails at its end leaves its own
    return graph.replay


def answers(device: torch.device) -> bool:
    """Whether a device still computes. After some errors CUDA refuses everything for the rest of a process."""
    try:
        return bool(torch.ones((), device=device).add(1).item() == 2)
    except RuntimeError:
        return False
