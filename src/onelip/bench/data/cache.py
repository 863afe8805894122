"""Pictures that are decoded once: the second time they lie in one file, which is mapped and not read.

The file is that of certain pictures: where one of them is added, removed or written anew, all are decoded again, and
the old file is removed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from onelip.bench.data.base import missing_package
from onelip.bench.data.pictures import PictureFiles, Pixels, Track
from onelip.errors import DataError

FOLDER_VARIABLE = "ONELIP_CACHE"
"""The environment variable that names the folder of decoded pictures."""

SMALL = 2**22
"""Bytes of files that are decoded anew every time: it takes a moment."""

REVISION = 1
"""Raised when the same files give other pixels."""


def cache_folder() -> Path:
    """Where decoded pictures are kept: what ONELIP_CACHE says, else the user's folder for such files."""
    named = os.environ.get(FOLDER_VARIABLE)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(home) / "onelip"


def load_pictures(files: PictureFiles, track: Track) -> Tensor:
    """The images as uint8 (N, C, H, W); those of many files are mapped from the disk, not read into memory.

    Raises:
        DataError: A picture cannot be read, or the decoded ones cannot be written.
    """
    stats = [path.stat() for path in files.paths]
    if sum(stat.st_size for stat in stats) < SMALL:
        return torch.from_numpy(np.stack(list(files.read(files.shape()[0], track))))
    place = _digest([REVISION, str(files.root.resolve()), files.side, files.channels])
    content = [
        (str(path.relative_to(files.root)), stat.st_size, stat.st_mtime_ns)
        for path, stat in zip(files.paths, stats, strict=True)
    ]
    path = cache_folder() / f"{place}-{_digest([_decoder(), content])}.npy"
    found = _mapped(path)
    if found is None:
        shape = files.shape()
        _write(path, (len(files.paths), *shape), files.read(shape[0], track))
        for older in path.parent.glob(f"{place}-*.npy"):
            if older != path:
                older.unlink(missing_ok=True)
        found = _mapped(path)
    if found is None:
        raise DataError(
            f"{path}: was written a moment ago and cannot be read; name another folder by {FOLDER_VARIABLE}"
        )
    return found


def _mapped(path: Path) -> Tensor | None:
    """The images in a file; None where there is none, or a part of one."""
    try:
        images = np.load(path, mmap_mode="c")
    except (OSError, ValueError, EOFError):
        return None
    return torch.from_numpy(images) if images.dtype == np.uint8 and images.ndim == 4 else None


def _write(path: Path, shape: tuple[int, ...], pictures: Iterable[Pixels]) -> None:
    """A file that is whole or not there; written as a stream, since a mapped one kills the process on a full disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                for picture in pictures:
                    file.write(picture.data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        size = np.prod(shape, dtype=np.int64) / 1e6
        raise DataError(
            f"cannot write {size:,.0f} MB of decoded pictures to {path.parent} ({error.strerror or error}); make "
            f"room, or name another folder by the environment variable {FOLDER_VARIABLE}"
        ) from error


def _decoder() -> str:
    """Another version of Pillow may give other pixels."""
    try:
        import PIL
    except ImportError as error:
        raise missing_package("Pillow", "A folder of pictures") from error
    return PIL.__version__


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
