"""The memo of constructed weights: it answers only while the parameters are exactly those that it was made of."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..linalg.conv import Image


@dataclass(frozen=True, slots=True)
class _Source:
    """One parameter as it was: the object, an alias that keeps its storage alive, and its version counter.

    The alias matters: without it a freed storage could be handed out again at the same address, and a new parameter
    would look like the old one.
    """

    tensor: Tensor
    alias: Tensor
    version: int

    @classmethod
    def of(cls, tensor: Tensor) -> _Source:
        return cls(tensor, tensor.detach(), tensor._version)

    def is_still(self, tensor: Tensor) -> bool:
        return (
            tensor is self.tensor
            and tensor.data_ptr() == self.alias.data_ptr()
            and tensor.dtype == self.alias.dtype
            and tensor._version == self.version
        )


class Memo:
    """Constructed weights by image size, each with the parameters that they were made of."""

    def __init__(self) -> None:
        self._kept: dict[Image, tuple[tuple[_Source, ...], tuple[Tensor, ...]]] = {}

    def put(self, raw: tuple[Tensor, ...], image: Image, weights: tuple[Tensor, ...]) -> None:
        """Keeps the weights for one image size; those of other sizes stay."""
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
