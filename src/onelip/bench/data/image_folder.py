"""Any folder of pictures, sorted into train/CLASS/ and test/CLASS/.

Without knowing what they show, mirroring or shifting them might change their class: there is no augmentation.
"""

from __future__ import annotations

from pathlib import Path

from onelip.bench.data.base import ImageData
from onelip.bench.data.cache import load_pictures
from onelip.bench.data.pictures import PictureFiles, Track, in_classes, untracked, visible
from onelip.errors import DataError

LAYOUT = "expected train/CLASS/*.png and test/CLASS/*.png, or other pictures, with the same classes in both"


def load_image_folder(folder: str | Path, *, resize: int | None = None, track: Track = untracked) -> ImageData:
    """The pictures of a folder; the sorted names of its class folders are the classes.

    The images have one channel if all pictures are grey, else three.

    Args:
        folder: The folder that contains train/ and test/.
        resize: The side of the square that every picture is scaled and cut to, about its centre; None: all pictures
            must have one size.
        track: Shows how far the reading is.

    Raises:
        DataError: The folder has another layout, a picture cannot be read or has another size, or Pillow is missing.
    """
    root = Path(folder)
    class_names = _class_names(root)
    train, train_labels = in_classes([root / "train" / name for name in class_names])
    test, test_labels = in_classes([root / "test" / name for name in class_names])
    files = PictureFiles(title=root.resolve().name, root=root, paths=train + test, side=resize)
    images = load_pictures(files, track)
    return ImageData(
        name=_name(root) if resize is None else f"{_name(root)}@{resize}",
        title=files.title,
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


def _subfolders(folder: Path) -> list[str]:
    return [path.name for path in visible(folder) if path.is_dir()]
