import pytest
import torch
from torch.nn.functional import pad
from torch.utils._python_dispatch import TorchDispatchMode

from onelip.bench.data import CropAndFlip
from onelip.errors import DataError

PADDING = 2
SIDES = (5, 6)


def image() -> torch.Tensor:
    """One image of two channels, no two pixels of which are equal or zero."""
    return torch.arange(1, 61, dtype=torch.uint8).view(2, *SIDES)


def every_outcome() -> torch.Tensor:
    """By definition: all 5 x 5 shifts, each mirrored or not."""
    padded = pad(image(), [PADDING] * 4)
    height, width = SIDES
    crops = [padded[:, y : y + height, x : x + width] for y in range(5) for x in range(5)]
    return torch.stack([side for crop in crops for side in (crop, crop.flip(-1))])


def outcomes(batch: int, seed: int) -> torch.Tensor:
    """Which of the outcomes each image of a batch of equal images became."""
    generator = torch.Generator().manual_seed(seed)
    augmented = CropAndFlip(PADDING, flip=True)(image().expand(batch, -1, -1, -1), generator=generator)
    equal = (augmented[:, None] == every_outcome()[None]).all((2, 3, 4))
    assert equal.sum(1).eq(1).all(), "an image is no crop of the padded image, or not unambiguously"
    return equal.int().argmax(1)


def test_shifts_and_flips_are_uniform_and_independent() -> None:
    batch = 10_000
    drawn = outcomes(batch, seed=0)
    counts = drawn.bincount(minlength=50)
    # Five standard deviations of a binomial count; the seed is fixed.
    assert (counts - batch / 50).abs().max() < 5 * (batch / 50) ** 0.5
    neighbours = (drawn[:-1] % 2 * 2 + drawn[1:] % 2).bincount(minlength=4)
    assert (neighbours - batch / 4).abs().max() < 5 * (batch / 4) ** 0.5


def test_each_image_stays_in_its_place() -> None:
    images = torch.arange(1, 65, dtype=torch.uint8).view(64, 1, 1, 1).expand(-1, 3, 8, 8)
    augmented = CropAndFlip(3, flip=True)(images, generator=torch.Generator().manual_seed(0))
    assert torch.equal(augmented.amax((2, 3)), images[:, :, 0, 0])


def test_the_generator_alone_decides() -> None:
    torch.manual_seed(0)
    first = outcomes(64, seed=3)
    torch.manual_seed(1)
    assert torch.equal(outcomes(64, seed=3), first)
    assert not torch.equal(outcomes(64, seed=4), first)


def test_what_a_generator_draws_stays_the_same() -> None:
    """Records and checkpoints of earlier runs speak of these images; others need another harness revision."""
    assert outcomes(12, seed=0).tolist() == [42, 49, 37, 3, 33, 46, 29, 36, 23, 38, 13, 19]


def test_batches_in_sequence_differ() -> None:
    generator = torch.Generator().manual_seed(0)
    images = image().expand(32, -1, -1, -1)
    first, second = (CropAndFlip(PADDING, flip=True)(images, generator=generator) for _ in range(2))
    assert not torch.equal(first, second)


def test_what_moves_in_has_the_colour_that_was_asked_for() -> None:
    """The same shifts as with zeros; only the pixels that moved in differ."""
    images = (
        torch.arange(1, 1 + 6 * 3 * 5 * 4, dtype=torch.int64).remainder(100).add(1).to(torch.uint8).view(6, 3, 5, 4)
    )
    black, grey = (
        CropAndFlip(3, flip=True, fill=fill)(images, generator=torch.Generator().manual_seed(1))
        for fill in ((), (101, 102, 103))
    )
    moved = black == 0
    assert moved.any()
    assert torch.equal(grey[~moved], black[~moved])
    expected = torch.tensor([101, 102, 103], dtype=torch.uint8).view(1, 3, 1, 1).expand_as(grey)
    assert torch.equal(grey[moved], expected[moved])
    with pytest.raises(DataError, match=r"cannot be filled with \(101, 102, 103\) in images of 1 channels"):
        CropAndFlip(3, fill=(101, 102, 103)).check((1, 8, 8), 255)
    with pytest.raises(DataError, match="cannot be filled"):
        CropAndFlip(3, fill=(101, 102, 300)).check((3, 8, 8), 255)
    CropAndFlip(3, fill=(101, 102, 103)).check((3, 8, 8), 255)


def test_nothing_asked_changes_nothing() -> None:
    images = torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(CropAndFlip()(images, generator=torch.Generator()), images)


def test_flip_alone_and_crop_alone() -> None:
    images, generator = image().expand(200, -1, -1, -1), torch.Generator().manual_seed(0)
    flipped = CropAndFlip(flip=True)(images, generator=generator)
    mirrored = (flipped == image().flip(-1)).all((1, 2, 3))
    assert ((flipped == image()).all((1, 2, 3)) ^ mirrored).all()
    assert 50 < mirrored.sum() < 150
    crops = CropAndFlip(PADDING)(images, generator=generator)
    assert (crops[:, None] == every_outcome()[::2]).all((2, 3, 4)).any(1).all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_keeps_shape_type_and_input(dtype: torch.dtype) -> None:
    images = torch.randint(0, 256, (4, 3, 8, 6)).to(dtype)
    before = images.clone()
    augmented = CropAndFlip(4, flip=True)(images, generator=torch.Generator())
    assert (augmented.shape, augmented.dtype) == (images.shape, dtype)
    assert torch.equal(images, before)


def test_takes_as_many_operations_for_any_batch() -> None:
    class Counter(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.count += 1
            return func(*args, **(kwargs or {}))

    def operations(batch: int) -> int:
        images = torch.zeros(batch, 3, 8, 8, dtype=torch.uint8)
        with Counter() as counter:
            CropAndFlip(4, flip=True)(images, generator=torch.Generator())
        return counter.count

    assert 0 < operations(2) == operations(256)


@pytest.mark.parametrize(
    ("augmentation", "words"),
    [
        (CropAndFlip(4, flip=True), "random crop with padding 4, mirror"),
        (CropAndFlip(4), "random crop with padding 4"),
        (CropAndFlip(4, fill=(1, 2, 3)), "random crop with padding 4 of colour 1/2/3"),
        (CropAndFlip(flip=True), "mirror"),
        (CropAndFlip(), "no change"),
    ],
)
def test_says_what_it_does(augmentation: CropAndFlip, words: str) -> None:
    assert str(augmentation) == words


def test_a_crop_cannot_take_from_the_image() -> None:
    with pytest.raises(DataError, match="padding of a random crop must be 0 or more, not -1"):
        CropAndFlip(-1)
