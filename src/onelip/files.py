"""Files that are written whole or not at all, and removed. No torch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from onelip.errors import RecordError


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part.

    Raises:
        RecordError: The folder or the file cannot be written.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """The same of bytes.

    Raises:
        RecordError: The folder or the file cannot be written.
    """
    # The process id keeps two writers apart; a plain `open` honours the umask, which `tempfile` does not.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise RecordError(f"cannot write {path}: {error.strerror or error}") from error


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Removes the beginnings of files of these names that processes left which were killed while they wrote.

    Nobody else may be writing them.

    Raises:
        RecordError: One cannot be removed.
    """
    for name in names:
        for suffix in ("tmp", "partial"):
            for path in folder.glob(f".{name}.*.{suffix}"):
                remove(path)


def remove(path: Path) -> None:
    """Removes a file, if there is one.

    Raises:
        RecordError: It cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise RecordError(f"cannot remove {path}: {error.strerror or error}") from error
