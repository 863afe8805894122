"""The sizes of `ConvNet`, as data."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from ..errors import UnknownNameError, UnsupportedShapeError

SIZES: Mapping[str, int] = MappingProxyType({"XS": 16, "S": 32, "M": 64, "L": 128})
"""Channels of the first block on images of side 32 or less."""

SIDES = (8, 16, 32, 64, 128, 256)
"""Sides of the square images that the network takes: it halves them until one pixel is left."""


def width_of(size: str | int, side: int) -> int:
    """Channels of the first block: the size's own for images up to 32, times 32 / side above; a number is taken as is.

    Args:
        size: "XS", "S", "M", "L", or a width as a positive number (also as text).
        side: Side of the image.

    Raises:
        UnknownNameError: If the size is none of these.
        UnsupportedShapeError: If the side is not 8, 16, 32, 64, 128 or 256.
    """
    if side not in SIDES:
        raise UnsupportedShapeError(f"the network takes square images of side {', '.join(map(str, SIDES))}, not {side}")
    if str(size).isascii() and str(size).isdecimal() and int(size) > 0:
        return int(size)
    if str(size) not in SIZES:
        near = difflib.get_close_matches(str(size).upper(), SIZES, n=1, cutoff=0.1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UnknownNameError(f"size {size!r} is not one of {', '.join(SIZES)}, nor a positive width{hint}")
    return max(1, SIZES[str(size)] * 32 // max(side, 32))
