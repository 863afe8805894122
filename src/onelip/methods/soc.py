"""SOC, skew orthogonal convolutions: Singla & Feizi, ICML 2021, arXiv 2105.11417.

The layer is the exponential series exp(L) x = sum_i L^i x / i! of a skew-symmetric convolution L, the skew part
(K - K^T) / 2 of a free kernel; skewness survives zero padding, so exp(L) keeps norms with either padding. The series is
cut after degree 5 in training and 12 in eval mode.

L is scaled by s / sigma. Here sigma is the smaller norm of the kernel reshaped to (c k) x (c k) and to c x (c k^2), and
||L|| <= k sigma (Singla & Feizi, ICLR 2021; of the four matrices there, two and two agree for a skew kernel);
s = min(0.7, 3.3 / k), and 1 for 1x1 kernels. So ||L|| <= 3.3, where the series of degree 12 does not exceed norm 1 (it
does from 3.379 on). In eval mode sigma is a proved bound, in training mode an estimate by Lanczos. A 1x1
kernel is exponentiated once, as a matrix.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..bound import Bound
from ..cost import ConvShape, Cost, Memory, Theory
from ..errors import UnsoundError
from ..linalg.conv import Image, Padding, transpose_kernel
from ..linalg.convolve import convolve
from ..linalg.estimates import norm_estimate, norm_estimate_macs
from ..linalg.operators import matrix_norm_bound
from ..linalg.proof import conv_largest_norm_bound, largest_norm_bound
from ..linalg.rounding import UNIT_ROUNDOFF, Computed, absolute_norm, convolution_rounding, gamma, length
from ..linalg.series import (
    convolution_series,
    exponential_series,
    exponential_series_bound,
    kept_terms,
    series_working,
)
from ..method import Method, Traits
from ..nn.base import LipschitzModule, Role, Weights
from ..nn.blocked import BlockedConv2d, BlockedSeries
from ..nn.executed import register_executed
from ..nn.kernel import uniform_bias
from ..nn.linear import PointwiseLinear
from ..nn.reshape import fit_channels

TRAINING_DEGREE, EVAL_DEGREE = 5, 12
KRYLOV_STEPS = 12
GRID = 2.0**-30
"""Norms that differ by rounding, as those found on two machines, nearly always lie between the same two multiples."""
ROUNDED = 1 + 1e-4
"""More than rounding adds to the scale of a kernel."""


def _on_grid(norm: float) -> float:
    """The next multiple of `GRID` above a norm."""
    return math.ceil(norm / GRID) * GRID if math.isfinite(norm) else norm


def series_degree(training: bool) -> int:
    """Degree of the series; no method of the layer, as bounds rest on it and subclasses could change that."""
    return TRAINING_DEGREE if training else EVAL_DEGREE


def reshaped_kernels(kernel_OIKK: Tensor) -> tuple[Tensor, ...]:
    """Reshapings of a kernel whose spectral norms, times K, bound that of the convolution: two, one for 1x1 kernels."""
    taps = kernel_OIKK.movedim(-2, -3)
    both = taps.flatten(-4, -3).flatten(-2), kernel_OIKK.flatten(-3)
    return both if kernel_OIKK.shape[-1] > 1 else both[:1]


class SOCConv2d(LipschitzModule):
    """Skew orthogonal convolution on C = max(inner input, output) channels.

    Fewer input channels are padded with zeros; of more, the first `out_channels` outputs are kept.
    """

    default_padding: ClassVar[Padding] = "zeros"
    weight: nn.Parameter

    @property
    def channels(self) -> int:
        """Channels of the square construction."""
        return max(self.inner_channels, self.out_channels)

    @property
    def target(self) -> float:
        """What sigma is scaled to; K times that bounds ||L||, which for larger kernels must not exceed 3.37."""
        return 1.0 if self.kernel_size == 1 else min(0.7, 3.3 / self.kernel_size)

    def norm_of_skew(self, weights: Weights, image: Image) -> float:
        """Proved bound of ||L||: that of a reshaped kernel where it is what the scale promises.

        It is rounded up to a multiple of `GRID`, so that another machine nearly always finds the same.
        """
        promised = self.target * ROUNDED
        for matrix in sorted(reshaped_kernels(weights[0].to(torch.float64)), key=lambda one: float(norm_estimate(one))):
            bound = largest_norm_bound(matrix, enough=promised)
            if bound <= promised:
                return _on_grid(bound * self.kernel_size * (1 + 2 * UNIT_ROUNDOFF))
        enough = promised * self.kernel_size
        return _on_grid(conv_largest_norm_bound(weights[0], image, self.padding_mode, enough=enough)[0])

    def raw_shapes(self) -> dict[str, tuple[int, ...]]:
        """The free kernel."""
        return {"weight": (self.channels, self.channels, self.kernel_size, self.kernel_size)}

    def reset_parameters(self, role: Role = "block") -> None:
        """Normal kernels of variance 1 / channels, bias uniform."""
        nn.init.normal_(self.weight, std=self.channels**-0.5)
        uniform_bias(self, self.channels)

    def skew_kernel(self, raw: Weights) -> Tensor:
        """The scaled skew kernel L, exactly skew in floating point."""
        skew = (raw[0] - transpose_kernel(raw[0])) / 2
        if self.training:
            norms = [norm_estimate(matrix, steps=KRYLOV_STEPS) for matrix in reshaped_kernels(skew)]
        else:
            norms = [matrix_norm_bound(matrix) for matrix in reshaped_kernels(skew)]
        sigma = torch.stack(norms).amin(0).clamp(min=torch.finfo(self.weight.dtype).tiny * 1e4)
        return skew * (self.target / sigma).to(skew.dtype)[..., None, None, None, None]

    def depends_on_image(self) -> bool:
        """The scaling holds for all image sizes."""
        return False

    def construct(self, raw: Weights, image: Image) -> Weights:
        """L, or for 1x1 kernels the series of the matrix itself; in eval mode taken in float64."""
        if self.kernel_size > 1:
            return (self.skew_kernel(raw),)
        skew = self.skew_kernel(raw if self.training else tuple(tensor.to(torch.float64) for tensor in raw))
        series = exponential_series(skew.flatten(-3), series_degree(self.training))
        return (series[..., None, None].to(raw[0].dtype),)

    def apply_weights(self, x_BIHW: Tensor, weights: Weights) -> Tensor:
        """The series, one convolution per term."""
        total = fit_channels(x_BIHW, self.channels)
        if self.kernel_size == 1:
            total = convolve(total, weights[0], None, "zeros")
        else:
            total = convolution_series(total, weights[0], series_degree(self.training), self.padding_mode)
        total = total[:, : self.out_channels]
        return total if self.bias is None else total + self.bias[:, None, None]

    def rounding(self, x: Computed, weights: Weights, image: Image, norm: float) -> Computed:
        """One convolution and one sum per term of the series, and the bias."""
        pixels = math.prod(image)
        if self.kernel_size == 1:
            return convolution_rounding(x, weights[0], self.bias, pixels, norm)
        skew_norm = self.norm_of_skew(weights, image)
        absolute = absolute_norm(weights[0])
        charge = gamma(weights[0][0].numel() + 4)
        term = total = x.as_given
        for order in range(1, EVAL_DEGREE + 1):
            term = term.linear(norm=skew_norm / order, rounding=charge * absolute / order)
            total = total.plus(term)
        shift = length(self.bias, pixels)
        return x.through(norm=norm, shift=shift, local=total.plus(Computed(shift, 0.0)).error)

    def realised_bound(self, weights: Weights, image: Image, *, enough: float = 0.0) -> Bound:
        """The series' largest modulus on the spectrum of L, or the norm of the realised matrix for 1x1 kernels."""
        if self.kernel_size == 1:
            norm, way = conv_largest_norm_bound(weights[0], image, self.padding_mode, enough=enough)
            return Bound(norm, f"spectral norm of the exponentiated matrix, proved on its {way}")
        norm = self.norm_of_skew(weights, image)
        if not torch.equal(weights[0], -transpose_kernel(weights[0])):
            raise UnsoundError("no bound of this layer: its kernel is not skew")
        value = exponential_series_bound(norm, EVAL_DEGREE)
        return Bound(value, f"series of degree {EVAL_DEGREE} of a skew operator of norm <= {norm:.9f}")


