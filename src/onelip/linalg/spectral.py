"""Convolutions that are given by their spectral matrices, applied to images.

The images lie in the corner of a torus: circular padding where it is no larger than they are, else zero padding. Shapes
as in `fourier`, besides B images, I input and O output channels, F = P G frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from .again import gradients_by_torch, is_plain, needs_library, needs_torch
from .autocast import without_autocast
from .conv import Image
from .fourier import frequency_weights
from .images import empty_images, is_channels_last
from .spectral_products import add_outer, adjoint, adjoint_images, chunks, images_of, product, spectrum_of

STRIDES_OF_ZERO_FAIL = torch.__version__ < "2.9"
"""In older versions the derivative of `irfft2` fails on the expanded gradient that `sum` sends (pytorch issue 154477);
behind a product it is dense."""

LARGEST = 64
"""Sides of a torus up to which float32 images are transformed by products; in float64, the arithmetic of certificates,
they always are."""


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
    plain = not kinds and x_BIHW.device.type != "meta" and not traced and not needs_library(x_BIHW, planes_cFOI)
    if plain and (x_BIHW.dtype == torch.float64 or is_small(around)):
        if torch.is_grad_enabled() and planes_cFOI.requires_grad and len(x_BIHW) and is_plain(x_BIHW, planes_cFOI):
            kept: tuple[Tensor, ...] = _ApplyAndKeep.apply(x_BIHW, planes_cFOI, *around)  # type: ignore[no-untyped-call]
            return kept[0]
        y_BOHW: Tensor = _Apply.apply(x_BIHW, planes_cFOI, *around)  # type: ignore[no-untyped-call]
        return y_BOHW
    return apply_by_library(x_BIHW, planes_cFOI, around)


def apply_by_library(x_BIHW: Tensor, planes_cFOI: Tensor, around: Image) -> Tensor:
    """The same by `rfft2` and `irfft2`, differentiated by torch: plain, and slower on small images."""
    (batch, channels, height, width), half = x_BIHW.shape, around[1] // 2 + 1
    if batch == 0:
        nothing = x_BIHW.new_zeros(0, planes_cFOI.shape[-2], height, width)
        return nothing * (x_BIHW.sum() + planes_cFOI.sum())  # a function of both, so that both have a gradient
    # Batches of the older kind know `reshape` and `narrow`, and neither `flatten` nor slices.
    x_BIPQ = F.pad(x_BIHW, (0, around[1] - width, 0, around[0] - height))
    spectrum_BIFc = torch.view_as_real(torch.fft.rfft2(x_BIPQ)).reshape(batch, channels, -1, 2)
    real, imaginary = planes_cFOI.mT
    blocks = torch.cat([torch.cat([real, imaginary], dim=-1), torch.cat([-imaginary, real], dim=-1)], dim=-2)
    product_FBcO = spectrum_BIFc.permute(2, 0, 3, 1).reshape(-1, batch, 2 * channels) @ blocks
    product_BOFc = product_FBcO.reshape(-1, batch, 2, blocks.shape[-1] // 2).permute(1, 3, 0, 2).contiguous()
    product_BOPG = torch.view_as_complex(product_BOFc).reshape(batch, -1, around[0], half)
    y_BOHW = torch.fft.irfft2(product_BOPG, s=around).narrow(-2, 0, height).narrow(-1, 0, width)
    return y_BOHW * 1 if STRIDES_OF_ZERO_FAIL else y_BOHW


def is_small(around: Image) -> bool:
    """Whether float32 images on a torus are transformed by products."""
    return max(around) <= LARGEST


def transform_macs(image: Image, around: Image) -> float:
    """Multiply-accumulates of the transform of one float32 image to the half spectrum, and of that back.

    By products those of each row and then of each column; by the library N log2 N for a torus of N pixels.
    """
    (height, width), half = image, around[1] // 2 + 1
    if is_small(around):
        return 2 * half * height * (width + 2 * around[0])
    return around[0] * around[1] * math.log2(around[0] * around[1])


class _Bilinear(torch.autograd.Function):
    """Linear in each of its first two arguments, of which it keeps what its derivatives need, as it does the torus."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int, int], output: Tensor) -> None:
        ctx.save_for_backward(
            *(factor if ctx.needs_input_grad[1 - at] else None for at, factor in enumerate(inputs[:2]))
        )
        ctx.channels_last = is_channels_last(inputs[0])
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
        y = empty_images(x, planes.shape[-2], image)
        for part in chunks(x, planes):
            y[part] = images_of(product(spectrum_of(x[part], around), planes), image, around)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (x, planes), (dy,) = ctx.saved_tensors, gradients
        with without_autocast(dy.device):
            if ctx.channels_last and not needs_torch(dy):
                dy = dy.contiguous(memory_format=torch.channels_last)
            return *_gradients(x, planes, dy, ctx.around), None, None

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *arguments: Any) -> tuple[Tensor, int]:
        x, planes, *around = arguments
        if dims[1] is None:
            x = x.movedim(dims[0], 0)
            y: Tensor = _Apply.apply(x.flatten(0, 1), planes, *around)  # type: ignore[no-untyped-call]
            return y.unflatten(0, x.shape[:2]), 0
        return _one_by_one(_Apply, info, dims, arguments)


