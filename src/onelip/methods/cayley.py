"""Cayley layers: Trockman & Kolter, ICLR 2021, arXiv 2104.07167.

At every frequency the spectral matrix of a free kernel is mapped to a semi-unitary one by the Cayley transform
[(I + A)^-1 (I - A); -2 V (I + A)^-1], A = U - U^H + V^H V. The transform is applied to alpha W / ||W||_F with a
learnable scalar alpha. The resulting convolution has full support on the image, so its weights belong to one size.

In eval mode the matrices are divided by a proved bound of their norm where rounding pushed it above 1 (large weights
make I + A ill-conditioned).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..cost import ConvShape, Cost, Theory, spectral_cost
from ..linalg.orthogonal import cayley, cayley_numbers
from ..method import Method, Traits
from ..nn.base import Role, Weights
from ..nn.kernel import uniform_bias
from ..nn.linear import PointwiseLinear
from ..nn.spectral import WeightSpectralConv2d


class CayleyConv2d(WeightSpectralConv2d):
    """Orthogonal convolution by a Cayley transform per frequency; any numbers of channels."""

    alpha: nn.Parameter

    def raw_shapes(self) -> dict[str, tuple[int, ...]]:
        """The free kernel and its norm."""
        return {**super().raw_shapes(), "alpha": ()}

    @torch.no_grad()
    def reset_parameters(self, role: Role = "block") -> None:
        """As `nn.Conv2d` does; alpha is the norm of the kernel."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        self.alpha.copy_(self.weight.norm())
        uniform_bias(self, self.inner_channels * self.kernel_size**2)

    def free_kernel(self, raw: Weights) -> Tensor:
        """Alpha W / ||W||_F."""
        weight, alpha = raw
        norm = torch.linalg.vector_norm(weight, dim=(-4, -3, -2, -1)).clamp(min=torch.finfo(weight.dtype).tiny)
        return weight * (alpha / norm)[..., None, None, None, None]

    def spectral(self, matrices: Tensor, raw: Weights) -> Tensor:
        """The Cayley transform."""
        return cayley(matrices)


class CayleyLinear(PointwiseLinear, CayleyConv2d):
    """Orthogonal linear layer by a Cayley transform."""


def _transform(rows: int, columns: int) -> int:
    tall, small = max(rows, columns), min(rows, columns)
    rest = tall - small
    return small**3 + 2 * rest * small**2


def cost(shape: ConvShape) -> Cost:
    """Fourier transforms and one product per frequency; construction is one inverse per frequency."""
    sides = shape.out_channels, shape.in_channels
    return spectral_cost(shape, _transform(*sides), kept_per_frequency=cayley_numbers(*sides))


THEORY = Theory(
    training="2 b s^2 c^2 + 6 b s^3 c",
    inference="2 b s^2 c^2 + 6 b s^3 c",
    construction="2 s^2 c^3 + k^2 s^2 c^2",
    training_memory="M",
    construction_memory="3 s^2 c^2",
    inference_memory="2M",
    weights_memory="s^2 c^2",
    departs=(
        "Of the images half the spectrum is kept, and not the images; up to sides of 64 they are transformed by "
        "products. Of the construction the spectral "
        "matrices, the inverse and the weights are kept; matrices of more than 64 rows are "
        "inverted in blocks, which keep up to two and a half times as much."
    ),
)

CAYLEY = Method(
    name="cayley",
    title="Cayley",
    cite="trockman2021orthogonalizing",
    summary="Cayley transform of the spectral matrix at every frequency",
    conv2d=CayleyConv2d,
    linear=CayleyLinear,
    cost=cost,
    traits=Traits(orthogonal=True, image_bound=True),
    theory=THEORY,
)
