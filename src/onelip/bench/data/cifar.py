"""CIFAR-10 in its official python format: seven pickled files, verified and read without executing them.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from onelip.bench.data.base import FOLDER_VARIABLE, DataSource, ImageData, find_folder
from onelip.bench.data.unpickle import read_pickle
from onelip.errors import DataError

FOLDER = "cifar-10-batches-py"
META = "batches.meta"
TRAIN_BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5")
TEST_BATCH = "test_batch"

PUBLISHED_MD5: Mapping[str, str] = MappingProxyType(
    {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    }
)


def load_cifar10(data_dir: Path | None, *, md5: Mapping[str, str] = PUBLISHED_MD5) -> ImageData:
    """CIFAR-10: 50,000 training and 10,000 test images of 32x32 pixels in colour.

    Args:
        data_dir: The folder cifar-10-batches-py or the one that contains it; None: ONELIP_DATA names it.
        md5: The expected digest of each file. It tells a cut or foreign file; safety does not rest on it.

    Raises:
        DataError: A file is missing, cut, foreign or malformed; the message says where to get it.
    """
    folder = find_folder(data_dir, FOLDER, _advice())
    class_names = _class_names(folder / META, md5[META])
    train = [_batch(folder / name, md5[name], len(class_names)) for name in TRAIN_BATCHES]
    test_images, test_labels = _batch(folder / TEST_BATCH, md5[TEST_BATCH], len(class_names))
    return ImageData(
        name=CIFAR10.name,
        title=CIFAR10.title,
        train_images=torch.cat([images for images, _ in train]),
        train_labels=torch.cat([labels for _, labels in train]),
        test_images=test_images,
        test_labels=test_labels,
        class_names=class_names,
        crop_padding=4,
        flip=True,
    )


def _class_names(path: Path, md5: str) -> tuple[str, ...]:
    names = read_pickle(_verified(path, md5), path).get("label_names")
    if not isinstance(names, list) or not names or not all(isinstance(name, (str, bytes)) for name in names):
        raise DataError(f"{path}: expected a list of class names under 'label_names'. {_advice()}")
    return tuple(name if isinstance(name, str) else name.decode("latin1") for name in names)


def _batch(path: Path, md5: str, classes: int) -> tuple[Tensor, Tensor]:
    """The images (N, 3, 32, 32) and labels (N,) of one file, which stores each image as a row of 3072 pixels."""
    content = read_pickle(_verified(path, md5), path)
    rows, labels = content.get("data"), content.get("labels")
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != 3 * 32 * 32:
        raise DataError(f"{path}: expected rows of 3072 pixels under 'data'. {_advice()}")
    if not isinstance(labels, list) or len(labels) != len(rows):
        raise DataError(f"{path}: expected a list of {len(rows)} labels under 'labels', one per image. {_advice()}")
    if not all(type(label) is int and 0 <= label < classes for label in labels):
        raise DataError(f"{path}: expected labels between 0 and {classes - 1} under 'labels'. {_advice()}")
    return torch.tensor(rows).view(-1, 3, 32, 32), torch.tensor(labels, dtype=torch.int64)


def _verified(path: Path, md5: str) -> bytes:
    """The content of a file, once its digest is found to be right."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); expected the file with md5 {md5}. {_advice()}"
        ) from error
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(
            f"{path}: cut or foreign; expected the file with md5 {md5}, found {len(content):,} bytes with md5 {found}. "
            f"{_advice()}"
        )
    return content


def _advice() -> str:
    return (
        f"Get the python version of {CIFAR10.title} from {CIFAR10.homepage}, unpack it, and name its folder by "
        f"--data-dir or by the environment variable {FOLDER_VARIABLE}."
    )


CIFAR10 = DataSource(
    name="cifar10",
    title="CIFAR-10",
    loader=load_cifar10,
    needs_folder=True,
    homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
)
