"""Digests of what a certificate speaks of: a network's state, and inputs with their labels."""

from __future__ import annotations

import hashlib
import json

import torch
from torch import Tensor, nn

from ..errors import UnsoundError


def weights_digest(model: nn.Module) -> str:
    """SHA-256 of a model's state: names, types, shapes and bytes of all parameters and buffers, sorted by name."""
    content = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if not isinstance(tensor, Tensor):
            raise UnsoundError(f"no certificate: the state {name} of the model is no tensor")
        content.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        content.update(_bytes(tensor))
    return content.hexdigest()


def inputs_digest(x: Tensor, y: Tensor) -> str:
    """SHA-256 of inputs and labels: type, shape and bytes, labels as 64-bit integers."""
    content = hashlib.sha256(json.dumps([str(x.dtype), list(x.shape)]).encode())
    content.update(_bytes(x))
    content.update(_bytes(y.to(torch.int64)))
    return content.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()
