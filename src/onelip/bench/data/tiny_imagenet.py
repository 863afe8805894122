"""Tiny ImageNet: 200 classes of ImageNet, scaled to 64x64 pixels, as distributed.

Of the 10,000 test pictures no labels were published: the validation pictures are evaluated on, as everybody does.

Source: Y. Le and X. Yang, Tiny ImageNet Visual Recognition Challenge, Stanford CS 231N, 2015.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from onelip.bench.data.base import FOLDER_VARIABLE, ImageData, find_folder
from onelip.bench.data.cache import load_pictures
from onelip.bench.data.pictures import PictureFiles, Track, in_classes, stored_size, untracked
from onelip.bench.data.rand_augment import RandAugment
from onelip.bench.data.source import Archive, Content, DataSource, part_of
from onelip.errors import DataError

FOLDER = "tiny-imagenet-200"
SIDE = 64
CONTENT = Content(image=(3, SIDE, SIDE), classes=200, train=100_000, test=10_000)
ADVICE = (
    "Get http://cs231n.stanford.edu/tiny-imagenet-200.zip, unpack it, and name its folder by "
    f"--data-dir or by the environment variable {FOLDER_VARIABLE}."
)


def load_tiny_imagenet(data_dir: Path | None, *, side: int | None = None, track: Track = untracked) -> ImageData:
    """100,000 training and 10,000 validation pictures in colour; grey ones have three equal channels.

    Args:
        data_dir: The folder tiny-imagenet-200 or the one that contains it; None: ONELIP_DATA names it.
        side: Of the images; None: 64.
        track: Shows how far the reading is.

    Raises:
        DataError: A file is missing, cut or malformed.
    """
    folder = find_folder(data_dir, FOLDER, ADVICE)
    names = _class_names(folder)
    train, train_labels = in_classes([_existing(folder / "train" / wnid / "images") for wnid in names])
    test, test_labels = _validation(folder / "val", list(names))
    files = PictureFiles(
        title=TINY_IMAGENET.title, root=folder, paths=train + test, side=SIDE if side is None else side, channels=3
    )
    images, stored = load_pictures(files, track), stored_size(train[0])
    title = (
        TINY_IMAGENET.title if stored == (SIDE, SIDE) else f"{TINY_IMAGENET.title} of {stored[0]}x{stored[1]} pixels"
    )
    return ImageData(
        name=TINY_IMAGENET.name if side in (None, SIDE) else f"{TINY_IMAGENET.name}@{side}",
        title=part_of(title, len(train), len(test), CONTENT),
        train_images=images[: len(train)],
        train_labels=train_labels,
        test_images=images[len(train) :],
        test_labels=test_labels,
        class_names=tuple(names.values()),
        augmentation=RandAugment(operations=2, magnitude=9),
    )


def _class_names(folder: Path) -> dict[str, str]:
    """The name of every class, under its number in WordNet, in the order of these."""
    words = dict(line.split("\t", 1) for line in _lines(folder / "words.txt") if "\t" in line)
    numbers = sorted(line.strip() for line in _lines(folder / "wnids.txt") if line.strip())
    if len(numbers) < 2:
        raise DataError(f"{folder / 'wnids.txt'}: names {len(numbers)} classes; at least 2 are needed. {ADVICE}")
    return {number: words.get(number, number).split(",")[0].strip() for number in numbers}


def _validation(folder: Path, numbers: list[str]) -> tuple[list[Path], Tensor]:
    """The validation pictures, as listed, and their labels."""
    listing = folder / "val_annotations.txt"
    label = {number: index for index, number in enumerate(numbers)}
    paths, labels = [], []
    for line in filter(str.strip, _lines(listing)):
        name, _, rest = line.partition("\t")
        number = rest.partition("\t")[0].strip()
        if number not in label or Path(name).name != name:
            raise DataError(f"{listing}: {line[:60]!r} is not a picture and a class of wnids.txt. {ADVICE}")
        paths.append(_existing(folder / "images" / name))
        labels.append(label[number])
    if not paths:
        raise DataError(f"{listing}: lists no picture. {ADVICE}")
    return paths, torch.tensor(labels)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}). {ADVICE}") from error


def _existing(path: Path) -> Path:
    if not path.exists():
        raise DataError(f"{path}: is missing. {ADVICE}")
    return path


TINY_IMAGENET = DataSource(
    name="tiny_imagenet",
    title="Tiny ImageNet",
    loader=load_tiny_imagenet,
    needs_folder=True,
    homepage="https://www.kaggle.com/c/tiny-imagenet",
    content=CONTENT,
    resizable=True,
    folders=(FOLDER,),
    archive=Archive(
        url="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        md5="90528d7ca1a48142e341f4ef8d21d0de",
        bytes=248_100_043,
        unpacked=260_000_000,
        folder=FOLDER,
    ),
)
