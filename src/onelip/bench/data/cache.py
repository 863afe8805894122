"""Pictures that are decoded once: the second time they lie in one file, which is mapped and not read.

The file is that of certain pictures: where one of them is added, removed or written anew, all are decoded again, and
the old file is removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
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

LEFT = 3600
"""Seconds after its last byte that a file in the making is taken for one of a killed process."""

REVISION = 1
"""Raised when the same files give other pixels."""


def cache_folder() -> Path:
    """Where decoded pictures are kept: what ONELIP_CACHE says, else the user's folder for such files."""
    named, shared = os.environ.get(FOLDER_VARIABLE), os.environ.get("XDG_CACHE_HOME")
    if named:
        return Path(named)
    try:
        return (Path(shared) if shared else Path.home() / ".cache") / "onelip"
    except RuntimeError as error:
        raise DataError(
            f"there is no home folder for decoded pictures; name a folder by the environment variable {FOLDER_VARIABLE}"
        ) from error


def load_pictures(files: PictureFiles, track: Track) -> Tensor:
    """The images as uint8 (N, C, H, W); those of many files are mapped from the disk, not read into memory.

    Raises:
        DataError: A picture cannot be read, or the decoded ones cannot be written.
    """
    stats = [path.stat() for path in files.paths]
    if sum(stat.st_size for stat in stats) < SMALL:
        return torch.from_numpy(np.stack(list(files.read(files.shape()[0], track))))
    place = _digest([REVISION, str(files.root.resolve()), files.side, files.channels])
    # Pictures that changed places may have the same size and time, but are other files.
    content = [
        (str(path.relative_to(files.root)), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev)
        for path, stat in zip(files.paths, stats, strict=True)
    ]
    path = cache_folder() / f"{place}-{_digest([_decoder(), content])}.npy"
    found = _mapped(path)
    if found is None:
        shape = files.shape()
        _write(path, (len(files.paths), *shape), files.read(shape[0], track))
        _remove_older(path, place)
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


def _remove_older(path: Path, place: str) -> None:
    """What was decoded before, and what processes left that were killed while they wrote."""
    older = [one for one in path.parent.glob(f"{place}-*.npy") if one != path]
    for one in (*older, *filter(_is_left, path.parent.glob(f".{place}-*.tmp"))):
        with contextlib.suppress(OSError):  # another user's
            one.unlink()


def _is_left(temporary: Path) -> bool:
    try:
        return time.time() - temporary.stat().st_mtime > LEFT
    except OSError:
        return False


def _write(path: Path, shape: tuple[int, ...], pictures: Iterable[Pixels]) -> None:
    """A file that is whole or not there; written as a stream, since a mapped one kills the process on a full disk."""
    # Two containers that share a folder may both be process 1.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
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
            f"cannot write {size:,.1f} MB of decoded pictures to {path.parent} ({error.strerror or error}); "
            f"name another folder by the environment variable {FOLDER_VARIABLE}"
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
