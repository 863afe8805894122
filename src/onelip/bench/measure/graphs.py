"""CUDA graphs: the kernels of a step, recorded once and launched together, for networks that wait for launches."""

from __future__ import annotations

from collections.abc import Callable

import torch

from onelip.errors import UnsupportedOperationError

SETTLING = 3
"""Runs before the recording, on a stream of their own, in which libraries choose algorithms and caches are filled."""


def captured(fn: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """Records what a callable does on a GPU, and gives a callable that does it again.

    Args:
        fn: It must always use the same memory: the same parameters, and inputs that are overwritten in place.
        device: A CUDA device.

    Raises:
        UnsupportedOperationError: The device is none of CUDA, or the callable waits for the host in between.
    """
    if device.type != "cuda":
        raise UnsupportedOperationError(f"CUDA graphs need a CUDA device, not {device.type}")
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(SETTLING):
            fn()
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            fn()
    except RuntimeError as error:
        raise UnsupportedOperationError(f"it cannot be recorded as a CUDA graph: {error}") from error
    return graph.replay
