"""Random crops and mirror images of a whole batch at once, on the device where the batch lies.

Shape suffixes: B images of the batch, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad


def crop_and_flip(images_BCHW: Tensor, *, padding: int, flip: bool, generator: Generator) -> Tensor:
    """Shift every image by up to `padding` pixels each way, zeros moving in, and mirror every second one on average.

    Shifts and mirroring are independent of each other and of those of other images, and uniform.

    Args:
        images_BCHW: The batch; any dtype. It is not changed.
        padding: The largest shift; 0: none.
        flip: Whether to mirror left to right at all.
        generator: Determines the result. One on the CPU gives the same result for a batch on any device.

    Returns:
        A batch of the same shape and dtype.
    """
    batch, _, height, width = images_BCHW.shape
    top, left = _draw(2 * padding + 1, (2, batch), generator).to(images_BCHW.device)
    padded = pad(images_BCHW, [padding] * 4)
    # Views of every window that can be cut out: no pixel is copied before the drawn windows are gathered.
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    images = torch.arange(batch, device=images_BCHW.device)
    cropped = windows[images, :, top, left]
    if not flip:
        return cropped
    mirrored = _draw(2, (batch, 1, 1, 1), generator).to(images_BCHW.device, torch.bool)
    return torch.where(mirrored, cropped.flip(-1), cropped)


def _draw(end: int, size: tuple[int, ...], generator: Generator) -> Tensor:
    """Uniform integers from 0 to `end` - 1, on the generator's device."""
    return torch.randint(end, size, generator=generator, device=generator.device)
