"""What an exception of a network means for a record."""

from __future__ import annotations

from typing import Literal

import torch

_LENGTH = 500
_NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")


def failure(error: Exception) -> tuple[Literal["oom", "error"], str]:
    """The status and the message of a run or measurement that ended in an exception."""
    text = " ".join(str(error).split())[:_LENGTH]
    if _is_out_of_memory(error):
        return "oom", text or "out of memory"
    return "error", f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_out_of_memory(error: Exception) -> bool:
    """Whether the device or the system had no memory left; allocators and libraries may tell it only in words."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)
