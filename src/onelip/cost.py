"""What one layer costs: multiply-accumulates and memory, by formulas that are checked against what runs.

Memory is counted in float32 numbers of 4 bytes; a complex number is two. Of it the formulas know the tensors that have
an entry for each pair of channels or for each pixel of each image. Vectors with an entry per channel or per pixel of a
side are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from .linalg.conv import Image, Padding
from .linalg.fourier import distinct_count, half_count, table_numbers
from .linalg.spectral import is_small, transform_macs
from .linalg.spectral_products import images_at_once


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
    def image(self) -> Image:
        """Height and width."""
        return self.height, self.width

    @property
    def channels(self) -> int:
        """Of a construction that has as many inputs as outputs."""
        return max(self.in_channels, self.out_channels)

    @property
    def conv(self) -> int:
        """Multiply-accumulates of the unconstrained convolution."""
        return self.inputs * self.out_channels * self.kernel_size**2

    @property
    def square(self) -> int:
        """The same with max(in, out) channels on both sides."""
        return self.hidden * self.channels * self.kernel_size**2

    @property
    def inputs(self) -> int:
        """Numbers of a batch of input images."""
        return self.batch * self.height * self.width * self.in_channels

    @property
    def outputs(self) -> int:
        """Numbers of a batch of output images."""
        return self.batch * self.height * self.width * self.out_channels

    @property
    def hidden(self) -> int:
        """Numbers of a batch of images with max(in, out) channels."""
        return self.batch * self.height * self.width * self.channels

    @property
    def fitted(self) -> int:
        """Numbers of the copy of the input with max(in, out) channels, where it has fewer."""
        return self.hidden if self.in_channels < self.out_channels else 0

    @property
    def kernel(self) -> int:
        """Numbers of a kernel."""
        return self.in_channels * self.out_channels * self.kernel_size**2

    @property
    def square_kernel(self) -> int:
        """Numbers of a kernel with max(in, out) channels on both sides."""
        return self.channels**2 * self.kernel_size**2

    @property
    def pixels_around(self) -> int:
        """Pixels of an image with the margins that circular padding copies; 0 where it copies none."""
        extra = 2 * (self.kernel_size // 2)
        return (self.height + extra) * (self.width + extra) if self.padding == "circular" and extra else 0

    @property
    def around(self) -> Image:
        """The torus on which layers convolve that act per frequency: with zero padding it has room for the margins."""
        extra = 2 * (self.kernel_size // 2) if self.padding == "zeros" else 0
        return self.height + extra, self.width + extra


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Float32 numbers that one layer's tensors hold, as implemented, images with the channels of a pixel together.

    Attributes:
        training: What the forward pass of a batch in training mode leaves for the backward pass, weights given. What it
            keeps of its input counts, as the input itself or as a copy.
        construction: What constructing the weights in training mode leaves for the backward pass, and the weights;
            not the raw parameters.
        inference: The peak of the forward pass of a batch in eval mode, its output included; neither its input nor
            the weights.
        weights: What is kept for inference; not the raw parameters.
    """

    training: int
    construction: int
    inference: int
    weights: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one layer takes, as implemented.

    Multiply-accumulates are real ones; a complex product counts as four.

    Attributes:
        training: Multiply-accumulates of the forward pass of a batch in training mode, weights given.
        inference: Of the forward pass of a batch in eval mode, weights given.
        construction: Of the construction of the weights once, in training mode, forward only.
        memory: See `Memory`.
    """

    training: int
    inference: int
    construction: int
    memory: Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Theory:
    """Leading terms of the `Cost` of a layer with as many inputs as outputs and circular padding, as formulas.

    They are sums of products of b images, their side s, c channels and the kernel's side k > 1, and of the
    abbreviations C = b s^2 c^2 k^2 (the multiply-accumulates of a convolution), M = b s^2 c (the numbers of its input)
    and P = c^2 k^2 (those of its kernel): "2C + c^3 (2k-1)^2".

    Attributes:
        training: As in `Cost`.
        inference: As in `Cost`.
        construction: As in `Cost`.
        training_memory: `Memory.training`.
        construction_memory: `Memory.construction`.
        inference_memory: `Memory.inference`.
        weights_memory: `Memory.weights`.
        departs: Why this differs from Table 1 of "1-Lipschitz Layers Compared" (CVPR 2024), if it does.
        iterations: What t, t1 and t2 of that table are in training.
        inference_iterations: And in inference.
    """

    training: str
    inference: str
    construction: str
    training_memory: str
    construction_memory: str
    inference_memory: str
    weights_memory: str
    departs: str = ""
    iterations: tuple[tuple[str, int], ...] = ()
    inference_iterations: tuple[tuple[str, int], ...] = ()


def convolution_memory(shape: ConvShape, *, construction: int, weights: int) -> Memory:
    """Memory of a layer that is one convolution with a constructed kernel: it keeps its input.

    Args:
        shape: The layer's shape.
        construction: See `Memory`.
        weights: See `Memory`.
    """
    padded = shape.batch * shape.pixels_around * shape.in_channels
    return Memory(training=shape.inputs, construction=construction, inference=padded + shape.outputs, weights=weights)


def residual_memory(shape: ConvShape, *, construction: int) -> Memory:
    """Memory of a layer x - K^T T relu(K x + b): it keeps its input, what comes out of the ReLU, and T K."""
    padded = shape.batch * shape.pixels_around * shape.channels
    kernels = shape.square_kernel * (2 if shape.padding == "circular" else 1)  # scaled, and turned around besides
    return Memory(
        training=2 * shape.hidden + shape.square_kernel,
        construction=construction,
        inference=shape.fitted + 2 * shape.hidden + kernels + padded,
        weights=0,
    )


def spectral_cost(
    shape: ConvShape, per_frequency: int, *, kernel_channels: int | None = None, kept_per_frequency: int
) -> Cost:
    """Cost of a layer that acts per frequency.

    Counted are the Fourier transforms of the images, as they are taken, and one complex product per frequency; a 1x1
    kernel is one real matrix and needs neither. Matrices of mirrored frequencies are constructed once. Training keeps
    the spectra of the images, half of each.

    Args:
        shape: The layer's shape.
        per_frequency: Products of numbers that the construction takes at one frequency.
        kernel_channels: Entries of the free kernel's spectral matrix, where they are not inputs times outputs.
        kept_per_frequency: Numbers that the construction keeps of one frequency for the backward pass, besides both
            parts of the free kernel's spectral matrix.
    """
    matrix = shape.in_channels * shape.out_channels
    if shape.kernel_size == 1:
        memory = convolution_memory(shape, construction=kept_per_frequency + matrix, weights=matrix)
        return Cost(training=shape.conv, inference=shape.conv, construction=per_frequency, memory=memory)
    frequencies, distinct = half_count(shape.around), distinct_count(shape.around)
    transform = shape.batch * transform_macs(shape.image, shape.around)
    transforms = round(shape.in_channels * transform) + round(shape.out_channels * transform)
    forward = transforms + 4 * frequencies * shape.batch * matrix
    entries = matrix if kernel_channels is None else kernel_channels
    blocks = 0 if is_small(shape.around) else 4 * frequencies * matrix
    return Cost(
        training=forward,
        inference=forward,
        construction=distinct * (2 * shape.kernel_size**2 * entries + 4 * per_frequency),
        memory=Memory(
            training=2 * frequencies * shape.batch * shape.in_channels + blocks,
            construction=2 * distinct * (entries + kept_per_frequency) + 2 * frequencies * matrix,
            inference=_spectral_working(shape),
            weights=2 * frequencies * matrix,
        ),
    )


def _spectral_working(shape: ConvShape) -> int:
    """The peak of a pass through the transform, the products and the transform back, or the sum with the bias."""
    return shape.outputs + max(
        _products_working(shape) if is_small(shape.around) else _library_working(shape), shape.outputs
    )


def _products_working(shape: ConvShape) -> int:
    """Without the output, by products: of a part of the batch at a time, and the tables of sines."""
    (height, width), (rows, half) = shape.image, (shape.around[0], shape.around[1] // 2 + 1)
    spectrum, halfway = 2 * rows * half, 2 * height * half
    inputs, outputs = shape.in_channels, shape.out_channels
    there = inputs * (height * width + halfway + spectrum)
    back = outputs * (spectrum + halfway + height * width)
    at_once = min(shape.batch, images_at_once(shape.channels, shape.image))
    return at_once * max(there, spectrum * (inputs + outputs), back) + table_numbers(shape.image, shape.around)


def _library_working(shape: ConvShape) -> int:
    """Without what is cut out of the result, by the library's transforms, which go along one side at a time."""
    pixels, spectrum = shape.around[0] * shape.around[1], 2 * half_count(shape.around)
    inputs, outputs = shape.batch * shape.in_channels, shape.batch * shape.out_channels
    blocks = 2 * spectrum * shape.in_channels * shape.out_channels
    known = inputs * (pixels + spectrum)
    there, between = known + inputs * spectrum, known + blocks + spectrum * (inputs + outputs)
    back = known + blocks + outputs * (5 * spectrum + pixels)
    return max(there, between, back) - shape.outputs
