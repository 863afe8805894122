"""The batches of an epoch: training images that lie on the device, in a new order and newly augmented each time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Generator, Tensor

from onelip.bench.data.base import ImageData
from onelip.bench.records import Recipe


class Batches:
    """The training images in batches of one size.

    Each epoch has generators of its own, on the CPU, seeded by the run's seed and the epoch's number alone: what an
    epoch shows does not depend on the device, on the epochs before it, or on whether the run was interrupted.

    Every epoch leaves out the images that do not fill a batch: a batch of a few images would take a step as large as
    that of a full one. The order is drawn anew each time, so that over the epochs all images are seen equally often.
    A data set smaller than one batch is one batch.

    Args:
        data: Its training images are copied to the device.
        recipe: Gives the batch size, and whether to augment.
        seed: The run's seed.
        device: Where the batches are wanted.

    Attributes:
        size: Images per batch.
        per_epoch: Batches per epoch.
    """

    def __init__(self, data: ImageData, recipe: Recipe, *, seed: int, device: torch.device) -> None:
        self._images_NCHW = data.train_images.to(device)
        self._labels_N = data.train_labels.to(device)
        self._data = data
        self._augmentation = data.augmentation if recipe.augment else None
        self._seed = seed
        self.size = min(recipe.batch_size, len(data.train_labels))
        self.per_epoch = len(data.train_labels) // self.size

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The `per_epoch` batches of an epoch: float32 images (B, C, H, W) in [0, 1], and labels (B,)."""
        order = torch.randperm(len(self._labels_N), generator=_generator("order", self._seed, number))
        noise = _generator("augmentation", self._seed, number)
        for chosen in torch.split(order.to(self._labels_N.device), self.size)[: self.per_epoch]:
            images_BCHW = self._images_NCHW[chosen]
            if self._augmentation is not None:
                images_BCHW = self._augmentation(images_BCHW, generator=noise)
            yield self._data.to_float(images_BCHW), self._labels_N[chosen]


def _generator(purpose: Literal["order", "augmentation"], seed: int, epoch: int) -> Generator:
    """A generator whose numbers have nothing to do with those of another purpose, seed or epoch."""
    digest = hashlib.sha256(f"{purpose} {seed} {epoch}".encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
