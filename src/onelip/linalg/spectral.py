"""Convolutions that are given by their spectral matrices, applied to images.

The images lie in the corner of a torus: circular padding where it is no larger than they are, else zero padding. Shapes
as in `fourier`, besides B images, I input and O output channels, F = P G frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from .again import gradients_by_torch, needs_torch
from .autocast import without_autocast
from .fourier import frequency_weights, transform, transform_back

Image = tuple[int, int]

STRIDES_OF_ZERO_FAIL = torch.__version__ < "2.9"
"""In older versions the derivative of `irfft2` fails on the expanded gradient that `sum` sends (pytorch issue 154477);
behind a product it is dense."""

LARGEST = 64
"""Sides of a torus up to which float32 images are transformed by products; in float64, the arithmetic of certificates,
they always are."""
CHUNK = 2**18
"""Numbers of an image tensor that are taken through all products at a time, or more: as many images as channels."""


def apply_spectral(x_BIHW: Tensor, planes_cFOI: Tensor, around: Image) -> Tensor:
    """Applies a convolution on a torus to images in its corner; of the result that corner is kept.

    By products, with the derivatives of the same kind; by the library's transforms on large images, and where the
    computation is traced.

    Args:
        x_BIHW: Real images, no larger than the torus.
        planes_cFOI: Real and imaginary parts of one matrix per frequency of the torus' half spectrum, row by row.
        around: Height and width of the torus.

    Returns:
        Real images of shape (B, O, H, W), in the memory format of x.
    """
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    kinds = {type(x_BIHW), type(planes_cFOI)} - {Tensor, nn.Parameter}
    plain = not kinds and x_BIHW.device.type != "meta" and not traced
    if plain and (x_BIHW.dtype == torch.float64 or max(around) <= LARGEST):
        y_BOHW: Tensor = _Apply.apply(x_BIHW, planes_cFOI, *around)  # type: ignore[no-untyped-call]
        return y_BOHW
    return apply_by_library(x_BIHW, planes_cFOI, around)


def apply_by_library(x_BIHW: Tensor, planes_cFOI: Tensor, around: Image) -> Tensor:
    """The same by `rfft2` and `irfft2`, differentiated by torch: plain, and slower on small images."""
    height, width = x_BIHW.shape[-2:]
    if x_BIHW.shape[0] == 0:
        return x_BIHW.new_empty(0, planes_cFOI.shape[-2], height, width)
    x_BIPQ = F.pad(x_BIHW, (0, around[1] - width, 0, around[0] - height))
    spectrum_FBcI = torch.view_as_real(torch.fft.rfft2(x_BIPQ).flatten(-2)).permute(2, 0, 3, 1)
    real, imaginary = planes_cFOI.mT
    blocks = torch.cat([torch.cat([real, imaginary], dim=-1), torch.cat([-imaginary, real], dim=-1)], dim=-2)
    product_FBcO = (spectrum_FBcI.flatten(-2) @ blocks).unflatten(-1, (2, -1))
    product_BOPG = torch.view_as_complex(product_FBcO.permute(1, 3, 0, 2).contiguous()).unflatten(-1, (around[0], -1))
    y_BOPQ = torch.fft.irfft2(product_BOPG, s=around)
    y_BOHW = y_BOPQ[..., :height, :width]
    return y_BOHW * 1 if STRIDES_OF_ZERO_FAIL else y_BOHW


def transform_macs(image: Image, around: Image) -> float:
    """Multiply-accumulates of the transform of one float32 image to the half spectrum, and of that back.

    By products those of each row and then of each column; by the library N log2 N for a torus of N pixels.
    """
    (height, width), half = image, around[1] // 2 + 1
    if max(around) <= LARGEST:
        return 2 * half * height * (width + 2 * around[0])
    return around[0] * around[1] * math.log2(around[0] * around[1])


class _Bilinear(torch.autograd.Function):
    """Linear in each of its first two arguments, which it keeps for its derivatives, as it does the torus."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int, int], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], inputs[1])
        ctx.save_for_forward(inputs[0], inputs[1])
        ctx.around = inputs[2:]


