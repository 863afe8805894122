"""The arguments of layers: what is allowed, and torch's other ways to write it."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import SupportsIndex, TypeVar

from ..errors import UnsupportedShapeError

T = TypeVar("T", int, str)


def one_of(name: str, value: object, allowed: Sequence[T]) -> T:
    """A value that must be one of these. An integer may be of another library's type, or a pair of equal ones.

    >>> one_of("kernel_size", (3, 3), (1, 3, 5))
    3

    Raises:
        UnsupportedShapeError: If it is not.
    """
    single = _single(value)
    for choice in allowed:
        if type(single) is type(choice) and single == choice:
            return choice
    raise UnsupportedShapeError(f"{name}={value!r} is not supported; allowed: {', '.join(map(repr, allowed))}")


def positive(name: str, value: object) -> int:
    """A number that must be a positive integer, of Python's or of another library's type.

    Raises:
        UnsupportedShapeError: If it is not.
    """
    single = _integer(value)
    if type(single) is not int or single < 1:
        raise UnsupportedShapeError(f"{name}={value!r} must be a positive integer")
    return single


def _single(value: object) -> object:
    if isinstance(value, tuple | list) and len(value) == 2 and _integer(value[0]) == _integer(value[1]):
        value = value[0]
    return _integer(value)


def _integer(value: object) -> object:
    if not isinstance(value, SupportsIndex) or isinstance(value, bool):
        return value
    try:
        return operator.index(value)
    except TypeError:  # an array of several numbers
        return value
