"""Evaluation in float64 or in a model's own type, and of which inputs something can be said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from ..linalg.precision import switched_off

LARGEST = 1e100
"""Norm of the largest inputs that are certified."""


@contextmanager
def plain_evaluation(device: torch.device, *, cudnn: bool = False) -> Iterator[None]:
    """Without autocast, and without cuDNN where it is not allowed: its algorithms are not all sums of products.

    It is off until the last thread that needs it so is done: one that certifies does not switch it on under another's
    program.
    """
    with nullcontext() if cudnn else switched_off(), torch.autocast(device.type, enabled=False):
        yield
