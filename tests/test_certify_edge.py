"""At the very edge of a radius: the program in float64 never changes its answer inside; without the charge it does."""

import math
from fractions import Fraction

import pytest
import torch
from torch import nn

import onelip
from onelip.certify import Certifier, radius
from onelip.certify.rounding import evaluation_error, steps
from onelip.linalg import rounding
from onelip.nn.linear import PointwiseLinear
from onelip.nn.reshape import FitChannels


def exactly_inside(x, attacked, bound):
    """Whether the attacked input lies strictly inside the radius, in exact arithmetic."""
    squares = (
        Fraction(a) - Fraction(b) for a, b in zip(attacked.flatten().tolist(), x.flatten().tolist(), strict=True)
    )
    return sum(s * s for s in squares) < Fraction(bound) ** 2


def linear(seed, inputs=60):
    """Two classes, and inputs whose margin is what is left of large terms of both signs."""
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(inputs, 2)
    layer.weight.data = torch.randn(2, inputs, generator=generator)
    layer.bias.data = torch.randn(2, generator=generator)
    x = 100 * torch.randn(64, inputs, generator=generator, dtype=torch.float64)
    apart = (layer.weight[0] - layer.weight[1]).detach().double()
    unit = apart / torch.linalg.vector_norm(apart)
    wanted = torch.rand(64, generator=generator, dtype=torch.float64) * 1e-3
    x = x - ((x @ apart + (layer.bias[0] - layer.bias[1]).double()) / torch.linalg.vector_norm(apart))[:, None] * unit
    return nn.Sequential(nn.Flatten(), layer), x + wanted[:, None] * unit, unit


def broken_inside(seed):
    """How many inputs lose their answer inside their radius, at the edge of it."""
    model, x, unit = linear(seed)
    certifier = Certifier(model, (60,))
    y = torch.zeros(len(x), dtype=torch.long)
    radii = certifier.radii(x, y)
    assert (radii > 0).sum() > 50
    broken = tried = 0
    for image, bound in zip(x[radii > 0], radii[radii > 0].tolist(), strict=True):
        for share in (1 - 1e-15, 1 - 1e-13, 1 - 1e-11):
            attacked = image - share * bound * unit
            if exactly_inside(image, attacked, bound):
                logits = certifier.logits(attacked[None])[0]
                tried += 1
                broken += not bool(logits[0] > logits[1])
    assert tried > 50
    return broken


def test_no_rounding_attack_succeeds_inside():
    assert sum(broken_inside(seed) for seed in range(10)) == 0


def test_the_attack_is_strong_enough_to_break_radii_without_the_charge(monkeypatch):
    monkeypatch.setattr(radius, "evaluation_error", lambda chain, size: 0.0)
    monkeypatch.setattr(radius, "DOWN", 1.0)
    monkeypatch.setattr(radius, "UP", 1.0)
    monkeypatch.setattr(rounding, "UP", 1.0)
    monkeypatch.setattr(rounding, "UNIT_ROUNDOFF", 0.0)
    assert sum(broken_inside(seed) for seed in range(10)) > 0


METHODS = [name for name, method in onelip.METHODS.items() if method.traits.constrained]


@pytest.mark.parametrize("name", METHODS)
def test_paying_for_rounding_costs_almost_nothing(name):
    torch.manual_seed(0)
    model = onelip.ConvNet(name, size=6, classes=4, image=(1, 16, 16), mean=[0.5])
    x = torch.rand(32, 1, 16, 16)
    paid, free = Certifier(model, (1, 16, 16)), Certifier(model.double(), (1, 16, 16), arithmetic="real")
    y = paid.logits(x).argmax(1)
    error = float(paid.errors(x, paid.radii(x, y)).amax())
    assert 0 < error < 1e-7
    difference = free.radii(x.double(), y) - paid.radii(x, y)
    limit = 2 * math.sqrt(2) * error / (math.sqrt(2) * float(paid.bound)) + 1e-6
    assert (difference.abs() <= limit).all()


