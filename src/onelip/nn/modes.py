"""Modes of torch in which weights are constructed, or cannot be kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from .refusals import refuse_training


def in_inference_mode() -> bool:
    """Whether `torch.inference_mode` is on; what is made there cannot be kept, so weights are constructed outside."""
    return not torch.compiler.is_compiling() and torch.is_inference_mode_enabled()


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """A module and all inside it in eval mode for a while, each as it sets itself to it.

    Raises:
        UnsoundError: If a module stays in training mode.
    """
    modes = {inner: inner.training for inner in module.modules()}
    try:
        nn.Module.train(module, False)
        refuse_training(module)
        yield
    finally:
        for inner, mode in modes.items():
            inner.training = mode
