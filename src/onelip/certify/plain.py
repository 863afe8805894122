"""Evaluation in float64 or in a model's own type, and of which inputs something can be said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor

from ..errors import UnsoundError
from ..linalg.precision import switched_off
from ..linalg.rounding import norms
from ..nn.refusals import refuse_other_evaluation, refuse_own_operations

LARGEST = 1e100
"""Norm of the largest inputs that are certified."""


@contextmanager
def plain_evaluation(x: Tensor, *, cudnn: bool = False) -> Iterator[None]:
    """Without autocast, and without cuDNN where it is not allowed: its algorithms are not all sums of products.

    It is off until the last thread that needs it so is done: one that certifies does not switch it on under another's
    program.

    Args:
        x: The inputs.
        cudnn: Whether cuDNN is allowed, and what else rounds otherwise than is charged.

    Raises:
        UnsoundError: Where it is not, and torch would evaluate these inputs otherwise.
    """
    if not cudnn:
        refuse_other_evaluation(x)
    with nullcontext() if cudnn else switched_off(), torch.autocast(x.device.type, enabled=False):
        yield


def check_inputs(x: Tensor) -> None:
    """Raises where there is nothing to certify.

    Raises:
        UnsoundError: There is no input, or one is not finite or too large, or they are complex.
    """
    refuse_other_numbers(x)
    if not len(x):
        raise UnsoundError("there is no input to certify")
    if not bool((finite_N := torch.isfinite(x.flatten(1)).all(1)).all()):
        raise UnsoundError(f"no certificate: input {int((~finite_N).nonzero()[0])} holds NaN or inf")
    if not bool((norms(x.flatten(1)) < LARGEST / 2).all()):
        raise UnsoundError(f"no certificate: an input has a norm of {LARGEST / 2} or more")


def check_labels(x: Tensor, y: Tensor) -> None:
    """Raises where there is not one integer label per input, or the inputs are no plain real numbers.

    Raises:
        ValueError: If there is not.
        UnsoundError: If they are none.
    """
    refuse_other_numbers(x)
    refuse_own_operations(y, "the tensor of labels")
    if x.shape[:1] != y.shape or y.dim() != 1:
        raise ValueError(f"x {tuple(x.shape)} and y {tuple(y.shape)} must hold one label per input")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"labels must be integers, not {y.dtype}")


def refuse_other_numbers(x: Tensor) -> None:
    """Raises where inputs are complex, of which torch would drop the imaginary parts, or compute in a way of their own.

    Raises:
        UnsoundError: If they are or do.
    """
    refuse_own_operations(x, "the input")
    if x.is_complex():
        raise UnsoundError(f"inputs must be real numbers, not {x.dtype}")
