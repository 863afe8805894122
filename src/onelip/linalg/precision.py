"""Float32 that means float32, on every device, and sums of products that are computed as such."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from ..errors import UnsoundError

NAMED = torch.__version__ >= "2.9"
"""Whether precisions are set by name, operator by operator; the older switches may not be mixed with that."""

FULL: tuple[str | bool, ...] = ("ieee", False)
"""What a switch says where float32 is full."""
_LOWERING = {
    "NVIDIA_TF32_OVERRIDE": ("1",),
    "CUBLAS_EMULATE_SINGLE_PRECISION": ("1",),
    "ONEDNN_DEFAULT_FPMATH_MODE": ("bf16", "f16", "tf32", "any"),
    "DNNL_DEFAULT_FPMATH_MODE": ("bf16", "f16", "tf32", "any"),
}
"""Variables by which a library computes float32 in less, and the values that make it do so: no switch undoes them."""
_EMULATING = {"CUBLAS_EMULATE_DOUBLE_PRECISION": ("1",)}
"""Those by which one computes products of matrices in float64 from whole numbers: no sums of products then."""


@contextmanager
def full_precision() -> Iterator[None]:
    """Turns TF32 and the like off for a while, with which CUDA and oneDNN round the factors of products.

    PyTorch allows it for convolutions on CUDA and not for matrix products: methods made of the one would be compared
    with methods made of the other at different precisions, and certified from logits that are off in the fourth digit.
    """
    with _full(_switches()):
        yield


@contextmanager
def _full(switches: list[tuple[Any, str]]) -> Iterator[None]:
    before, older = _values(switches), None if NAMED else torch.get_float32_matmul_precision()
    try:
        for (place, name), value in zip(switches, before, strict=True):
            if value not in FULL:
                setattr(place, name, "ieee" if NAMED else False)
        yield
    finally:
        for (place, name), value in zip(switches, before, strict=True):
            _restore(place, name, value)
        if older is not None:
            torch.set_float32_matmul_precision(older)


def _restore(place: Any, name: str, value: str | bool) -> None:
    """Sets back what was changed; what a part of torch had from the whole of it, it has from there again."""
    if NAMED and getattr(place, name) != value:
        setattr(place, name, "none")
    if getattr(place, name) != value:
        setattr(place, name, value)


class _Users:
    """How many evaluations ask for it, in all threads: the first one switches off, the last one on again."""

    lock = threading.Lock()
    count = 0
    restore: Callable[[], None] = staticmethod(lambda: None)


@contextmanager
def sums_of_products(device: torch.device) -> Iterator[None]:
    """For a while convolutions and matrix products are sums of products, each rounded as its type says, in any order.

    Off are TF32 and other reduced precision, autocast, NNPACK (which transforms by Winograd and Fourier), and cuDNN, of
    whose algorithms some do so too and of which its autotuning picks one.

    The settings are those of the whole process, which other threads meet as well; they stay off until the last thread
    leaves. A thread that switches one on meanwhile is not noticed.

    Raises:
        UnsoundError: The environment makes a library compute float32 in less, which cannot be switched off here.
    """
    _refuse(_LOWERING, "lowers the precision of float32")
    with switched_off(), torch.autocast(device.type, enabled=False):
        yield


@contextmanager
def switched_off() -> Iterator[None]:
    """The settings of `sums_of_products`, of all but autocast, which each thread has for itself.

    Raises:
        UnsoundError: The environment makes a library compute float64 otherwise.
    """
    refuse_emulation()
    with _Users.lock:
        if not _Users.count:
            _Users.restore = _switch_off()
        _Users.count += 1
    try:
        yield
    finally:
        with _Users.lock:
            _Users.count -= 1
            if not _Users.count:
                _Users.restore()


def refuse_emulation() -> None:
    """Raises where a library computes products of float64 matrices from whole numbers.

    Raises:
        UnsoundError: The environment makes it do so.
    """
    _refuse(_EMULATING, "has float64 emulated")


def _refuse(variables: Mapping[str, tuple[str, ...]], what: str) -> None:
    for name, values in variables.items():
        if (value := os.environ.get(name, "").lower()) in values:
            raise UnsoundError(f"the variable {name}={value} {what}; unset it and start again")


def _switch_off() -> Callable[[], None]:
    """Switches off; returns what switches on again."""
    with ExitStack() as settings:
        # What cuDNN would do does not matter where it is off, and torch does not forget that it was told.
        settings.enter_context(_full(_switches()[-3:] if NAMED else _switches()))
        settings.callback(setattr, torch.backends.cudnn, "enabled", torch.backends.cudnn.enabled)
        settings.callback(torch._C._set_nnpack_enabled, torch._C._get_nnpack_enabled())
        torch.backends.cudnn.enabled = False
        torch._C._set_nnpack_enabled(False)
        return settings.pop_all().close


def precisions() -> list[str | bool]:
    """The settings for convolutions and for matrix products."""
    return _values(_switches())


def _values(switches: list[tuple[Any, str]]) -> list[str | bool]:
    return [getattr(place, name) for place, name in switches]


def _switches() -> list[tuple[Any, str]]:
    """Where the settings are, and what they are called there."""
    backends: Any = torch.backends
    if not NAMED:
        return [(part, "allow_tf32") for part in (backends.cudnn, backends.cuda.matmul)]
    # Where convolutions and recurrent layers differ, torch refuses to read its older switch.
    cudnn, others = backends.cudnn, (backends.cuda.matmul, backends.mkldnn.conv, backends.mkldnn.matmul)
    return [(part, "fp32_precision") for part in (cudnn.conv, cudnn.rnn, *others)]
