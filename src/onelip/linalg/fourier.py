"""The real Fourier transform of images: by the library's FFT, or in float64 as products with cosines and sines.

The libraries' transforms publish no bound of their rounding errors. Products have one, so float64, the arithmetic of
certificates, is transformed by products; `transform_rounding` bounds their errors. Half a spectrum is kept, as `rfft2`
keeps it: G = W // 2 + 1 columns of H frequencies, with real and imaginary part along a last dimension.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .rounding import Computed, gamma

STRIDES_OF_ZERO_FAIL = torch.__version__ < "2.9"
"""In older versions the derivative of `irfft2` fails on the expanded gradient that `sum` sends (pytorch issue 154477);
behind a product it is dense."""

BY_PRODUCTS: tuple[torch.dtype, ...] = (torch.float64,)
"""The arithmetics of certificates."""

ANGLE_UNITS = 40
"""Units of roundoff that a computed cosine or sine may err by."""


def transform(x_BIHW: Tensor) -> Tensor:
    """The half spectrum of real images, shape (B, I, H * G, 2)."""
    if x_BIHW.dtype not in BY_PRODUCTS:
        return torch.view_as_real(torch.fft.rfft2(x_BIHW).flatten(-2))
    height, width = x_BIHW.shape[-2:]
    cosines_WG, sines_WG = (wave[:, : width // 2 + 1] for wave in _waves(width, x_BIHW))
    rows = torch.cat([x_BIHW @ cosines_WG, -(x_BIHW @ sines_WG)], dim=-2)
    cosines_HH, sines_HH = _waves(height, x_BIHW)
    columns = _blocks(cosines_HH, sines_HH) @ rows
    return columns.unflatten(-2, (2, height)).movedim(-3, -1).flatten(-3, -2)


def transform_back(spectrum_BOFc: Tensor, image: tuple[int, int]) -> Tensor:
    """Real images (B, O, H, W) from their half spectrum (B, O, H * G, 2)."""
    height, width = image
    if spectrum_BOFc.dtype not in BY_PRODUCTS:
        y_BOHW = torch.fft.irfft2(torch.view_as_complex(spectrum_BOFc).unflatten(-1, (height, -1)), s=image)
        return y_BOHW * 1 if STRIDES_OF_ZERO_FAIL else y_BOHW
    half = width // 2 + 1
    stacked = spectrum_BOFc.unflatten(-2, (height, half)).movedim(-1, -3).flatten(-3, -2)
    cosines_HH, sines_HH = _waves(height, spectrum_BOFc)
    rows = (_blocks(cosines_HH, -sines_HH) / height) @ stacked
    cosines_WG, sines_WG = (wave[:, :half] for wave in _waves(width, spectrum_BOFc))
    weights_G = spectrum_BOFc.new_full((half,), 2.0)
    weights_G[0] = 1.0
    if width % 2 == 0:
        weights_G[-1] = 1.0
    synthesis = torch.cat([weights_G * cosines_WG, -weights_G * sines_WG], dim=1).mT / width
    return rows.unflatten(-2, (2, height)).movedim(-3, -2).flatten(-2) @ synthesis


def transform_rounding(x: Computed, image: tuple[int, int]) -> Computed:
    """What is known of `transform(x)` in float64."""
    height, width = image
    half = width // 2 + 1
    rows = x.linear(norm=math.sqrt(width), rounding=_relative(width, width, 2 * half, 1.0))
    return rows.linear(norm=math.sqrt(height), rounding=_relative(2 * height, 2 * height, 2 * height, 1.0))


def transform_back_rounding(x: Computed, image: tuple[int, int]) -> Computed:
    """What is known of `transform_back(x, image)` in float64."""
    height, width = image
    half = width // 2 + 1
    rows = x.linear(norm=1 / math.sqrt(height), rounding=_relative(2 * height, 2 * height, 2 * height, 1 / height))
    return rows.linear(norm=math.sqrt(2 / width), rounding=_relative(2 * half, 2 * half, width, 2 / width))


def _relative(terms: int, inputs: int, outputs: int, largest: float) -> float:
    """Rounding of a product with a matrix of sines, over the norm of its input.

    An entry of the product errs by at most (gamma_n + e) t sum |x|, where no entry of the matrix exceeds t and each is
    known up to e t; the sum is at most sqrt(inputs) times the norm.
    """
    return (gamma(terms) + gamma(ANGLE_UNITS + 4)) * 1.01 * largest * math.sqrt(inputs * outputs)


def _waves(size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines of 2 pi j k / size, angles reduced in integers: shape (size, size) each."""
    index = torch.arange(size, device=like.device)
    turns = (torch.outer(index, index) % size).to(torch.float64) / size
    angle = 2 * math.pi * turns
    return angle.cos().to(like.dtype), angle.sin().to(like.dtype)


def _blocks(cosines_HH: Tensor, sines_HH: Tensor) -> Tensor:
    """The complex matrix C - i S as a real one on stacked real and imaginary parts."""
    return torch.cat([torch.cat([cosines_HH, sines_HH], dim=1), torch.cat([-sines_HH, cosines_HH], dim=1)])
