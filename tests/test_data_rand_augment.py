"""RandAugment beside Pillow, which torchvision calls for each operation on pictures, and its draws."""

import dataclasses
import math
import random
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch.nn.functional import interpolate
from torch.utils._python_dispatch import TorchDispatchMode

from onelip.bench.data import RandAugment, load
from onelip.bench.data.rand_augment import OPERATIONS, apply_drawn
from onelip.bench.forecast import unaugmented
from onelip.bench.records import Recipe
from onelip.errors import DataError

NAMES = list(OPERATIONS)
ENHANCERS = {
    "Brightness": ImageEnhance.Brightness,
    "Color": ImageEnhance.Color,
    "Contrast": ImageEnhance.Contrast,
    "Sharpness": ImageEnhance.Sharpness,
}
SIGNED = {"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", *ENHANCERS}
SHAPES = [(3, 64, 64), (1, 20, 33), (3, 41, 30), (3, 2, 5), (1, 1, 1)]


def magnitude(name, number, height, width):
    """As torchvision's table of RandAugment has it."""
    ends = {
        "ShearX": (0, 0.3),
        "ShearY": (0, 0.3),
        "TranslateX": (0, 150 / 331 * width),
        "TranslateY": (0, 150 / 331 * height),
        "Rotate": (0, 30),
        "Solarize": (255, 0),
        **dict.fromkeys(ENHANCERS, (0, 0.9)),
    }
    if name == "Posterize":
        return int((8 - (torch.arange(31) / ((31 - 1) / 4)).round().int())[number])
    return float(torch.linspace(*ends[name], 31)[number]) if name in ends else 0.0


def by_pillow(name, image, number, *, negative=False):
    """One image as torchvision's functions for pictures change it."""
    strength = magnitude(name, number, *image.shape[1:])
    strength = -strength if negative and name in SIGNED else strength
    picture = Image.fromarray(image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).contiguous().numpy())
    affine = {
        "ShearX": (1, strength, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, strength, 1, 0),
        "TranslateX": (1, 0, -int(strength), 0, 1, 0),
        "TranslateY": (1, 0, 0, 0, 1, -int(strength)),
    }
    if name in affine:
        changed = picture.transform(picture.size, Image.Transform.AFFINE, affine[name], Image.Resampling.NEAREST)
    elif name in ENHANCERS:
        changed = ENHANCERS[name](picture).enhance(1.0 + strength)
    else:
        changed = {
            "Identity": lambda: picture,
            "Rotate": lambda: picture.rotate(strength, Image.Resampling.NEAREST),
            "Posterize": lambda: ImageOps.posterize(picture, int(strength)),
            "Solarize": lambda: ImageOps.solarize(picture, strength),
            "AutoContrast": lambda: ImageOps.autocontrast(picture),
            "Equalize": lambda: ImageOps.equalize(picture),
        }[name]()
    pixels = torch.from_numpy(np.array(changed))
    return pixels[None] if pixels.dim() == 2 else pixels.permute(2, 0, 1)


def pictures(shape, seed=0):
    """Noise over all levels, and over a few; smooth pictures, a dull one, and one of a single colour."""
    generator = torch.Generator().manual_seed(seed)
    noise = 256 * torch.rand(2, *shape, generator=generator)
    noise[1] = noise[1] / 16 + 80
    coarse = torch.rand(3, shape[0], 4, 4, generator=generator)
    smooth = 255 * interpolate(coarse, shape[1:], mode="bilinear", align_corners=True)
    smooth[2] = smooth[2] / 5 + 30
    flat = torch.full((1, *shape), 77.0)
    return torch.cat([noise, smooth, flat]).to(torch.uint8)


def applied(name, images, number, *, negative=False):
    """One operation on all images."""
    places = torch.full((len(images),), NAMES.index(name))
    return apply_drawn(images, places, torch.full((len(images),), negative), number)


def clear_of_borders(name, number, height, width, *, negative):
    """Where the middle of a pixel comes from, by float64: whether that is clear of the border between two pixels.

    Pillow has positions in 16 binary places: an error of 2^-17 of its coefficients, times up to 64 pixels for each of
    two coordinates, is below 0.001. Those of kornia are in float32, and below 0.0001.
    """
    strength = magnitude(name, number, height, width) * (-1 if negative else 1)
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    y, x = y.double(), x.double()
    if name == "Rotate":
        cos, sin = math.cos(math.radians(strength)), math.sin(math.radians(strength))
        x, y = x - width / 2, y - height / 2
        x, y = cos * x - sin * y + width / 2, sin * x + cos * y + height / 2
    else:
        x, y = (x + strength * y, y) if name == "ShearX" else (x, y + strength * x)
    return ((x - x.round()).abs() > 1e-3) & ((y - y.round()).abs() > 1e-3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"ShearX", "ShearY", "Rotate"}])
def test_every_operation_is_pillows_to_the_level(name, shape):
    images = pictures(shape)
    for number in range(31):
        for negative in {False, name in SIGNED}:
            expected = torch.stack([by_pillow(name, image, number, negative=negative) for image in images])
            assert torch.equal(applied(name, images, number, negative=negative), expected), (number, negative)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["ShearX", "ShearY", "Rotate"])
