"""Layers that act per frequency: one small complex matrix at each frequency of the image."""

from __future__ import annotations

import abc
import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ..bound import Bound
from ..linalg.autocast import without_autocast
from ..linalg.conv import Image, spectral_matrices
from ..linalg.fourier import distinct_frequencies, transform_back_rounding, transform_rounding
from ..linalg.norms import contract, frobenius
from ..linalg.proof import LARGEST, largest_norm_bound
from ..linalg.rounding import UP, Computed, convolution_rounding, gamma, length
from ..linalg.spectral import apply_spectral
from .base import LipschitzModule, Weights
from .blocked import BlockedConv2d
from .executed import register_executed

HALVES = (torch.bfloat16, torch.float16)
BASIS = 256
"""Vectors of a basis that are taken through a layer at a time."""


class SpectralConv2d(LipschitzModule):
    """A circular convolution whose spectral matrices are a function of those of a free kernel.

    With zero padding the image is padded by K // 2 zeros on all sides, convolved circularly at that size, and cropped:
    a compression of the circular operator, the same wherever on the torus the image lies. A 1x1 kernel has one real
    spectral matrix, whatever the image: no Fourier transform is taken then. The weights depend on the image size
    otherwise.

    The one weight is a stack of spectral matrices, real parts and imaginary parts along a first dimension, so that a
    change of dtype reaches it; for 1x1 kernels it is the real kernel.
    """

    @abc.abstractmethod
    def spectral(self, matrices: Tensor, raw: Weights) -> Tensor:
        """Matrices of norm at most 1 from the free kernel's spectral matrices (..., F, O, I) and raw parameters."""

    @abc.abstractmethod
    def free_kernel(self, raw: Weights) -> Tensor:
        """The free kernel, (..., O, I, K, K), from stacked raw parameters."""

    def spectral_image(self, image: Image) -> Image:
        """Height and width at which the Fourier transform is taken."""
        extra = 2 * (self.kernel_size // 2) if self.padding_mode == "zeros" else 0
        return image[0] + extra, image[1] + extra

    def depends_on_image(self) -> bool:
        """Spectral matrices belong to one image size; the one of a 1x1 kernel belongs to all."""
        return self.kernel_size > 1

    def construct(self, raw: Weights, image: Image) -> Weights:
        """The spectral matrices.

        In eval mode they are made in float64, divided by a proved bound of their norm where it exceeds 1, and rounded.
        """
        if self.training:
            return (self._matrices(raw, image),)
        return (self._matrices(tuple(tensor.to(torch.float64) for tensor in raw), image).to(raw[0].dtype),)

    def _matrices(self, raw: Weights, image: Image) -> Tensor:
        """Those of distinct frequencies are computed, and conjugated for mirrored ones."""
        kernel = self.free_kernel(raw)
        if self.kernel_size == 1:
            return self._contracted(kernel.flatten(-3), raw)[..., None, None]
        around = self.spectral_image(image)
        distinct, place, mirrored = distinct_frequencies(around, kernel.device)
        matrices = self._contracted(spectral_matrices(kernel, around, distinct), raw)
        real, imaginary = (part.index_select(-3, place) for part in (matrices.real, matrices.imag))
        return torch.stack([real, torch.where(mirrored[:, None, None], -imaginary, imaginary)], dim=-4)

    def _contracted(self, free: Tensor, raw: Weights) -> Tensor:
        matrices = self.spectral(free, raw)
        return matrices if self.training else contract(matrices)

    def apply_weights(self, x_BIHW: Tensor, weights: Weights) -> Tensor:
        """The convolution: by Fourier transforms, in at least float32, or directly for 1x1 kernels."""
        if self.kernel_size == 1:
            return F.conv2d(x_BIHW, weights[0], self.bias)
        y_BOHW = _transformed(x_BIHW, weights[0], self.spectral_image((x_BIHW.shape[-2], x_BIHW.shape[-1])))
        return y_BOHW if self.bias is None else y_BOHW + self.bias[:, None, None]

    def rounding(self, x: Computed, weights: Weights, image: Image, norm: float) -> Computed:
        """The transforms as products, one product per frequency, and the bias."""
        pixels = math.prod(image)
        if self.kernel_size == 1:
            return convolution_rounding(x, weights[0], self.bias, pixels, norm)
        around, matrices = self.spectral_image(image), torch.complex(*weights[0])
        # Between the transforms it is the matrices that errors go through, not the smaller operator after the crop.
        inner = largest_norm_bound(matrices.to(torch.complex128)) if self._is_cropped(image) else norm
        charge = gamma(2 * self.inner_channels + 4) * math.sqrt(2) * float(frobenius(matrices).amax())
        spectrum = transform_rounding(x.as_given, around).linear(norm=inner, rounding=charge)
        shift = length(self.bias, pixels)
        local = transform_back_rounding(spectrum, around).plus(Computed(shift, 0.0)).error
        return x.through(norm=norm, shift=shift, local=local)

    def realised_bound(self, weights: Weights, image: Image, *, enough: float = 0.0) -> Bound:
        """The largest norm of a spectral matrix as realised; with zero padding on small images that of the operator.

        What is cropped makes the norm smaller by more than 2 % only on images of less than two kernels.
        """
        wide = tuple(tensor.to(torch.float64) for tensor in weights)
        matrices = wide[0].flatten(-3) if self.kernel_size == 1 else _distinct(wide[0], self.spectral_image(image))
        value = largest_norm_bound(matrices, enough=enough)
        why = f"norms of {matrices[..., 0, 0].numel()} spectral matrices, proved by Cholesky residuals"
        if value <= enough or not self._is_cropped(image) or not math.isfinite(value):
            return Bound(value, why)
        operator = f"norm of the operator on images {image[0]}x{image[1]}, proved by a Cholesky residual"
        return min(Bound(value, why), Bound(self._operator_bound(wide, image, value, enough), operator), key=float)

    def _is_cropped(self, image: Image) -> bool:
        """Whether the operator on images of this size is bounded itself."""
        small = max(self.inner_channels, self.out_channels) * math.prod(image) <= LARGEST
        return small and self.padding_mode == "zeros" and self.kernel_size > 1 and min(image) < 2 * self.kernel_size

    def _operator_bound(self, weights: Weights, image: Image, norm: float, enough: float) -> float:
        """The norm of the matrix that the layer makes of a basis, in float64, with what evaluating that errs by."""
        size = self.inner_channels * math.prod(image)
        basis = torch.eye(size, dtype=torch.float64, device=weights[0].device).view(size, -1, *image)
        around = self.spectral_image(image)
        matrix = torch.cat([_transformed(part, weights[0], around).flatten(1) for part in basis.split(BASIS)])
        error = self.rounding(Computed(1.0, 0.0), weights, image, norm).error * math.sqrt(size) * UP
        return (largest_norm_bound(matrix, enough=enough / UP - error) + error) * UP


def _distinct(planes: Tensor, around: Image) -> Tensor:
    """The matrices, but those that are seen to be conjugates of others: their norms are the same."""
    distinct, place, mirrored = distinct_frequencies(around, planes.device)
    kept, image = planes[:, distinct], planes[:, mirrored]
    same = torch.equal(image[0], kept[0, place[mirrored]]) and torch.equal(image[1], -kept[1, place[mirrored]])
    return torch.complex(*(kept if same else planes))


def _transformed(x_BIHW: Tensor, planes: Tensor, around: Image) -> Tensor:
    """The convolution; no method, as what is said of it would be said of a subclass' own."""
    with without_autocast(x_BIHW.device):
        if planes.dtype in HALVES:
            return apply_spectral(x_BIHW.float(), planes.float(), around).to(planes.dtype)
        if x_BIHW.dtype in HALVES:
            x_BIHW = x_BIHW.to(planes.dtype)
        return apply_spectral(x_BIHW, planes, around)


class WeightSpectralConv2d(SpectralConv2d):
    """A spectral method whose first raw parameter is the free kernel, `weight`."""

    weight: nn.Parameter

    def raw_shapes(self) -> dict[str, tuple[int, ...]]:
        """The free kernel."""
        return {"weight": (self.out_channels, self.inner_channels, self.kernel_size, self.kernel_size)}

    def free_kernel(self, raw: Weights) -> Tensor:
        """The first raw parameter."""
        return raw[0]


@register_executed(SpectralConv2d)  # type: ignore[type-abstract]
def _executed(layer: SpectralConv2d, weights: Weights, block: int | None) -> nn.Module | None:
    """Fourier transforms are taken in float64, as products; a 1x1 kernel needs none."""
    return BlockedConv2d(weights[0], layer.bias, padding="zeros", block=block) if layer.kernel_size == 1 else None
