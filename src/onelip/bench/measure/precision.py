"""Float32 that means float32, on every device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

NAMED = torch.__version__ >= "2.9"
"""Whether precisions are set by name, operator by operator; the older switches may not be mixed with that."""


@contextmanager
def full_precision() -> Iterator[None]:
    """Turns TF32 off for a while, with which CUDA rounds the factors of products to 11 bits.

    PyTorch allows it for convolutions and not for matrix products: methods made of the one would be compared with
    methods made of the other at different precisions, and certified from logits that are off in the fourth digit.
    """
    before = precisions()
    _set(["ieee" if NAMED else False] * len(before))
    try:
        yield
    finally:
        _set(before)


def precisions() -> list[str | bool]:
    """The settings for convolutions and for matrix products."""
    return [getattr(place, name) for place, name in _switches()]


def _set(values: list[str | bool]) -> None:
    for (place, name), value in zip(_switches(), values, strict=True):
        setattr(place, name, value)


def _switches() -> list[tuple[Any, str]]:
    """Where the settings are, and what they are called there."""
    backends: Any = torch.backends
    if NAMED:
        # Where convolutions and recurrent layers differ, torch refuses to read its older switch.
        return [(part, "fp32_precision") for part in (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul)]
    return [(part, "allow_tf32") for part in (backends.cudnn, backends.cuda.matmul)]
