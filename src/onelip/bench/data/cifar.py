"""CIFAR-10 and CIFAR-100 in their official python format: pickled files, verified and read without executing them.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from onelip.bench.data.augment import CropAndFlip
from onelip.bench.data.base import FOLDER_VARIABLE, ImageData, find_folder
from onelip.bench.data.pictures import Track, untracked
from onelip.bench.data.source import Archive, Content, DataSource
from onelip.bench.data.unpickle import read_pickle
from onelip.errors import DataError

HOMEPAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cifar:
    """One of the two sets: 50,000 training and 10,000 test images of 32x32 pixels in colour.

    Attributes:
        name: Its name on the command line and in records.
        title: Its name in tables.
        classes: Their number.
        meta: The file of the class names.
        names_key: Under which they stand there.
        train: The files of training images.
        test: The file of test images.
        labels_key: Under which the labels stand in these.
        md5: The published digest of each file. It tells a cut or foreign file; safety does not rest on it.
        archive: What to download.
        mean: The mean pixel of the training images, rounded: what moves in where an image is shifted.
    """

    name: str
    title: str
    classes: int
    meta: str
    names_key: str
    train: tuple[str, ...]
    test: str
    labels_key: str
    md5: Mapping[str, str]
    archive: Archive
    mean: tuple[int, int, int]

    def source(self) -> DataSource:
        """What the table of data sets says of it."""
        return DataSource(
            name=self.name,
            title=self.title,
            loader=self.load,
            needs_folder=True,
            homepage=HOMEPAGE,
            content=Content(image=(3, 32, 32), classes=self.classes, train=50_000, test=10_000),
            archive=self.archive,
            folders=(self.archive.folder,),
        )

    def load(self, data_dir: Path | None, *, side: int | None = None, track: Track = untracked) -> ImageData:
        """The images.

        Args:
            data_dir: The set's folder or the one that contains it; None: ONELIP_DATA names it.
            side: Of no use: the images have one size.
            track: Of no use: to read them takes a moment.

        Raises:
            DataError: A file is missing, cut, foreign or malformed; the message says where to get it.
        """
        folder = find_folder(data_dir, self.archive.folder, self._advice())
        class_names = self._class_names(folder / self.meta)
        train = [self._batch(folder / name, len(class_names)) for name in self.train]
        test_images, test_labels = self._batch(folder / self.test, len(class_names))
        return ImageData(
            name=self.name,
            title=self.title,
            train_images=torch.cat([images for images, _ in train]),
            train_labels=torch.cat([labels for _, labels in train]),
            test_images=test_images,
            test_labels=test_labels,
            class_names=class_names,
            augmentation=CropAndFlip(padding=4, flip=True, fill=self.mean),
        )

    def _class_names(self, path: Path) -> tuple[str, ...]:
        names = read_pickle(self._verified(path), path).get(self.names_key)
        if not isinstance(names, list) or not names or not all(isinstance(name, (str, bytes)) for name in names):
            raise DataError(f"{path}: expected a list of class names under {self.names_key!r}. {self._advice()}")
        return tuple(name if isinstance(name, str) else name.decode("latin1") for name in names)

    def _batch(self, path: Path, classes: int) -> tuple[Tensor, Tensor]:
        """The images (N, 3, 32, 32) and labels (N,) of one file, which stores each image as a row of 3072 pixels."""
        content, key = read_pickle(self._verified(path), path), repr(self.labels_key)
        rows, labels = content.get("data"), content.get(self.labels_key)
        if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != 3 * 32 * 32:
            raise DataError(f"{path}: expected rows of 3072 pixels under 'data'. {self._advice()}")
        if not isinstance(labels, list) or len(labels) != len(rows):
            raise DataError(
                f"{path}: expected a list of {len(rows)} labels under {key}, one per image. {self._advice()}"
            )
        if not all(type(label) is int and 0 <= label < classes for label in labels):
            raise DataError(f"{path}: expected labels between 0 and {classes - 1} under {key}. {self._advice()}")
        return torch.tensor(rows).view(-1, 3, 32, 32), torch.tensor(labels, dtype=torch.int64)

    def _verified(self, path: Path) -> bytes:
        """The content of a file, once its digest is found to be right."""
        md5 = self.md5[path.name]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); expected the file with md5 {md5}. {self._advice()}"
            ) from error
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != md5:
            raise DataError(
                f"{path}: cut or foreign; expected the file with md5 {md5}, found {len(content):,} bytes with md5 "
                f"{found}. {self._advice()}"
            )
        return content

    def _advice(self) -> str:
        return (
            f"Get the python version of {self.title} from {HOMEPAGE}, unpack it, and name its folder by --data-dir or "
            f"by the environment variable {FOLDER_VARIABLE}."
        )


TEN = Cifar(
    name="cifar10",
    title="CIFAR-10",
    classes=10,
    meta="batches.meta",
    names_key="label_names",
    train=("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"),
    test="test_batch",
    labels_key="labels",
    archive=Archive(
        url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        md5="c58f30108f718f92721af3b95e74349a",
        bytes=170_498_071,
        unpacked=186_000_000,
        folder="cifar-10-batches-py",
    ),
    md5=MappingProxyType(
        {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
            "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
        }
    ),
    mean=(125, 123, 114),
)

HUNDRED = Cifar(
    name="cifar100",
    title="CIFAR-100",
    classes=100,
    meta="meta",
    names_key="fine_label_names",
    train=("train",),
    test="test",
    labels_key="fine_labels",
    archive=Archive(
        url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        md5="eb9058c3a382ffc7106e4002c42a8d85",
        bytes=169_001_437,
        unpacked=186_000_000,
        folder="cifar-100-python",
    ),
    md5=MappingProxyType(
        {
            "train": "16019d7e3df5f24257cddd939b257f8d",
            "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
            "meta": "7973b15100ade9c7d40fb424638fde48",
        }
    ),
    mean=(129, 124, 112),
)

CIFAR10, CIFAR100 = TEN.source(), HUNDRED.source()
