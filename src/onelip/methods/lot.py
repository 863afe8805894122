"""LOT, layer-wise orthogonal training: Xu, Li & Li, NeurIPS 2022, arXiv 2210.11620.

At every frequency the spectral matrix V of a free kernel is replaced by (V V^H)^(-1/2) V, its polar factor. The paper
approximates it by Newton iterations; here it is taken from a singular value decomposition with an analytic derivative,
so that it is exact for every V, the identity initialisation with its repeated singular values included.

With zero padding (the paper's) the image is padded by k // 2 zeros, convolved circularly at that size, and cropped.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from ..cost import ConvShape, Cost, Theory, spectral_cost
from ..linalg.conv import Padding
from ..linalg.orthogonal import polar
from ..method import Method, Traits
from ..nn.base import Role, Weights
from ..nn.kernel import zero_bias
from ..nn.linear import PointwiseLinear
from ..nn.spectral import WeightSpectralConv2d


class LOTConv2d(WeightSpectralConv2d):
    """Orthogonal convolution by a polar factor per frequency; any numbers of channels."""

    default_padding: ClassVar[Padding] = "zeros"

    def reset_parameters(self, role: Role = "block") -> None:
        """Identity (Dirac) kernels; bias 0."""
        nn.init.dirac_(self.weight)
        zero_bias(self)

    def spectral(self, matrices: Tensor, raw: Weights) -> Tensor:
        """The polar factor."""
        return polar(matrices)


class LOTLinear(PointwiseLinear, LOTConv2d):
    """Orthogonal linear layer by a polar factor."""


def cost(shape: ConvShape) -> Cost:
    """Fourier transforms and one product per frequency; construction is one decomposition per frequency."""
    rows, columns = shape.out_channels, shape.in_channels
    small = min(rows, columns)
    return spectral_cost(shape, (8 + 1) * rows * columns * small, kept_per_frequency=(rows + columns) * small)


THEORY = Theory(
    training="2 b s^2 c^2 + 6 b s^3 c",
    inference="2 b s^2 c^2 + 6 b s^3 c",
    construction="18 s^2 c^3 + k^2 s^2 c^2",
    training_memory="M",
    construction_memory="4 s^2 c^2",
    inference_memory="2M",
    weights_memory="s^2 c^2",
    departs=(
        "One decomposition in place of t iterations, of half the spectrum. Of the images half the spectrum is kept, "
        "and not the images; up to sides of 64 they are transformed by products."
    ),
    iterations=(("t", 10),),
)

LOT = Method(
    name="lot",
    title="LOT",
    stands_for="layer-wise orthogonal training",
    cite="xu2022lot",
    summary="polar factor of the spectral matrix at every frequency",
    conv2d=LOTConv2d,
    linear=LOTLinear,
    cost=cost,
    traits=Traits(orthogonal=True, image_bound=True),
    theory=THEORY,
)
