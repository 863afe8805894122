"""Rounding errors of plain modules: the formulas with float32's unit roundoff bound what float32 does; and radii."""

import copy
import importlib.util
import math
from pathlib import Path

import pytest
import torch
from torch import nn

import onelip
from onelip.certify import Certifier
from onelip.certify import rounding as rules
from onelip.certify.attack import margin_attack
from onelip.certify.rounding import carried, evaluation_error, steps
from onelip.errors import UnsoundError
from onelip.linalg import rounding
from onelip.linalg.rounding import Computed

# Test modules are not importable by name here.
spec = importlib.util.spec_from_file_location("plain_modules", Path(__file__).with_name("plain_modules.py"))
table = importlib.util.module_from_spec(spec)
spec.loader.exec_module(table)

KNOWN = [case for case in table.CASES if case.rounds is not None]
UNKNOWN = [case for case in table.CASES if case.rounds is None]


@pytest.fixture
def in_float32(monkeypatch):
    """The formulas of float64, for float32."""
    monkeypatch.setattr(rounding, "UNIT_ROUNDOFF", 2.0**-24)
    monkeypatch.setattr(rounding, "TINY", 1e-30)


def inputs(case):
    """Inputs of many sizes; such that terms cancel; near running means."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(32, *case.shape, generator=generator)
    near = [1e-4 * noise, noise, 300 * noise, noise + 50, 50 - noise.abs()]
    means = getattr(case.module, "running_mean", getattr(case.module, "mean", None))
    if means is not None:
        near.append(means.view(-1, *(1,) * (len(case.shape) - 1)) * (1 + 1e-3 * noise))
    return near


def double(case):
    return copy.deepcopy(case.module).double().eval().requires_grad_(False)


def norms(x):
    return torch.linalg.vector_norm(x.double().flatten(1), dim=1)


@torch.no_grad()
def results(case, x):
    """What float32 and float64 make of the same inputs with the same weights."""
    single = copy.deepcopy(case.module).eval()
    return single(x.clone()), copy.deepcopy(single).double()(x.double())


@pytest.mark.parametrize("case", KNOWN, ids=lambda case: case.name)
def test_the_bound_holds_and_is_no_more_than_a_few_orders_too_large(in_float32, case):
    chain = steps(double(case), case.shape)
    worst = closest = 0.0
    for x in inputs(case):
        known = carried(chain, Computed(float(norms(x).amax()), 0.0))
        rounded, exact = results(case, x)
        error = float(norms(rounded.double() - exact).amax())
        assert error <= known.error
        assert float(norms(exact).amax()) <= known.size * (1 + 1e-12)
        worst, closest = max(worst, error), max(closest, error / max(known.error, 1e-300))
    assert (worst > 0) is case.rounds
    assert not case.rounds or closest > 1e-3


@pytest.mark.parametrize("case", KNOWN, ids=lambda case: case.name)
def test_errors_of_the_input_grow_by_no_more_than_the_constant(case):
    module = double(case)
    chain = steps(module, case.shape)
    constant = float(onelip.lipschitz_bound(case.module, case.shape))
    before, after = (carried(chain, Computed(3.0, error)).error for error in (0.0, 1e-3))
    assert 0 <= after - before <= 1e-3 * constant * (1 + 1e-9)
    x = inputs(case)[1].double()
    off = 1e-3 * torch.nn.functional.normalize(x.flatten(1).flip(0), dim=1).view_as(x)
    known = carried(chain, Computed(float(norms(x).amax()), 1e-3))
    assert float(norms(module(x + off) - module(x.clone())).amax()) <= known.error * (1 + 1e-9)


@pytest.mark.parametrize("case", UNKNOWN, ids=lambda case: case.name)
def test_modules_whose_errors_are_not_known_have_radii_in_real_arithmetic_only(case):
    model, x = nn.Sequential(copy.deepcopy(case.module), nn.Flatten()), torch.rand(2, *case.shape)
    y = torch.zeros(2, dtype=torch.long)
    with pytest.raises(UnsoundError, match=r"rounding errors of .* are not known"):
        onelip.certified_radius(model, x, y)
    assert onelip.certified_radius(model, x, y, arithmetic="real").shape == (2,)


def test_every_registered_rule_is_in_the_table():
    frozen = {onelip.nn.freeze.FrozenLayer, onelip.nn.freeze.CircularConv2d}
    assert set(rules._RULES) - frozen == {type(case.module) for case in KNOWN} - {onelip.Sum}


def test_what_could_overflow_on_the_way_has_no_bound():
    """(x - mean) / sqrt(var) overflows, though the weight after it is tiny."""
    module = nn.BatchNorm1d(2, eps=1e-250, dtype=torch.float64).eval()
    module.running_var.zero_()
    nn.init.constant_(module.weight, 1e-120)
    assert math.isfinite(evaluation_error(steps(module, (2,)), 1e100))
    assert math.isinf(evaluation_error(steps(module, (2,)), 1e170))


def test_a_model_in_float64_without_parameters_has_radii():
    model = nn.Sequential(table.batch_norm(nn.BatchNorm1d, 4, affine=False)).double()
    x = 30 * torch.eye(4, dtype=torch.float64)
    assert (onelip.certified_radius(model, x, model(x).argmax(1)) > 0).all()


def test_a_sum_bounds_each_branch_once(monkeypatch):
    inner = onelip.Sum(nn.Identity(), nn.Sequential(table.conv(2, 3), nn.ReLU()), weights=(0.5, 0.5))
    model = nn.Sequential(onelip.Sum(inner, table.conv(2, 3)), nn.Flatten()).double().requires_grad_(False)
    bounded = []
    plain = rules.bound_and_shape
    monkeypatch.setattr(
        rules, "bound_and_shape", lambda *found, **options: bounded.append(found[0]) or plain(*found, **options)
    )
    chain = steps(model, (2, 6, 5))
    assert [type(module).__name__ for module in bounded] == ["Identity", "Conv2d", "ReLU", "Conv2d", "Flatten"]
    assert evaluation_error(chain, 0.0) < evaluation_error(chain, 1.0) < evaluation_error(chain, 1e3)
    assert len(bounded) == 5
    product = onelip.Bound.product(step.bound for step in chain)
    assert float(product) == pytest.approx(float(onelip.lipschitz_bound(model, (2, 6, 5))), rel=1e-12)


def test_hooks_inside_a_sum_are_refused():
    model = onelip.Sum(nn.Identity(), nn.ReLU())
    model.register_forward_hook(lambda module, arguments, output: 10 * output)
    with pytest.raises(UnsoundError, match="Sum has forward hooks"):
        steps(model, (3,))


# A whole network

IMAGE = (2, 8, 8)


def network(seed=0):
    """Residual connections, poolings, normalisations and activations, after a few steps of training."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        onelip.Center([0.5, 0.4]),
        onelip.Normalize([0.3, 0.2]),
        onelip.AOLConv2d(2, 8, 3),
        nn.BatchNorm2d(8),
        nn.PReLU(8),
        onelip.Sum(
            nn.Identity(),
            nn.Sequential(onelip.CayleyConv2d(8, 8, 3), nn.LeakyReLU(0.1, inplace=True), nn.ZeroPad2d(0)),
            weights=(0.5, 0.5),
        ),
        nn.MaxPool2d(3, 2, 1),
        onelip.Sum(nn.AvgPool2d(2), nn.MaxPool2d(2), onelip.SOCConv2d(8, 8, 3, stride=2), weights=(0.5, 0.25, -0.25)),
        nn.Softshrink(0.01),
        nn.AdaptiveAvgPool2d((2, 1)),
        nn.Flatten(),
        nn.BatchNorm1d(16),
        nn.Hardtanh(-2.0, 3.0),
        onelip.AOLLinear(16, 3),
    )
    x, y = torch.rand(48, *IMAGE), torch.arange(48) % 3
    x[:, :, 0] += 0.8 * torch.nn.functional.one_hot(y, 8)[:, None]
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(60):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    return model, x, y


def test_no_radius_of_a_network_of_plain_modules_is_broken():
    model, x, y = network()
    certifier = Certifier(model, IMAGE)
    radii = certifier.radii(x, y)
    sound = radii > 0
    assert sound.sum() > 30
    errors = certifier.errors(x, radii)
    assert (errors > 0).all()
    assert (errors < 1e-7).all()
    found = margin_attack(certifier, x[sound], y[sound], radii[sound], steps=20)
    assert (found.leads > 0).all()
    far = margin_attack(certifier, x[sound], y[sound], 400 * radii[sound], steps=20)
    assert (far.leads <= 0).any()


def test_the_bound_of_such_a_network_holds(in_float32):
    model, x, _ = network()
    frozen = onelip.freeze(model, IMAGE)
    chain = steps(copy.deepcopy(frozen).double(), IMAGE)
    case = table.Case(frozen, IMAGE)
    for scale in (1.0, 1e-3, 100.0):
        rounded, exact = results(case, scale * x)
        error = float(norms(rounded.double() - exact).amax())
        bound = evaluation_error(chain, float(norms(scale * x).amax()))
        assert 0 < error <= bound <= 1e8 * error
