"""The memo of constructed weights: it answers only while the parameters are exactly those that it was made of."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..linalg.conv import Image

LARGEST = 4
"""Image sizes whose weights are kept at the same time."""


@dataclass(frozen=True, slots=True)
class _Source:
    """One parameter as it was: the object, its place in memory, and its version counter.

    An alias keeps the storage alive: a freed one could be handed out again at the same address, and a new parameter
    would look like the old one.
    """

    tensor: Tensor
    alias: Tensor
    place: tuple[object, ...]
    version: int

    @classmethod
    def of(cls, tensor: Tensor) -> _Source:
        return cls(tensor, tensor.detach(), _place(tensor), tensor._version)

    def is_still(self, tensor: Tensor) -> bool:
        return tensor is self.tensor and _place(tensor) == self.place and tensor._version == self.version


def _place(tensor: Tensor) -> tuple[object, ...]:
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


class Memo:
    """Constructed weights by image size, each with the parameters that they were made of."""

    def __init__(self) -> None:
        self._kept: dict[Image, tuple[tuple[_Source, ...], tuple[Tensor, ...]]] = {}

    def put(self, raw: tuple[Tensor, ...], image: Image, weights: tuple[Tensor, ...]) -> None:
        """Keeps the weights for one image size; those of the latest few other sizes stay."""
        while len(self._kept) >= LARGEST:
            del self._kept[next(iter(self._kept))]
        self._kept[image] = tuple(map(_Source.of, raw)), weights

    def get(self, raw: tuple[Tensor, ...], image: Image) -> tuple[Tensor, ...] | None:
        """The kept weights, or None if there are none or a parameter was changed, replaced or moved."""
        if image not in self._kept:
            return None
        sources, weights = self._kept[image]
        if all(source.is_still(tensor) for source, tensor in zip(sources, raw, strict=True)):
            return weights
        del self._kept[image]
        return None

    def clear(self) -> None:
        """Forgets everything."""
        self._kept.clear()
