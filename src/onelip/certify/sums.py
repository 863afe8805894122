"""Whether a machine evaluates convolutions as sums of products in float32: sums whose rounding is known show it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..errors import UnsoundError
from ..nn.blocked import BlockedConv2d

WIDE = 4095
"""Whole numbers up to this have twelve bits: TF32 keeps eleven, float16 as many, bfloat16 eight."""
TERMS = 4096
"""Products of a wide number with 0 or 1 in magnitude that may be added in float32 without rounding, in any order."""
BITS = 24
"""Of the significand of float32."""
PRODUCTS = 4096
"""So many products of two numbers of all bits are looked at, one in a sum, or more."""
SCALES = 20
"""Numbers of all bits are multiplied by 2^-20 to 2^20: a sum of two of them rarely fits into float32."""

Shape = tuple[int, ...]
Drawn = Callable[[Shape], Tensor]


@torch.no_grad()
def check_sums(module: BlockedConv2d, shape: Shape) -> None:
    """Whether a convolution of this kind computes sums as float32 must, whatever their order.

    First sums of whole numbers of twelve bits, up to the largest that fit. Then sums of one product that is not zero,
    of an odd number of all bits and plus or minus 1: the numbers beside it are of other magnitudes, and what adds two
    of them before it multiplies, or rounds a factor, gives another one. Last those of two numbers of all bits: what is
    not their product, rounded to nearest, was put together from parts, or is rounded otherwise.

    Args:
        module: Its channels, kernel side, padding and blocks are used, and not its weights.
        shape: Of the images, (B, C, H, W).

    Raises:
        UnsoundError: If it does not.
    """
    generator, looked_at = torch.Generator("cpu").manual_seed(0), 0
    for images, weights in _many_terms(module.kernel.shape, shape, generator):
        _compare(module, images, weights)
    while looked_at < PRODUCTS:
        *_, last = [_compare(module, images, weights) for images, weights in _single(module, shape, generator)]
        if not last:  # in each image is a pixel that a kernel meets, and none of the factors is 0
            raise UnsoundError(f"{module} is not evaluated on {module.kernel.device}: products in float64 are zeros")
        looked_at += last


def _compare(module: BlockedConv2d, drawn: Tensor, weights: Tensor) -> int:
    """Raises where sums that a convolution of this kind computes are not what they must be; says how many are not 0."""
    kernel = module.kernel
    own = BlockedConv2d(weights.to(kernel), None, padding=module.padding, block=module.block)
    exact, images = copy.deepcopy(own).double(), drawn.to(kernel)
    # float64 holds all of these; but for the products of two numbers of all bits, so does float32.
    wanted = exact(images.double()).to(torch.float32)
    if not torch.equal(own(images), wanted):
        raise UnsoundError(
            f"{module} is not evaluated as sums of products in float32 on {kernel.device}: sums whose rounding is "
            f"known came out otherwise (of 1 or of {min(kernel[0].numel(), TERMS)} products each)"
        )
    return int(wanted.count_nonzero())


def _many_terms(kernel: Shape, image: Shape, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and kernels of whole numbers."""
    # No sum of absolute values, of some of the products or of all, exceeds 2^24.
    used = (torch.rand(kernel, generator=generator, device="cpu").flatten(1).argsort(1) < TERMS).view(kernel)
    wide, narrow = _whole_numbers(generator, WIDE), _whole_numbers(generator, 1)
    yield wide(image), narrow(kernel) * used
    yield narrow(image), wide(kernel) * used


def _single(module: BlockedConv2d, image: Shape, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Images of all bits and kernels of one 1 per output, the other way round, and that with a number for the 1."""
    kernel = module.kernel.shape
    yield _of_all_bits(image, generator), _one_each(kernel, generator)
    weights = _of_all_bits(kernel, generator)
    if module.padding == "circular" and min(image[-2:]) < module.side:
        # A pixel meets several entries of a kernel that is larger than the image.
        weights *= _one_each((kernel[0] * kernel[1], 1, *kernel[2:]), generator).abs().view(kernel)
    yield _apart(image, module.side, generator), weights
    yield _apart(image, module.side, generator) * _of_all_bits(image, generator), weights


def _whole_numbers(generator: torch.Generator, largest: int) -> Drawn:
    def drawn(shape: Shape) -> Tensor:
        numbers = torch.randint(-largest, largest + 1, tuple(shape), generator=generator, device="cpu")
        return numbers.to(torch.float32)

    return drawn


def _of_all_bits(shape: Shape, generator: torch.Generator) -> Tensor:
    """Odd numbers of 24 bits times powers of two, of either sign."""
    odd = torch.randint(2 ** (BITS - 2), 2 ** (BITS - 1), tuple(shape), generator=generator, device="cpu") * 2 + 1
    sign = torch.randint(0, 2, tuple(shape), generator=generator, device="cpu") * 2 - 1
    powers = torch.tensor([2.0**power for power in range(-SCALES, SCALES + 1)], dtype=torch.float32, device="cpu")
    scale = powers[torch.randint(0, len(powers), tuple(shape), generator=generator, device="cpu")]
    return (odd * sign).to(torch.float32) * scale


def _apart(image: Shape, side: int, generator: torch.Generator) -> Tensor:
    """Images of 1 or -1 in one channel of pixels of which a kernel of this side meets one at a time, zeros elsewhere.

    Also where they continue periodically, if the kernel is no larger than they are. Each image is shifted by itself, so
    that any pixel may be drawn, and be met by any entry of the kernel that reaches it.
    """
    rows, columns = (torch.arange(0, max(1, length - side + 1), side, device="cpu") for length in image[-2:])
    count = image[0] * len(rows) * len(columns)
    ones = _one_each((count, image[1]), generator).view(image[0], len(rows), len(columns), image[1])
    images = torch.zeros(image, dtype=torch.float32, device="cpu")
    images[:, :, rows[:, None], columns] = ones.movedim(-1, 1)
    shifts = torch.randint(0, 2**20, (image[0], 2), generator=generator, device="cpu").tolist()
    return torch.stack([one.roll(shift, (-2, -1)) for one, shift in zip(images, shifts, strict=True)])


def _one_each(shape: Shape, generator: torch.Generator) -> Tensor:
    """Along all dimensions but the first one entry that is 1 or -1, and zeros."""
    rows = torch.zeros(shape, dtype=torch.float32, device="cpu").flatten(1)
    places = torch.randint(0, rows.shape[1], (len(rows), 1), generator=generator, device="cpu")
    signs = torch.randint(0, 2, (len(rows), 1), generator=generator, device="cpu") * 2.0 - 1
    return rows.scatter_(1, places, signs.to(torch.float32)).view(shape)
