"""The record that a method's file fills in: what it is, what it guarantees, what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .linalg.conv import Padding
from .linalg.fourier import distinct_count
from .linalg.spectral import transform_macs
from .nn.base import LipschitzModule
from .nn.linear import PointwiseLinear


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Facts about a method that other code may ask for; never its name.

    Attributes:
        constrained: Every layer is 1-Lipschitz (False only for the yardstick).
        orthogonal: With circular padding and as many output as input channels, the layer keeps norms.
        nonlinear: The layer is not affine: it holds an activation.
        image_bound: The constructed weights depend on the image size.
    """

    constrained: bool = True
    orthogonal: bool = False
    nonlinear: bool = False
    image_bound: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvShape:
    """The shape of one stride-1 convolution in use.

    Attributes:
        batch: Images.
        height: Of the images.
        width: Of the images.
        in_channels: Inner input channels (after the pixel unshuffle of stride 2).
        out_channels: Output channels.
        kernel_size: Side of the kernel.
        padding: Padding mode.
    """

    batch: int
    height: int
    width: int
    in_channels: int
    out_channels: int
    kernel_size: int
    padding: Padding

    @property
    def conv(self) -> int:
        """Multiply-accumulates of the unconstrained convolution."""
        return self.batch * self.height * self.width * self.in_channels * self.out_channels * self.kernel_size**2

    @property
    def square(self) -> int:
        """The same with max(in, out) channels on both sides."""
        return (
            self.batch * self.height * self.width * max(self.in_channels, self.out_channels) ** 2 * self.kernel_size**2
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Real multiply-accumulates of one layer, as implemented; a complex product counts as four.

    Attributes:
        training: Forward pass of a batch in training mode, weights given.
        inference: Forward pass of a batch in eval mode, weights given.
        construction: Construction of the weights once, in training mode, forward only.
    """

    training: int
    inference: int
    construction: int


Exponents = tuple[float, float, float, float]
"""Of the batch, the image's side, the channels and the kernel's side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How multiply-accumulates grow in theory: Table 1 of "1-Lipschitz Layers Compared" (CVPR 2024), leading terms.

    Attributes:
        forward: Of the images' way through a layer, weights given.
        construction: Of the weights.
    """

    forward: Exponents
    construction: Exponents


def spectral_cost(shape: ConvShape, per_frequency: int, *, kernel_channels: int | None = None) -> Cost:
    """Cost of a layer that acts per frequency.

    Counted are the Fourier transforms of the images, as they are taken, and one complex product per frequency; a 1x1
    kernel is one real matrix and needs neither. Matrices of mirrored frequencies are constructed once.

    Args:
        shape: The layer's shape.
        per_frequency: Products of numbers that the construction takes at one frequency.
        kernel_channels: Entries of the free kernel's spectral matrix, where they are not inputs times outputs.
    """
    if shape.kernel_size == 1:
        return Cost(training=shape.conv, inference=shape.conv, construction=per_frequency)
    extra = 2 * (shape.kernel_size // 2) if shape.padding == "zeros" else 0
    height, width = shape.height + extra, shape.width + extra
    frequencies = height * (width // 2 + 1)
    transform = shape.batch * transform_macs((shape.height, shape.width), (height, width))
    transforms = round(shape.in_channels * transform) + round(shape.out_channels * transform)
    forward = transforms + 4 * frequencies * shape.batch * shape.in_channels * shape.out_channels
    entries = shape.in_channels * shape.out_channels if kernel_channels is None else kernel_channels
    kernel = 2 * shape.kernel_size**2 * entries
    construction = distinct_count((height, width)) * (kernel + 4 * per_frequency)
    return Cost(training=forward, inference=forward, construction=construction)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One way to build 1-Lipschitz layers.

    Attributes:
        name: Key in the command line and in results.
        title: Name in tables.
        cite: Key in references.bib.
        summary: The construction in one line, for the table of methods.
        conv2d: The convolution.
        linear: The linear layer, with which a network ends.
        cost: The cost formula.
        traits: Facts that other code may ask for.
        growth: What theory says of the cost, where it is known.
        slack: How far above 1 the bound of a float32 layer may lie through rounding.
        shrinkage: How far below 1 a singular value of an orthogonal layer may lie, by rounding or by a cut series.
        revision: Raised when results change.
    """

    name: str
    title: str
    cite: str
    summary: str
    conv2d: type[LipschitzModule]
    linear: type[PointwiseLinear]
    cost: Callable[[ConvShape], Cost]
    traits: Traits
    growth: Growth | None = None
    slack: float = 1e-6
    shrinkage: float = 1e-6
    revision: int = 1

    @property
    def padding(self) -> Padding:
        """The padding mode that the method's paper uses."""
        return self.conv2d.default_padding
