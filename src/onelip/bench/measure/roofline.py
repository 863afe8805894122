"""What a machine could do at best: the time of a step if each operation ran at the speed of arithmetic or of memory.

The roofline (Williams, Waterman & Patterson, 2009), operation by operation as PyTorch runs them: an operation of n
multiply-accumulates on m bytes takes at least max(n / peak, m / bandwidth). Peak and bandwidth are measured, with a
large product and a large copy, so that the roofline is what this machine was seen to do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from onelip.bench.measure.flops import Counter
from onelip.bench.measure.timing import interleave

ROUNDS, WARMUP = 10, 3
STILL = (
    "aten._unsafe_view",
    "aten.empty",
    "aten.empty_like",
    "aten.empty_strided",
    "aten.new_empty",
    "aten.new_empty_strided",
)


@dataclass(frozen=True, slots=True)
class Operation:
    """What one operation does.

    Attributes:
        macs: Real multiply-accumulates.
        bytes: Of all tensors that it reads and writes.
        low_precision: Whether its factors have 16 bits.
    """

    macs: int
    bytes: int
    low_precision: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """What a machine was seen to do.

    Attributes:
        macs: Multiply-accumulates per second in float32.
        low_precision_macs: In bfloat16.
        bytes: Read and written per second.
    """

    macs: float
    low_precision_macs: float
    bytes: float

    def seconds(self, operations: tuple[Operation, ...]) -> float:
        """The least time that the operations take one after the other."""
        return sum(
            max(one.macs / (self.low_precision_macs if one.low_precision else self.macs), one.bytes / self.bytes)
            for one in operations
        )


def operations_of(fn: Callable[[], object]) -> tuple[Operation, ...]:
    """Every operation that a callable runs, its backward passes included.

    Views and memory that is only reserved move nothing. An operation inside a compiled kernel is not seen.

    Args:
        fn: What to run, once, after it was run before.

    Raises:
        UnsupportedOperationError: For an operation whose multiply-accumulates cannot be counted.
    """
    observer = _Observer()
    with observer:
        fn()
    return tuple(observer.operations)


class _Observer(Counter):
    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []

    def see(self, func: Any, macs: int, inputs: object, out: object) -> None:
        """Notes an operation that moves something."""
        if func.is_view or str(func.overloadpacket) in STILL:
            return
        tensors = [leaf for leaf in tree_leaves((inputs, out)) if isinstance(leaf, Tensor)]
        moved = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        floating = [tensor for tensor in tensors if tensor.is_floating_point() or tensor.is_complex()]
        low = bool(floating) and all(tensor.dtype in (torch.bfloat16, torch.float16) for tensor in floating)
        if macs or moved:
            self.operations.append(Operation(macs, moved, low))


def measured_peaks(device: torch.device, *, side: int, numbers: int) -> Peaks:
    """Speeds of products of square matrices, and of a copy.

    Args:
        device: Where.
        side: Of the matrices.
        numbers: Float32 numbers that are copied; more than caches hold.
    """
    factors = {dtype: torch.randn(side, side, device=device).to(dtype) for dtype in (torch.float32, torch.bfloat16)}
    source = torch.ones(numbers, device=device)
    target = torch.empty_like(source)
    samples = interleave(
        {
            "float32": lambda: factors[torch.float32] @ factors[torch.float32],
            "bfloat16": lambda: factors[torch.bfloat16] @ factors[torch.bfloat16],
            "copy": lambda: target.copy_(source),
        },
        rounds=ROUNDS,
        warmup=WARMUP,
        device=device,
    )
    best = {name: min(taken) for name, taken in samples.items()}
    return Peaks(
        macs=side**3 / best["float32"], low_precision_macs=side**3 / best["bfloat16"], bytes=8 * numbers / best["copy"]
    )
