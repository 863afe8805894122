"""The network of "1-Lipschitz Layers Compared" (Prach et al., CVPR 2024, arXiv 2311.16833), written once."""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ..bound import Bound
from ..certify.lipschitz import register_bound, sequential
from ..cost import ConvShape
from ..errors import UnknownNameError, UnsupportedShapeError
from ..linalg.conv import Image, Padding
from ..method import Method
from ..methods import METHODS
from ..nn.activations import MaxMin
from ..nn.base import LipschitzModule, Role, Weights
from ..nn.construct import construct_all
from ..nn.freeze import ImageModel
from ..nn.modes import initialise
from ..nn.reshape import Center, FitChannels
from .sizes import SIZES, width_of

LAYERS_PER_BLOCK = 5


def method_named(method: str | Method) -> Method:
    """The registered method of this name; a `Method` is returned as it is.

    Raises:
        UnknownNameError: If there is none; lists the names and the nearest.
    """
    if isinstance(method, Method):
        return method
    if method not in METHODS:
        near = difflib.get_close_matches(method.lower(), METHODS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UnknownNameError(f"method {method!r} is not one of {', '.join(METHODS)}{hint}")
    return METHODS[method]


class ConvNet(ImageModel, nn.Sequential):
    """Center, zero-pad to w channels, 1x1 convolution, log2(side) blocks, linear head, first `classes` outputs.

    A block on c channels is five times [convolution, MaxMin], then the first c / 2 channels, then a pixel unshuffle by
    2, so that c channels of side s become 2 c of side s / 2. The last block has 1x1 kernels. All weights of equal shape
    are constructed in one call per forward pass; in eval mode they are kept until a parameter changes.

    Args:
        method: Name of a registered method, or a `Method`.
        size: "XS", "S", "M", "L", or the width w as a number.
        classes: Number of logits.
        image: Shape (C, H, W) of the images: square, of side 8, 16, 32, 64, 128 or 256.
        kernel_size: Of the blocks but the last: 1, 3 or 5.
        padding: "circular", "zeros", or "paper" for the one that the method's paper uses.
        mean: Mean of each image channel, subtracted first; zeros by default.
        device: Of the parameters.
        dtype: Of the parameters.

    Attributes:
        method: The `Method`.
        width: Channels of the first block.
        padding: "circular" or "zeros".

    Raises:
        UnknownNameError: If method or size does not exist.
        UnsupportedShapeError: If the image does not fit, or the network would have too few channels.
    """

    def __init__(
        self,
        method: str | Method,
        *,
        size: str | int = "XS",
        classes: int,
        image: tuple[int, int, int],
        kernel_size: int = 3,
        padding: Literal["paper", "circular", "zeros"] = "paper",
        mean: Sequence[float] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.method = method_named(method)
        self.image, self.classes = _checked_image(image), classes
        self.width = width_of(size, image[1])
        _check_channels(self.width, image, classes)
        if padding not in ("paper", "circular", "zeros"):
            raise UnsupportedShapeError(f"padding={padding!r} is not one of 'paper', 'circular', 'zeros'")
        self.padding: Padding = self.method.padding if padding == "paper" else padding
        if mean is not None and len(mean) != image[0]:
            raise UnsupportedShapeError(f"mean has {len(mean)} numbers for {image[0]} image channels")
        self._build(kernel_size, (0.0,) * image[0] if mean is None else mean, {"device": device, "dtype": dtype})

    def _build(self, kernel_size: int, mean: Sequence[float], factory: dict[str, object]) -> None:
        channels, side = self.width, self.image[1]
        self.inner_images: list[Image] = []
        self.append(Center(mean, device=factory["device"], dtype=factory["dtype"]))  # type: ignore[arg-type]
        self.append(FitChannels(channels))
        self._append_conv(channels, 1, side, "first", factory)
        while side > 1:
            for _ in range(LAYERS_PER_BLOCK):
                self._append_conv(channels, kernel_size if side > 2 else 1, side, "block", factory)
            self.append(FitChannels(channels // 2))
            self.append(nn.PixelUnshuffle(2))
            channels, side = 2 * channels, side // 2
        self.append(nn.Flatten())
        head = self.method.linear(channels, channels, **factory)  # type: ignore[arg-type]
        initialise(head, "head")
        self.append(head)
        self.inner_images.append((1, 1))
        self.append(FitChannels(self.classes))

    def _append_conv(self, channels: int, size: int, side: int, role: Role, factory: dict[str, object]) -> None:
        layer = self.method.conv2d(channels, channels, size, padding_mode=self.padding, **factory)  # type: ignore[arg-type]
        initialise(layer, role)
        self.append(layer)
        self.append(MaxMin())
        self.inner_images.append((side, side))

    @property
    def layers(self) -> list[LipschitzModule]:
        """The parametrised layers, in order."""
        return [module for module in self if isinstance(module, LipschitzModule)]

    def construct(self) -> list[Weights]:
        """The weights of all layers, constructed in one call per group of equal shapes (or recalled in eval mode).

        No weights where the layers are frozen.
        """
        layers = self.layers
        return construct_all(layers, self.inner_images) if layers else []

    def plain(self) -> nn.Module:
        """A plain sequence of the same modules; of this very class only, since a subclass may compute otherwise."""
        return nn.Sequential(OrderedDict(self._modules)) if type(self) is ConvNet else self

    def conv_shapes(self, batch: int) -> list[ConvShape]:
        """The shape of each layer in use on a batch of this many images."""
        return [
            ConvShape(
                batch=batch,
                height=image[0],
                width=image[1],
                in_channels=layer.inner_channels,
                out_channels=layer.out_channels,
                kernel_size=layer.kernel_size,
                padding=layer.padding_mode,
            )
            for layer, image in zip(self.layers, self.inner_images, strict=True)
        ]

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits of shape (B, classes) of images of shape (B, C, H, W) with pixels in [0, 1]."""
        if tuple(x_BCHW.shape[1:]) != self.image:
            raise UnsupportedShapeError(f"expected images of shape (B, {self.image}), got {tuple(x_BCHW.shape)}")
        weights = iter(self.construct())
        x_BCHW = x_BCHW.contiguous(memory_format=torch.channels_last)
        for module in self:
            x_BCHW = module(x_BCHW, next(weights)) if isinstance(module, LipschitzModule) else module(x_BCHW)
        return x_BCHW

    def extra_repr(self) -> str:
        """Method, width, image and padding."""
        return f"method={self.method.name!r}, width={self.width}, image={self.image}, padding={self.padding!r}"


@register_bound(ConvNet)
def _network(module: ConvNet, shape: tuple[int, ...]) -> tuple[Bound, tuple[int, ...]]:
    if shape != module.image:
        raise UnsupportedShapeError(f"this network takes images of shape {module.image}, not {shape}")
    return sequential(module, shape)


def _checked_image(image: tuple[int, int, int]) -> tuple[int, int, int]:
    if len(image) != 3 or image[1] != image[2] or image[0] < 1:
        raise UnsupportedShapeError(f"the network takes square images (C, side, side), not {tuple(image)}")
    return image[0], image[1], image[2]


def _check_channels(width: int, image: tuple[int, int, int], classes: int) -> None:
    if width % 2:
        raise UnsupportedShapeError(f"width {width} must be even: each block keeps half of its channels")
    needed = max(image[0], -(-classes // image[1]))
    if not isinstance(classes, int) or classes < 1:
        raise UnsupportedShapeError(f"classes={classes!r} must be a positive integer")
    if width < image[0] or width * image[1] < classes:
        fitting = [name for name in SIZES if width_of(name, image[1]) >= needed]
        advice = f"the smallest size that works is {fitting[0]}" if fitting else f"use a width of at least {needed}"
        raise UnsupportedShapeError(
            f"width {width} is too small for {image[0]} image channels and {classes} classes; {advice}"
        )