def test_pixels_move_as_pillows_but_where_two_are_equally_near(name, shape):
    images = pictures(shape)
    for number in range(31):
        for negative in (False, True):
            clear = clear_of_borders(name, number, *shape[1:], negative=negative)
            assert clear.double().mean() > 0.75, "a shear of 0.2 meets a border in every fifth row"
            expected = torch.stack([by_pillow(name, image, number, negative=negative) for image in images])
            found = applied(name, images, number, negative=negative)
            assert torch.equal(found[..., clear], expected[..., clear]), (number, negative)


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_at_the_paper_s_magnitude_and_size_it_is_pillows_in_every_pixel(name, negative):
    images = pictures((3, 64, 64), seed=1)
    expected = torch.stack([by_pillow(name, image, 9, negative=negative) for image in images])
    assert torch.equal(applied(name, images, 9, negative=negative), expected)


def test_magnitudes_of_the_ninth_bin_by_hand():
    """0.3, 30 degrees, 0.9, 255 and 150/331 of 64 by 9/30; posterize keeps 8 - round(1.2) bits."""
    found = {name: operation.magnitude(9, 64, 32) for name, operation in OPERATIONS.items()}
    assert found["ShearX"] == found["ShearY"] == pytest.approx(0.09)
    assert (math.floor(found["TranslateY"]), math.floor(found["TranslateX"])) == (8, 4)
    assert (found["Rotate"], found["Solarize"], round(found["Posterize"])) == (pytest.approx(9), 178.5, 1)
    assert [found[name] for name in ENHANCERS] == pytest.approx([0.27] * 4)
    assert {name for name, operation in OPERATIONS.items() if operation.signed} == SIGNED
    assert len(OPERATIONS) == 14


def test_signs_by_hand():
    """A positive magnitude: to the right, down, counter-clockwise; what lies below goes left; brighter."""
    image = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    image[0, 0, 4, 6] = 100
    assert applied("TranslateX", image, 9).nonzero()[0].tolist() == [0, 0, 4, 7]
    assert applied("TranslateY", image, 9).nonzero()[0].tolist() == [0, 0, 5, 6]
    assert applied("Rotate", image, 30).nonzero()[0].tolist() == [0, 0, 3, 6]
    assert applied("ShearX", image, 30).nonzero()[0].tolist() == [0, 0, 4, 5]
    assert applied("ShearY", image, 30).nonzero()[0].tolist() == [0, 0, 2, 6]
    assert applied("Brightness", image, 9).max() == 127
    assert applied("Brightness", image, 9, negative=True).max() == 73


@pytest.mark.parametrize("name", NAMES)
def test_magnitude_0_changes_nothing(name):
    """But for what has no magnitude; solarize inverts white, which is as bright as its threshold is then."""
    images = pictures((3, 16, 24)).clamp(max=254)
    same = torch.equal(applied(name, images, 0, negative=True), images)
    assert same == (name not in {"AutoContrast", "Equalize"})


def test_a_grey_image_has_no_colour_to_change():
    images = pictures((1, 16, 24))
    grey = images.expand(-1, 3, -1, -1)
    assert torch.equal(applied("Color", images, 30), images)
    assert torch.equal(applied("Color", grey, 30), grey)


KINDS = [(name, False) for name in NAMES] + [(name, True) for name in NAMES if name in SIGNED]
"""What can happen to an image: 14 operations, and 9 with a negative magnitude."""


def outcomes(batch, seed):
    """Which of the kinds each image of a batch of equal images became, by Pillow."""
    image = 20 + pictures((3, 18, 16))[0] // 8 * 7
    every = torch.stack([by_pillow(name, image, 9, negative=negative) for name, negative in KINDS])
    generator = torch.Generator().manual_seed(seed)
    augmented = RandAugment(operations=1)(image.expand(batch, -1, -1, -1), generator=generator)
    equal = (augmented[:, None] == every[None]).all((2, 3, 4))
    assert equal.sum(1).eq(1).all(), "an image is none of the outcomes, or not unambiguously"
    return equal.int().argmax(1)


def near(counts, expected):
    """Within five standard deviations of a binomial count; the seeds are fixed."""
    return ((counts - expected).abs() < 5 * expected**0.5).all()


def test_operations_and_signs_are_uniform_and_independent_among_images():
    batch = 5600
    kinds = outcomes(batch, seed=0)
    shares = torch.tensor([28 if name in SIGNED else 14 for name, _ in KINDS])
    assert near(kinds.bincount(minlength=23), batch / shares)
    numbers = torch.tensor([NAMES.index(name) for name, _ in KINDS])[kinds]
    assert near((14 * numbers[:-1] + numbers[1:]).bincount(minlength=196), torch.tensor(batch / 196))
    signs = torch.tensor([negative for _, negative in KINDS])[kinds].int()
    signs = signs[torch.tensor([name in SIGNED for name, _ in KINDS])[kinds]]
    assert near((2 * signs[:-1] + signs[1:]).bincount(minlength=4), torch.tensor(len(signs) / 4))


