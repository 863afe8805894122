"""Imagenette: ten classes of ImageNet that are easily told apart, at full size or scaled to 320 or 160 pixels.

Source: J. Howard, Imagenette, https://github.com/fastai/imagenette.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from onelip.bench.data.augment import CropAndFlip
from onelip.bench.data.base import FOLDER_VARIABLE, ImageData, find_folder, named_folder
from onelip.bench.data.cache import load_pictures
from onelip.bench.data.pictures import PictureFiles, Track, in_classes, untracked
from onelip.bench.data.source import Archive, Content, DataSource, part_of
from onelip.errors import DataError

FOLDERS = ("imagenette2", "imagenette2-320", "imagenette2-160")
"""As distributed; of several the first is taken, whose pictures are largest."""

SIDE = 256
CONTENT = Content(image=(3, SIDE, SIDE), classes=10, train=9_469, test=3_925)
CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "n01440764": "tench",
        "n02102040": "English springer",
        "n02979186": "cassette player",
        "n03000684": "chain saw",
        "n03028079": "church",
        "n03394916": "French horn",
        "n03417042": "garbage truck",
        "n03425413": "gas pump",
        "n03445777": "golf ball",
        "n03888257": "parachute",
    }
)
"""The folder of every class, and its name."""

ADVICE = (
    "Get imagenette2.tgz, or the smaller imagenette2-320.tgz, from https://github.com/fastai/imagenette, unpack it, "
    f"and name its folder by --data-dir or by the environment variable {FOLDER_VARIABLE}."
)


def load_imagenette(data_dir: Path | None, *, side: int | None = None, track: Track = untracked) -> ImageData:
    """9,469 training and 3,925 validation pictures in colour, cut to squares about their centres.

    Args:
        data_dir: A folder imagenette2* or the one that contains it; None: ONELIP_DATA names it.
        side: Of the images; None: 256.
        track: Shows how far the reading is.

    Raises:
        DataError: A folder is missing, or a file is cut.
    """
    folder = _folder(data_dir)
    train, train_labels = in_classes([_existing(folder / "train" / number) for number in CLASSES])
    test, test_labels = in_classes([_existing(folder / "val" / number) for number in CLASSES])
    files = PictureFiles(
        title=IMAGENETTE.title, root=folder, paths=train + test, side=SIDE if side is None else side, channels=3
    )
    images = load_pictures(files, track)
    return ImageData(
        name=IMAGENETTE.name if side in (None, SIDE) else f"{IMAGENETTE.name}@{side}",
        title=part_of(IMAGENETTE.title, len(train), len(test), CONTENT),
        train_images=images[: len(train)],
        train_labels=train_labels,
        test_images=images[len(train) :],
        test_labels=test_labels,
        class_names=tuple(CLASSES.values()),
        augmentation=CropAndFlip(padding=files.side // 8 if files.side else 0, flip=True),
    )


def _folder(data_dir: Path | None) -> Path:
    named = named_folder(data_dir)
    there = [inner for inner in FOLDERS if named and (named / inner).is_dir()]
    return find_folder(data_dir, there[0] if there else FOLDERS[0], ADVICE)


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. {ADVICE}")
    return folder


IMAGENETTE = DataSource(
    name="imagenette",
    title="Imagenette",
    loader=load_imagenette,
    needs_folder=True,
    homepage="https://github.com/fastai/imagenette",
    content=CONTENT,
    resizable=True,
    folders=FOLDERS,
    archive=Archive(
        url="https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz",
        md5="3df6f0d01a2c9592104656642f5e78a3",
        bytes=342_000_000,
        unpacked=345_000_000,
        folder="imagenette2-320",
    ),
)
