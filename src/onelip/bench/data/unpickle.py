"""Reads a pickled dictionary of uint8 arrays, strings and numbers without executing anything that it names.

A pickle is a program: it names functions of any installed module and has them called. The names that a pickled numpy
array consists of are resolved here to inert stand-ins; every other name is refused before anything is imported.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from onelip.errors import DataError

_MALFORMED = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)
"""What the pickle module and the stand-ins raise for a pickle that is cut, damaged or of another kind."""


def read_pickle(content: bytes, path: Path) -> dict[str, Any]:
    """The dictionary in a pickle, written by Python 2 or 3; Python 2's strings are bytes, except as keys.

    Args:
        content: The bytes of the file.
        path: The file's name, for messages.

    Raises:
        DataError: The pickle is cut or damaged, holds something else, or names a function or class beyond those of an
            array.
    """
    try:
        found = _Reader(io.BytesIO(content), encoding="bytes").load()
        if not isinstance(found, dict):
            raise pickle.UnpicklingError(f"it holds a {type(found).__name__}, not a dictionary")
        return {_text(key): value.array if isinstance(value, _Array) else value for key, value in found.items()}
    except _MALFORMED as error:
        raise DataError(f"{path}: not a pickled dictionary of uint8 arrays: {error}") from error


class _Reader(pickle.Unpickler):
    """An unpickler that knows the names of a pickled array only."""

    def find_class(self, module: str, name: str) -> object:
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is not part of an array; refused") from None


class _Dtype:
    """Stands in for `numpy.dtype`; the byte order that a pickle sets afterwards means nothing for single bytes."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        if code not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"it holds an array of type {code!r}; only u1 (uint8) is read")

    def __setstate__(self, state: object) -> None:
        pass


class _Array:
    """Stands in for numpy's `_reconstruct` and for the empty array that it returns, filled by `__setstate__`."""

    array: np.ndarray[Any, np.dtype[np.uint8]]

    def __init__(self, subtype: object, shape: object, typecode: object) -> None:
        pass

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Dtype, bool, bytes]) -> None:
        _, shape, dtype, columns_first, data = state
        if columns_first or not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("it holds an array that is not stored row by row as uint8")
        self.array = np.frombuffer(data, np.uint8).reshape(shape)


def _text(key: str | bytes) -> str:
    return key.decode("ascii") if isinstance(key, bytes) else key


_STAND_INS: Mapping[tuple[str, str], object] = MappingProxyType(
    {
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy._core.multiarray", "_reconstruct"): _Array,
        ("numpy", "ndarray"): "numpy.ndarray",
        ("numpy", "dtype"): _Dtype,
        # Python 3 writes bytes as text and its encoding where the pickle protocol knows no bytes.
        ("_codecs", "encode"): str.encode,
    }
)
