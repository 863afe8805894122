"""The folder that a command writes its results into: made, found to be writable, and held by one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from onelip.errors import RecordError
from onelip.files import write_text

LOCK_NAME = ".onelip.lock"


@contextmanager
def held(folder: Path, option: str = "--out") -> Iterator[None]:
    """Makes a folder if there is none, and keeps other processes of onelip from writing into it meanwhile.

    Args:
        folder: To write into.
        option: How the user named it.

    Raises:
        RecordError: It cannot be made or written, or another process holds it.
    """
    check_writable(folder, option)
    path = folder / LOCK_NAME
    try:
        with FileLock(path, timeout=0):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
    except Timeout as error:
        raise RecordError(
            f"another process of onelip writes into {folder}; wait until it ends, or name another {option}"
        ) from error


def check_writable(folder: Path, option: str) -> None:
    """Makes a folder if there is none.

    Raises:
        RecordError: It cannot be made or written.
    """
    trial = folder / ".onelip-writable"
    try:
        write_text(trial, "")
        trial.unlink(missing_ok=True)
    except (RecordError, OSError) as error:
        reason = error.__cause__ if isinstance(error.__cause__, OSError) else error
        raise RecordError(
            f"{option} {folder} cannot be written: {getattr(reason, 'strerror', None) or reason}"
        ) from error
