"""Residual layers x - K^T T relu(K x + b) with a diagonal T >= 0: 1-Lipschitz where ||sqrt(T) K||^2 <= 2."""

from __future__ import annotations

import abc
import math

import torch
from torch import Tensor, nn

from ..bound import Bound
from ..errors import UnsoundError
from ..linalg.conv import Image
from ..linalg.convolve import convolve, convolve_transposed
from ..linalg.proof import conv_largest_norm_bound
from ..linalg.rounding import TINY, UP, Computed, absolute_norm, convolution_rounding, gamma, length
from .base import LipschitzModule, Weights
from .blocked import BlockedResidual
from .executed import register_executed
from .reshape import fit_channels

ENOUGH = 2**0.5 * (1 - 1e-12)
"""Norms of sqrt(T) K up to which the layer's bound is 1."""
DOWN = 1 - 1e-14


class ResidualConv2d(LipschitzModule):
    """A residual layer with a square kernel of C = max(inner input channels, output channels).

    Fewer input channels are padded with zeros; of more, the first `out_channels` outputs are kept. Both are
    compressions, so the bound stands. The bias sits inside the activation.

    The Jacobian is I - K^T T D K with a diagonal 0 <= D <= 1, whose eigenvalues lie in [1 - ||sqrt(T) K||^2, 1].
    """

    weight: nn.Parameter

    @property
    def channels(self) -> int:
        """Channels of the square construction."""
        return max(self.inner_channels, self.out_channels)

    @property
    def bias_channels(self) -> int:
        """One bias per hidden channel."""
        return self.channels

    @abc.abstractmethod
    def scale(self, raw: Weights, image: Image) -> Tensor:
        """The diagonal of T, shape (..., C), or (..., 1) for a multiple of the identity, from stacked parameters."""

    def raw_shapes(self) -> dict[str, tuple[int, ...]]:
        """The kernel K."""
        return {"weight": (self.channels, self.channels, self.kernel_size, self.kernel_size)}

    def construct(self, raw: Weights, image: Image) -> Weights:
        """Two weights: K and the diagonal of T."""
        return raw[0], self.scale(raw, image)

    def apply_weights(self, x_BIHW: Tensor, weights: Weights) -> Tensor:
        """The residual step."""
        kernel, scale = weights
        x_BCHW = fit_channels(x_BIHW, self.channels)
        hidden = convolve(x_BCHW, kernel, self.bias, self.padding_mode).relu_()
        update = convolve_transposed(hidden, kernel * -scale[:, None, None, None], self.padding_mode)
        # Under autocast the update has fewer bits than the sum.
        total = update.add_(x_BCHW) if update.dtype == x_BCHW.dtype else update + x_BCHW
        return total[:, : self.out_channels]

    def rounding(self, x: Computed, weights: Weights, image: Image, norm: float) -> Computed:
        """Both convolutions, the product with T, and the difference; ReLU is exact.

        ||sqrt(T) K||^2 <= 1 + norm, so that ||K|| and ||K^T T|| are at most its root over and times sqrt(T).
        """
        kernel, scale = weights
        pixels, scaled, root_T = math.prod(image), kernel * scale[:, None, None, None], scale.sqrt()
        root = math.sqrt(1 + norm) * UP
        there, back = absolute_norm(kernel), absolute_norm(scaled)
        there_norm = min(there, root / max(float(root_T.amin()), TINY) * UP)
        back_norm = min(back, root * float(root_T.amax()) * UP)
        hidden = convolution_rounding(x.as_given, kernel, self.bias, pixels, there_norm)
        charge = gamma(kernel.shape[0] * kernel.shape[2] ** 2 + 4)
        local = x.as_given.plus(hidden.linear(norm=back_norm, rounding=charge * back)).error
        return x.through(norm=norm, shift=back_norm * length(self.bias, pixels), local=local)

    def realised_bound(self, weights: Weights, image: Image, *, enough: float = 0.0) -> Bound:
        """The bound max(1, ||sqrt(T) K||^2 - 1), K and T as realised."""
        kernel, scale = (tensor.to(torch.float64) for tensor in weights)
        if not bool((scale >= 0).all()):
            raise UnsoundError("the diagonal of T holds a negative number or NaN")
        root = scale.sqrt()[:, None, None, None]
        norm, _ = conv_largest_norm_bound(
            kernel * root, image, self.padding_mode, enough=max(ENOUGH, math.sqrt(enough + 1) * DOWN)
        )
        norm *= 1 + 1e-15
        why = f"max(1, ||sqrt(T) K||^2 - 1) with ||sqrt(T) K|| <= {norm:.9f}"
        return Bound(max(1.0, float(Bound(norm, why)) ** 2 * (1 + 1e-15) - 1.0), why)


@register_executed(ResidualConv2d)  # type: ignore[type-abstract]
def _executed(layer: ResidualConv2d, weights: Weights, block: int | None) -> nn.Module:
    kernel, scale = weights
    scale = scale.expand(layer.channels)
    return BlockedResidual(
        kernel, scale, layer.bias, out_channels=layer.out_channels, padding=layer.padding_mode, block=block
    )
