"""The real Fourier transform of images as products with cosines and sines, and what that rounds.

The libraries' transforms publish no bound of their rounding errors. Products have one, and on a torus of up to 64
pixels a side they are faster besides. Half a spectrum is kept, as `rfft2` keeps it.

Shapes: H x W image, zero-padded to a torus of P x Q pixels, G = Q // 2 + 1 columns of P frequencies, N anything that is
transformed in parallel: images and channels. Two planes hold real and imaginary parts.
"""

from __future__ import annotations

import functools
import math
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor

from .rounding import Computed, gamma

Tables = tuple[Tensor, Tensor]

CACHED = 256
"""Tables of sines that are kept, per direction."""
ANGLE_UNITS = 40
"""Units of roundoff that a computed cosine or sine may err by."""


def transform(x_HWN: Tensor, around: tuple[int, int]) -> Tensor:
    """The half spectrum of images in the corner of a torus, shape (2, P * G, N)."""
    height, width, count = x_HWN.shape
    along_rows, along_columns = _analysis(height, width, around, x_HWN.dtype, x_HWN.device)
    return (along_columns @ (along_rows @ x_HWN).view(2 * height, -1)).view(2, -1, count)


def transform_adjoint(spectrum_cFN: Tensor, image: tuple[int, int], around: tuple[int, int]) -> Tensor:
    """The adjoint of `transform`: images (H, W, N) from numbers at all frequencies, (2, P * G, N)."""
    along_rows, along_columns = _analysis(*image, around, spectrum_cFN.dtype, spectrum_cFN.device)
    rows = (along_columns.mT @ spectrum_cFN.reshape(2 * around[0], -1)).view(image[0], len(along_rows), -1)
    return along_rows.mT @ rows


def transform_back(spectrum_cFN: Tensor, image: tuple[int, int], around: tuple[int, int]) -> Tensor:
    """The images (H, W, N) in the corner of a torus, from their half spectrum (2, P * G, N)."""
    along_columns, along_rows = _synthesis(*image, around, spectrum_cFN.dtype, spectrum_cFN.device)
    rows = (along_columns @ spectrum_cFN.view(2 * around[0], -1)).view(image[0], along_rows.shape[1], -1)
    return along_rows @ rows


def transform_rounding(x: Computed, around: tuple[int, int]) -> Computed:
    """What is known of `transform(x, around)` in float64."""
    height, width = around
    half = width // 2 + 1
    rows = x.linear(norm=math.sqrt(width), rounding=_relative(width, width, 2 * half, 1.0))
    return rows.linear(norm=math.sqrt(height), rounding=_relative(2 * height, 2 * height, 2 * height, 1.0))


def transform_back_rounding(x: Computed, around: tuple[int, int]) -> Computed:
    """What is known of `transform_back(x, image, around)` in float64, for any image."""
    height, width = around
    half = width // 2 + 1
    rows = x.linear(norm=1 / math.sqrt(height), rounding=_relative(2 * height, 2 * height, 2 * height, 1 / height))
    return rows.linear(norm=math.sqrt(2 / width), rounding=_relative(2 * half, 2 * half, width, 2 / width))


