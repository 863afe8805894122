"""RandAugment: every image draws operations out of fourteen; each is applied at once to all images that drew it.

The operations and their magnitudes are those of torchvision's RandAugment on pictures of Pillow, to the level of a
pixel. kornia moves pixels (to the nearest, black moving in) and equalizes. Its other operations compute with real
numbers from 0 to 1 where Pillow has whole levels, and add or scale where Pillow blends: a few lines stand here for
each of them. A blend with the image is truncated, as Pillow and torchvision do; greys, means and smoothed images are
rounded before they are blended, as Pillow does. Sheared and rotated images differ in one thing: where the middle of a
pixel comes from the border between two others, or in images of 64 x 64 from less than a thousandth of a pixel beside
it, kornia may take another of the two than Pillow, which counts in 16 binary places. With magnitude 9 and images of
64 x 64 that happens nowhere.

Source: E. D. Cubuk, B. Zoph, J. Shlens, Q. V. Le, RandAugment: Practical Automated Data Augmentation with a Reduced
Search Space, 2020, arXiv 1909.13719.

Shape suffixes: B images of the batch, S operations in sequence, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from onelip.bench.data.augment import Augmentation
from onelip.bench.data.base import missing_package
from onelip.errors import DataError

BINS = 31
"""Magnitudes are whole numbers below this."""

PIXEL_MAX = 255


@dataclass(frozen=True, slots=True)
class Operation:
    """One of the fourteen.

    Attributes:
        apply: Takes images (B, C, H, W) and a magnitude of each (B,), float32; gives uint8 of the same shape.
        weakest: The magnitude of the first bin.
        strongest: The magnitude of the last bin; those between lie evenly.
        share_of: The side of the image that these two are shares of, where they are no numbers of their own.
        signed: Whether every second image on average takes the negative magnitude.
    """

    apply: Callable[[Tensor, Tensor], Tensor]
    weakest: float = 0.0
    strongest: float = 0.0
    share_of: Literal["height", "width", None] = None
    signed: bool = False

    def magnitude(self, number: int, height: int, width: int) -> float:
        """The magnitude of bin `number` for images of this size."""
        scale = {None: 1, "height": height, "width": width}[self.share_of]
        return torch.linspace(self.weakest * scale, self.strongest * scale, BINS)[number].item()


@dataclass(frozen=True, slots=True)
class RandAugment(Augmentation):
    """Applies operations that are drawn for each image, uniformly and independently, to 8-bit images.

    Attributes:
        operations: How many are applied to each image, one after the other.
        magnitude: How strongly, 0 to 30.
    """

    operations: int = 2
    magnitude: int = 9

    def __post_init__(self) -> None:
        if self.operations < 1:
            raise DataError(f"RandAugment applies 1 operation or more, not {self.operations}")
        if not 0 <= self.magnitude < BINS:
            raise DataError(f"RandAugment has magnitudes from 0 to {BINS - 1}, not {self.magnitude}")

    def __str__(self) -> str:
        plural = "s" * (self.operations > 1)
        return f"RandAugment, {self.operations} operation{plural} of magnitude {self.magnitude}"

    def __call__(self, images_BCHW: Tensor, *, generator: Generator) -> Tensor:
        """Images of 1 or 3 channels with pixels up to 255; `Augmentation.__call__` says the rest."""
        for numbers_B, negative_B in zip(*self.draw(len(images_BCHW), generator), strict=True):
            images_BCHW = apply_drawn(images_BCHW, numbers_B, negative_B, self.magnitude)
        return images_BCHW

    def draw(self, batch: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """What is done to each image of a batch.

        Both draws of an image are one number, so that they depend on its place in the batch alone.

        Args:
            batch: The number of images.
            generator: Determines the draws.

        Returns:
            The places of the operations in `OPERATIONS` (S, B), and whether their magnitudes are negative if the
            operation is signed (S, B).
        """
        size = (batch, self.operations)
        drawn_SB = torch.randint(2 * len(OPERATIONS), size, generator=generator, device=generator.device).cpu().T
        return drawn_SB // 2, drawn_SB % 2 == 1

    def check(self, image: tuple[int, int, int], pixel_max: int) -> None:
        """Refuses other images than it takes, and a machine without kornia; `Augmentation.check` says the rest."""
        if image[0] not in (1, 3) or pixel_max != PIXEL_MAX:
            found = f"{image[0]} channels and pixels up to {pixel_max}"
            raise DataError(f"RandAugment takes images of 1 or 3 channels with pixels up to {PIXEL_MAX}; found {found}")
        _kornia()


def apply_drawn(images_BCHW: Tensor, numbers_B: Tensor, negative_B: Tensor, magnitude: int) -> Tensor:
    """Apply one operation to each image.

    Args:
        images_BCHW: uint8, 1 or 3 channels. They are not changed.
        numbers_B: The place in `OPERATIONS` of each image's operation, on the CPU.
        negative_B: Whether its magnitude is negative, if the operation is signed; on the CPU.
        magnitude: The bin of all magnitudes.

    Raises:
        DataError: kornia is not installed.
    """
    operations = tuple(OPERATIONS.values())
    sizes = torch.tensor([operation.magnitude(magnitude, *images_BCHW.shape[2:]) for operation in operations])
    signed = torch.tensor([operation.signed for operation in operations])
    signs_B = 1 - 2 * (negative_B & signed[numbers_B]).float()
    # Sorted by operation, the images of one lie together, and are not gathered one operation after the other.
    order_B = torch.argsort(numbers_B, stable=True)
    counts = torch.bincount(numbers_B, minlength=len(operations)).tolist()
    device = images_BCHW.device
    images = images_BCHW.index_select(0, order_B.to(device)).split(counts)
    magnitudes = (sizes[numbers_B] * signs_B)[order_B].to(device).split(counts)
    drawn = [number for number, count in enumerate(counts) if count]
    changed_BCHW = torch.cat([operations[number].apply(images[number], magnitudes[number]) for number in drawn])
    return changed_BCHW.index_select(0, torch.argsort(order_B).to(device))


def _identity(images_BCHW: Tensor, _: Tensor) -> Tensor:
    return images_BCHW


def _shear_x(images_BCHW: Tensor, magnitude_B: Tensor) -> Tensor:
    """The row at depth y moves left by `magnitude` times y, which is counted from the upper edge of the image."""
    return _sheared(images_BCHW, magnitude_B, axis=0)


def _shear_y(images_BCHW: Tensor, magnitude_B: Tensor) -> Tensor:
    """The column at x moves up by `magnitude` times x, which is counted from the left edge of the image."""
    return _sheared(images_BCHW, magnitude_B, axis=1)


def _sheared(images_BCHW: Tensor, magnitude_B: Tensor, *, axis: int) -> Tensor:
    # kornia counts from the middle of the first pixel, half a pixel from the edge.
    matrix_B23 = torch.eye(2, 3, device=images_BCHW.device).repeat(len(images_BCHW), 1, 1)
    matrix_B23[:, axis, 1 - axis] = -magnitude_B
    matrix_B23[:, axis, 2] = -magnitude_B / 2
    moved = _kornia().geometry.transform.affine(images_BCHW.float(), matrix_B23, mode="nearest", align_corners=True)
    return _to_bytes(moved)


def _translate_x(images_BCHW: Tensor, magnitude_B: Tensor) -> Tensor:
    """To the right by the whole pixels in `magnitude`."""
    return _translated(images_BCHW, torch.stack([magnitude_B.trunc(), torch.zeros_like(magnitude_B)], 1))


def _translate_y(images_BCHW: Tensor, magnitude_B: Tensor) -> Tensor:
    """Down by the whole pixels in `magnitude`."""
    return _translated(images_BCHW, torch.stack([torch.zeros_like(magnitude_B), magnitude_B.trunc()], 1))


def _translated(images_BCHW: Tensor, pixels_B2: Tensor) -> Tensor:
    transform = _kornia().geometry.transform
    return _to_bytes(transform.translate(images_BCHW.float(), pixels_B2, mode="nearest", align_corners=True))


def _rotate(images_BCHW: Tensor, magnitude_B: Tensor) -> Tensor:
    """Counter-clockwise about the centre of the image, by `magnitude` degrees."""
    transform = _kornia().geometry.transform
    return _to_bytes(transform.rotate(images_BCHW.float(), magnitude_B, mode="nearest", align_corners=True))


def _brightness(images_BCHW: Tensor, magnitude_B: Tensor) -> Tensor:
    return _blend(torch.zeros_like(images_BCHW), images_BCHW, magnitude_B)


def _color(images_BCHW: Tensor, magnitude_B: Tensor) -> Tensor:
    return _blend(_grey(images_BCHW), images_BCHW, magnitude_B)


def _contrast(images_BCHW: Tensor, magnitude_B: Tensor) -> Tensor:
    grey_B1HW = _grey(images_BCHW)
    pixels = grey_B1HW[0].numel()
    mean_B111 = (2 * grey_B1HW.sum((1, 2, 3), keepdim=True) + pixels) // (2 * pixels)
    return _blend(mean_B111, images_BCHW, magnitude_B)


def _sharpness(images_BCHW: Tensor, magnitude_B: Tensor) -> Tensor:
    """The smoothed image that is blended is a mean of 3 x 3 pixels, the middle one five times; none at the border."""
    levels = images_BCHW.to(torch.int16)
    rows = levels[:, :, :-2] + levels[:, :, 1:-1] + levels[:, :, 2:]
    sums = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    smooth = levels.clone()
    smooth[:, :, 1:-1, 1:-1] = (sums + 4 * levels[:, :, 1:-1, 1:-1] + 6) // 13
    return _blend(smooth, images_BCHW, magnitude_B)


def _posterize(images_BCHW: Tensor, magnitude_B: Tensor) -> Tensor:
    """Clear as many of the lowest bits as `magnitude` says when rounded."""
    bits_B111 = magnitude_B.round().to(torch.uint8).view(-1, 1, 1, 1)
    return images_BCHW >> bits_B111 << bits_B111


def _solarize(images_BCHW: Tensor, magnitude_B: Tensor) -> Tensor:
    """Invert what is as bright as `magnitude`, or brighter."""
    bright = images_BCHW >= magnitude_B.view(-1, 1, 1, 1)
    return images_BCHW ^ PIXEL_MAX * bright.to(torch.uint8)  # to invert 8 bits is to subtract them from 255


def _auto_contrast(images_BCHW: Tensor, _: Tensor) -> Tensor:
    """Stretch each channel from black to white, unless all of it is of one level."""
    low, high = images_BCHW.amin((2, 3), keepdim=True).double(), images_BCHW.amax((2, 3), keepdim=True).double()
    # As Pillow does it, in float64: a level that is whole may come out just below, and is truncated. (A number divided
    # by a tensor would be its product with the reciprocal.)
    scale = torch.where(high > low, torch.full_like(high, PIXEL_MAX) / (high - low), 1)
    offset = torch.where(high > low, -low * scale, 0)
    return _to_bytes(images_BCHW * scale + offset)


def _equalize(images_BCHW: Tensor, _: Tensor) -> Tensor:
    # kornia multiplies by 255 and truncates. Each level comes back from its quotient, but not, on a GPU, from the
    # product with the reciprocal that a tensor divided by a number is there; as the result is, which is rounded.
    shares = images_BCHW / torch.full_like(images_BCHW, PIXEL_MAX)
    return _to_bytes((_kornia().enhance.equalize(shares) * PIXEL_MAX).round())


def _grey(images_BCHW: Tensor) -> Tensor:
    """Pillow's grey (B, 1, H, W) of three channels, rounded to a level; one channel is its own grey."""
    if images_BCHW.shape[1] == 1:
        return images_BCHW
    red, green, blue = images_BCHW.to(torch.int32).split(1, 1)
    return (19595 * red + 38470 * green + 7471 * blue + 2**15) >> 16


