"""What every data set gives: images and labels in memory, and a fixed way to hold some of them out.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from onelip.bench.data.augment import Augmentation
from onelip.bench.origin import DataInfo
from onelip.errors import DataError

FOLDER_VARIABLE = "ONELIP_DATA"
"""The environment variable that names the data folder where the option --data-dir is not given."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageData:
    """A data set for image classification, whole in memory.

    Attributes:
        name: What `onelip.bench.data.load` takes to load it again.
        title: Its name in tables.
        train_images: uint8 (N, C, H, W), pixels from 0 to `pixel_max`.
        train_labels: int64 (N,), from 0 to `classes` - 1.
        test_images: As `train_images`, for evaluation.
        test_labels: As `train_labels`.
        class_names: One name per label.
        pixel_max: The pixel value that stands for 1.
        augmentation: What may be done to the training images at random; None: nothing.
    """

    name: str
    title: str
    train_images: Tensor = field(repr=False)
    train_labels: Tensor = field(repr=False)
    test_images: Tensor = field(repr=False)
    test_labels: Tensor = field(repr=False)
    class_names: tuple[str, ...] = field(repr=False)
    pixel_max: int = 255
    augmentation: Augmentation | None = None

    def __post_init__(self) -> None:
        self._check("train", self.train_images, self.train_labels)
        self._check("test", self.test_images, self.test_labels)
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            shapes = f"{tuple(self.train_images.shape[1:])} and {tuple(self.test_images.shape[1:])}"
            raise DataError(f"{self.name}: train and test images must have one shape, not {shapes}")

    @property
    def image(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @cached_property
    def mean(self) -> tuple[float, ...]:
        """The mean of each channel over the training images, in [0, 1]; summed as integers, hence exact."""
        count = self.train_images[:, 0].numel() * self.pixel_max
        totals = self.train_images.numpy().sum((0, 2, 3), dtype=np.int64)
        return tuple(total / count for total in totals.tolist())

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the content: sizes, class names, pixels and labels, in their order."""
        content = hashlib.sha256()
        header = [self.class_names, self.pixel_max, list(self.train_images.shape), list(self.test_images.shape)]
        content.update(json.dumps(header).encode())
        for images, labels in ((self.train_images, self.train_labels), (self.test_images, self.test_labels)):
            content.update(images.numpy().tobytes())
            content.update(labels.numpy().astype("<i8").tobytes())
        return content.hexdigest()

    def info(self) -> DataInfo:
        """What a record says of these images."""
        return DataInfo(
            name=self.name,
            title=self.title,
            digest=self.digest,
            image=self.image,
            classes=self.classes,
            train=len(self.train_labels),
            test=len(self.test_labels),
            augmentation="" if self.augmentation is None else str(self.augmentation),
        )

    def to_float(self, images_NCHW: Tensor) -> Tensor:
        """The images as float32 in [0, 1], the unit in which radii are certified."""
        return images_NCHW.to(torch.float32) / self.pixel_max

    def validation_split(self) -> ImageData:
        """The training images alone: nine tenths to train on, and a tenth of every class in place of the test images.

        The tenth depends on the labels and their order only, so that it is the same for every method, seed and machine.

        Raises:
            DataError: There are fewer than ten training images.
        """
        if len(self.train_labels) < 10:
            raise DataError(f"{self.name}: a validation split needs 10 training images, not {len(self.train_labels)}")
        kept, held = hold_out(self.train_labels, round(len(self.train_labels) / 10), salt="validation")
        return dataclasses.replace(
            self,
            train_images=self.train_images[kept],
            train_labels=self.train_labels[kept],
            test_images=self.train_images[held],
            test_labels=self.train_labels[held],
        )

    def _check(self, split: str, images: Tensor, labels: Tensor) -> None:
        if images.dtype != torch.uint8 or images.dim() != 4 or images.numel() == 0:
            found = f"{images.dtype} {tuple(images.shape)}"
            raise DataError(f"{self.name}: {split} images must be uint8 (N, C, H, W), each above 0; found {found}")
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
            found = f"{labels.dtype} {tuple(labels.shape)}"
            raise DataError(f"{self.name}: {split} labels must be int64 ({len(images)},); found {found}")
        if labels.min() < 0 or labels.max() >= self.classes:
            found = f"{int(labels.min())} to {int(labels.max())}"
            raise DataError(f"{self.name}: {split} labels must lie between 0 and {self.classes - 1}; found {found}")
        if images.max() > self.pixel_max:
            raise DataError(f"{self.name}: {split} pixels must be at most {self.pixel_max}; found {int(images.max())}")


def hold_out(labels: Tensor, count: int, *, salt: str) -> tuple[Tensor, Tensor]:
    """Choose `count` images, from each class in proportion to its size, rounded down or up.

    Within a class the hash of `salt` and the image's position decides: unlike a random generator's, this choice stays
    the same on every machine and with every version of every library.

    Args:
        labels: (N,), the class of each image.
        count: How many of the N images to hold out.
        salt: Another salt gives another choice.

    Returns:
        The positions of the kept and of the held-out images, both ascending.
    """
    positions: dict[int, list[int]] = {}
    for position, label in enumerate(labels.tolist()):
        positions.setdefault(label, []).append(position)
    quotas = _proportional({label: len(members) for label, members in positions.items()}, count)
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label, members in positions.items():
        members.sort(key=lambda position: hashlib.sha256(f"{salt} {position}".encode()).digest())
        held[members[: quotas[label]]] = True
    return torch.nonzero(~held).flatten(), torch.nonzero(held).flatten()


def named_folder(data_dir: Path | None) -> Path | None:
    """The folder of data sets: that of the command line, or that of the environment."""
    named = data_dir or os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else None


def find_folder(data_dir: Path | None, inner: str, advice: str) -> Path:
    """The folder of a data set: the one that the user named, or the folder `inner` in it.

    Args:
        data_dir: The folder from the command line; None: the environment variable ONELIP_DATA names it.
        inner: The name of the folder in which the data set is distributed.
        advice: The sentence that tells a user who has no such folder what to do.

    Raises:
        DataError: No folder was named, or it does not exist.
    """
    folder = named_folder(data_dir)
    if folder is None:
        raise DataError(f"{inner}: the folder of this data set was not named. {advice}")
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected {inner} or the folder that contains it. {advice}")
    return folder / inner if (folder / inner).is_dir() else folder


def missing_package(package: str, purpose: str, extra: str = "bench") -> DataError:
    """The error for an optional package that is not installed but would be with `extra`."""
    return DataError(f'{purpose} needs {package}, which is not installed: pip install "onelip[{extra}]"')


def _proportional(sizes: Mapping[int, int], count: int) -> dict[int, int]:
    """Share `count` among classes by the method of largest remainders; equal remainders: the lower label first."""
    total = sum(sizes.values())
    shares = {label: count * size // total for label, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda label: (-(count * sizes[label] % total), label))
    for label in by_remainder[: count - sum(shares.values())]:
        shares[label] += 1
    return shares