class _Apply(_Bilinear):
    """`apply_spectral` by products.

    Note [adjoint of a spectral convolution]: with T the transform, D the weights of the half spectrum and V the
    matrices, the map is T^T D V T, T read as a real matrix. D holds one number per frequency, so the adjoint is the map
    of V^H, and the derivative by V at a frequency is D (T dy) (T x)^H.
    """

    @staticmethod
    def forward(x: Tensor, planes: Tensor, height: int, width: int) -> Tensor:
        around, image = (height, width), (x.shape[-2], x.shape[-1])
        y = _like(x, planes.shape[-2])
        for part in _chunks(x, planes):
            product = _product(_spectrum(x[part], around), planes)
            y[part] = _images(product, image, around)
        return y

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        (x, planes), (x_dot, planes_dot) = ctx.saved_tensors, tangents[:2]
        return _bilinear_jvp(_Apply, (x, planes), (x_dot, planes_dot), ctx.around)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (x, planes), (dy,) = ctx.saved_tensors, gradients
        of_x, of_planes = ctx.needs_input_grad[:2]
        if torch._C._functorch.is_legacy_batchedtensor(dy):
            by_library = partial(apply_by_library, around=ctx.around)
            return *gradients_by_torch(by_library, (x, planes), (of_x, of_planes), dy), None, None
        with without_autocast(x.device):
            if of_x and of_planes and not needs_torch(dy):
                return *_both_gradients(x, dy, planes, ctx.around), None, None
            dx = _Apply.apply(dy, _adjoint(planes), *ctx.around) if of_x else None  # type: ignore[no-untyped-call]
            dplanes = _Weigh.apply(x, dy, *ctx.around) if of_planes else None  # type: ignore[no-untyped-call]
            return dx, dplanes, None, None

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *arguments: Any) -> tuple[Tensor, int]:
        x, planes, *around = arguments
        if dims[1] is None:
            x = x.movedim(dims[0], 0)
            y: Tensor = _Apply.apply(x.flatten(0, 1), planes, *around)  # type: ignore[no-untyped-call]
            return y.unflatten(0, x.shape[:2]), 0
        return _one_by_one(_Apply, info, dims, arguments)


