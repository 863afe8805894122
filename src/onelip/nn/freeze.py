"""Inference models: constructed weights in plain modules, without the construction."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from ..bound import Bound
from ..errors import UnsoundError, UnsupportedShapeError
from ..linalg.conv import Image, Padding
from ..linalg.convolve import circular_pad
from ..linalg.precision import refuse_emulation
from ..linalg.rounding import Computed
from .memo import Memo
from .refusals import children, in_eval_mode, refuse_hooks, refuse_inherited, refuse_other_path

if TYPE_CHECKING:
    from .base import LipschitzModule


class CircularConv2d(nn.Conv2d):
    """`nn.Conv2d` with circular padding of any amount, also for kernels larger than the image."""

    def forward(self, input: Tensor) -> Tensor:
        """Images of the same height and width."""
        return super().forward(circular_pad(input, self.kernel_size[0] // 2))


def same_padding(module: nn.Conv2d) -> Padding:
    """How a plain convolution pads that keeps the size of images, as layers of onelip do.

    Raises:
        UnsoundError: It has options that no layer has.
    """
    size, circular = module.kernel_size[0], isinstance(module, CircularConv2d)
    if circular and module.padding_mode != "zeros":
        raise UnsoundError(
            f"no proved bound is known for this CircularConv2d: it pads by {module.padding_mode} besides"
        )
    plain = module.stride == (1, 1) and module.dilation == (1, 1) and module.groups == 1
    square = module.kernel_size == (size, size) and size % 2 == 1
    # What circular padding is applied is kept apart from `padding`, which only shows it.
    applied = module.padding_mode == "zeros" or list(module._reversed_padding_repeated_twice) == [size // 2] * 4
    margins = ((0, 0),) if circular else ((size // 2, size // 2), "same")
    known = module.padding_mode in ("zeros", "circular") and module.padding in margins
    if not (plain and square and applied and known):
        raise UnsoundError(f"no proved bound is known for this {type(module).__name__}: {module.extra_repr()}")
    return "circular" if circular or module.padding_mode == "circular" else "zeros"


def frozen_conv2d(kernel_OIKK: Tensor, bias_O: Tensor | None, *, padding_mode: Padding, stride: int) -> nn.Module:
    """A plain convolution with a given kernel; a pixel unshuffle goes before it where the stride is not 1."""
    out_channels, in_channels, size, _ = kernel_OIKK.shape
    kind = CircularConv2d if padding_mode == "circular" and size > 1 else nn.Conv2d
    padding = size // 2 if kind is nn.Conv2d else 0
    conv = kind(in_channels, out_channels, size, padding=padding, bias=bias_O is not None, device="meta")
    conv.weight = nn.Parameter(kernel_OIKK.detach().clone(), requires_grad=False)
    if bias_O is not None:
        conv.bias = nn.Parameter(bias_O.detach().clone(), requires_grad=False)
    return conv if stride == 1 else nn.Sequential(nn.PixelUnshuffle(stride), conv)


def as_linear(module: nn.Module) -> nn.Module:
    """The `nn.Linear` that does on vectors what a 1x1 `nn.Conv2d` does on 1x1 images; other modules as they are."""
    if not isinstance(module, nn.Conv2d):
        return module
    linear = nn.Linear(module.in_channels, module.out_channels, bias=module.bias is not None, device="meta")
    linear.weight = nn.Parameter(module.weight.detach().flatten(1), requires_grad=False)
    linear.bias = cast("nn.Parameter", module.bias)
    return linear


class FrozenLayer(nn.Module):
    """A layer with its constructed weights as buffers, for images of one size (any size where none was needed).

    Args:
        layer: The layer that the weights belong to; it is copied without its raw parameters.
        weights: Its constructed weights.
        image: Height and width of the inputs that they were constructed for.

    Raises:
        UnsupportedShapeError: In use, on images of another size where the construction depends on it.
    """

    def __init__(self, layer: LipschitzModule, weights: tuple[Tensor, ...], image: Image) -> None:
        super().__init__()
        self.image = image if layer.depends_on_image() else None
        # As copy.copy does, which refuses layers with parametrizations.
        skeleton = type(layer).__new__(type(layer))
        skeleton.__dict__.update(vars(layer) | {"_parameters": {}, "_buffers": {}, "_modules": {}})
        skeleton.__dict__.pop("_compiled_call_impl", None)
        skeleton.__dict__["_memo"] = Memo()
        bias = layer.bias
        skeleton.register_parameter("bias", None if bias is None else nn.Parameter(bias.detach().clone(), False))
        skeleton.train(False)
        self.skeleton = skeleton
        for index, tensor in enumerate(weights):
            self.register_buffer(f"weight{index}", tensor.detach().clone())
        self.count = len(weights)

    def weights(self) -> tuple[Tensor, ...]:
        """The constructed weights."""
        return tuple(self.get_buffer(f"weight{index}") for index in range(self.count))

    def train(self, mode: bool = True) -> FrozenLayer:
        """Sets the mode of the module; what it computes is that of eval mode in either."""
        super().train(mode)
        self.skeleton.train(False)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """As the layer itself in eval mode."""
        if self.image is not None:
            self._check(tuple(x.shape[-2:]))
        # Not through a call: what a class may have done to that is not what the weights say.
        return self.skeleton.forward(x, self.weights())

    def bound(self, image: Image, *, enough: float = 0.0) -> Bound:
        """Proved bound of the operator that the buffers realise, on images of one size.

        Raises:
            UnsoundError: If the environment has float64 emulated.
        """
        refuse_emulation()
        self._check(image)
        return self.skeleton.realised_bound(self.weights(), self.skeleton.inner_image(image), enough=enough)

    def rounding(self, x: Computed, image: Image, norm: float) -> Computed:
        """What is known of the output in float64, see `LipschitzModule.rounding`."""
        return self.skeleton.rounding(x, self.weights(), self.skeleton.inner_image(image), norm)

    def _check(self, image: tuple[int, ...]) -> None:
        if self.image is not None and tuple(image) != tuple(self.image):
            size = "x".join(map(str, self.image))
            raise UnsupportedShapeError(f"this layer was frozen for images of {size}, not {'x'.join(map(str, image))}")


def applied_layer(layer: LipschitzModule, shape: tuple[int, ...]) -> FrozenLayer:
    """A layer as it applies the weights that it constructs anew for inputs of one shape, (C, H, W) or (..., C)."""
    from .linear import PointwiseLinear

    vectors = isinstance(layer, PointwiseLinear)
    if not vectors and len(shape) != 3:
        raise UnsupportedShapeError(f"{type(layer).__name__} takes images (C, H, W), not {shape}")
    image = (1, 1) if vectors else (shape[1], shape[2])
    return FrozenLayer(layer, layer.realise(image), image)


class ImageModel(nn.Module):
    """Base of models that know the shape of the images they take."""

    image: tuple[int, int, int]

    def plain(self) -> nn.Module:
        """The model without what only construction needs, once its layers are frozen; by default the model itself."""
        return self


def freeze(model: nn.Module, image: tuple[int, ...] | None = None) -> nn.Module:
    """Turns a model into an inference model of plain layers with constructed weights.

    Kernel methods become `nn.Conv2d` (with our circular padding where needed); other layers keep their constructed
    weights as buffers. The result is a copy in eval mode, exportable, without parameters that require gradients.

    Args:
        model: A layer, `ConvNet`, or any module that contains layers.
        image: Shape (C, H, W) of the images, or (C,) of vectors; needed where the model does not know it.

    Returns:
        The inference model.

    Raises:
        ValueError: If the image shape is needed and not given, or a layer is used at two image sizes.
        UnsoundError: If a module has forward hooks or stays in training mode, or a layer has a forward of its own or
            another way to apply its weights than its frozen form, which would be lost, or a module of a sequence is
            None.
    """
    from .base import LipschitzModule

    if image is None:
        if not isinstance(model, ImageModel):
            raise ValueError("freeze(model, image=...) needs the shape (C, H, W) of the images for this model")
        image = model.image
    for name, module in model.named_modules():
        refuse_hooks(module)
        if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
            list(children(module, name))
    copied = in_eval_mode(copy.deepcopy(model))
    kept = {id(module.skeleton) for module in copied.modules() if isinstance(module, FrozenLayer)}
    layers = [m for m in copied.modules() if isinstance(m, LipschitzModule) and id(m) not in kept]
    for layer in layers:
        refuse_other_path(layer)
        _refuse_other_frozen(type(layer))
    probes = {id(layer): _Probe(layer) for layer in layers}
    probing = _replace(copied, probes)
    tensors = (*copied.parameters(), *copied.buffers())
    first = next((tensor for tensor in tensors if tensor.is_floating_point()), torch.empty(0))
    with torch.no_grad():
        probing(torch.zeros(1, *image, dtype=first.dtype, device=first.device))
    frozen = {id(probe): probe.frozen for probe in probes.values() if probe.frozen is not None}
    if len(frozen) < len(probes):
        unused = len(probes) - len(frozen)
        raise ValueError(f"freeze: {unused} layers were not used in a forward pass on images {tuple(image)}")
    return _plain(_replace(probing, frozen)).eval().requires_grad_(False)


def _refuse_other_frozen(kind: type[LipschitzModule]) -> None:
    from .base import LipschitzModule
    from .linear import PointwiseLinear

    # The base freezes any layer as it is; only families that freeze to something else can be wrong.
    if any("frozen" in vars(one) for one in kind.__mro__ if one not in (LipschitzModule, PointwiseLinear)):
        refuse_inherited(kind, "frozen")


class _Probe(nn.Module):
    """Stands in for a layer during one forward pass, in which it freezes the layer at the image size that it meets."""

    frozen: nn.Module | None

    def __init__(self, layer: LipschitzModule) -> None:
        super().__init__()
        self.layer, self.frozen = layer, None
        self.size: Image | None = None

    def forward(self, x: Tensor) -> Tensor:
        size = (x.shape[2], x.shape[3]) if x.dim() == 4 else (1, 1)
        if self.frozen is None:
            self.size, self.frozen = size, self.layer.frozen(size)
        if size != self.size:
            raise ValueError(f"a layer is used at two image sizes, {self.size} and {size}; freeze needs one")
        result: Tensor = self.frozen(x)
        return result


def _replace(module: nn.Module, others: Mapping[int, nn.Module]) -> nn.Module:
    if id(module) in others:
        return others[id(module)]
    if isinstance(module, _Probe):  # of a container that is met a second time
        return module
    for name, child in module._modules.items():
        if child is not None:
            module._modules[name] = _replace(child, others)
    return module


def _plain(module: nn.Module) -> nn.Module:
    for name, child in module._modules.items():
        if child is not None:
            module._modules[name] = _plain(child)
    return module.plain() if isinstance(module, ImageModel) else module
