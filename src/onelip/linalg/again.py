"""Gradients of hand-written functions where their backward pass is itself differentiated, or sees batches hidden."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def gradients_by_torch(
    function: Callable[..., Tensor], tensors: Sequence[Tensor], wanted: Sequence[bool], dy: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients of a plain function; they can be differentiated again where gradients are recorded.

    Args:
        function: Of the tensors.
        tensors: As saved for the backward pass.
        wanted: Which gradients are asked for.
        dy: Gradient of the result.
    """
    with torch.enable_grad():
        # Aliases: how the tensors came to be, one perhaps from the other, and their hooks, are the caller's.
        aliases = [tensor.view_as(tensor) for tensor in tensors]
        y = function(*aliases)
    asked = [alias for alias, want in zip(aliases, wanted, strict=True) if want]
    found = iter(torch.autograd.grad(y, asked, dy, create_graph=torch.is_grad_enabled()))
    return tuple(next(found) if want else None for want in wanted)
