"""The images that networks are trained and compared on: data sets known by name, and any folder of pictures."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from onelip.bench.data.augment import crop_and_flip as crop_and_flip
from onelip.bench.data.base import DataSource as DataSource
from onelip.bench.data.base import ImageData as ImageData
from onelip.bench.data.cifar import CIFAR10
from onelip.bench.data.digits import DIGITS
from onelip.bench.data.image_folder import load_image_folder
from onelip.errors import DataError, UnknownNameError

DATASETS: Mapping[str, DataSource] = MappingProxyType({source.name: source for source in (DIGITS, CIFAR10)})
"""The data sets that are known by name, by that name."""


def load(name: str, data_dir: Path | None = None, *, resize: int | None = None) -> ImageData:
    """Load a data set; `load(data.name, data_dir)` loads the same one again.

    Args:
        name: A key of `DATASETS`, or the path of a folder of pictures (train/CLASS/*, test/CLASS/*), which may end in
            "@32" to have every picture resized to 32x32. A folder whose name is a key is written with a separator:
            "./digits".
        data_dir: Where the files of a named data set lie; None: where the environment variable ONELIP_DATA says.
        resize: For a folder of pictures, another way to write "@32".

    Raises:
        UnknownNameError: There is neither a data set nor a folder of this name.
        DataError: Its files are missing, cut or foreign, or it cannot be resized as asked.

    >>> load("digits").info().train
    1297
    """
    source = DATASETS.get(name)
    if source is not None:
        if resize is not None:
            raise DataError(f"resize: {name} has one size; only a folder of pictures can be resized, not to {resize}")
        return source.loader(data_dir)
    folder, side = _split_side(name)
    if not name or not (Path(folder).is_dir() or re.search(r"[/\\]", folder)):
        raise _unknown(name)
    if side is not None and resize is not None:
        raise DataError(f"resize: {name!r} asks for a side already; give it once, not also as {resize}")
    return load_image_folder(folder, resize=resize if side is None else side)


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
