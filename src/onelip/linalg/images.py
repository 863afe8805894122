"""How tensors of images lie in memory: in planes, or with the channels of a pixel together."""

from __future__ import annotations

import torch
from torch import Tensor

from .again import is_transformed


def is_channels_last(x_BCHW: Tensor) -> bool:
    """Whether the channels of a pixel lie together; not where a transform hides how they lie."""
    if not torch.compiler.is_compiling() and is_transformed(x_BCHW):
        return False
    return x_BCHW.stride(1) == 1 and x_BCHW.is_contiguous(memory_format=torch.channels_last)


def empty_images(like_BCHW: Tensor, channels: int, image: tuple[int, int]) -> Tensor:
    """Memory for as many images as given, of another size, in the same memory format."""
    shape = (like_BCHW.shape[0], channels, *image)
    if not is_channels_last(like_BCHW):
        return like_BCHW.new_empty(shape)
    return torch.empty(shape, dtype=like_BCHW.dtype, device=like_BCHW.device, memory_format=torch.channels_last)
