"""When functions with hand-written backward passes are of use, and their gradients where those passes are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad


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
        aliases = [alias if alias.requires_grad else alias.requires_grad_() for alias in aliases]
        y = function(*aliases)
    asked = [alias for alias, want in zip(aliases, wanted, strict=True) if want]
    found = iter(torch.autograd.grad(y, asked, dy, create_graph=torch.is_grad_enabled()))
    return tuple(next(found) if want else None for want in wanted)


def needs_torch(gradient: Tensor) -> bool:
    """Whether a backward pass by hand must leave its work to torch: it is recorded, or taken for batches at once.

    A batch is seen by a transform that is under way, or in the gradient itself. Functions by hand write into tensors
    that they made, which are not of the batch.
    """
    functorch = torch._C._functorch
    batched = functorch.peek_interpreter_stack() is not None or functorch.is_legacy_batchedtensor(gradient)
    return torch.is_grad_enabled() or batched


def is_plain(*tensors: Tensor) -> bool:
    """Whether these are numbers outside of compilers, transforms, forward-mode derivatives and autocast."""
    hidden = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if (
        hidden
        or tensors[0].device.type == "meta"
        or torch._C._functorch.peek_interpreter_stack() is not None
        or forward_ad._current_level >= 0
    ):
        return False
    one_kind = len({tensor.dtype for tensor in tensors}) == 1 and not torch.is_autocast_enabled(tensors[0].device.type)
    return one_kind and all(type(tensor) in (Tensor, nn.Parameter) for tensor in tensors)