def _blend(origin: Tensor, images_BCHW: Tensor, magnitude_B: Tensor) -> Tensor:
    """Go from `origin` to the images, and on beyond them by `magnitude` of the way, or stop short of them."""
    origin = origin.float()
    return _to_bytes(origin + (1 + magnitude_B).view(-1, 1, 1, 1) * (images_BCHW - origin))


def _to_bytes(levels: Tensor) -> Tensor:
    return levels.clamp(0, PIXEL_MAX).to(torch.uint8)


def _kornia() -> Any:
    try:
        import kornia
    except ImportError as error:
        raise missing_package("kornia", "RandAugment", extra="augment") from error
    return kornia


OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        "Identity": Operation(_identity),
        "ShearX": Operation(_shear_x, strongest=0.3, signed=True),
        "ShearY": Operation(_shear_y, strongest=0.3, signed=True),
        "TranslateX": Operation(_translate_x, strongest=150 / 331, share_of="width", signed=True),
        "TranslateY": Operation(_translate_y, strongest=150 / 331, share_of="height", signed=True),
        "Rotate": Operation(_rotate, strongest=30.0, signed=True),
        "Brightness": Operation(_brightness, strongest=0.9, signed=True),
        "Color": Operation(_color, strongest=0.9, signed=True),
        "Contrast": Operation(_contrast, strongest=0.9, signed=True),
        "Sharpness": Operation(_sharpness, strongest=0.9, signed=True),
        "Posterize": Operation(_posterize, strongest=4.0),
        "Solarize": Operation(_solarize, weakest=255.0, strongest=0.0),
        "AutoContrast": Operation(_auto_contrast),
        "Equalize": Operation(_equalize),
    }
)
"""The fourteen by their names in torchvision, in its order."""
