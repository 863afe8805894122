"""Autocast, off where numbers must keep their dtype."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """The context in which weights are constructed, and derivatives by hand: no autocast, where the device knows of it.

    A backward pass that is called inside autocast runs under it.
    """
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)
