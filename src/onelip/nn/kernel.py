"""Layers that are an ordinary convolution with a constructed kernel."""

from __future__ import annotations

import abc
import math

import torch
from torch import Tensor, nn

from ..bound import Bound
from ..linalg.conv import Image, Padding
from ..linalg.convolve import convolve
from ..linalg.proof import conv_largest_norm_bound
from ..linalg.rounding import Computed, convolution_rounding
from .base import LipschitzModule, Weights
from .blocked import BlockedConv2d
from .executed import register_executed
from .freeze import frozen_conv2d


def convolution_bound(kernel_OIKK: Tensor, image: Image, padding: Padding, *, enough: float = 0.0) -> Bound:
    """Proved bound of the norm of a convolution on images of one size, see `conv_largest_norm_bound`.

    Raises:
        UnsoundError: If the kernel is not finite.
    """
    value, way = conv_largest_norm_bound(kernel_OIKK, image, padding, enough=enough)
    return Bound(value, f"spectral norm of the kernel ({padding} padding, {image[0]}x{image[1]}), proved on its {way}")


class KernelConv2d(LipschitzModule):
    """A convolution whose kernel is a pure function of the raw parameters."""

    @abc.abstractmethod
    def kernel(self, raw: Weights) -> Tensor:
        """Kernels of shape (..., out_channels, inner_channels, K, K) from stacked raw parameters."""

    def depends_on_image(self) -> bool:
        """A kernel is one for all image sizes."""
        return False

    def construct(self, raw: Weights, image: Image) -> Weights:
        """One weight: the kernel."""
        return (self.kernel(raw),)

    def apply_weights(self, x_BIHW: Tensor, weights: Weights) -> Tensor:
        """The convolution."""
        return convolve(x_BIHW, weights[0], self.bias, self.padding_mode)

    def realised_bound(self, weights: Weights, image: Image, *, enough: float = 0.0) -> Bound:
        """The norm of the convolution, see `convolution_bound`."""
        return convolution_bound(weights[0], image, self.padding_mode, enough=enough)

    def rounding(self, x: Computed, weights: Weights, image: Image, norm: float) -> Computed:
        """As of any convolution."""
        return convolution_rounding(x, weights[0], self.bias, math.prod(image), norm)

    def frozen(self, image: Image) -> nn.Module:
        """A plain `nn.Conv2d` with the constructed kernel (circular padding and stride 2 around it)."""
        (kernel,) = self.realise(image)
        bias = None if self.bias is None else self.bias.detach()
        return frozen_conv2d(kernel, bias, padding_mode=self.padding_mode, stride=self.stride)


@register_executed(KernelConv2d)  # type: ignore[type-abstract]
def _executed(layer: KernelConv2d, weights: Weights, block: int | None) -> nn.Module:
    """As of the plain convolution that it is frozen to."""
    return BlockedConv2d(weights[0], layer.bias, padding=layer.padding_mode, block=block)


class WeightKernelConv2d(KernelConv2d):
    """A kernel method with one free kernel, `weight`, of the constructed kernel's own shape."""

    weight: nn.Parameter

    def raw_shapes(self) -> dict[str, tuple[int, ...]]:
        """The free kernel."""
        return {"weight": (self.out_channels, self.inner_channels, self.kernel_size, self.kernel_size)}

    def fan_in(self) -> int:
        """Inputs that one output sees."""
        return self.inner_channels * self.kernel_size**2


def zero_bias(layer: LipschitzModule) -> None:
    """Sets the bias to zero, if there is one."""
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def uniform_bias(layer: LipschitzModule, fan_in: int) -> None:
    """Draws the bias from U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)), if there is one."""
    if layer.bias is not None:
        limit = fan_in**-0.5
        nn.init.uniform_(layer.bias, -limit, limit)


@torch.no_grad()
def orthogonal_(matrices: Tensor) -> Tensor:
    """Fills each matrix of a stack (..., M, N) with a random semi-orthogonal one."""
    for matrix in matrices.view(-1, *matrices.shape[-2:]):
        if matrix.numel():
            nn.init.orthogonal_(matrix)
    return matrices
