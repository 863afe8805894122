"""Any folder of pictures, sorted into train/CLASS/ and test/CLASS/.

Pictures are read as they are stored: transparency and camera orientation are not applied, and of an animation the first
picture is read. Without knowing what they show, mirroring or shifting them might change their class: there is no
augmentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from onelip.bench.data.base import ImageData, missing_package
from onelip.errors import DataError

Pixels: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Files with other endings are left alone."""

LAYOUT = "expected train/CLASS/*.png and test/CLASS/*.png, or other pictures, with the same classes in both"

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names; not all it knows, since it calls other programs for some."""

_GREY_MODES = ("1", "L", "LA")
_COLOUR_MODES = ("P", "RGB", "RGBA", "CMYK", "YCbCr")


def load_image_folder(folder: str | Path, *, resize: int | None = None) -> ImageData:
    """The pictures of a folder; the sorted names of its class folders are the classes.

    The images have one channel if all pictures are grey, else three.

    Args:
        folder: The folder that contains train/ and test/.
        resize: The side of the square that every picture is scaled and cut to, about its centre; None: all pictures
            must have one size.

    Raises:
        DataError: The folder has another layout, a picture cannot be read or has another size, or Pillow is missing.
    """
    if resize is not None and resize < 1:
        raise DataError(f"resize: the side of the images must be 1 pixel or more, not {resize}")
    root = Path(folder)
    class_names = _class_names(root)
    train, train_labels = _pictures(root / "train", class_names)
    test, test_labels = _pictures(root / "test", class_names)
    images = _read_all(train + test, resize)
    return ImageData(
        name=_name(root) if resize is None else f"{_name(root)}@{resize}",
        title=root.resolve().name,
        train_images=images[: len(train)],
        train_labels=train_labels,
        test_images=images[len(train) :],
        test_labels=test_labels,
        class_names=class_names,
    )


def _name(root: Path) -> str:
    """One spelling for a folder: relative to the current one where it lies below, since records are published."""
    whole, here = root.resolve(), Path.cwd().resolve()
    return f"./{whole.relative_to(here).as_posix()}" if whole.is_relative_to(here) else str(whole)


def _class_names(root: Path) -> tuple[str, ...]:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; {LAYOUT}")
    found = _subfolders(root)
    for split in ("train", "test"):
        if split not in found:
            raise DataError(f"{root}: has no folder {split}/, only: {', '.join(found) or 'none'}; {LAYOUT}")
    train, test = _subfolders(root / "train"), _subfolders(root / "test")
    for name in sorted({*train} ^ {*test}):
        where, missing = ("train", "test") if name in train else ("test", "train")
        raise DataError(f"{root / where / name}: this class has no folder in {missing}/; {LAYOUT}")
    if len(train) < 2:
        raise DataError(f"{root / 'train'}: holds {len(train)} class folders; at least 2 are needed; {LAYOUT}")
    return tuple(train)


def _pictures(split: Path, class_names: Sequence[str]) -> tuple[list[Path], Tensor]:
    """The paths of all pictures, by class and then by name, and their labels."""
    paths, labels = [], []
    for label, name in enumerate(class_names):
        found = [path for path in _visible(split / name) if path.suffix.lower() in SUFFIXES and path.is_file()]
        if not found:
            raise DataError(f"{split / name}: holds no picture; expected files ending in {', '.join(SUFFIXES)}")
        paths += found
        labels += [label] * len(found)
    return paths, torch.tensor(labels)


def _read_all(paths: Sequence[Path], resize: int | None) -> Tensor:
    """The pictures as uint8 (N, C, H, W)."""
    pictures: list[Pixels] = []
    for path in paths:
        pictures.append(_read(path, resize))
        (height, width), (first_height, first_width) = pictures[-1].shape[:2], pictures[0].shape[:2]
        if (height, width) != (first_height, first_width):
            raise DataError(
                f"{path}: {width}x{height} pixels where {paths[0]} has {first_width}x{first_height}; expected one size "
                f"for all: give a side to resize them to, as in {path.parents[2]}@32"
            )
    if any(picture.ndim == 3 for picture in pictures):
        pictures = [picture if picture.ndim == 3 else np.stack([picture] * 3, axis=2) for picture in pictures]
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    return torch.from_numpy(np.stack(pictures)).unsqueeze(1)


def _read(path: Path, resize: int | None) -> Pixels:
    """The pixels of one picture: (H, W) if it is grey, else (H, W, 3)."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise missing_package("Pillow", "A folder of pictures") from error
    try:
        with Image.open(path, formats=_FORMATS) as stored:
            if stored.mode not in _GREY_MODES + _COLOUR_MODES:
                raise ValueError(f"pixels of type {stored.mode}")
            # Pillow warns when a palette with transparency loses it in one step.
            picture = stored.convert("RGBA") if stored.mode == "P" else stored
            picture = picture.convert("L" if stored.mode in _GREY_MODES else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        expected = f"expected a whole picture with 8 bits per channel in a format of {', '.join(_FORMATS)}"
        raise DataError(f"{path}: cannot be read; {expected}; found: {error}") from error
    return np.asarray(picture if resize is None else ImageOps.fit(picture, (resize, resize)))


def _subfolders(folder: Path) -> list[str]:
    return [path.name for path in _visible(folder) if path.is_dir()]


def _visible(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name, without the hidden files that systems and editors leave there."""
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)
