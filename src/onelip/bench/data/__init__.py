"""The images that networks are trained and compared on: data sets known by name, and any folder of pictures."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from onelip.bench.data.augment import Augmentation as Augmentation
from onelip.bench.data.augment import CropAndFlip as CropAndFlip
from onelip.bench.data.base import ImageData as ImageData
from onelip.bench.data.cifar import CIFAR10, CIFAR100
from onelip.bench.data.digits import DIGITS
from onelip.bench.data.image_folder import load_image_folder
from onelip.bench.data.imagenette import IMAGENETTE
from onelip.bench.data.pictures import Track, check_side, untracked
from onelip.bench.data.rand_augment import RandAugment as RandAugment
from onelip.bench.data.source import DataSource as DataSource
from onelip.bench.data.tiny_imagenet import TINY_IMAGENET
from onelip.errors import DataError, UnknownNameError

DATASETS: Mapping[str, DataSource] = MappingProxyType(
    {source.name: source for source in (DIGITS, CIFAR10, CIFAR100, TINY_IMAGENET, IMAGENETTE)}
)
"""The data sets that are known by name, by that name."""


def load(name: str, data_dir: Path | None = None, *, resize: int | None = None, track: Track = untracked) -> ImageData:
    """Load a data set; `load(data.name, data_dir)` loads the same one again.

    Args:
        name: A key of `DATASETS`, or the path of a folder of pictures (train/CLASS/*, test/CLASS/*). Where the images
            are pictures in files, it may end in "@32" to have every one resized to 32x32. A folder whose name is a key
            is written with a separator: "./digits".
        data_dir: Where the files of a named data set lie; None: where the environment variable ONELIP_DATA says.
        resize: Another way to write "@32".
        track: Shows how far the reading of many pictures is.

    Raises:
        UnknownNameError: There is neither a data set nor a folder of this name.
        DataError: Its files are missing, cut or foreign, or it cannot be resized as asked.

    >>> load("digits").info().train
    1297
    """
    whole, side = _split_side(name)
    if side is not None and resize is not None:
        raise DataError(f"resize: {name!r} asks for a side already; give it once, not also as {resize}")
    side = resize if side is None else side
    source = DATASETS.get(whole)
    if source is None:
        if not name or not (Path(whole).is_dir() or re.search(r"[/\\]", whole)):
            raise _unknown(name)
        return load_image_folder(whole, resize=side, track=track)
    _check_side(source, side)
    return source.loader(data_dir, side=side, track=track)


def find_source(name: str) -> DataSource:
    """A data set that is known by name.

    Raises:
        UnknownNameError: There is none of this name.
    """
    if name not in DATASETS:
        nearest = difflib.get_close_matches(name.lower(), DATASETS, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise UnknownNameError(f"{name!r} is no data set that is known by name: {', '.join(DATASETS)}{hint}")
    return DATASETS[name]


def find_sized(name: str) -> tuple[DataSource, int | None]:
    """A data set that is known by name, and the side in "imagenette@64"; None for its own.

    Raises:
        UnknownNameError: There is none of this name.
        DataError: It cannot be resized so.
    """
    whole, side = _split_side(name)
    source = find_source(whole)
    _check_side(source, side)
    return source, side


def _check_side(source: DataSource, side: int | None) -> None:
    if side is not None and not source.resizable:
        raise DataError(f"resize: the images of {source.name} have one size and cannot be resized to {side}")
    check_side(side)


def _split_side(name: str) -> tuple[str, int | None]:
    """The folder and the side in "folder@32"; a folder that is really called so is left whole."""
    match = re.fullmatch(r"(.+)@(\d+)", name)
    if match is None or Path(name).is_dir():
        return name, None
    return match[1], int(match[2])


def _unknown(name: str) -> UnknownNameError:
    nearest = difflib.get_close_matches(name.lower(), DATASETS, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    return UnknownNameError(
        f"data: {name!r} is unknown; valid are {', '.join(DATASETS)} and the path of a folder of pictures{hint}"
    )
