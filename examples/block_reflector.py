"""BRO, block reflector orthogonal layers: a method written outside the package, in one file.

At every frequency the spectral matrix V (C x R, R = C // 2) of a free kernel gives the reflector
I - 2 V (V^H V)^-1 V^H, which is unitary for every V of full rank (Lai, Huang, Kung & Chen, ICML 2025,
arXiv 2505.15174). The projector onto the range of V is taken from its polar factor. Of a layer with fewer inputs or
outputs than C = max(inputs, outputs), the first columns or rows are kept.

It goes through everything that the built-in methods go through, without a line changed in the package:

    python examples/block_reflector.py
    onelip compare --data digits --methods aol --method examples.block_reflector:BRO --budget 5s --out bro
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

from onelip.cost import ConvShape, Cost, spectral_cost
from onelip.linalg.orthogonal import polar
from onelip.method import Method, Traits
from onelip.nn.base import Role, Weights
from onelip.nn.kernel import uniform_bias
from onelip.nn.linear import PointwiseLinear
from onelip.nn.spectral import SpectralConv2d


def block_reflector(matrices: Tensor) -> Tensor:
    """I - 2 V (V^H V)^-1 V^H, shape (..., C, C), of tall matrices V (..., C, R)."""
    frame = polar(matrices)
    identity = torch.eye(frame.shape[-2], dtype=frame.dtype, device=frame.device)
    return identity - 2 * frame @ frame.mH


class BROConv2d(SpectralConv2d):
    """Orthogonal convolution by a block reflector per frequency; any numbers of channels."""

    default_padding = "zeros"
    weight: nn.Parameter

    def raw_shapes(self) -> dict[str, tuple[int, ...]]:
        """The free kernel, of C outputs and R inputs."""
        channels = max(self.inner_channels, self.out_channels)
        return {"weight": (channels, max(1, channels // 2), self.kernel_size, self.kernel_size)}

    def reset_parameters(self, role: Role = "block") -> None:
        """Normal kernels, bias uniform."""
        nn.init.normal_(self.weight, std=self.inner_channels**-0.5)
        uniform_bias(self, self.inner_channels)

    def free_kernel(self, raw: Weights) -> Tensor:
        """The parameter itself."""
        return raw[0]

    def spectral(self, matrices: Tensor, raw: Weights) -> Tensor:
        """The reflector, cut to outputs x inputs."""
        return block_reflector(matrices)[..., : self.out_channels, : self.inner_channels]


class BROLinear(PointwiseLinear, BROConv2d):
    """Orthogonal linear layer by a block reflector."""


def cost(shape: ConvShape) -> Cost:
    """Fourier transforms and a product per frequency; construction is a decomposition and a product."""
    channels = max(shape.in_channels, shape.out_channels)
    rank = max(1, channels // 2)
    reflector = 9 * channels * rank**2 + channels**2 * rank
    kept = (channels + rank) * rank + 2 * channels * rank
    return spectral_cost(shape, reflector, kernel_channels=channels * rank, kept_per_frequency=kept)


BRO = Method(
    name="bro",
    title="BRO",
    cite="lai2025enhancing",
    summary="block reflector of the spectral matrix at every frequency",
    conv2d=BROConv2d,
    linear=BROLinear,
    cost=cost,
    traits=Traits(orthogonal=True, image_bound=True),
)

if __name__ == "__main__":
    from onelip.testing import check_method

    check_method(BRO)
    print("BRO keeps the contract", file=sys.stderr)
