"""Float32 that means float32, on every device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision() -> Iterator[None]:
    """Turns TF32 off for a while, with which CUDA rounds the factors of products to 11 bits.

    PyTorch allows it for convolutions and not for matrix products: methods made of the one would be compared with
    methods made of the other at different precisions, and certified from logits that are off in the fourth digit.
    """
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
