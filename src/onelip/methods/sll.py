"""SLL, SDP-based Lipschitz layers: Araujo, Havens, Delattre, Allauzen & Hu, ICLR 2023, arXiv 2303.03169.

The layer is x - K^T T relu(K x + b) with the diagonal T_ii = 2 / (sum_j |K K^T|_ij q_j / q_i) for any q > 0
(learnable); the sum runs over channels and positions of the self-convolution. By diagonal dominance
||sqrt(T) K||^2 <= 2 (Theorem 3 there), on images of any size with either padding. Epsilons stand where they make T
smaller.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from ..cost import ConvShape, Cost, Theory, residual_memory
from ..linalg.conv import Image, Padding
from ..linalg.correlation import absolute_correlation
from ..method import Method, Traits
from ..nn.base import Role, Weights
from ..nn.kernel import uniform_bias
from ..nn.linear import PointwiseLinear
from ..nn.residual import ResidualConv2d

EPSILON = 1e-6


def sll_scale(kernel_OIKK: Tensor, q_O: Tensor) -> Tensor:
    """The diagonal of T, shape (..., O), from kernels (..., O, I, K, K) and raw q (..., O) of any sign."""
    q_O = q_O.abs() + EPSILON
    return 2 / ((absolute_correlation(kernel_OIKK) @ q_O[..., None])[..., 0] / q_O + EPSILON)


class SLLConv2d(ResidualConv2d):
    """SDP-based Lipschitz layer; bias inside the activation."""

    default_padding: ClassVar[Padding] = "zeros"
    q: nn.Parameter

    def raw_shapes(self) -> dict[str, tuple[int, ...]]:
        """The kernel and q."""
        return {**super().raw_shapes(), "q": (self.channels,)}

    def reset_parameters(self, role: Role = "block") -> None:
        """Xavier normal kernels, q normal, bias uniform."""
        nn.init.xavier_normal_(self.weight)
        nn.init.normal_(self.q)
        uniform_bias(self, self.channels * self.kernel_size**2)

    def depends_on_image(self) -> bool:
        """The scale holds for all image sizes."""
        return False

    def scale(self, raw: Weights, image: Image) -> Tensor:
        """The diagonal of T, shape (..., C); in eval mode taken in float64."""
        kernel, q = raw if self.training else (tensor.to(torch.float64) for tensor in raw)
        return (sll_scale(kernel, q) * (1 - 2 * torch.finfo(raw[0].dtype).eps)).to(raw[0].dtype)


class SLLLinear(PointwiseLinear, SLLConv2d):
    """SDP-based Lipschitz layer on vectors."""


def cost(shape: ConvShape) -> Cost:
    """Two convolutions; construction is the self-convolution of the kernel and a product with q."""
    channels = max(shape.in_channels, shape.out_channels)
    taps = (2 * shape.kernel_size - 1) ** 2 * shape.kernel_size**2
    construction = channels**3 * taps + channels**2
    memory = residual_memory(shape, construction=channels**2 * ((2 * shape.kernel_size - 1) ** 2 + 1))
    return Cost(training=2 * shape.square, inference=2 * shape.square, construction=construction, memory=memory)


THEORY = Theory(
    training="2C",
    inference="2C",
    construction="c^3 k^2 (2k-1)^2",
    training_memory="2M + P",
    construction_memory="c^2 (2k-1)^2 + c^2",
    inference_memory="3M + 2P",
    weights_memory="0",
    departs=(
        "Products with the zeros around the kernel are counted. The input and the output of the ReLU are kept, and the "
        "scaled kernel."
    ),
)

SLL = Method(
    name="sll",
    title="SLL",
    stands_for="SDP-based Lipschitz layers",
    cite="araujo2023unified",
    summary="x - K^T T relu(K x + b) with a diagonal T from the self-convolution of K and a learnable q",
    conv2d=SLLConv2d,
    linear=SLLLinear,
    cost=cost,
    traits=Traits(nonlinear=True),
    theory=THEORY,
)
