"""Dense references: the matrix of an operator, its norm, and a convolution written out entry by entry."""

from __future__ import annotations

import copy
import itertools
import math

import torch
from torch import Tensor, nn

from ..linalg.conv import Image, Padding
from ..method import Method
from ..nn.base import LipschitzModule
from .setting import Setting
from .subject import as_applied, inputs

LARGE = 2.0**60
SATURATING = 1e8
"""A bias that no input outweighs: it switches a ReLU on or off everywhere."""


@torch.no_grad()
def dense_operator(module: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """Matrix of an affine module without its constant, from its values on multiples of the unit vectors; float64.

    The multiple is a power of two so large that next to a bias no entry drowns in rounding.

    Args:
        module: Maps (B, *shape) to (B, ...), in float64.
        shape: Of one input.

    Returns:
        Shape (output values, input values).
    """
    size = math.prod(shape)
    basis = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
    return ((module(LARGE * basis) - module(torch.zeros_like(basis[:1]))) / LARGE).flatten(1).T


def jacobian(module: nn.Module, x: Tensor) -> Tensor:
    """Jacobian of a module at one input (1, ...), shape (output values, input values).

    The input is repeated once per output value: a layer that treats the images of a batch separately gives all rows in
    one backward pass.
    """
    with torch.enable_grad():
        outputs = module(x)[0].numel()
        repeated = x.detach().repeat(outputs, *[1] * (x.dim() - 1)).requires_grad_()
        diagonal = module(repeated).flatten(1).diagonal().sum()
        (rows,) = torch.autograd.grad(diagonal, repeated)
    return rows.flatten(1)


def spectral_norm(matrix: Tensor) -> float:
    """Largest singular value."""
    return float(torch.linalg.svdvals(matrix)[0])


def largest_slope(method: Method, layer: LipschitzModule, setting: Setting) -> float:
    """The operator norm of an affine layer; of a nonlinear one the largest norm of a Jacobian that was found.

    Jacobians are taken at random inputs, with the layer's bias and with biases that switch every ReLU on or off: no
    Lipschitz constant may depend on the bias.
    """
    if not method.traits.nonlinear:
        return spectral_norm(dense_operator(as_applied(layer, setting.shape), setting.shape.input_shape))
    slopes = []
    for variant in [layer, *_saturated(layer)]:
        module = as_applied(variant, setting.shape)
        points = [inputs(setting, 1, seed=seed, scale=scale).double() for seed, scale in enumerate((1.0, 100.0))]
        slopes += [spectral_norm(jacobian(module, x)) for x in points]
        if variant is layer:  # a huge bias would leave nothing but rounding of the difference
            slopes.append(_secant(module, *points))
    return max(slopes, key=lambda slope: (math.isnan(slope), slope))


def _saturated(layer: LipschitzModule) -> list[LipschitzModule]:
    variants = []
    for value in (SATURATING, -SATURATING) if layer.bias is not None else ():
        variant = copy.deepcopy(layer)
        with torch.no_grad():
            variant.bias.fill_(value)  # type: ignore[union-attr]
        variants.append(variant)
    return variants


@torch.no_grad()
def _secant(module: nn.Module, first: Tensor, second: Tensor) -> float:
    return float((module(first) - module(second)).norm() / (first - second).norm())


def convolution_matrix(kernel_OIKK: Tensor, image: Image, padding: Padding) -> Tensor:
    """Matrix of a "same" convolution, written down entry by entry; shape (O H W, I H W)."""
    out_channels, in_channels, size, _ = kernel_OIKK.shape
    height, width = image
    matrix = kernel_OIKK.new_zeros(out_channels, height, width, in_channels, height, width)
    for row, column, down, right in itertools.product(range(height), range(width), range(size), range(size)):
        i, j = row + down - size // 2, column + right - size // 2
        if padding == "circular" or (0 <= i < height and 0 <= j < width):
            matrix[:, row, column, :, i % height, j % width] += kernel_OIKK[:, :, down, right]
    return matrix.reshape(out_channels * height * width, in_channels * height * width)
