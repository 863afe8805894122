"""Kernels of convolutions: their spectral matrices, transposes and compositions.

Shapes: O output channels, I input channels, K kernel side, H x W image, F = H (W // 2 + 1) frequencies of the half
spectrum, `...` any leading dimensions. A kernel acts as `torch.nn.functional.conv2d` does, centred (odd K).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Padding = Literal["circular", "zeros"]
Image = tuple[int, int]

ALL = slice(None)


def transpose_kernel(kernel_OIKK: Tensor) -> Tensor:
    """Kernel of the transposed operator: channels exchanged, both axes reversed; shape (..., I, O, K, K)."""
    return kernel_OIKK.transpose(-4, -3).flip(-2, -1)


def torus(image: Image, kernel_size: int, padding: Padding) -> Image:
    """Torus whose circular convolution covers the operator on an image.

    With circular padding it is the image itself. With zero padding the operator is a compression of the circular
    one on any torus that leaves room for half a kernel between the image and its next copy: side + K // 2.

    Returns:
        Height and width of the torus.
    """
    if padding == "circular":
        return image
    return image[0] + kernel_size // 2, image[1] + kernel_size // 2


def phases(size: int, image: Image, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the DFT that takes a K x K kernel to the half spectrum of an H x W torus.

    Angles are reduced to [0, 2 pi) in integers before they are rounded; each entry errs by at most 40 units of
    roundoff.

    Returns:
        Two tensors of shape (F, K * K).
    """
    height, width = image
    offset = torch.arange(size, device=device) - size // 2
    rows = torch.outer(torch.arange(height, device=device), offset) % height
    columns = torch.outer(torch.arange(width // 2 + 1, device=device), offset) % width
    turns = rows.to(torch.float64)[:, None, :, None] / height + columns.to(torch.float64)[None, :, None, :] / width
    angle = (2 * math.pi * (turns % 1.0)).reshape(-1, size * size)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def spectral_matrices(kernel_OIKK: Tensor, image: Image, frequencies_F: Tensor | slice = ALL) -> Tensor:
    """Spectral matrices of the circular convolution with a kernel, at every frequency of the half spectrum.

    The kernel is folded onto the torus where it is larger. The singular values of the operator are exactly those of
    these matrices (the other half of the spectrum holds their conjugates).

    Args:
        kernel_OIKK: Real kernel, shape (..., O, I, K, K).
        image: Height and width of the torus.
        frequencies_F: Indices of the frequencies that are wanted, if not all are.

    Returns:
        Complex matrices, shape (..., F, O, I).
    """
    *_, out_channels, in_channels, size, _ = kernel_OIKK.shape
    cosines_FK, sines_FK = (wave[frequencies_F] for wave in phases(size, image, kernel_OIKK.dtype, kernel_OIKK.device))
    taps = kernel_OIKK.flatten(-2).flatten(-3, -2).transpose(-2, -1)
    spectrum = torch.complex(cosines_FK @ taps, sines_FK @ taps)
    return spectrum.unflatten(-1, (out_channels, in_channels))


def spectral_matrices_at(kernel_OIKK: Tensor, image: Image, frequency: Tensor) -> Tensor:
    """One of the `spectral_matrices` for each kernel of a stack.

    Args:
        kernel_OIKK: Real kernels, shape (..., O, I, K, K).
        image: Height and width of the torus.
        frequency: An index for each kernel, shape (...).

    Returns:
        Complex matrices, shape (..., O, I).
    """
    waves = phases(kernel_OIKK.shape[-1], image, kernel_OIKK.dtype, kernel_OIKK.device)
    taps = kernel_OIKK.flatten(-2)
    cosines, sines = ((taps @ _rows_at(wave, frequency)[..., None, :, None])[..., 0] for wave in waves)
    return torch.complex(cosines, sines)


def _rows_at(rows: Tensor, index: Tensor) -> Tensor:
    """Rows (..., N) of a matrix, by an index (...), which is not read as a number where it has no dimensions."""
    return rows.index_select(0, index.reshape(-1)).view(*index.shape, -1)
