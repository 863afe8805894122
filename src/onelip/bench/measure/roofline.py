"""What a machine could do at best: the time of a step if each operation ran at the speed of arithmetic or of memory.

The roofline (Williams, Waterman & Patterson, 2009), operation by operation as PyTorch runs them: an operation of n
multiply-accumulates on m bytes takes at least max(n / peak, m / bandwidth). Peak and bandwidth are measured, with a
large product and a large copy, so that the roofline is what this machine was seen to do. What caches hold from one
operation to the next moves faster than memory: a step of small tensors can take less than its roofline.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from onelip.bench.measure.flops import Counter
from onelip.bench.measure.timing import interleave
from onelip.linalg.precision import full_precision

ROUNDS, WARMUP = 10, 3
STILL = frozenset(["_unsafe_view", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"])
"""Operations that move nothing."""
_READING = """
    clone _to_copy copy_ cat stack constant_pad_nd where flip pixel_shuffle pixel_unshuffle sum mean amax amin max min
    linalg_vector_norm _log_softmax _log_softmax_backward_data native_batch_norm
"""
READING = frozenset(_READING.split())
"""Operations that read all that they are given, besides those of arithmetic, and those that torch knows to go number by
number. Others, such as a choice by indices, may read a part: only what they write counts."""
FILLING = frozenset(["copy_", "zero_", "fill_", "normal_", "uniform_", "random_", "bernoulli_"])
"""Operations in place that do not read what was there before."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What one operation does.

    Attributes:
        macs: Real multiply-accumulates.
        bytes: Of what it surely reads and of what it writes.
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

    def see(self, func: Any, macs: int, inputs: tuple[tuple[object, ...], dict[str, object]], out: object) -> None:
        """Notes an operation that moves something."""
        name = str(func.overloadpacket).removeprefix("aten.")
        if func.is_view or name in STILL:
            return
        (given, changed), made = _arguments(func, *inputs), _results(func, out)
        moved = sum(map(_bytes, made))
        if name in FILLING or func._overloadname.endswith("out"):
            moved += sum(map(_bytes, changed))
        elif macs or _reads_all(func, name):
            moved += 2 * sum(map(_bytes, changed))
        if macs or _reads_all(func, name):
            moved += sum(map(_bytes, given))
        floating = [one for one in made + changed + given if one.is_floating_point() or one.is_complex()]
        low = bool(floating) and all(one.dtype in (torch.bfloat16, torch.float16) for one in floating)
        if macs or moved:
            self.operations.append(Operation(macs, moved, low))


def _arguments(func: Any, args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[list[Tensor], list[Tensor]]:
    """Tensors that an operation is given to read, and those that it writes to."""
    given: list[Tensor] = []
    changed: list[Tensor] = []
    for index, argument in enumerate(func._schema.arguments):
        value = args[index] if index < len(args) else kwargs.get(argument.name)
        written = argument.alias_info is not None and argument.alias_info.is_write
        (changed if written else given).extend(_tensors(value))
    return given, changed


def _results(func: Any, out: object) -> list[Tensor]:
    """Tensors that an operation makes; not those that it was given and wrote to."""
    returned = func._schema.returns
    values = out if isinstance(out, tuple) and len(returned) > 1 else (out,)
    return _tensors([value for value, one in zip(values, returned, strict=False) if one.alias_info is None])


def _reads_all(func: Any, name: str) -> bool:
    """Whether tensors that are not written to are read from end to end; those that are patterns are not read at all."""
    if name.endswith("_like") or name.startswith("new_"):
        return False
    return torch.Tag.pointwise in func.tags or name.startswith("_foreach_") or name in READING


def _tensors(value: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def _bytes(tensor: Tensor) -> int:
    """Of the numbers of a tensor; those of an expanded one lie in memory once."""
    sides = (side for side, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
    return math.prod(sides) * tensor.element_size() if tensor.numel() else 0


@full_precision()
def measured_peaks(device: torch.device, *, side: int, numbers: int) -> Peaks:
    """Speeds of products of square matrices, TF32 off, and of a copy.

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