def test_operations_and_signs_in_sequence_are_independent():
    batch = 100_000
    (first, second), (positive, negative) = RandAugment().draw(batch, torch.Generator().manual_seed(0))
    assert near((14 * first + second).bincount(minlength=196), torch.tensor(batch / 196))
    assert near((2 * positive.int() + negative.int()).bincount(minlength=4), torch.tensor(batch / 4))
    assert near((2 * second + positive.int()).bincount(minlength=28), torch.tensor(batch / 28))


def test_operations_follow_one_another():
    images = pictures((3, 16, 20))
    numbers, negative = RandAugment(operations=3).draw(len(images), torch.Generator().manual_seed(2))
    expected = images
    for step in range(3):
        steps = zip(expected, numbers[step].tolist(), negative[step].tolist(), strict=True)
        expected = torch.stack([by_pillow(NAMES[place], image, 9, negative=sign) for image, place, sign in steps])
    found = RandAugment(operations=3)(images, generator=torch.Generator().manual_seed(2))
    assert torch.equal(found, expected)


def test_an_image_of_a_batch_is_what_it_is_alone():
    generator = torch.Generator().manual_seed(0)
    images = torch.cat([pictures((3, 16, 20), seed) for seed in range(12)])
    numbers, negative = torch.randint(14, (72,), generator=generator), torch.rand(72, generator=generator) < 0.5
    alone = [apply_drawn(images[i : i + 1], numbers[i : i + 1], negative[i : i + 1], 9) for i in range(72)]
    assert set(numbers.tolist()) == set(range(14))
    assert torch.equal(apply_drawn(images, numbers, negative, 9), torch.cat(alone))


def test_draws_depend_on_the_place_in_the_batch_alone():
    images, others = pictures((3, 16, 20)), pictures((3, 16, 20), seed=5)
    mixed = torch.cat([images[:3], others[3:], others])

    def augmented(batch):
        return RandAugment()(batch, generator=torch.Generator().manual_seed(1))

    assert torch.equal(augmented(mixed)[:3], augmented(images)[:3])
    assert torch.equal(augmented(images[:3]), augmented(images)[:3])


def test_the_generator_alone_decides():
    torch.manual_seed(0)
    first = outcomes(64, seed=3)
    torch.manual_seed(1)
    random.seed(1)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert torch.equal(outcomes(64, seed=3), first)
    assert not torch.equal(outcomes(64, seed=4), first)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_batches_in_sequence_differ():
    generator, images = torch.Generator().manual_seed(0), pictures((3, 16, 20))
    first, second = (RandAugment()(images, generator=generator) for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("shape", SHAPES)
def test_keeps_shape_type_and_input(shape):
    images = pictures(shape).repeat(10, 1, 1, 1)
    before = images.clone()
    augmented = RandAugment()(images, generator=torch.Generator().manual_seed(0))
    assert (augmented.shape, augmented.dtype) == (images.shape, torch.uint8)
    assert torch.equal(images, before)
    assert not torch.equal(augmented, before)


def test_takes_as_many_operations_for_any_batch():
    class Counter(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.count += 1
            return func(*args, **(kwargs or {}))

    def count(times):
        numbers = torch.arange(14).repeat(times)
        images = torch.zeros(len(numbers), 3, 8, 8, dtype=torch.uint8)
        with Counter() as counter:
            apply_drawn(images, numbers, numbers % 2 == 0, 9)
        return counter.count

    assert 0 < count(2) == count(20)


def test_says_what_it_does():
    assert str(RandAugment()) == "RandAugment, 2 operations of magnitude 9"
    assert str(RandAugment(operations=1, magnitude=30)) == "RandAugment, 1 operation of magnitude 30"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"operations": 0}, "applies 1 operation or more, not 0"),
        ({"magnitude": -1}, "magnitudes from 0 to 30, not -1"),
        ({"magnitude": 31}, "magnitudes from 0 to 30, not 31"),
    ],
)
def test_settings_outside_the_table_are_refused(settings, message):
    with pytest.raises(DataError, match=message):
        RandAugment(**settings)


def test_other_images_are_refused():
    RandAugment().check((1, 8, 8), 255)
    RandAugment().check((3, 64, 32), 255)
    with pytest.raises(DataError, match="found 2 channels and pixels up to 255"):
        RandAugment().check((2, 8, 8), 255)
    with pytest.raises(DataError, match="found 1 channels and pixels up to 16"):
        RandAugment().check((1, 8, 8), 16)


def test_without_kornia_nothing_is_begun(monkeypatch):
    digits = dataclasses.replace(load("digits"), pixel_max=255, augmentation=RandAugment())
    assert unaugmented([digits], Recipe()) == {}
    monkeypatch.setitem(sys.modules, "kornia", None)
    assert unaugmented([digits], Recipe(augment=False)) == {}
    assert unaugmented([digits], Recipe()) == {
        "digits": 'RandAugment needs kornia, which is not installed: pip install "onelip[augment]"'
    }
    with pytest.raises(DataError, match=r'pip install "onelip\[augment\]"'):
        applied("Rotate", digits.train_images[:1], 9)
