"""Sums that need no rounding: plain ones pass; what rounds factors or mixes them before it multiplies is noticed."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from tests.test_executed import rounded_to
from torch import Tensor, nn

import onelip
from onelip import Certifier
from onelip.certify import sums
from onelip.certify.sums import check_sums
from onelip.errors import UnsoundError
from onelip.linalg.precision import sums_of_products
from onelip.nn.blocked import BlockedConv2d

plain = F.conv2d
INPUT = torch.tensor([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1.0]])
KERNEL = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1.0]])
OUTPUT = torch.tensor([[1, 1, 1, 0], [0, 1, -1, -1.0]])


def winograd(x: Tensor, kernel: Tensor, bias: Tensor | None = None, *others: object, padding: int = 0) -> Tensor:
    """F(2x2, 3x3) in float32 (Lavin & Gray, arXiv 1509.09308), two by two outputs of a tile of four by four."""
    if others:  # of torch's own module
        return plain(x, kernel, bias, *others)
    if x.dtype != torch.float32 or kernel.shape[-1] != 3:
        return plain(x, kernel, bias, padding=padding)
    height, width = x.shape[-2] + 2 * padding - 2, x.shape[-1] + 2 * padding - 2
    x = F.pad(x, (padding, padding + width % 2, padding, padding + height % 2))
    tiles = INPUT @ x.unfold(2, 4, 2).unfold(3, 4, 2) @ INPUT.T
    products = torch.einsum("bcijxy,ocxy->boijxy", tiles, KERNEL @ kernel @ KERNEL.T)
    squares = (OUTPUT @ products @ OUTPUT.T).transpose(3, 4)
    return squares.flatten(2, 3).flatten(3, 4)[:, :, :height, :width] + (0 if bias is None else bias[:, None, None])


def winograd_of_rows(x: Tensor, kernel: Tensor, bias: Tensor | None = None, padding: int = 0) -> Tensor:
    """F(2, 3) along rows alone, which adds two numbers at a time."""
    if x.dtype != torch.float32:
        return plain(x, kernel, bias, padding=padding)
    width = x.shape[-1] + 2 * padding - 2
    x = F.pad(x, (padding, padding + width % 2, padding, padding))
    tiles = (x.unfold(3, 4, 2) @ INPUT.T).unfold(2, 3, 1)
    pairs = torch.einsum("bchtxr,ocrx->bohtx", tiles, kernel @ KERNEL.T) @ OUTPUT.T
    return pairs.flatten(3)[..., :width] + (0 if bias is None else bias[:, None, None])


def fourier(x: Tensor, kernel: Tensor, bias: Tensor | None = None, padding: int = 0) -> Tensor:
    """By transforms in float32."""
    if x.dtype != torch.float32:
        return plain(x, kernel, bias, padding=padding)
    x, side = F.pad(x, (padding,) * 4), kernel.shape[-1]
    size = x.shape[-2:]
    spectrum = torch.einsum("bchw,ochw->bohw", torch.fft.rfft2(x), torch.fft.rfft2(kernel, s=size).conj())
    y = torch.fft.irfft2(spectrum, s=size)[..., : size[0] - side + 1, : size[1] - side + 1]
    return y + (0 if bias is None else bias[:, None, None])


TRANSFORMED = winograd, winograd_of_rows, fourier


def convolution(channels: int, side: int, padding: str, block: int | None) -> BlockedConv2d:
    return BlockedConv2d(torch.zeros(channels, channels, side, side), None, padding=padding, block=block)


@pytest.mark.parametrize("image", [(8, 8), (1, 2)])
@pytest.mark.parametrize("block", [None, 1, 3, 16])
@pytest.mark.parametrize("padding", ["circular", "zeros"])
@pytest.mark.parametrize(("channels", "side"), [(1, 3), (5, 3), (48, 3), (48, 1), (3, 5)])
def test_sums_of_products_pass(channels: int, side: int, padding: str, block: int | None, image: tuple[int, int]):
    """Also on images that are smaller than the kernel, of which circular padding shows a pixel several times."""
    with sums_of_products(torch.device("cpu")):
        check_sums(convolution(channels, side, padding, block), (32, channels, *image))


def test_transforms_compute_convolutions_and_whole_numbers_may_tell_nothing() -> None:
    torch.manual_seed(0)
    x, kernel, bias = torch.randn(2, 5, 7, 6), torch.randn(4, 5, 3, 3), torch.randn(4)
    for transformed in TRANSFORMED:
        assert torch.allclose(transformed(x, kernel, bias, padding=1), plain(x, kernel, bias, padding=1), atol=1e-5)
    whole = torch.randint(-4095, 4096, (2, 5, 7, 6)).float(), torch.randint(-1, 2, (4, 5, 3, 3)).float()
    assert torch.equal(winograd(*whole, padding=1), plain(*whole, padding=1))


@pytest.mark.parametrize("block", [None, 16])
@pytest.mark.parametrize("padding", ["circular", "zeros"])
@pytest.mark.parametrize("channels", [1, 3, 16, 40])
@pytest.mark.parametrize("transformed", TRANSFORMED)
def test_transforms_are_noticed(transformed, channels: int, padding: str, block: int | None, monkeypatch) -> None:
    monkeypatch.setattr("onelip.nn.blocked.F.conv2d", transformed)
    with pytest.raises(UnsoundError, match="not evaluated as sums"):
        check_sums(convolution(channels, 3, padding, block), (32, channels, 8, 8))


def test_so_it_is_in_a_model_of_one_channel_and_eight_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error was more than a thousand times what was charged, where pixels differ in size."""
    monkeypatch.setattr("onelip.nn.blocked.F.conv2d", winograd)
    with pytest.raises(UnsoundError, match="not evaluated as sums"):
        Certifier(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Flatten()), (1, 2, 4), arithmetic="executed")