@register_executed(SOCConv2d)
def _executed(layer: SOCConv2d, weights: Weights, block: int | None) -> nn.Module:
    """A 1x1 kernel is exponentiated; others are applied term by term."""
    (kernel,), padding, outputs = weights, layer.padding_mode, layer.out_channels
    if layer.kernel_size == 1:
        return BlockedConv2d(kernel[:outputs, : layer.inner_channels], layer.bias, padding=padding, block=block)
    return BlockedSeries(kernel, EVAL_DEGREE, layer.bias, out_channels=outputs, padding=padding, block=block)


class SOCLinear(PointwiseLinear, SOCConv2d):
    """Orthogonal linear layer by the exponential of a skew matrix."""


def cost(shape: ConvShape) -> Cost:
    """One convolution per term of the series; construction is two estimates of norms, one for 1x1 kernels."""
    channels, size = shape.channels, shape.kernel_size
    shapes = [(channels * size, channels * size), (channels, channels * size**2)][: 2 if size > 1 else 1]
    construction = sum(norm_estimate_macs(*one, KRYLOV_STEPS) for one in shapes)
    if size == 1:
        construction += (TRAINING_DEGREE - 1) * channels**3
        kept = Memory(
            training=shape.hidden,
            construction=(TRAINING_DEGREE + 2) * channels**2,
            inference=shape.hidden + max(shape.fitted, shape.outputs),
            weights=channels**2,
        )
        return Cost(training=shape.square, inference=shape.square, construction=construction, memory=kept)
    training, inference = TRAINING_DEGREE * shape.square, EVAL_DEGREE * shape.square
    working = series_working((shape.batch, channels, *shape.image), size, shape.padding, EVAL_DEGREE)
    kept = Memory(
        training=(1 + kept_terms(TRAINING_DEGREE, shape.image)) * shape.hidden,
        construction=3 * shape.square_kernel,
        inference=max(shape.fitted + working, shape.hidden + shape.outputs),
        weights=shape.square_kernel,
    )
    return Cost(training=training, inference=inference, construction=construction, memory=kept)


THEORY = Theory(
    training="5C",
    inference="12C",
    construction="50 P",
    training_memory="M",
    construction_memory="3P",
    inference_memory="2M",
    weights_memory="P",
    departs=(
        "The backward pass computes the terms of the series again and keeps only the input; of images of up to 8x8 "
        "pixels the terms are kept. Inference takes a part of the batch at a time through the series, besides the "
        "kernels of all terms. 1x1 kernels are exponentiated as matrices. Norms by Lanczos."
    ),
    iterations=(("t1", TRAINING_DEGREE), ("t2", 1)),
    inference_iterations=(("t1", EVAL_DEGREE), ("t2", 1)),
)

SOC = Method(
    name="soc",
    title="SOC",
    stands_for="skew orthogonal convolutions",
    cite="singla2021skew",
    summary="exponential series of a skew-symmetric convolution",
    conv2d=SOCConv2d,
    linear=SOCLinear,
    cost=cost,
    traits=Traits(orthogonal=True, orthogonal_zeros=True),
    theory=THEORY,
    shrinkage=1.01e-4,  # the series of degree 12 has modulus 0.9998996 at pi i
    revision=3,
)