def test_inputs_that_are_not_finite_or_huge_spoil_no_others():
    torch.manual_seed(0)
    model = onelip.ConvNet("aol", size=4, classes=4, image=(1, 8, 8))
    x = torch.rand(6, 1, 8, 8, dtype=torch.float64)
    y = Certifier(model, (1, 8, 8)).logits(x).argmax(1)
    alone = onelip.certified_radius(model, x[4:], y[4:])
    x[0, 0, 0, 0], x[1, 0, 0, 0], x[2, 0, 0, 0] = math.nan, math.inf, 1e200
    x[3] *= 1e20
    together = onelip.certified_radius(model, x, y)
    assert together[:3].tolist() == [0.0, 0.0, 0.0]
    torch.testing.assert_close(together[4:], alone, rtol=1e-9, atol=0)
    assert (alone > 0).all()


class Loud(onelip.CPLConv2d):
    def forward(self, x, weights=None):
        return 10 * super().forward(x, weights)


class LoudToo(onelip.LOTConv2d):
    def apply_weights(self, x, weights):
        return super().apply_weights(x, weights)


class LoudKernel(onelip.AOLConv2d):
    def apply_weights(self, x, weights):
        return 10 * super().apply_weights(x, weights)


class LoudLinear(PointwiseLinear, LoudKernel):
    pass


@pytest.mark.parametrize("arithmetic", ["float64", "real"])
@pytest.mark.parametrize("kind", [Loud, LoudToo, LoudKernel])
def test_a_layer_that_computes_in_a_way_of_its_own_has_no_certificate(kind, arithmetic):
    with pytest.raises(onelip.errors.UnsoundError, match=kind.__name__):
        Certifier(nn.Sequential(kind(2, 2, 3), nn.Flatten()), (2, 4, 4), arithmetic=arithmetic)
    if kind is LoudKernel:
        with pytest.raises(onelip.errors.UnsoundError, match="LoudLinear"):
            Certifier(LoudLinear(4, 3), (4,), arithmetic=arithmetic)


@pytest.mark.parametrize("exponent", [-560, -536, -300, 300, 520])
def test_the_edge_holds_at_every_magnitude(exponent):
    model, x, unit = linear(0)
    model = model.double()
    model[1].weight.data *= 2.0**exponent
    model[1].bias.data *= 2.0**exponent
    certifier, y = Certifier(model, (60,)), torch.zeros(len(x), dtype=torch.long)
    radii = certifier.radii(x, y)
    for image, bound in zip(x, radii.tolist(), strict=True):
        attacked = image - (1 - 1e-13) * bound * unit
        if bound and exactly_inside(image, attacked, bound):
            logits = certifier.logits(attacked[None])[0]
            assert logits[0] > logits[1]


def test_what_could_overflow_is_not_certified():
    first, second = nn.Linear(2, 2, bias=False).double(), nn.Linear(2, 2, bias=False).double()
    first.weight.data = 1e150 * torch.eye(2, dtype=torch.float64)
    second.weight.data = 1e150 * torch.tensor([[1.0, 0.1], [1.0, -0.1]], dtype=torch.float64)
    x = torch.tensor([[1.5e8, 0.5e8]], dtype=torch.float64)
    assert onelip.certified_radius(nn.Sequential(first, second), x, torch.tensor([0])).tolist() == [0.0]


def test_a_certifier_is_for_one_shape_of_inputs_and_keeps_them():
    model = nn.Sequential(onelip.AOLConv2d(1, 2, 3, padding_mode="zeros"), nn.Flatten(), nn.ReLU(inplace=True))
    certifier, x = Certifier(model, (1, 2, 2)), torch.randn(3, 1, 2, 2, dtype=torch.float64)
    before = x.clone()
    certifier.radii(x, torch.zeros(3, dtype=torch.long))
    assert torch.equal(x, before)
    with pytest.raises(onelip.errors.UnsupportedShapeError, match="made for inputs"):
        certifier.radii(torch.randn(3, 1, 8, 8), torch.zeros(3, dtype=torch.long))
    with pytest.raises(onelip.errors.UnsoundError, match="float16"):
        Certifier(nn.Sequential(nn.Linear(4, 3)).half(), (4,))


