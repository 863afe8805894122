"""What the float32 program is charged, number by number: by what is measured, or by the formula of the document."""

from __future__ import annotations

import math

import pytest
import torch
from tests.test_executed import errors_and_bounds
from torch import Tensor, nn

import onelip
from onelip import METHODS, Certifier, Sum, certified_program, freeze
from onelip.certify import along
from onelip.certify.along import ErrorsAlong
from onelip.certify.program import Program
from onelip.certify.rounding import steps
from onelip.errors import CertificateError
from onelip.nn.reshape import Center, Normalize

U = 2.0**-24
ONE = torch.ones(1, dtype=torch.float64)


def gamma(terms: int) -> float:
    return terms * U / (1 - terms * U)


def scalar(weight: float, bias: float | None = None) -> nn.Linear:
    linear = nn.Linear(1, 1, bias=bias is not None)
    linear.weight.data.fill_(weight)
    if bias is not None:
        linear.bias.data.fill_(bias)
    return linear


def largest(model: nn.Module, shape: tuple[int, ...], far: float) -> float:
    """Measured over charged."""
    torch.manual_seed(0)
    return float(errors_and_bounds(model, shape, block=None, far=far).amax())


def test_a_bias_counts_in_the_sizes_of_sums() -> None:
    assert 0.1 < largest(scalar(1e-3 / 3, 1000 / 7), (1,), 1e-6) <= 1


def test_so_does_the_way_to_a_perturbed_input() -> None:
    assert 0.1 < largest(scalar(1 / 3), (1,), 1e6) <= 1


def test_what_sums_of_tiny_factors_lose_is_charged() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 4, 3, padding=1)
    with torch.no_grad():
        conv.weight.mul_(1e-42)
        conv.bias.mul_(1e-42)
    assert 0 < float(errors_and_bounds(conv, (4, 5, 5), block=2, far=0.1).amax()) <= 1


def test_subtracting_the_mean_rounds_once() -> None:
    assert 0.5 < largest(Center([1 / 3]), (1, 3, 3), 1e-6) <= 1


@pytest.mark.parametrize("far", [1e-6, 1e6])
def test_so_does_the_last_sum_of_a_residual_layer(far: float) -> None:
    """Of next to no update it is all there is."""
    layer = METHODS["sll"].conv2d(1, 1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1e-4)
    assert 0.05 < largest(layer, (1, 3, 3), far) <= 1


def test_a_weight_of_a_sum_rounds_and_so_does_its_product() -> None:
    """The float32 next to this weight is 2^-24 away, as far as can be."""
    assert 0.5 < largest(nn.Sequential(Sum(nn.Identity(), weights=(1 + 3 * U * (1 - 1e-7),))), (1,), 1e-6) <= 1


@pytest.mark.parametrize(("x", "reach"), [(1.0, 0.0), (0.0, 1.0), (0.0, 1e6)])
def test_both_are_charged_at_perturbed_inputs_too(x: float, reach: float) -> None:
    weight = 1 / 3
    model = nn.Sequential(Sum(nn.Identity(), weights=(weight,)))
    program, exact = certified_program(model, (1,)), freeze(model, (1,)).double()
    found = ErrorsAlong(steps(exact, (1,)), program.model).at(x * ONE[None], reach * ONE)
    assert float(found.around) == pytest.approx(2 * U * weight * (x + reach), rel=1e-6)


def carried(model: nn.Module, x: float, reach: float, charge, monkeypatch: pytest.MonkeyPatch) -> along.State:
    """What is known of the output where each module is charged `charge(far)`."""
    monkeypatch.setattr(along, "charge_of", lambda *_: lambda __, ___, far_B: charge(far_B))
    program, exact = certified_program(model, (1, 1, 1)), freeze(model, (1, 1, 1)).double()
    return ErrorsAlong(steps(exact, (1, 1, 1)), program.model).at(x * ONE.view(1, 1, 1, 1), reach * ONE)


