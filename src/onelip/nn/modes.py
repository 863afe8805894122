"""Modes of torch in which weights are constructed, or cannot be kept."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """The context in which weights are constructed: autocast off, where the device knows of it."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def in_inference_mode() -> bool:
    """Whether `torch.inference_mode` is on; what is made there cannot be kept, so weights are constructed outside."""
    return not torch.compiler.is_compiling() and torch.is_inference_mode_enabled()
