"""Pictures in files, read as they are stored: transparency and camera orientation are not applied.

Of an animation the first picture is read. Shape suffixes: N pictures, C channels, H height, W width.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from onelip.bench.data.base import missing_package
from onelip.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Pixels: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
Track: TypeAlias = Callable[[Iterable[Pixels], str, int], Iterable[Pixels]]
"""Hands pictures on, and shows how many of how many there are, under a title."""

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Files with other endings are left alone."""

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names; not all it knows, since it calls other programs for some."""

LARGEST = 4096
"""Side of images, in pixels."""

_GREY_MODES = ("1", "L", "LA")
_COLOUR_MODES = ("P", "RGB", "RGBA", "CMYK", "YCbCr")

_THREADS = 8
_AT_A_TIME = 512
"""Pictures that are decoded before the first of them is handed on."""


def check_side(side: int | None) -> None:
    """Refuses a side that no picture is scaled to.

    Raises:
        DataError: It is too small or too large.
    """
    if side is not None and not 1 <= side <= LARGEST:
        raise DataError(f"resize: the side of the images must be 1 to {LARGEST} pixels, not {side}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFiles:
    """Pictures of one data set, and how they are to be read.

    Attributes:
        title: Names the set to a user who waits.
        root: The folder in which all of them lie.
        paths: The files, in the order of the images.
        side: Of the square that every picture is scaled and cut to, about its centre; None: all must have one size.
        channels: 1 for grey, 3 for colour; None: 1 if all pictures are grey, else 3.
    """

    title: str
    root: Path
    paths: Sequence[Path]
    side: int | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        check_side(self.side)

    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image; looks into the files where these are not given.

        Raises:
            DataError: A file cannot be read, or has another size than the first.
        """
        if self.side is not None and self.channels is not None:
            return self.channels, self.side, self.side
        facts = [_facts(path) for path in self.paths]
        channels = self.channels or (1 if all(grey for grey, _ in facts) else 3)
        if self.side is not None:
            return channels, self.side, self.side
        width, height = facts[0][1]
        for path, (_, size) in zip(self.paths, facts, strict=True):
            if size != (width, height):
                raise DataError(
                    f"{path}: {size[0]}x{size[1]} pixels where {self.paths[0]} has {width}x{height}; expected one size "
                    f"for all: give a side to resize them to, as in {self.root}@32"
                )
        return channels, height, width

    def read(self, channels: int, track: Track) -> Iterable[Pixels]:
        """The images, each of shape (C, H, W), one after the other.

        Raises:
            DataError: A file cannot be read.
        """
        return track(self._decoded(channels), f"Reading {self.title}", len(self.paths))

    def _decoded(self, channels: int) -> Iterator[Pixels]:
        with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as threads:
            for start in range(0, len(self.paths), _AT_A_TIME):
                some = self.paths[start : start + _AT_A_TIME]
                yield from threads.map(lambda path: _pixels(path, channels, self.side), some)


def untracked(pictures: Iterable[Pixels], _title: str, _count: int) -> Iterable[Pixels]:
    """A `Track` that shows nothing."""
    return pictures


def pictures_in(folder: Path) -> list[Path]:
    """The files in a folder that end like pictures, by name.

    Raises:
        DataError: There are none.
    """
    found = [path for path in visible(folder) if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not found:
        raise DataError(f"{folder}: holds no picture; expected files ending in {', '.join(SUFFIXES)}")
    return found


def in_classes(folders: Sequence[Path]) -> tuple[list[Path], Tensor]:
    """The pictures of one folder per class, by class and then by name, and their labels.

    Raises:
        DataError: A folder holds none.
    """
    found = [pictures_in(folder) for folder in folders]
    labels = [label for label, paths in enumerate(found) for _ in paths]
    return [path for paths in found for path in paths], torch.tensor(labels)


def visible(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name, without the hidden files that systems and editors leave there.

    Raises:
        DataError: It cannot be looked into.
    """
    try:
        return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)
    except OSError as error:
        raise DataError(f"{folder}: cannot be looked into ({error.strerror or error})") from error


def stored_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture as it is stored.

    Raises:
        DataError: It cannot be read.
    """
    return _facts(path)[1]


def _facts(path: Path) -> tuple[bool, tuple[int, int]]:
    """Whether a picture is grey, and its width and height."""
    return _open(path, lambda stored: (stored.mode in _GREY_MODES, stored.size))


def _pixels(path: Path, channels: int, side: int | None) -> Pixels:
    """One picture, of shape (C, H, W)."""
    picture = _open(path, _decode)
    if side is not None:
        from PIL import ImageOps

        picture = ImageOps.fit(picture, (side, side))
    pixels = np.asarray(picture)
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(np.broadcast_to(planes, (channels, *planes.shape[1:])))


def _decode(stored: Picture) -> Picture:
    # Pillow warns when a palette with transparency loses it in one step.
    picture = stored.convert("RGBA") if stored.mode == "P" else stored
    return picture.convert("L" if stored.mode in _GREY_MODES else "RGB")


def _open(path: Path, use: Callable[[Picture], Any]) -> Any:
    """What is made of the picture in a file, or an error that names it."""
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_package("Pillow", "A folder of pictures") from error
    try:
        with Image.open(path, formats=_FORMATS) as stored:
            if stored.mode not in _GREY_MODES + _COLOUR_MODES:
                raise ValueError(f"pixels of type {stored.mode}")
            return use(stored)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        expected = f"expected a whole picture with 8 bits per channel in a format of {', '.join(_FORMATS)}"
        raise DataError(f"{path}: cannot be read; {expected}; found: {error}") from error
