"""Images to spectra, products with matrices at every frequency, and back; `spectral` has the derivatives.

Shapes as there. A spectrum is two planes, real and imaginary parts, of shape (2, F, B, C).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .conv import Image
from .fourier import transform, transform_adjoint, transform_back

CHUNK = 2**18
"""Numbers of an image tensor that are taken through all products at a time, or more: as many images as channels."""


def adjoint(planes: Tensor) -> Tensor:
    """The matrices V^H, as planes."""
    return torch.stack([planes[0].mT, -planes[1].mT])


def chunks(x: Tensor, planes: Tensor) -> Iterator[slice]:
    """Parts of the batch that stay in a cache, but large enough to pay for reading the matrices; on a GPU one."""
    batch = x.shape[0]
    fitting = images_at_once(max(planes.shape[-2:]), (x.shape[-2], x.shape[-1]))
    count = max(1, fitting if x.device.type == "cpu" else batch)
    for start in range(0, batch, count):
        yield slice(start, start + count)


def images_at_once(channels: int, image: Image) -> int:
    """How many images of a batch a CPU takes through all products at a time."""
    return max(channels, CHUNK // max(1, image[0] * image[1] * channels))


def spectrum_of(x_BCHW: Tensor, around: Image) -> Tensor:
    """The half spectrum of images, shape (2, F, B, C)."""
    batch, channels, height, width = x_BCHW.shape
    spectrum = transform(x_BCHW.permute(2, 3, 0, 1).reshape(height, width, -1), around)
    return spectrum.reshape(2, spectrum.shape[1], batch, channels)  # batches of the older kind do not know `unflatten`


def images_of(spectrum_cFBC: Tensor, image: Image, around: Image) -> Tensor:
    """The images (B, C, H, W) of a half spectrum."""
    _, frequencies, batch, channels = spectrum_cFBC.shape
    x_HWBC = transform_back(spectrum_cFBC.reshape(2, frequencies, batch * channels), image, around)
    return x_HWBC.reshape(*image, batch, channels).permute(2, 3, 0, 1)


def adjoint_images(spectrum_cFBC: Tensor, image: Image, around: Image) -> Tensor:
    """The adjoint of `spectrum_of`."""
    _, frequencies, batch, channels = spectrum_cFBC.shape
    x_HWBC = transform_adjoint(spectrum_cFBC.reshape(2, frequencies, batch * channels), image, around)
    return x_HWBC.reshape(*image, batch, channels).permute(2, 3, 0, 1)


def product(spectrum_cFBI: Tensor, planes_cFOI: Tensor) -> Tensor:
    """One complex product per frequency, as real ones: (2, F, B, O)."""
    (real, imaginary), (a, b) = spectrum_cFBI, planes_cFOI.mT
    result = spectrum_cFBI.new_empty(*spectrum_cFBI.shape[:-1], a.shape[-1])
    torch.bmm(real, a, out=result[0])
    torch.bmm(real, b, out=result[1])
    result[0].baddbmm_(imaginary, b, alpha=-1)
    result[1].baddbmm_(imaginary, a)
    return result


def add_outer(total_cFOI: Tensor, left_cFBO: Tensor, right_cFBI: Tensor) -> None:
    """Adds the sums over a batch of products of one spectrum with the adjoint of another."""
    (a, b), (c, d) = left_cFBO.mT, right_cFBI
    total_cFOI[0].baddbmm_(a, c).baddbmm_(b, d)
    total_cFOI[1].baddbmm_(b, c).baddbmm_(a, d, alpha=-1)