class _Weigh(_Bilinear):
    """The derivative of `_Apply` by its matrices: bilinear in x and dy, with values in matrices."""

    @staticmethod
    def forward(x: Tensor, dy: Tensor, height: int, width: int) -> Tensor:
        around = height, width
        result = x.new_zeros(2, height * (width // 2 + 1), dy.shape[1], x.shape[1])
        for part in _chunks(x, result):
            _add_outer(result, _spectrum(dy[part], around), _spectrum(x[part], around))
        return result.mul_(frequency_weights(around, x)[:, None, None])

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        (x, dy), (x_dot, dy_dot) = ctx.saved_tensors, tangents[:2]
        return _bilinear_jvp(_Weigh, (x, dy), (x_dot, dy_dot), ctx.around)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (x, dy), (weights,) = ctx.saved_tensors, gradients
        with without_autocast(x.device):
            dx = _Apply.apply(dy, _adjoint(weights), *ctx.around)  # type: ignore[no-untyped-call]
            ddy = _Apply.apply(x, weights, *ctx.around)  # type: ignore[no-untyped-call]
            return dx, ddy, None, None

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *arguments: Any) -> tuple[Tensor, int]:
        return _one_by_one(_Weigh, info, dims, arguments)


def _bilinear_jvp(
    function: Any, factors: tuple[Tensor, Tensor], tangents: tuple[Tensor | None, ...], around: Image
) -> Tensor:
    """The derivative along tangents of a function that is linear in each of two factors."""
    (a, b), (a_dot, b_dot) = factors, tangents
    terms = [(a_dot, b)] * (a_dot is not None) + [(a, b_dot)] * (b_dot is not None)
    return sum(function.apply(*term, *around) for term in terms)


def _one_by_one(
    function: Any, info: Any, dims: tuple[int | None, ...], arguments: tuple[Any, ...]
) -> tuple[Tensor, int]:
    """The rule for a batch of functions: each for itself."""
    calls = (
        [a if dim is None else a.select(dim, index) for a, dim in zip(arguments, dims, strict=True)]
        for index in range(info.batch_size)
    )
    return torch.stack([function.apply(*call) for call in calls]), 0


def _both_gradients(x: Tensor, dy: Tensor, planes: Tensor, around: Image) -> tuple[Tensor, Tensor]:
    """What `_Apply.backward` needs, with one transform of dy for both."""
    image, adjoint = (x.shape[-2], x.shape[-1]), _adjoint(planes)
    dx, dplanes = torch.empty_like(x), torch.zeros_like(planes)
    for part in _chunks(x, planes):
        spectrum = _spectrum(dy[part], around)
        dx[part] = _images(_product(spectrum, adjoint), image, around)
        _add_outer(dplanes, spectrum, _spectrum(x[part], around))
    return dx, dplanes.mul_(frequency_weights(around, x)[:, None, None])


def _adjoint(planes: Tensor) -> Tensor:
    return torch.stack([planes[0].mT, -planes[1].mT])


def _chunks(x: Tensor, planes: Tensor) -> Iterator[slice]:
    """Parts of the batch that stay in a cache, but large enough to pay for reading the matrices; on a GPU one."""
    batch, _, height, width = x.shape
    channels = max(planes.shape[-2:])
    fitting = max(channels, CHUNK // max(1, height * width * channels))
    count = max(1, fitting if x.device.type == "cpu" else batch)
    for start in range(0, batch, count):
        yield slice(start, start + count)


def _like(x: Tensor, channels: int) -> Tensor:
    """Memory for images of the size and in the memory format of others."""
    batch, _, height, width = x.shape
    if x.stride(1) == 1 and x.is_contiguous(memory_format=torch.channels_last):
        return x.new_empty(batch, height, width, channels).permute(0, 3, 1, 2)
    return x.new_empty(batch, channels, height, width)


def _spectrum(x_BCHW: Tensor, around: Image) -> Tensor:
    """The half spectrum of images, shape (2, F, B, C)."""
    batch, channels, height, width = x_BCHW.shape
    return transform(x_BCHW.permute(2, 3, 0, 1).reshape(height, width, -1), around).unflatten(-1, (batch, channels))


def _images(spectrum_cFBC: Tensor, image: Image, around: Image) -> Tensor:
    """The images (B, C, H, W) of a half spectrum."""
    x_HWBC = transform_back(spectrum_cFBC.flatten(-2), image, around).unflatten(-1, spectrum_cFBC.shape[-2:])
    return x_HWBC.permute(2, 3, 0, 1)


def _product(spectrum_cFBI: Tensor, planes_cFOI: Tensor) -> Tensor:
    """One complex product per frequency, as real ones: (2, F, B, O)."""
    (real, imaginary), (a, b) = spectrum_cFBI, planes_cFOI.mT
    result = spectrum_cFBI.new_empty(*spectrum_cFBI.shape[:-1], a.shape[-1])
    torch.bmm(real, a, out=result[0])
    torch.bmm(real, b, out=result[1])
    result[0].baddbmm_(imaginary, b, alpha=-1)
    result[1].baddbmm_(imaginary, a)
    return result


def _add_outer(total_cFOI: Tensor, left_cFBO: Tensor, right_cFBI: Tensor) -> None:
    """Adds the sums over a batch of products of one spectrum with the adjoint of another."""
    (a, b), (c, d) = left_cFBO.mT, right_cFBI
    total_cFOI[0].baddbmm_(a, c).baddbmm_(b, d)
    total_cFOI[1].baddbmm_(b, c).baddbmm_(a, d, alpha=-1)
