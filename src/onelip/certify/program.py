"""The float32 program that `arithmetic="executed"` certifies: a frozen model of modules whose rounding is bounded."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..errors import UnsoundError, UnsupportedShapeError
from ..linalg.again import is_traced_by_fx
from ..linalg.precision import sums_of_products
from ..nn.blocked import BLOCK, BlockedConv2d, checked_block, convolutions
from ..nn.executed import Widened, executed_convolution, executed_layer, executed_linear
from ..nn.freeze import FrozenLayer, ImageModel, freeze
from ..nn.refusals import refuse_forward_hooks, refuse_other_evaluation
from ..nn.reshape import Center
from ..nn.sum import Sum
from .rounding import has_rounding, is_exact
from .sums import check_sums

_OPTIONS = bool, int, float, str, tuple, type(None)


class Program(nn.Module):
    """A frozen model as its certificate says it is evaluated: in float32, by sums of known length.

    Its forward switches off what would evaluate sums otherwise, for the whole process, and switches it on again: TF32,
    reduced precision of oneDNN, autocast, NNPACK and cuDNN. It refuses to be traced or exported, other types, tensors
    with operations of their own, derivatives along tangents, and hooks; `torch.compile` leaves it as it is. It
    is not converted to other types. Other weights, loaded into it or into its modules afterwards, make another program,
    unnoticed, as modules that are converted one by one, there and back.

    Args:
        model: A frozen model in float32.
        image: Shape of one input.
        block: As of `certified_program`.

    Raises:
        UnsoundError: If a weight is not in float32.
        UnsupportedShapeError: If the block is no positive integer, and not None.
    """

    def __init__(self, model: nn.Module, image: tuple[int, ...], *, block: int | None = BLOCK) -> None:
        super().__init__()
        self.image, self.block = tuple(image), checked_block(block)
        for name, tensor in model.state_dict().items():
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.dtype != torch.float32:
                raise UnsoundError(f"a float32 program needs weights in float32; {name} is {tensor.dtype}")
        self.model = _executed(copy.deepcopy(model), self.block, {}).eval().requires_grad_(False)
        self.eval()
        self._made_of = self._found()

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of inputs (B, *image), both in float32.

        Raises:
            UnsoundError: If the input is no plain tensor in float32, or the program is traced, differentiated along
                tangents, in training mode, or no longer what it was made of: hooks, other modules, options or types.
            UnsupportedShapeError: If the shape does not fit.
        """
        if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None or is_traced_by_fx():
            raise UnsoundError("a certified program is not what tracing or compiling makes of it: run it as it is")
        refuse_other_evaluation(x)
        if x.dtype != torch.float32:
            raise UnsoundError(f"this program takes inputs in float32, not {x.dtype}")
        if tuple(x.shape[1:]) != self.image:
            raise UnsupportedShapeError(f"this program takes inputs {self.image}, not {tuple(x.shape[1:])}")
        if not len(x):  # torch's PixelUnshuffle gives an empty batch another shape
            none: Tensor = self(x.new_zeros(1, *self.image))[:0]
            return none
        if self._found() != self._made_of:
            raise UnsoundError(
                "a certified program has the modules, options and types it was made with, in eval mode, and none that "
                "is compiled; do not convert its modules (DataParallel does, of Cayley and LOT: it makes parameters of "
                "replicas plain attributes)"
            )
        return self._evaluated(x)

    def _evaluated(self, x: Tensor) -> Tensor:
        with sums_of_products(x.device):
            # A copy: a module that works in place would change the caller's input.
            y: Tensor = self.model(x.clone())
        return y

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Program:
        """What `to`, `half` and others of torch do to all tensors: they may move them, and not convert them.

        Converted back, weights would be others, and nothing would tell.

        Raises:
            UnsoundError: If a tensor would be of another type; none has been changed then.
        """
        for tensor in (*self.parameters(), *self.buffers()):
            if (other := fn(tensor.new_empty(0)).dtype) != tensor.dtype:
                raise UnsoundError(f"a certified program has the types it was made with: {tensor.dtype}, not {other}")
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def check_sums(self, batch: int = 32) -> None:
        """Computes sums that float32 has no need to round, with every convolution, and compares them.

        What rounds factors to fewer bits than float32 has, or adds numbers before it multiplies them, as transforms of
        Winograd and Fourier do, is noticed (`sums.check_sums`). That this is all that can go wrong is not proved: a sum
        that is evaluated as it should be in this batch could be evaluated otherwise in another.

        Args:
            batch: How many images.

        Raises:
            UnsoundError: Names the convolution.
        """
        shapes: dict[BlockedConv2d, tuple[int, ...]] = {}

        def seen(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            assert isinstance(module, BlockedConv2d)
            shapes[module] = tuple(inputs[0].shape[1:])

        handles = [one.register_forward_pre_hook(seen) for one in convolutions(self.model)]
        device = next((one.device for one in self.buffers()), torch.device("cpu"))
        try:
            with torch.no_grad():
                self._evaluated(torch.zeros(1, *self.image, dtype=torch.float32, device=device))
        finally:
            for handle in handles:
                handle.remove()
        different = {(str(module), shape): module for module, shape in shapes.items()}
        for (_, shape), module in different.items():
            with sums_of_products(device):
                check_sums(module, (batch, *shape))

    def _found(self) -> list[object]:
        """What the program is made of, as far as it can be told at every call: classes, modes, options, types.

        Raises:
            UnsoundError: If a module has forward hooks.
        """
        found: list[object] = []
        refuse_forward_hooks(*(modules := list(self.modules())))
        for module in modules:
            own = vars(module)
            found += type(module), module.training, own.get("forward")
            found.append(None if module is self else own.get("_compiled_call_impl"))
            found += [pair for pair in own.items() if pair[0][0] != "_" and isinstance(pair[1], _OPTIONS)]
            for tensors in (module._parameters, module._buffers):
                found += [(type(tensor), tensor.dtype) for tensor in tensors.values() if tensor is not None]
        return found


def certified_program(model: nn.Module, image: tuple[int, ...] | None = None, *, block: int | None = BLOCK) -> Program:
    """The float32 program of a model that `certified_radius(..., arithmetic="executed")` speaks of.

    Args:
        model: As for `onelip.freeze`.
        image: As for `onelip.freeze`.
        block: Input channels that a convolution or linear layer sums over at a time, or as many as it has: fewer of
            them round less. None for all at once, as torch's do. The terms of SOC's series sum over a quarter of a
            block, half a block, and so on, each over twice as many as the one before, rounded down, and over 1 at
            least.

    Raises:
        UnsoundError: If the model is not in float32, or how a module rounds is not known, even in float64.
        ValueError: As `onelip.freeze` raises it, or if the block is no positive integer, and not None.
    """
    checked_block(block)
    if image is None and isinstance(model, ImageModel):
        image = model.image
    frozen = freeze(model, image)
    assert image is not None, "freeze has asked for it"
    return Program(frozen, image, block=block)


def _executed(module: nn.Module, block: int | None, made: dict[int, nn.Module]) -> nn.Module:
    """The modules of a float32 program in the places of those of a frozen model; one that is used twice stays one."""
    if id(module) not in made:
        made[id(module)] = _replaced(module, block, made)
    return made[id(module)]


def _replaced(module: nn.Module, block: int | None, made: dict[int, nn.Module]) -> nn.Module:
    if type(module) in (nn.Sequential, Sum, nn.ModuleList):
        for name, child in module._modules.items():
            if child is not None:
                module._modules[name] = _executed(child, block, made)
        return module
    if not has_rounding(module):
        raise UnsoundError(f"how {type(module).__module__}.{type(module).__qualname__} rounds is not known")
    if isinstance(module, nn.Conv2d):
        return executed_convolution(module, block)
    if isinstance(module, nn.Linear):
        return executed_linear(module, block)
    if isinstance(module, FrozenLayer):
        return executed_layer(module, block)
    return module if type(module) is Center or is_exact(module) else Widened(module)
