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
    """Shifts every image by up to `padding` pixels each way, zeros moving in, and mirrors every second one on average.

    Shifts and mirroring are independent of each other and of those of other images, and uniform.

    Attributes:
        padding: The largest shift; 0: none.
        flip: Whether to mirror left to right at all.
    """

    padding: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise DataError(f"padding of a random crop must be 0 or more, not {self.padding}")

    def __str__(self) -> str:
        parts = [f"random crop with padding {self.padding}"] * (self.padding > 0) + ["mirror"] * self.flip
        return ", ".join(parts) or "no change"

    def __call__(self, images_BCHW: Tensor, *, generator: Generator) -> Tensor:
        """Images of any dtype; `Augmentation.__call__` says the rest."""
        batch, _, height, width = images_BCHW.shape
        top, left = _draw(2 * self.padding + 1, (2, batch), generator).to(images_BCHW.device)
        padded = pad(images_BCHW, [self.padding] * 4)
        # Views of every window that can be cut out: no pixel is copied before the drawn windows are gathered.
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        images = torch.arange(batch, device=images_BCHW.device)
        cropped = windows[images, :, top, left]
        if not self.flip:
            return cropped
        mirrored = _draw(2, (batch, 1, 1, 1), generator).to(images_BCHW.device, torch.bool)
        return torch.where(mirrored, cropped.flip(-1), cropped)

    def check(self, image: tuple[int, int, int], pixel_max: int) -> None:
        """Nothing is refused: it takes images of every kind, and no package."""


def _draw(end: int, size: tuple[int, ...], generator: Generator) -> Tensor:
    """Uniform integers from 0 to `end` - 1, on the generator's device."""
    return torch.randint(end, size, generator=generator, device=generator.device)
