"""Linear layers, as the convolutions of a method with a 1x1 kernel on a 1x1 image."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..errors import UnsupportedShapeError
from ..linalg.conv import Image
from .arguments import positive
from .base import LipschitzModule, Weights
from .refusals import sealed


@sealed
class PointwiseLinear(LipschitzModule):
    """A linear layer as the convolution with a 1x1 kernel on a 1x1 image; mixed in before a method's convolution.

    Args:
        in_features: Length of the input vectors.
        out_features: Length of the output vectors.
        bias: Whether a bias is added.
        device: Of the parameters.
        dtype: Of the parameters.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        in_features, out_features = positive("in_features", in_features), positive("out_features", out_features)
        super().__init__(in_features, out_features, 1, bias=bias, device=device, dtype=dtype)

    def forward(self, x: Tensor, weights: Weights | None = None) -> Tensor:
        """Applies the layer to vectors of shape (..., in_features); returns (..., out_features)."""
        if x.dim() < 1 or x.shape[-1] != self.in_channels:
            raise UnsupportedShapeError(f"expected vectors of shape (..., {self.in_channels}), got {tuple(x.shape)}")
        images = x.reshape(math.prod(x.shape[:-1]), self.in_channels, 1, 1)
        return super().forward(images, weights).reshape(*x.shape[:-1], self.out_channels)

    def frozen(self, image: Image) -> nn.Module:
        """As the convolution's, with an `nn.Linear` in the place of a plain 1x1 `nn.Conv2d`."""
        from .freeze import as_linear

        return as_linear(super().frozen((1, 1)))

    def extra_repr(self) -> str:
        """The arguments that the layer was made with."""
        return f"{self.in_channels}, {self.out_channels}, bias={self.bias is not None}"
