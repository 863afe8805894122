"""Modes of torch and of modules in which weights are constructed, cannot be kept, or are not even there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from .refusals import refuse_training

if TYPE_CHECKING:
    from .base import LipschitzModule, Role


def in_inference_mode() -> bool:
    """Whether `torch.inference_mode` is on; what is made there cannot be kept, so weights are constructed outside."""
    return not torch.compiler.is_compiling() and torch.is_inference_mode_enabled()


def initialise(layer: LipschitzModule, *role: Role) -> None:
    """Draws a layer's parameters, for a role if one is given; not on "meta", where there is no memory for them."""
    if not any(parameter.is_meta for parameter in layer.parameters()):
        layer.reset_parameters(*role)


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