@pytest.mark.parametrize("reach", [0.0, 0.3])
def test_errors_are_carried_by_the_bounds_of_what_follows(reach: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """(24) and (26), e' = c e' + d(t) with t = r + e' and r = r c, around an input that is 0, of which e is 0."""
    deviations = (1e-3, 2.0, 0.25, 8.0)
    found = carried(
        nn.Sequential(*(Normalize([one]) for one in deviations)), 0.0, reach, lambda far: 0.1 + far, monkeypatch
    )
    error, apart = 0.0, reach
    for one in deviations:
        error, apart = error / one + 0.1 + (apart + error), apart / one
    assert float(found.around) == pytest.approx(error, rel=1e-6)
    assert float(found.reach) == pytest.approx(apart, rel=1e-6, abs=1e-12)


def test_the_way_to_a_perturbed_input_has_the_error_of_float64_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """e of t = e + r + e'. One product and no reach: e = u |w x|, and e' = d(t) = t behind it."""
    model = nn.Sequential(Normalize([1 / 3]), Normalize([1.0]))
    found = carried(model, 1e20, 0.0, lambda far: far, monkeypatch)
    assert float(found.around) == pytest.approx(2.0**-53 * 3e20, rel=1e-6)


def residual(scale: float) -> Certifier:
    layer = METHODS["sll"].conv2d(1, 1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(scale)
    return Certifier(layer, (1, 1, 1), arithmetic="executed")


@pytest.mark.parametrize("scale", [0.3, 1.0, 7.0])
@pytest.mark.parametrize(("x", "far"), [(0.0, 1.0), (1.0, 0.0), (2.0, 3.0)])
def test_a_residual_layer_of_one_number_is_charged_by_the_formula(scale: float, x: float, far: float) -> None:
    """(28): of x - k t relu(k x), each convolution one product, of two roundings with the sum of one term."""
    certifier = residual(scale)
    (step,) = certifier.steps
    k, t = (float(one.flatten()[0]) for one in step.module.weights())
    k, size = abs(k), x + far
    update = k * t
    first = gamma(2) * k * size
    hidden = max(k * x, 0.0) + k * far + 2 * first  # of z, and how far from it those of others lie
    rounded = abs(float(torch.tensor(k, dtype=torch.float32) * torch.tensor(t, dtype=torch.float32)) - update)
    second = (gamma(2) * update + rounded) * hidden
    last = U * (size + update * hidden + second)
    assert certifier.along is not None
    found = certifier.along.charge(step, x * ONE.view(1, 1, 1, 1), x * ONE, far * ONE)
    assert float(found) == pytest.approx(update * first + second + last, rel=1e-3)


@pytest.mark.parametrize(("x", "far"), [(0.0, 1.0), (1.0, 0.0), (2.0, 3.0)])
def test_a_series_rounds_once_per_term(x: float, far: float) -> None:
    """(29): of a kernel of zeros nothing is left but the sums, twelve and that of the bias."""
    layer = METHODS["soc"].conv2d(2, 2, 3)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    certifier = Certifier(layer, (2, 4, 4), arithmetic="executed")
    (step,), z = certifier.steps, torch.zeros(1, 2, 4, 4, dtype=torch.float64)
    z[0, 0, 1, 1] = x
    assert certifier.along is not None
    found = certifier.along.charge(step, z, step.module(z.clone()), far * ONE)
    assert float(found) == pytest.approx(13 * U * (x + far), rel=1e-4)


def test_radii_leave_room_for_differences_that_float32_rounds() -> None:
    """(32), for the identity on two numbers: m = 3 roundings, no bias, c = 1, the slope of a lead is sqrt(2)."""
    model, x = nn.Linear(2, 2, bias=False), torch.tensor([[1.0, 0.0]])
    model.weight.data.copy_(torch.eye(2))
    charge = math.sqrt(2) * gamma(3) * (1 + 1 / math.sqrt(2))  # the radius without it is 1 / sqrt(2)
    (found,) = onelip.certified_radius(model, x, torch.tensor([0]), arithmetic="executed").tolist()
    assert found == pytest.approx((1 - charge) / math.sqrt(2) * (1 - 2.0**-22), rel=1e-10)


def test_verification_looks_at_what_the_program_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, x = nn.Linear(30, 4), torch.rand(5, 30)
    y = model(x).argmax(1)
    certificate = onelip.issue_certificate(model, x, y, arithmetic="executed")
    onelip.verify_certificate(certificate, model, x, y)
    forward = Program.forward

    def off(self: Program, x: Tensor) -> Tensor:
        return forward(self, x) * (1 + 1e-4)

    monkeypatch.setattr(Program, "forward", off)
    with pytest.raises(CertificateError, match=r"^inputs: the float32 program errs by"):
        onelip.verify_certificate(certificate, model, x, y)