def test_logits_that_are_appended_have_radii_too():
    model = nn.Sequential(nn.Linear(6, 2), FitChannels(3))
    radii = onelip.certified_radius(model, torch.randn(5, 6), torch.zeros(5, dtype=torch.long))
    assert radii.shape == (5,)


@pytest.mark.parametrize("name", METHODS)
def test_the_bias_of_many_vectors_is_charged_for_each(name):
    layer = onelip.METHODS[name].linear(4, 4)
    torch.nn.init.ones_(layer.bias)
    one, many = (
        evaluation_error(steps(onelip.freeze(layer, shape).double(), shape), 0.0) for shape in ((4,), (400, 4))
    )
    assert many > 5 * one > 0


class Short(onelip.SOCConv2d):
    """A series that a subclass would like to be shorter."""

    degree = 1


class Called(onelip.SOCConv2d):
    def __call__(self, *arguments, **options):
        return 100 * super().__call__(*arguments, **options)


def test_what_is_bounded_is_what_is_evaluated_however_a_layer_is_called():
    layer = Short(2, 2, 3, padding_mode="circular", bias=False)
    plain = onelip.SOCConv2d(2, 2, 3, padding_mode="circular", bias=False)
    plain.load_state_dict(layer.state_dict())
    x = torch.rand(1, 2, 4, 4)
    assert torch.equal(onelip.freeze(layer, (2, 4, 4))(x), onelip.freeze(plain, (2, 4, 4))(x))
    for use in (onelip.freeze, onelip.lipschitz_bound):
        with pytest.raises(onelip.errors.UnsoundError, match="Called is called in a way of its own"):
            use(Called(2, 2, 3), (2, 4, 4))


def test_a_compiled_layer_is_frozen_with_its_weights():
    layer = onelip.SOCConv2d(2, 2, 3, padding_mode="circular").train()
    expected = onelip.freeze(layer, (2, 4, 4))(torch.ones(1, 2, 4, 4))
    layer.compile(backend="eager")
    frozen = onelip.freeze(layer, (2, 4, 4))
    with torch.no_grad():
        layer.bias += 1
    assert torch.equal(frozen(torch.ones(1, 2, 4, 4)), expected)


def test_hooks_for_all_modules_are_refused():
    handle = nn.modules.module.register_module_forward_hook(lambda module, arguments, output: 3 * output)
    try:
        with pytest.raises(onelip.errors.UnsoundError, match="hooks for all modules"):
            onelip.lipschitz_bound(nn.ReLU(), (3,))
    finally:
        handle.remove()


def test_radii_among_the_smallest_numbers_are_zero():
    """Where they are rounded to multiples of 2^-1074, 2 d would be certified and sqrt(3) d breaks it."""
    smallest, large = 2.0**-1074, 2.0**594
    layer = nn.Linear(3, 2).double()
    layer.weight.data = torch.tensor([[large] * 3, [0.0] * 3], dtype=torch.float64)
    layer.bias.data = torch.tensor([3 * large * smallest, 0.0], dtype=torch.float64)
    x = torch.zeros(1, 3, dtype=torch.float64)
    assert onelip.certified_radius(nn.Sequential(layer), x, torch.tensor([0])).tolist() == [0.0]
    logits = layer(x - smallest)
    assert logits[0, 0] == logits[0, 1]


def test_charges_do_not_underflow():
    for module in (onelip.Sum(nn.Identity(), weights=(1.23e-308,)), nn.LeakyReLU(1.23e-308)):
        error = evaluation_error(steps(nn.Sequential(module), (4,)), 1e99)
        assert error > 1e99 * 1.23e-308 * 2.0**-54


def test_a_container_that_is_used_twice_is_frozen():
    block = nn.Sequential(onelip.AOLConv2d(3, 3, 3), onelip.MaxMin())
    model, x = nn.Sequential(block, block, nn.Flatten()).eval(), torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(onelip.freeze(model, (3, 4, 4))(x), model(x))


@pytest.mark.parametrize("name", ["cpl", "sll"])
def test_tiny_weights_do_not_overflow_on_the_way(name):
    layer = onelip.METHODS[name].conv2d(2, 2, 3).double()
    layer.weight.data *= 1e-170
    assert float(onelip.lipschitz_bound(layer, (2, 4, 4))) >= 1
