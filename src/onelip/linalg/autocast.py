"""Autocast, off where numbers must keep their dtype, and by hand where functions are written by hand."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """The context in which weights are constructed, and derivatives by hand: no autocast, where the device knows of it.

    A backward pass that is called inside autocast runs under it.
    """
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def autocast_to(device: torch.device) -> torch.dtype | None:
    """The dtype that autocast takes products in, None where it is off."""
    if device.type == "meta" or not torch.is_autocast_enabled(device.type):
        return None
    return torch.get_autocast_dtype(device.type)


def lowered(dtype: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Tensors as autocast hands them to a convolution: of this dtype, but for those in double precision."""
    return tuple(tensor if tensor.dtype == torch.float64 else tensor.to(dtype) for tensor in tensors)