class _ApplyAndKeep(torch.autograd.Function):
    """`_Apply` for training: it keeps the spectra of the images, and not the images, so that none is transformed twice.

    The spectra, each of a part of the batch, are results too: what is kept is known to be made of the images, as second
    derivatives need. Where those want the images themselves, a transform back gives them.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, planes: Tensor, height: int, width: int) -> tuple[Tensor, ...]:
        around, image = (height, width), (x.shape[-2], x.shape[-1])
        y, spectra = empty_images(x, planes.shape[-2], image), []
        for part in chunks(x, planes):
            spectra.append(spectrum_of(x[part], around))
            y[part] = images_of(product(spectra[-1], planes), image, around)
        ctx.save_for_backward(planes, *spectra)
        ctx.set_materialize_grads(False)
        ctx.around, ctx.image, ctx.channels_last = around, image, is_channels_last(x)
        return y, *spectra

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None, *dspectra: Tensor | None) -> tuple[Tensor | None, ...]:
        (planes, *spectra), wanted = ctx.saved_tensors, ctx.needs_input_grad[:2]
        image, around = ctx.image, ctx.around
        dx = dplanes = None
        with without_autocast(planes.device):
            if dy is not None and needs_torch(dy):
                back = partial(images_of, image=image, around=around)
                x = torch.cat([_linear(back, spectrum) for spectrum in spectra])
                dx, dplanes = _gradients(x if wanted[1] else None, planes if wanted[0] else None, dy, around)
            elif dy is not None:
                if ctx.channels_last:
                    dy = dy.contiguous(memory_format=torch.channels_last)
                dx, dplanes = _kept_gradients(spectra, planes, dy, around, of_x=wanted[0])
            if wanted[0] and any(one is not None for one in dspectra):
                all_ = (torch.zeros_like(s) if d is None else d for d, s in zip(dspectra, spectra, strict=True))
                to_images = partial(adjoint_images, image=image, around=around)
                more = torch.cat([_linear(to_images, one) for one in all_])
                dx = more if dx is None else dx + more
            return dx, dplanes, None, None


class _Linear(torch.autograd.Function):
    """A linear function that torch differentiates, at full precision wherever the derivative is taken."""

    generate_vmap_rule = True

    @staticmethod
    def forward(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return function(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Callable[[Tensor], Tensor], Tensor], output: Tensor) -> None:
        ctx.function = inputs[0]
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        with without_autocast(gradients[0].device):
            return None, *gradients_by_torch(ctx.function, ctx.saved_tensors, (True,), gradients[0])


def _linear(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    if needs_library(x):
        return function(x)
    y: Tensor = _Linear.apply(function, x)  # type: ignore[no-untyped-call]
    return y


class _Weigh(_Bilinear):
    """The derivative of `_Apply` by its matrices: bilinear in x and dy, with values in matrices."""

    @staticmethod
    def forward(x: Tensor, dy: Tensor, height: int, width: int) -> Tensor:
        around = height, width
        result = x.new_zeros(2, height * (width // 2 + 1), dy.shape[1], x.shape[1])
        for part in chunks(x, result):
            add_outer(result, spectrum_of(dy[part], around), spectrum_of(x[part], around))
        return result.mul_(frequency_weights(around, x)[:, None, None])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (x, dy), (weights,) = ctx.saved_tensors, gradients
        with without_autocast(weights.device):
            dx = None if dy is None else _apply(dy, adjoint(weights), ctx.around)
            ddy = None if x is None else _apply(x, weights, ctx.around)
            return dx, ddy, None, None

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *arguments: Any) -> tuple[Tensor, int]:
        return _one_by_one(_Weigh, info, dims, arguments)


def _one_by_one(
    function: Any, info: Any, dims: tuple[int | None, ...], arguments: tuple[Any, ...]
) -> tuple[Tensor, int]:
    """The rule for a batch of functions: each for itself."""
    calls = (
        [a if dim is None else a.select(dim, index) for a, dim in zip(arguments, dims, strict=True)]
        for index in range(info.batch_size)
    )
    return torch.stack([function.apply(*call) for call in calls]), 0


def _apply(x: Tensor, planes: Tensor, around: Image) -> Tensor:
    """`_Apply`, in a derivative of it or of `_Weigh`."""
    if needs_library(x, planes):
        return apply_by_library(x, planes, around)
    y: Tensor = _Apply.apply(x, planes, *around)  # type: ignore[no-untyped-call]
    return y


def _gradients(x: Tensor | None, planes: Tensor | None, dy: Tensor, around: Image) -> tuple[Tensor | None, ...]:
    """What `_Apply.backward` gives, to be differentiated again and for batches of dy too.

    The derivative by one factor is made of the other: what is not given is not needed.
    """
    dx = None if planes is None else _apply(dy, adjoint(planes), around)
    if x is None:
        return dx, None
    if not needs_library(x, dy):
        return dx, _Weigh.apply(x, dy, *around)  # type: ignore[no-untyped-call]
    anywhere = x.new_zeros(2, around[0] * (around[1] // 2 + 1), dy.shape[1], x.shape[1])  # the map is linear in planes
    of_planes = partial(apply_by_library, around=around)
    return dx, gradients_by_torch(of_planes, (x, anywhere), (False, True), dy)[1]


def _kept_gradients(
    spectra: Sequence[Tensor], planes: Tensor, dy: Tensor, around: Image, *, of_x: bool
) -> tuple[Tensor | None, Tensor]:
    """The same from the spectra of the images, with one transform of dy for both."""
    image, dplanes = (dy.shape[-2], dy.shape[-1]), torch.zeros_like(planes)
    dx, turned = (empty_images(dy, planes.shape[-1], image), adjoint(planes)) if of_x else (None, planes)
    start = 0
    for kept in spectra:
        part = slice(start, start + kept.shape[-2])
        start = part.stop
        spectrum = spectrum_of(dy[part], around)
        if dx is not None:
            dx[part] = images_of(product(spectrum, turned), image, around)
        add_outer(dplanes, spectrum, kept)
    return dx, dplanes.mul_(frequency_weights(around, dy)[:, None, None])
