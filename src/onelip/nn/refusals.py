"""What could change the output of a module, unseen by what is said of it: refused before anything is certified."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.nn.modules.module as global_hooks
from torch import Tensor, nn

from ..errors import UnsoundError
from ..linalg.again import needs_library

if TYPE_CHECKING:
    from .base import LipschitzModule

SEALED = ("forward", "weights", "recall", "remember", "realise", "inner_image")
"""Methods between the weights of a layer and its output; what is said of a layer rests on those of onelip."""

_OWN: dict[str, list[object]] = {name: [] for name in SEALED}
_PACKAGES = ("onelip", "torch")

C = TypeVar("C", bound=type)


def sealed(kind: C) -> C:
    """Decorates a class of onelip whose own methods of these names are what is said of its layers."""
    for name in SEALED:
        if name in vars(kind):
            _OWN[name].append(vars(kind)[name])
    return kind


def refuse_hooks(module: nn.Module) -> None:
    """Raises where something beside its class could change what a module computes, unseen by its bound.

    Raises:
        UnsoundError: If a method of its class is replaced on the module, its attributes are looked up in a way of its
            own, it has a forward hook or pre-hook (as the old `torch.nn.utils.weight_norm` adds), or a parameter or
            buffer is a tensor with operations of its own, such as a quantised one.
    """
    kind = type(module)
    if kind.__getattribute__ is not object.__getattribute__:
        raise UnsoundError(f"{kind.__name__} looks its attributes up in a way of its own, of which no bound is known")
    for name, tensor in (*module._parameters.items(), *module._buffers.items()):
        if tensor is not None:
            refuse_own_operations(tensor, f"{kind.__name__}.{name}")
    for name, value in vars(module).items():
        if callable(value) and _is_method(kind, name) and not _is_compiled_call(module, name, value):
            raise UnsoundError(f"{kind.__name__} was given another {name}, of which no bound is known")
    lists = nn.ParameterList, nn.ParameterDict  # torch gives them a call that only says what they are
    if kind not in lists and (kind.__call__ is not nn.Module.__call__ or kind._call_impl is not nn.Module._call_impl):
        raise UnsoundError(f"{kind.__name__} is called in a way of its own, of which no bound is known")
    refuse_forward_hooks(module)


def refuse_forward_hooks(*modules: nn.Module) -> None:
    """Raises where a module has forward hooks, or all have: the part of `refuse_hooks` that each call can afford.

    Raises:
        UnsoundError: If it is so.
    """
    if global_hooks._global_forward_hooks or global_hooks._global_forward_pre_hooks:
        raise UnsoundError("torch has forward hooks for all modules, which may change what they compute; remove them")
    for one in modules:
        if one._forward_hooks or one._forward_pre_hooks:
            kind = type(one).__name__
            raise UnsoundError(f"{kind} has forward hooks, which may change what it computes; remove them")


def refuse_own_operations(tensor: Tensor, name: str) -> None:
    """Raises where a tensor may compute otherwise than its numbers say.

    Raises:
        UnsoundError: If it is neither a `Tensor` nor a `Parameter`, but of a class derived from them.
    """
    if type(tensor) not in (Tensor, nn.Parameter):
        raise UnsoundError(
            f"{name} is a {type(tensor).__name__}, whose operations may be its own; make it a plain tensor"
        )


def checked_dtype(tensor: Tensor, name: str) -> Tensor:
    """The tensor, if it is a plain one in float32 or float64: what bounds are proved for.

    Raises:
        UnsoundError: If it is not.
    """
    refuse_own_operations(tensor, f"a weight of {name}")
    if tensor.dtype not in (torch.float32, torch.float64):
        raise UnsoundError(f"bounds are proved for float32 and float64 weights; those of {name} are {tensor.dtype}")
    return tensor


def refuse_other_evaluation(x: Tensor) -> None:
    """Raises where an input would make torch compute otherwise than its numbers say.

    Raises:
        UnsoundError: If it is of a class derived from `Tensor`, or derivatives are taken along tangents, as
            `torch.func.jvp` and `forward_ad.dual_level` do, or it is a batch of the older kind of `vmap`: layers would
            take the library's transforms then.
    """
    refuse_own_operations(x, "the input")
    if needs_library(x):
        raise UnsoundError(
            "in forward-mode differentiation, and under the older kind of vmap, layers compute otherwise than is "
            "certified; differentiate in reverse mode"
        )


def _is_method(kind: type, name: str) -> bool:
    """Whether a class of torch or of onelip has a method of this name."""
    known = (one for one in kind.__mro__ if one.__module__.partition(".")[0] in _PACKAGES)
    return name == "_compiled_call_impl" or any(callable(vars(one).get(name)) for one in known)


def _is_compiled_call(module: nn.Module, name: str, value: object) -> bool:
    """Whether this is what `module.compile()` sets."""
    return name == "_compiled_call_impl" and getattr(value, "_torchdynamo_orig_callable", None) == module._call_impl


def in_eval_mode(model: nn.Module) -> nn.Module:
    """The model, in eval mode throughout.

    Raises:
        UnsoundError: If a module stays in training mode.
    """
    refuse_training(model.eval())
    return model


def refuse_training(model: nn.Module) -> None:
    """Raises where a module is in training mode.

    Raises:
        UnsoundError: Names it.
    """
    stays = next((module for module in model.modules() if module.training), None)
    if stays is not None:
        raise UnsoundError(f"{type(stays).__name__} stays in training mode when the model is set to eval mode")


def children(sequence: nn.Sequential, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules of a sequence in their order, each with its path where the sequence has this one.

    Raises:
        UnsoundError: One is None, which torch allows and cannot call.
    """
    for key, child in sequence._modules.items():
        path = f"{name}.{key}" if name else key
        if child is None:
            raise UnsoundError(f"module {path} is None; put nn.Identity() in its place")
        yield path, child


def other_path(layer: LipschitzModule) -> str | None:
    """The method that some class of a layer has not from onelip, and that changes how weights come to an output.

    Each class counts: one behind another is called by it.
    """
    kinds = [kind for kind in type(layer).__mro__ if kind is not nn.Module]
    return next((name for name in SEALED for kind in kinds if vars(kind).get(name) not in (None, *_OWN[name])), None)


def refuse_other_path(layer: LipschitzModule) -> None:
    """Raises where a subclass computes otherwise than its weights say.

    Raises:
        UnsoundError: If a class of the layer has a forward of its own, or another way to come by its weights.
    """
    name = other_path(layer)
    if name is not None:
        raise UnsoundError(
            f"{type(layer).__name__} has a {name} of its own, which freezing would lose; "
            "put the layer inside a module of your own, and register that module's bound"
        )


def refuse_inherited(kind: type[LipschitzModule], name: str) -> None:
    """Raises where a layer applies its weights in a way of its own, and inherits what is said of another way.

    Raises:
        UnsoundError: If an ancestor of the class that defines `apply_weights` defines the method of this name.
    """
    from .linear import PointwiseLinear

    # The mix-in for vectors hands both on.
    ancestors = [ancestor for ancestor in kind.__mro__ if ancestor is not PointwiseLinear]
    said, done = (next(i for i, one in enumerate(ancestors) if n in vars(one)) for n in (name, "apply_weights"))
    if said > done:
        raise UnsoundError(f"{kind.__name__} has an `apply_weights` of its own, and needs a `{name}` of its own")
