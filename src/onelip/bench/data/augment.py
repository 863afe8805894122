"""What a data set does to its training images at random: a whole batch at once, on the device where the batch lies.

Shape suffixes: B images of the batch, C channels, H height, W width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from onelip.errors import DataError


class Augmentation(ABC):
    """A random change of images that leaves them in their classes. Its `str` says in a few words which."""

    @abstractmethod
    def __call__(self, images_BCHW: Tensor, *, generator: Generator) -> Tensor:
        """Change every image of a batch, each by draws of its own.

        Args:
            images_BCHW: uint8, the pixels of the data set. They are not changed.
            generator: Determines the result. One on the CPU draws the same for a batch on any device.

        Returns:
            A batch of the same shape and dtype, on the same device.
        """

    @abstractmethod
    def check(self, image: tuple[int, int, int], pixel_max: int) -> None:
        """Refuse what could not be augmented, before anything is trained.

        Args:
            image: Channels, height and width of the images.
            pixel_max: The pixel value that stands for 1.

        Raises:
            DataError: It does not know such images, or needs a package that is not installed.
        """


@dataclass(frozen=True, slots=True)
class CropAndFlip(Augmentation):
    """Shifts every image by up to `padding` pixels each way, and mirrors every second one on average.

    Shifts and mirroring are independent of each other and of those of other images, and uniform.

    Attributes:
        padding: The largest shift; 0: none.
        flip: Whether to mirror left to right at all.
        fill: What moves in, a pixel value per channel; empty: zeros. The paper shifts images whose mean was subtracted,
            and has zeros move in there: that is the mean.
    """

    padding: int = 0
    flip: bool = False
    fill: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise DataError(f"padding of a random crop must be 0 or more, not {self.padding}")

    def __str__(self) -> str:
        filled = f" of colour {'/'.join(map(str, self.fill))}" if self.fill else ""
        parts = [f"random crop with padding {self.padding}{filled}"] * (self.padding > 0) + ["mirror"] * self.flip
        return ", ".join(parts) or "no change"

    def __call__(self, images_BCHW: Tensor, *, generator: Generator) -> Tensor:
        """Images of any dtype; `Augmentation.__call__` says the rest."""
        batch, _, height, width = images_BCHW.shape
        top, left = _draw(2 * self.padding + 1, (2, batch), generator).to(images_BCHW.device)
        padded = self._padded(images_BCHW)
        # Views of every window that can be cut out: no pixel is copied before the drawn windows are gathered.
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        images = torch.arange(batch, device=images_BCHW.device)
        cropped = windows[images, :, top, left]
        if not self.flip:
            return cropped
        mirrored = _draw(2, (batch, 1, 1, 1), generator).to(images_BCHW.device, torch.bool)
        return torch.where(mirrored, cropped.flip(-1), cropped)

    def check(self, image: tuple[int, int, int], pixel_max: int) -> None:
        """Images of as many channels as there are values to fill with; no package is needed."""
        if self.fill and (len(self.fill) != image[0] or not all(0 <= value <= pixel_max for value in self.fill)):
            raise DataError(f"a crop cannot be filled with {self.fill} in images of {image[0]} channels to {pixel_max}")

    def _padded(self, images_BCHW: Tensor) -> Tensor:
        if not self.fill:
            return pad(images_BCHW, [self.padding] * 4)
        (batch, channels, height, width), wide = images_BCHW.shape, self.padding
        colour_C = images_BCHW.new_tensor(self.fill)
        padded = colour_C[:, None, None].expand(batch, channels, height + 2 * wide, width + 2 * wide).contiguous()
        padded[:, :, wide : wide + height, wide : wide + width] = images_BCHW
        return padded


def _draw(end: int, size: tuple[int, ...], generator: Generator) -> Tensor:
    """Uniform integers from 0 to `end` - 1, on the generator's device."""
    return torch.randint(end, size, generator=generator, device=generator.device)