def frequency_weights(around: tuple[int, int], like: Tensor) -> Tensor:
    """How often each frequency of the half spectrum stands in the whole one, over their number: shape (P * G,)."""
    height, width = around
    weights_G = like.new_full((width // 2 + 1,), 2.0)
    weights_G[0] = 1.0
    if width % 2 == 0:
        weights_G[-1] = 1.0
    return (weights_G / (height * width)).repeat(height)


def distinct_frequencies(around: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Frequencies of the half spectrum of which none is another's mirror image.

    The spectrum of anything real is at -f the conjugate of that at f. In the first column, and in the last one of even
    widths, -f lies in the half spectrum too.

    Returns:
        Indices of D distinct frequencies, shape (D,); for each of the F frequencies the place among those of itself or
        of its mirror image, shape (F,); and whether it is the mirror image, shape (F,).
    """
    height, width = around
    columns, own, upper = width // 2 + 1, (width - 1) // 2, height // 2 + 1
    row = torch.arange(height, device=device)[:, None]
    column = torch.arange(columns, device=device)
    kept = torch.cat(
        [torch.arange(upper * columns, device=device), (row * columns + column)[upper:, 1 : own + 1].flatten()]
    )
    mirrored = (row >= upper) & ((column == 0) | (column > own))
    lower = upper * columns + (row - upper) * own + column - 1
    place = torch.where(
        row < upper, row * columns + column, torch.where(mirrored, (height - row) * columns + column, lower)
    )
    return kept, place.flatten(), mirrored.flatten()


def half_count(around: tuple[int, int]) -> int:
    """How many frequencies the half spectrum has."""
    return around[0] * (around[1] // 2 + 1)


def distinct_count(around: tuple[int, int]) -> int:
    """How many frequencies `distinct_frequencies` gives."""
    height, width = around
    upper = height // 2 + 1
    return upper * (width // 2 + 1) + (height - upper) * ((width - 1) // 2)


def table_numbers(image: tuple[int, int], around: tuple[int, int]) -> int:
    """Numbers of the tables that `transform` and `transform_back` keep."""
    (height, width), (rows, columns) = image, around
    return 8 * rows * height + 4 * width * (columns // 2 + 1)


def _relative(terms: int, inputs: int, outputs: int, largest: float) -> float:
    """Rounding of a product with a matrix of sines, over the norm of its input.

    An entry of the product errs by at most (gamma_n + e) t sum |x|, where no entry of the matrix exceeds t and each is
    known up to e t; the sum is at most sqrt(inputs) times the norm.
    """
    return (gamma(terms) + gamma(ANGLE_UNITS + 4)) * 1.01 * largest * math.sqrt(inputs * outputs)


def _cached(make: Callable[..., Tables]) -> Callable[..., Tables]:
    """Keeps the results of a function that were used last.

    Not those that have no numbers: that a mode made fake, or that a CUDA graph computes only when it is replayed.
    """
    kept: OrderedDict[tuple[object, ...], Tables] = OrderedDict()

    @functools.wraps(make)
    def recall(*arguments: object) -> Tables:
        found = kept.get(arguments)
        if found is None:
            found = make(*arguments)
            if not all(map(_has_numbers, found)):
                return found
        kept[arguments] = found
        kept.move_to_end(arguments)
        while len(kept) > CACHED:
            kept.popitem(last=False)
        return found

    return recall


def _has_numbers(table: Tensor) -> bool:
    return type(table) is Tensor and not (table.is_cuda and torch.cuda.is_current_stream_capturing())


@_cached
def _analysis(height: int, width: int, around: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tables:
    """Along rows cosines and negative sines, (2 G, W); along columns C - i S, to both parts from pairs, (2 P, 2 H).

    Both parts of a row follow each other, before the next row: so each of the two products is one.
    """
    with torch.inference_mode(False), torch.no_grad():
        cosines, sines = _waves(around[1], dtype, device)
        half = around[1] // 2 + 1
        tall_cosines, tall_sines = (wave[:, :height] for wave in _waves(around[0], dtype, device))
        real = torch.stack([tall_cosines, tall_sines], -1).flatten(1)
        imaginary = torch.stack([-tall_sines, tall_cosines], -1).flatten(1)
        return torch.cat([cosines[:half, :width], -sines[:half, :width]]), torch.cat([real, imaginary])


@_cached
def _synthesis(height: int, width: int, around: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tables:
    """Along columns (C + i S) / P, to pairs from both parts, (2 H, 2 P); along rows weighted waves, (W, 2 G)."""
    with torch.inference_mode(False), torch.no_grad():
        tall_cosines, tall_sines = (wave[:height] / around[0] for wave in _waves(around[0], dtype, device))
        real, imaginary = torch.cat([tall_cosines, -tall_sines], 1), torch.cat([tall_sines, tall_cosines], 1)
        along_columns = torch.stack([real, imaginary], 1).flatten(0, 1)
        cosines, sines = _waves(around[1], dtype, device)
        half = around[1] // 2 + 1
        weights_G = frequency_weights((1, around[1]), cosines)
        return along_columns, torch.cat([weights_G * cosines[:width, :half], -weights_G * sines[:width, :half]], 1)


def _waves(size: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines of 2 pi j k / size, angles reduced in integers: shape (size, size) each."""
    index = torch.arange(size, device=device)
    turns = (torch.outer(index, index) % size).to(torch.float64) / size
    angle = 2 * math.pi * turns
    return angle.cos().to(dtype), angle.sin().to(dtype)
