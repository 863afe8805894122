"""When functions with hand-written backward passes are of use, and their gradients where those passes are not."""

from __future__ import annotations

import sys
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
    if not any(wanted):
        return (None,) * len(wanted)
    with torch.enable_grad():
        # Aliases: how the tensors came to be, one perhaps from the other, and their hooks, are the caller's.
        aliases = [tensor.view_as(tensor) for tensor in tensors]
        # Transforms forbid to ask for a gradient; what a gradient is wanted of there has one already.
        asked = [alias for alias, want in zip(aliases, wanted, strict=True) if want]
        for alias in asked:
            if not alias.requires_grad:
                alias.requires_grad_()
        y = function(*aliases)
    found = iter(torch.autograd.grad(y, asked, dy, create_graph=torch.is_grad_enabled()))
    return tuple(next(found) if want else None for want in wanted)


def is_transformed(tensor: Tensor) -> bool:
    """Whether a transform of functions is under way, or a tensor is a batch of those that it seems to be."""
    functorch = torch._C._functorch
    return functorch.peek_interpreter_stack() is not None or functorch.is_legacy_batchedtensor(tensor)


def in_forward_mode() -> bool:
    """Whether derivatives along tangents may be taken; compilers do not know functions that have one of their own."""
    return not torch.compiler.is_compiling() and forward_ad._current_level >= 0


def needs_library(*tensors: Tensor) -> bool:
    """Whether functions by hand would lose a derivative, or meet batches of the older kind, of which they cannot be."""
    return in_forward_mode() or any(torch._C._functorch.is_legacy_batchedtensor(tensor) for tensor in tensors)


def in_nested_forward_mode() -> bool:
    """Whether derivatives along tangents are taken of such, of which functions with a rule for tangents lose a part."""
    levels = torch._C._functorch.get_interpreter_stack() or []
    return sum(level.key() == torch._C._functorch.TransformType.Jvp for level in levels) > 1


def hides_history(gradient: Tensor) -> bool:
    """Whether a gradient is recorded and a batch of the older kind, of which functions by hand record nothing."""
    hidden = torch.compiler.is_compiling() or not torch.is_grad_enabled()
    return not hidden and torch._C._functorch.is_legacy_batchedtensor(gradient)


def loses_derivatives(tensor: Tensor) -> bool:
    """Whether a function by hand, itself differentiated by another one, would lose its derivative here.

    In forward mode it has none: compilers do not know functions that do.
    """
    return in_forward_mode() or hides_history(tensor)


def needs_torch(gradient: Tensor) -> bool:
    """Whether a backward pass by hand must leave its work to torch.

    It must where it is recorded, has a derivative in forward mode, or is taken for batches at once: functions by hand
    write into tensors that they made, which are not of the batch.
    """
    return torch.is_grad_enabled() or in_forward_mode() or is_transformed(gradient)


def is_traced_by_fx() -> bool:
    """Whether calls are recorded instead of computed; without loading what records where nothing has."""
    tracing = sys.modules.get("torch.fx.experimental.proxy_tensor")
    return tracing is not None and tracing.get_proxy_mode() is not None


def is_plain(*tensors: Tensor) -> bool:
    """Whether these are real numbers outside of compilers, transforms, forward-mode derivatives and autocast."""
    hidden = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if (
        hidden
        or is_traced_by_fx()
        or tensors[0].device.type == "meta"
        or not tensors[0].is_floating_point()
        or torch._C._functorch.peek_interpreter_stack() is not None
        or forward_ad._current_level >= 0
    ):
        return False
    one_kind = len({tensor.dtype for tensor in tensors}) == 1 and not torch.is_autocast_enabled(tensors[0].device.type)
    return one_kind and all(type(tensor) in (Tensor, nn.Parameter) for tensor in tensors)
