"""CPL, convex potential layers: Meunier, Delattre, Araujo & Allauzen, ICML 2022, arXiv 2110.12690.

The layer is x - (2 / ||K||^2) K^T relu(K x + b), a step of gradient descent on a convex potential; it is 1-Lipschitz
because its Jacobian I - (2 / ||K||^2) K^T D K, 0 <= D <= 1, has eigenvalues in [-1, 1].

||K|| is the norm at the real image size: in eval mode a proved upper bound, in training mode an estimate by Lanczos
with a fixed start (no state is kept). With zero padding both speak of the covering torus, see
`onelip.linalg.conv.torus`.

On a torus no smaller than the kernel ||K|| >= ||K||_F / sqrt(c), as the mean over frequencies shows. On a smaller one
the taps of a folded kernel may cancel, and 2 / ||K||^2 would amplify rounding without limit; a floor of a tenth of that
value prevents it. It makes the layer smaller, never larger.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from ..cost import ConvShape, Cost, Theory, residual_memory
from ..linalg.conv import Image, Padding, torus
from ..linalg.estimates import conv_norm_estimate, conv_norm_estimate_macs
from ..linalg.operators import conv_norm_bound
from ..method import Method, Traits
from ..nn.base import Role, Weights
from ..nn.kernel import uniform_bias
from ..nn.linear import PointwiseLinear
from ..nn.residual import ResidualConv2d

LARGEST_SCALE = 1e30
FLOOR = 0.1
KRYLOV_STEPS, REFINING_STEPS = 6, 16


def cpl_scale(norm: Tensor) -> Tensor:
    """2 / ||K||^2, rounded so that it is never too large, and finite for a zero kernel."""
    squared = norm.square().clamp(min=2 / LARGEST_SCALE)
    return (2 / squared) * (1 - 4 * torch.finfo(norm.dtype).eps)


class CPLConv2d(ResidualConv2d):
    """Convex potential layer; bias inside the activation."""

    default_padding: ClassVar[Padding] = "zeros"

    def reset_parameters(self, role: Role = "block") -> None:
        """Xavier normal kernels, bias uniform."""
        nn.init.xavier_normal_(self.weight)
        uniform_bias(self, self.channels * self.kernel_size**2)

    def depends_on_image(self) -> bool:
        """The norm of a kernel does, but for 1x1 kernels."""
        return self.kernel_size > 1

    def scale(self, raw: Weights, image: Image) -> Tensor:
        """One number per layer, shape (..., 1)."""
        if self.training:
            norm = conv_norm_estimate(raw[0], image, self.padding_mode, steps=KRYLOV_STEPS, refining=REFINING_STEPS)
        else:
            norm = conv_norm_bound(raw[0], image, self.padding_mode)
        floor = FLOOR * self.channels**-0.5 * torch.linalg.vector_norm(raw[0], dim=(-4, -3, -2, -1))
        scale = cpl_scale(norm.maximum(floor)) * (1 - 2 * torch.finfo(raw[0].dtype).eps)
        return scale[..., None].to(raw[0].dtype)


class CPLLinear(PointwiseLinear, CPLConv2d):
    """Convex potential layer on vectors."""


def cost(shape: ConvShape) -> Cost:
    """Two convolutions; construction is a few steps of Lanczos at every frequency, and more at one."""
    channels = max(shape.in_channels, shape.out_channels)
    around = torus((shape.height, shape.width), shape.kernel_size, shape.padding)
    construction = conv_norm_estimate_macs(channels, shape.kernel_size, around, KRYLOV_STEPS, REFINING_STEPS)
    memory = residual_memory(shape, construction=4 * channels**2 if shape.kernel_size > 1 else 0)
    return Cost(training=2 * shape.square, inference=2 * shape.square, construction=construction, memory=memory)


THEORY = Theory(
    training="2C",
    inference="2C",
    construction="24 s^2 c^2 + 2 s^2 c^2 k^2",
    training_memory="2M + P",
    construction_memory="4c^2",
    inference_memory="3M + 2P",
    weights_memory="0",
    departs=(
        "Lanczos at every frequency in place of a power iteration on images. The input and the output of the ReLU are "
        "kept, and the scaled kernel."
    ),
)

CPL = Method(
    name="cpl",
    title="CPL",
    stands_for="convex potential layers",
    cite="meunier2022dynamical",
    summary="x - (2 / ||K||^2) K^T relu(K x + b) with the kernel's norm",
    conv2d=CPLConv2d,
    linear=CPLLinear,
    cost=cost,
    traits=Traits(nonlinear=True, image_bound=True),
    theory=THEORY,
    revision=3,
)
