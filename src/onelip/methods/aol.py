"""AOL, almost-orthogonal layers: Prach & Lampert, ECCV 2022, arXiv 2208.03160.

The kernel P is rescaled per input channel: W = P D with D_ii = (sum_j |P^T P|_ij)^(-1/2), where the row sums run over
channels and positions of the self-convolution P^T P. Then ||W|| <= 1 on images of any size with either padding
(Theorem 1 and section 4 there). An epsilon inside the root makes the layer smaller, never larger.

Shapes: kernels O x I x K x K with leading dimensions over layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..cost import ConvShape, Cost, Theory, convolution_memory
from ..linalg.correlation import absolute_correlation
from ..method import Method, Traits
from ..nn.base import Role, Weights
from ..nn.kernel import WeightKernelConv2d, orthogonal_, zero_bias
from ..nn.linear import PointwiseLinear

EPSILON = 1e-6


def aol_kernel(kernel_OIKK: Tensor) -> Tensor:
    """Rescales the input channels of a kernel so that the convolution is 1-Lipschitz; shape (..., O, I, K, K)."""
    row_sums = absolute_correlation(kernel_OIKK.transpose(-4, -3)).sum(-1)
    return kernel_OIKK * (row_sums + EPSILON).rsqrt()[..., None, :, None, None]


class AOLConv2d(WeightKernelConv2d):
    """Almost-orthogonal convolution; any numbers of channels."""

    def reset_parameters(self, role: Role = "block") -> None:
        """Identity (Dirac) kernels, orthogonal ones for a network's first layer and head; bias 0."""
        if role == "block":
            nn.init.dirac_(self.weight)
        else:
            nn.init.zeros_(self.weight)
            middle = self.kernel_size // 2
            self.weight.data[..., middle, middle] = orthogonal_(torch.empty_like(self.weight[..., middle, middle]))
        zero_bias(self)

    def kernel(self, raw: Weights) -> Tensor:
        """W = P D; in eval mode the row sums are taken in float64."""
        kernel = raw[0] if self.training else raw[0].to(torch.float64)
        return aol_kernel(kernel).to(raw[0].dtype)


class AOLLinear(PointwiseLinear, AOLConv2d):
    """Almost-orthogonal linear layer."""


def cost(shape: ConvShape) -> Cost:
    """One convolution; construction is the self-convolution of the kernel."""
    taps = (2 * shape.kernel_size - 1) ** 2 * shape.kernel_size**2
    construction = shape.in_channels**2 * shape.out_channels * taps
    correlation = shape.in_channels**2 * (2 * shape.kernel_size - 1) ** 2
    memory = convolution_memory(shape, construction=correlation + shape.kernel, weights=shape.kernel)
    return Cost(training=shape.conv, inference=shape.conv, construction=construction, memory=memory)


THEORY = Theory(
    training="C",
    inference="C",
    construction="c^3 k^2 (2k-1)^2",
    training_memory="M",
    construction_memory="c^2 (2k-1)^2 + P",
    inference_memory="2M",
    weights_memory="P",
    departs="Products with the zeros around the kernel are counted; of the self-convolution, (2k-1)^2 taps are kept.",
)


AOL = Method(
    name="aol",
    title="AOL",
    stands_for="almost-orthogonal Lipschitz layers",
    cite="prach2022almost",
    summary="kernel rescaled per input channel by the row sums of its self-convolution",
    conv2d=AOLConv2d,
    linear=AOLLinear,
    cost=cost,
    traits=Traits(),
    theory=THEORY,
)
