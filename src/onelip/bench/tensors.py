"""Files of tensors, written atomically."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from onelip.errors import RecordError

HEADER = "onelip"
"""The key of the header in a file's metadata."""


def write_tensors(tensors: Mapping[str, Tensor], path: Path, *, header: str) -> None:
    """Writes a safetensors file so that a reader sees the old content or the new one, never a part.

    Args:
        tensors: Contiguous, each with memory of its own.
        path: The file; its folder exists.
        header: Kept in the file's metadata, see `HEADER`.

    Raises:
        RecordError: The file cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        try:
            save_file(dict(tensors), partial, metadata={HEADER: header})
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        raise RecordError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error
