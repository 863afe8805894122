"""Bounds of rounding errors: the same formulas with the unit roundoff of float32 bound what float32 does.

The truth is float64, nine digits better; so every inequality is measured where its two sides can be told apart.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import onelip
from onelip.certify.rounding import evaluation_error, steps
from onelip.errors import UnsoundError
from onelip.linalg import fourier, rounding
from onelip.linalg.proof import largest_norm_bound
from onelip.linalg.rounding import Computed, absolute_norm, convolution_rounding

METHODS = [name for name, method in onelip.METHODS.items() if method.traits.constrained]


@pytest.fixture
def in_float32(monkeypatch):
    """The formulas of float64, for float32; both take transforms by products."""
    monkeypatch.setattr(rounding, "UNIT_ROUNDOFF", 2.0**-24)
    monkeypatch.setattr(rounding, "TINY", 1e-30)


def network(name, padding, seed=0, image=(2, 8, 8)):
    torch.manual_seed(seed)
    model = onelip.ConvNet(name, size=6, classes=5, image=image, padding=padding, mean=[0.4] * image[0])
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return onelip.freeze(model)


def error_of(model, x):
    """Norm of float32 minus float64 for each input, the weights being the same."""
    with torch.no_grad():
        rounded = model(x).double()
        exact = model.double()(x.double())
        model.float()
    return torch.linalg.vector_norm((rounded - exact).flatten(1), dim=1)


@pytest.mark.parametrize("padding", ["circular", "zeros"])
@pytest.mark.parametrize("name", METHODS)
def test_the_bound_holds_for_networks_and_is_no_more_than_a_few_orders_too_large(in_float32, name, padding):
    for seed, scale in ((0, 1.0), (1, 1e-3), (2, 300.0)):
        model = network(name, padding, seed)
        x = scale * torch.randn(16, 2, 8, 8)
        size = float(torch.linalg.vector_norm(x.flatten(1).double(), dim=1).amax())
        bound = evaluation_error(steps(model.double(), (2, 8, 8)), size)
        worst = float(error_of(model.float(), x).amax())
        assert worst <= bound
        assert bound <= 1e6 * worst


@pytest.mark.parametrize("padding", ["circular", "zeros"])
@pytest.mark.parametrize("name", METHODS)
def test_the_bound_holds_for_a_layer_on_inputs_made_for_cancellation(in_float32, name, padding):
    torch.manual_seed(3)
    layer = onelip.METHODS[name].conv2d(3, 4, 3, padding_mode=padding)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    model = onelip.freeze(torch.nn.Sequential(layer), (3, 5, 4))
    x = torch.randn(8, 3, 5, 4)
    for _ in range(20):  # towards inputs with small outputs and large terms
        x = x.requires_grad_()
        (gradient,) = torch.autograd.grad(model(x).square().sum(), x)
        x = (x - 0.4 * gradient).detach()
    x = 10 * x / torch.linalg.vector_norm(x.flatten(1), dim=1)[:, None, None, None]
    bound = evaluation_error(steps(model.double(), (3, 5, 4)), 10.001)
    assert float(error_of(model.float(), x).amax()) <= bound


@given(
    channels=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    size=st.sampled_from([1, 3, 5]),
    exponents=st.tuples(st.integers(-8, 8), st.integers(-8, 8)),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None)
def test_the_bound_holds_for_a_convolution(channels, size, exponents, seed):
    generator = torch.Generator().manual_seed(seed)
    kernel = 10.0 ** exponents[0] * torch.randn(*channels, size, size, generator=generator)
    x = 10.0 ** exponents[1] * torch.randn(4, channels[1], 6, 5, generator=generator)
    bias = torch.randn(channels[0], generator=generator)
    exact = torch.nn.functional.conv2d(x.double(), kernel.double(), bias.double(), padding=size // 2)
    rounded = torch.nn.functional.conv2d(x, kernel, bias, padding=size // 2).double()
    before = rounding.UNIT_ROUNDOFF
    rounding.UNIT_ROUNDOFF = 2.0**-24
    try:
        largest = float(torch.linalg.vector_norm(x.double().flatten(1), dim=1).amax())
        known = convolution_rounding(Computed(largest, 0.0), kernel, bias, 30, absolute_norm(kernel))
    finally:
        rounding.UNIT_ROUNDOFF = before
    assert float(torch.linalg.vector_norm(exact.flatten(1), dim=1).amax()) <= known.size
    assert float(torch.linalg.vector_norm((rounded - exact).flatten(1), dim=1).amax()) <= known.error


TORI = [((1, 1), (1, 1)), ((1, 6), (1, 6)), ((5, 4), (5, 4)), ((8, 8), (8, 8)), ((5, 4), (7, 6)), ((3, 8), (8, 9))]


def pixels_first(x):
    return x.permute(2, 3, 0, 1).flatten(2)


@pytest.mark.parametrize(("image", "around"), TORI)
def test_the_transforms_are_the_librarys(image, around):
    x = torch.randn(2, 3, *image, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(x, (0, around[1] - image[1], 0, around[0] - image[0]))
    expected = pixels_first(torch.fft.rfft2(padded)).flatten(0, 1)
    spectrum = fourier.transform(pixels_first(x), around)
    torch.testing.assert_close(spectrum, torch.stack([expected.real, expected.imag]), rtol=1e-12, atol=1e-12)
    back = fourier.transform_back(spectrum, image, around)
    torch.testing.assert_close(back, pixels_first(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("image", "around"), [*TORI[1:], ((34, 34), (34, 34)), ((32, 32), (34, 34))])
def test_the_bound_holds_for_the_transforms(in_float32, image, around):
    """Per input of six channels: what `transform` calls parallel is one input here."""
    x = torch.randn(*image, 6, generator=torch.Generator().manual_seed(1))
    exact, rounded = fourier.transform(x.double(), around), fourier.transform(x, around).double()
    known = fourier.transform_rounding(Computed(float(x.double().norm()), 0.0), around)
    assert float(exact.norm()) <= known.size
    assert 0 < float((rounded - exact).norm()) <= known.error
    back = fourier.transform_back_rounding(Computed(known.size, 0.0), around)
    again, truth = (fourier.transform_back(s, image, around) for s in (exact.float(), exact.float().double()))
    assert float(truth.norm()) <= back.size
    assert 0 < float((again.double() - truth).norm()) <= back.error


def test_in_float64_the_bound_is_far_below_any_margin():
    model = network("lot", "zeros").double()
    assert evaluation_error(steps(model, (2, 8, 8)), 8.0) < 1e-8


def test_errors_add_up_over_modules():
    x = Computed(2.0, 1e-3)
    assert x.linear(norm=3.0, rounding=0.0).error == pytest.approx(3e-3)
    assert x.through(norm=1.0, shift=0.5, local=1e-4) == Computed(pytest.approx(2.5), pytest.approx(1.1e-3))
    assert x.plus(Computed(1.0, 2e-3)).error >= 3e-3
    assert math.isinf(Computed(math.inf, 0.0).linear(norm=1.0, rounding=1e-16).error)


class Odd(torch.nn.Module):
    def forward(self, x):
        return x


def test_a_module_whose_rounding_is_not_known_is_refused():
    onelip.register_bound(Odd)(lambda module, shape: (onelip.Bound(1.0, "identity"), shape))
    model = torch.nn.Sequential(torch.nn.Flatten(), Odd())
    with pytest.raises(UnsoundError, match=r"rounding errors of .*Odd are not known"):
        steps(model, (1, 2, 2))


@pytest.mark.parametrize("name", ["cayley", "lot"])
@pytest.mark.parametrize("size", [3, 5])
def test_a_crop_that_makes_the_operator_small_makes_no_error_small(name, size):
    """On the smallest images with zero padding: what happens before the crop is charged in full."""
    torch.manual_seed(0)
    layer = onelip.METHODS[name].conv2d(4, 4, size, padding_mode="zeros").double()
    torch.nn.init.normal_(layer.weight)
    weights, x = layer.realise((1, 1)), Computed(1.0, 0.0)
    bound, inner = float(layer.bound((1, 1))), largest_norm_bound(torch.complex(*weights[0]))
    assert inner > 1.2 * bound
    assert layer.rounding(x, weights, (1, 1), bound).error == layer.rounding(x, weights, (1, 1), inner).error > 0