@pytest.mark.parametrize("image", [(8, 8), (1, 1)])
@pytest.mark.parametrize("side", [1, 3])
@pytest.mark.parametrize("bits", [8, 11, 12, 13, 16, 20, 23])
def test_factors_of_fewer_bits_are_noticed(bits: int, side: int, image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onelip.nn.blocked.F.conv2d", rounded_to(bits))
    with pytest.raises(UnsoundError, match="not evaluated as sums"):
        check_sums(convolution(5, side, "zeros", None), (32, 5, *image))


@pytest.mark.parametrize("factor", [0, 1])
@pytest.mark.parametrize("bits", [12, 16, 20, 23])
def test_so_is_one_factor_of_fewer_bits(bits: int, factor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image alone, or the kernel alone."""
    larger = 2.0 ** (24 - bits) + 1

    def shortened(*factors: Tensor, **options):
        factors = list(factors)
        if factors[0].dtype == torch.float32:
            split = factors[factor] * larger
            factors[factor] = split - (split - factors[factor])
        return plain(*factors, **options)

    monkeypatch.setattr("onelip.nn.blocked.F.conv2d", shortened)
    with pytest.raises(UnsoundError, match="not evaluated as sums"):
        check_sums(convolution(5, 3, "zeros", 2), (32, 5, 8, 8))


def parts(numbers: Tensor, bits: int) -> list[Tensor]:
    """Three of so many bits each, which add up to the numbers."""
    rest, found = numbers.double(), []
    for _ in range(3):
        fraction, power = torch.frexp(rest)
        found.append(torch.ldexp(torch.round(fraction * 2**bits) / 2**bits, power))
        rest = rest - found[-1]
    assert not rest.any()
    return [part.float() for part in found]


LARGE = (2, 0), (0, 2), (0, 1), (1, 0), (0, 0)
"""Products of the parts of images and kernels that are made, the smallest first."""


@pytest.mark.parametrize("block", [None, 2])
@pytest.mark.parametrize(("bits", "made"), [(11, LARGE), (8, LARGE), (8, ((1, 1), *LARGE))])
def test_products_of_parts_are_noticed(bits: int, made, block: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As TF32 and bfloat16 emulate float32: all bits are kept, and products of the smaller parts left out.

    Plus or minus 1 has one part, so that products with it come out right.
    """

    def split(x: Tensor, kernel: Tensor, bias: Tensor | None = None, padding: int = 0) -> Tensor:
        if x.dtype != torch.float32:
            return plain(x, kernel, bias, padding=padding)
        images, kernels = parts(x, bits), parts(kernel, bits)
        return sum(plain(images[i], kernels[j], padding=padding) for i, j in made)

    generator = torch.Generator().manual_seed(0)
    x, ones = sums._of_all_bits((4, 5, 8, 8), generator), sums._one_each((5, 5, 3, 3), generator)
    assert torch.equal(split(x, ones, padding=1), plain(x, ones, padding=1))
    monkeypatch.setattr("onelip.nn.blocked.F.conv2d", split)
    with pytest.raises(UnsoundError, match="not evaluated as sums"):
        check_sums(convolution(5, 3, "zeros", block), (32, 5, 8, 8))


@pytest.mark.parametrize("towards", [-math.inf, 0, math.inf])
def test_products_that_are_rounded_in_one_direction_are_noticed(towards, monkeypatch: pytest.MonkeyPatch) -> None:
    def directed(x: Tensor, kernel: Tensor, bias: Tensor | None = None, padding: int = 0) -> Tensor:
        exact = plain(x.double(), kernel.double(), bias, padding=padding)
        near, end = exact.to(x.dtype), torch.full_like(exact, towards)
        beyond = (near.double() - exact).sign() == -(end - exact).sign()
        return torch.where(beyond | (near == exact), near, torch.nextafter(near, end.to(x.dtype)))

    monkeypatch.setattr("onelip.nn.blocked.F.conv2d", directed)
    with pytest.raises(UnsoundError, match="not evaluated as sums"):
        check_sums(convolution(5, 3, "zeros", None), (32, 5, 8, 8))


@pytest.mark.parametrize("padding", ["circular", "zeros"])
@pytest.mark.parametrize(
    "sizes",
    [(2, 32, 1, 1), (3, 3, 1, 32), (16, 16, 1, 16), (4, 3, 3, 32), (8, 8, 5, 2), (1, 1, 3, 3)],
)
def test_so_is_one_product_in_hundreds_of_any_layer(sizes, padding, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where both factors have all bits, and also of a head whose batch has 64 logits."""
    outputs, inputs, side, image = sizes

    def seldom_wrong(*factors: Tensor, **options):
        exact = plain(*factors, **options)
        if exact.dtype == torch.float64:
            return exact
        chosen = exact.view(torch.int32) & 511 == 257
        # Odd numbers of all bits are kept by a product with plus or minus 1, and sums of whole numbers are shorter.
        copied = torch.isin(exact.abs(), torch.cat([factor.abs().unique() for factor in factors[:2]]))
        return torch.where(chosen & ~copied, torch.nextafter(exact, torch.tensor(math.inf)), exact)

    monkeypatch.setattr("onelip.nn.blocked.F.conv2d", seldom_wrong)
    layer = BlockedConv2d(torch.zeros(outputs, inputs, side, side), None, padding=padding, block=None)
    with pytest.raises(UnsoundError, match="not evaluated as sums"):
        check_sums(layer, (32, inputs, image, image))


def test_sums_that_lose_something_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Single products come out right where it is sums of several that are rounded."""

    def lossy(x: Tensor, kernel: Tensor, **options) -> Tensor:
        y, sizes = plain(x, kernel, **options), plain(x.abs(), kernel.abs(), **options)
        return y if x.dtype == torch.float64 else y + (sizes - y.abs()) * 2.0**-20

    monkeypatch.setattr("onelip.nn.blocked.F.conv2d", lossy)
    with pytest.raises(UnsoundError, match="not evaluated as sums"):
        check_sums(convolution(5, 3, "zeros", 2), (32, 5, 8, 8))


def test_products_of_matrices_are_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a 1x1 kernel of several blocks."""
    product = torch.bmm

    def shortened(x: Tensor, matrices: Tensor) -> Tensor:
        return product(x, matrices if x.dtype == torch.float64 else (matrices * 65537) - (matrices * 65536))

    module = convolution(32, 1, "zeros", 16)
    assert module.is_pointwise
    monkeypatch.setattr("torch.bmm", shortened)
    with pytest.raises(UnsoundError, match="not evaluated as sums"):
        check_sums(module, (32, 32, 4, 4))


def test_verification_looks_before_it_verifies(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten()), torch.rand(2, 3, 6, 6)
    y = model(x).argmax(1)
    certificate = onelip.issue_certificate(model, x, y, arithmetic="executed")
    onelip.verify_certificate(certificate, model, x, y)
    monkeypatch.setattr("onelip.nn.blocked.F.conv2d", winograd)
    with pytest.raises(UnsoundError, match="not evaluated as sums"):
        onelip.verify_certificate(certificate, model, x, y)


def test_one_product_is_all_there_is_in_a_sum() -> None:
    """Else what is compared would have to be rounded, and plain sums could be refused."""
    generator = torch.Generator().manual_seed(0)
    for padding, image in (
        *(("zeros", size) for size in ((8, 8), (1, 1), (7, 10))),
        *(("circular", size) for size in ((8, 8), (1, 2), (3, 3), (5, 4), (10, 7))),
    ):
        for images, weights in sums._single(convolution(4, 3, padding, 2), (5, 4, *image), generator):
            there = BlockedConv2d((weights != 0).float(), None, padding=padding, block=2)((images != 0).float())
            assert float(there.amax()) <= 1
        assert float(there.amax()) == 1, "of the last kind, which is counted, there always is one"


@pytest.mark.parametrize("padding", ["circular", "zeros"])
@pytest.mark.parametrize(("side", "length"), [(3, 32), (3, 8), (3, 7), (5, 8), (5, 4), (3, 1)])
def test_every_pixel_meets_every_entry_of_a_kernel(side: int, length: int, padding) -> None:
    """Libraries run other code at the edges of images and at the ends of vectors."""
    generator = torch.Generator().manual_seed(0)
    drawn = sum(sums._apart((32, 1, length, length), side, generator).abs().sum(0) for _ in range(120))
    assert drawn.shape == (1, length, length)
    assert int(drawn.amin()) > 0
    taps = torch.eye(side**2).view(-1, 1, side, side)
    met = BlockedConv2d(taps, None, padding=padding, block=None)(drawn[None])
    reached = BlockedConv2d(taps, None, padding=padding, block=None)(torch.ones(1, 1, length, length))
    assert bool((met[reached > 0] > 0).all())


@pytest.mark.parametrize("padding", ["circular", "zeros"])
@pytest.mark.parametrize(("channels", "length"), [(5, 8), (16, 16), (5, 32), (16, 32)])
@pytest.mark.parametrize("bits", [12, 23])
def test_so_is_what_happens_in_the_last_column_alone(bits, channels, length, padding, monkeypatch) -> None:
    def cut_at_the_end(x: Tensor, kernel: Tensor, bias: Tensor | None = None, padding: int = 0) -> Tensor:
        y = plain(x, kernel, bias, padding=padding)
        if x.dtype == torch.float32:
            wide = kernel * (2.0 ** (24 - bits) + 1)
            y[..., -1] = plain(x, wide - (wide - kernel), bias, padding=padding)[..., -1]
        return y

    monkeypatch.setattr("onelip.nn.blocked.F.conv2d", cut_at_the_end)
    layer = BlockedConv2d(torch.zeros(channels, channels, 3, 3), None, padding=padding, block=None)
    with pytest.raises(UnsoundError, match="not evaluated as sums"):
        check_sums(layer, (32, channels, length, length))


@pytest.mark.parametrize("padding", ["circular", "zeros"])
def test_so_are_pixels_that_were_added_to_others_and_taken_apart_again(padding, monkeypatch) -> None:
    def together(x: Tensor, kernel: Tensor, bias: Tensor | None = None, padding: int = 0) -> Tensor:
        beside = x.roll(1, -1)
        return plain((x + beside) - beside, kernel, bias, padding=padding)

    monkeypatch.setattr("onelip.nn.blocked.F.conv2d", together)
    with pytest.raises(UnsoundError, match="not evaluated as sums"):
        check_sums(convolution(5, 3, padding, None), (32, 5, 8, 8))


@pytest.mark.parametrize("side", [1, 3])
def test_a_device_on_which_every_product_is_zero_is_refused(side, monkeypatch) -> None:
    """Zeros are equal, however often they are compared."""
    nothing = lambda x, kernel, *_, **__: x.new_zeros(len(x), len(kernel), *x.shape[-2:])  # noqa: E731
    monkeypatch.setattr("onelip.nn.blocked.F.conv2d", nothing)
    with pytest.raises(UnsoundError, match="products in float64 are zeros"):
        check_sums(convolution(5, side, "zeros", None), (32, 5, 8, 8))


def test_sums_of_two_of_the_numbers_do_not_fit() -> None:
    """What adds two of them, as any transform does, has to round; each of them has all bits."""
    one, other = sums._of_all_bits((2, 10_000), torch.Generator().manual_seed(0)).unbind()
    assert bool(((one + other).double() == one.double() + other.double()).double().mean() < 0.05)
    halves = torch.frexp(one.abs()).mantissa * 2**24
    assert bool((halves % 2 == 1).all())
