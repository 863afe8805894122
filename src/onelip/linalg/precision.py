"""Float32 that means float32, on every device, and sums of products that are computed as such."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..errors import UnsoundError

NAMED = torch.__version__ >= "2.9"
"""Whether precisions are set by name, operator by operator; the older switches may not be mixed with that."""

_LOWERING = {
    "NVIDIA_TF32_OVERRIDE": ("1",),
    "CUBLAS_EMULATE_SINGLE_PRECISION": ("1",),
    "ONEDNN_DEFAULT_FPMATH_MODE": ("bf16", "f16", "tf32", "any"),
    "DNNL_DEFAULT_FPMATH_MODE": ("bf16", "f16", "tf32", "any"),
}
"""Variables by which a library computes float32 in less, and the values that make it do so: no switch undoes them."""


@contextmanager
def full_precision() -> Iterator[None]:
    """Turns TF32 and the like off for a while, with which CUDA and oneDNN round the factors of products.

    PyTorch allows it for convolutions on CUDA and not for matrix products: methods made of the one would be compared
    with methods made of the other at different precisions, and certified from logits that are off in the fourth digit.
    """
    before, older = precisions(), None if NAMED else torch.get_float32_matmul_precision()
    _set(["ieee" if NAMED else False] * len(before))
    try:
        yield
    finally:
        _set(before)
        if older is not None:
            torch.set_float32_matmul_precision(older)


@contextmanager
def sums_of_products(device: torch.device) -> Iterator[None]:
    """For a while convolutions and matrix products are sums of products, each rounded as its type says, in any order.

    Off are TF32 and other reduced precision, autocast, NNPACK (which transforms by Winograd and Fourier), and cuDNN, of
    whose algorithms some do so too and of which its autotuning picks one.

    The settings are those of the whole process: other threads meet them as well.

    Raises:
        UnsoundError: The environment makes a library compute float32 in less, which cannot be switched off here.
    """
    for name, values in _LOWERING.items():
        if (value := os.environ.get(name, "").lower()) in values:
            raise UnsoundError(f"the variable {name}={value} lowers the precision of float32; unset it and start again")
    cudnn, nnpack = torch.backends.cudnn.enabled, torch._C._get_nnpack_enabled()
    torch.backends.cudnn.enabled = False
    torch._C._set_nnpack_enabled(False)
    try:
        with full_precision(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.backends.cudnn.enabled = cudnn
        torch._C._set_nnpack_enabled(nnpack)


def precisions() -> list[str | bool]:
    """The settings for convolutions and for matrix products."""
    return [getattr(place, name) for place, name in _switches()]


def _set(values: list[str | bool]) -> None:
    for (place, name), value in zip(_switches(), values, strict=True):
        setattr(place, name, value)


def _switches() -> list[tuple[Any, str]]:
    """Where the settings are, and what they are called there."""
    backends: Any = torch.backends
    if not NAMED:
        return [(part, "allow_tf32") for part in (backends.cudnn, backends.cuda.matmul)]
    # Where convolutions and recurrent layers differ, torch refuses to read its older switch.
    parts = [backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul]
    parts += [backends.mkldnn.conv, backends.mkldnn.matmul]
    return [(part, "fp32_precision") for part in parts]
