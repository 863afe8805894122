"""Evaluation in float64 or in a model's own type, and of which inputs something can be said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

LARGEST = 1e100
"""Norm of the largest inputs that are certified."""


@contextmanager
def plain_evaluation(device: torch.device, *, cudnn: bool = False) -> Iterator[None]:
    """Without autocast, and without cuDNN where it is not allowed: its algorithms are not all sums of products."""
    before = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = before and cudnn
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.backends.cudnn.enabled = before
