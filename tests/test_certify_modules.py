"""Bounds of plain modules: never below what a search finds, and no larger where they are said to be exact."""

import copy
import importlib.util
import math
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import nn

import onelip
from onelip.certify import lipschitz
from onelip.errors import UnsoundError, UnsupportedShapeError
from onelip.nn.linear import PointwiseLinear

# Test modules are not importable by name here.
spec = importlib.util.spec_from_file_location("plain_modules", Path(__file__).with_name("plain_modules.py"))
table = importlib.util.module_from_spec(spec)
spec.loader.exec_module(table)

EACH = pytest.mark.parametrize("case", table.CASES, ids=lambda case: case.name)


def double(case):
    return copy.deepcopy(case.module).double().eval().requires_grad_(False)


def points(case):
    """Inputs of many sizes, near kinks, and with one entry above all others."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(8, *case.shape, dtype=torch.float64, generator=generator)
    count = math.prod(case.shape)
    spikes = torch.eye(count, dtype=torch.float64).view(count, *case.shape) * 9 + 1e-3 * noise[0]
    around = [kink + 1e-3 * noise[:4] for kink in case.kinks]
    return torch.cat([1e-3 * noise, noise, 5 * noise, spikes, *around])


def steepest(module, x):
    """The largest singular value of the Jacobian among inputs."""
    jacobians = (
        torch.autograd.functional.jacobian(lambda one: module(one.clone()[None])[0].flatten(), point) for point in x
    )
    return max(float(torch.linalg.matrix_norm(jacobian.flatten(1), 2)) for jacobian in jacobians)


def expansion(module, x, y):
    """The largest ratio of distances after and before."""
    after = (module(x.clone()) - module(y.clone())).flatten(1).norm(dim=1)
    return float((after / (x - y).flatten(1).norm(dim=1)).amax())


@EACH
def test_no_bound_is_below_what_a_search_finds_and_exact_ones_are_met(case):
    module, x = double(case), points(case)
    bound = float(onelip.lipschitz_bound(case.module, case.shape))
    found = steepest(module, x)
    assert found <= bound * (1 + case.derivative)
    assert not case.exact or bound <= 1.01 * found


@EACH
def test_no_pair_of_inputs_moves_apart_by_more_than_the_bound(case):
    """Pairs far apart, near, and on both sides of kinks."""
    module, x = double(case), points(case)
    limit = float(onelip.lipschitz_bound(case.module, case.shape)) * (1 + 1e-9)
    step = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert expansion(module, x, x.flip(0) + 1e-9) <= limit
    for length in (1e-5, 0.1, 30.0):
        assert expansion(module, x, x + length * step) <= limit
        for kink in case.kinks:
            assert expansion(module, kink - length * step.abs(), kink + length * step.abs()) <= limit


@EACH
@torch.no_grad()
def test_the_shape_of_the_output_is_known(case):
    after = lipschitz.bound_and_shape(case.module, case.shape)[1]
    assert double(case)(torch.rand(3, *case.shape, dtype=torch.float64)).shape == (3, *after)


@EACH
def test_bounds_say_what_they_rest_on_and_speak_of_eval_mode(case):
    before = onelip.lipschitz_bound(case.module, case.shape)
    assert len(before.why) > 5
    assert float(onelip.lipschitz_bound(copy.deepcopy(case.module).train(), case.shape)) == float(before)


def test_every_registered_module_is_in_the_table():
    ours = {onelip.nn.freeze.FrozenLayer, onelip.nn.freeze.CircularConv2d, onelip.ConvNet, nn.Sequential}
    known = {
        kind for kind in lipschitz._RULES | lipschitz._SEARCHES if kind.__module__.startswith(("torch.", "onelip.nn."))
    } - ours
    assert known == {type(case.module) for case in table.CASES}


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 7])
def test_averages_over_windows_that_do_not_overlap_have_norm_one_over_k(kernel):
    for module in (nn.AvgPool2d(kernel), nn.AdaptiveAvgPool2d(3)):
        bound = float(onelip.lipschitz_bound(module, (2, 3 * kernel, 3 * kernel)))
        assert Fraction(bound) >= Fraction(1, kernel)
        assert bound <= math.nextafter(1 / kernel, 1)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (nn.Hardshrink(), "Hardshrink"),
        (nn.Threshold(0.1, 20), "Threshold"),
        (nn.GELU(), "GELU"),
        (nn.RReLU(), "RReLU"),
        (nn.LayerNorm((2, 6, 5)), "LayerNorm"),
        (nn.GroupNorm(1, 2), "GroupNorm"),
        (nn.InstanceNorm2d(2, track_running_stats=True), "InstanceNorm2d"),
        (nn.Softmax(1), "Softmax"),
        (nn.LeakyReLU(math.nan), "LeakyReLU: its negative_slope is NaN"),
        (nn.LeakyReLU(math.inf), "LeakyReLU"),
        (table.prelu(math.nan), "PReLU: its weight is NaN"),
        (nn.PReLU(dtype=torch.float16), "PReLU are torch.float16"),
        (nn.ELU(math.nan), "ELU: its alpha is NaN"),
        (nn.CELU(-1.0), "CELU with alpha=-1.0"),
        (nn.Softplus(-1.0), "Softplus with beta=-1.0"),
        (nn.Softplus(threshold=5.0), "Softplus with beta=1.0 and threshold=5.0"),
        (nn.Softshrink(-0.1), "Softshrink with lambd=-0.1"),
        (nn.MaxPool2d(2, return_indices=True), "MaxPool2d with return_indices"),
        (nn.AdaptiveMaxPool2d(1, return_indices=True), "AdaptiveMaxPool2d with return_indices"),
        (nn.AdaptiveAvgPool2d(4), "AdaptiveAvgPool2d from 6x5 to 4x4"),
        (nn.AdaptiveAvgPool2d((12, 5)), "AdaptiveAvgPool2d from 6x5 to 12x5"),
        (nn.LPPool2d(1, 2), "LPPool2d"),
        (nn.LPPool2d(2, 4, 2, ceil_mode=True), "LPPool2d"),
        (nn.Unflatten(0, (1, -1)), "Unflatten"),
        (nn.Flatten(0), "Flatten"),
        (nn.BatchNorm2d(2, track_running_stats=False), "BatchNorm2d without running_var"),
        (nn.BatchNorm2d(2, eps=-1e-3), "BatchNorm2d: eps=-0.001"),
        (nn.BatchNorm2d(2, dtype=torch.bfloat16), "BatchNorm2d are torch.bfloat16"),
    ],
    ids=repr,
)
def test_what_is_not_proved_is_refused_by_name(module, reason):
    with pytest.raises(UnsoundError, match=reason):
        onelip.lipschitz_bound(nn.Sequential(nn.Identity(), module), (2, 6, 5))


def test_a_maximum_over_padding_alone_is_refused():
    """It is -inf; here the window's two places lie on both sides of the image."""
    with pytest.raises(UnsoundError, match=r"MaxPool2d on .*: a window holds no entry"):
        onelip.lipschitz_bound(nn.MaxPool2d(2, 1, 1, dilation=4), (1, 3, 3))


@pytest.mark.parametrize("name", ["running_mean", "running_var", "weight", "bias"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_statistics_that_are_not_finite_or_negative_have_no_bound(name, value):
    module = nn.BatchNorm2d(2, eps=2.0)
    getattr(module, name).data[1] = value
    if value < 0 and name != "running_var":
        assert float(onelip.lipschitz_bound(module, (2, 6, 5))) < 1
        return
    with pytest.raises(UnsoundError, match="BatchNorm2d"):
        onelip.lipschitz_bound(module, (2, 6, 5))


@pytest.mark.parametrize(
    "module",
    [
        nn.MaxPool2d(9),
        nn.BatchNorm2d(3),
        nn.BatchNorm1d(2),
        nn.PReLU(3),
        nn.PixelShuffle(2),
        nn.ChannelShuffle(5),
        nn.Unflatten(1, (3, 5)),
        nn.ZeroPad2d(-3),
        onelip.Normalize([1.0]),
        nn.AdaptiveAvgPool2d(0),
    ],
    ids=repr,
)
def test_shapes_that_do_not_fit_are_refused(module):
    with pytest.raises(UnsupportedShapeError, match=type(module).__name__):
        onelip.lipschitz_bound(module, (2, 6, 5))


def test_images_are_not_taken_for_batches():
    for module in (nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.ZeroPad2d(1), nn.PixelShuffle(1)):
        with pytest.raises(UnsupportedShapeError, match="takes images"):
            onelip.lipschitz_bound(module, (6, 5))


# Sum


def test_a_sum_is_the_weighted_sum_of_its_branches_and_works_in_place_on_copies():
    x = torch.randn(4, 2, 6, 5)
    model = onelip.Sum(nn.ReLU(inplace=True), nn.Identity(), nn.Hardtanh(inplace=True), weights=(2.0, 1.0, -0.5))
    expected = 2 * x.relu() + x - 0.5 * x.clamp(-1, 1)
    torch.testing.assert_close(model(x.clone()), expected)
    torch.testing.assert_close(onelip.freeze(model, (2, 6, 5))(x.clone()), expected)


def test_residual_connections_have_the_bounds_that_are_said():
    f = onelip.CayleyConv2d(2, 2, 3)
    alone = float(onelip.lipschitz_bound(f, (2, 6, 5)))
    assert 1 + alone <= float(onelip.lipschitz_bound(onelip.Sum(nn.Identity(), f), (2, 6, 5))) <= 1 + alone + 1e-9
    half = onelip.Sum(nn.Identity(), nn.ReLU(), weights=(0.5, 0.5))
    assert float(onelip.lipschitz_bound(half, (2, 6, 5))) == 1.0
    parts = onelip.lipschitz_bound(onelip.Sum(nn.Identity(), f), (2, 6, 5)).parts
    assert parts[0].why == "the identity"
    assert parts[1].why.startswith("CayleyConv2d")


def test_branches_of_different_shapes_are_refused_not_broadcast():
    model = onelip.Sum(nn.Identity(), nn.AdaptiveAvgPool2d(1))
    for use in (lambda: model(torch.rand(1, 2, 6, 5)), lambda: onelip.lipschitz_bound(model, (2, 6, 5))):
        with pytest.raises(UnsupportedShapeError, match="branches of a Sum"):
            use()


def test_an_unknown_module_inside_a_sum_is_refused():
    with pytest.raises(UnsoundError, match="Softmax"):
        onelip.lipschitz_bound(onelip.Sum(nn.Identity(), nn.Softmax(1)), (3,))


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 1.0, 1.0), (1.0, math.nan), (math.inf, 1.0)])
def test_weights_are_one_finite_number_per_branch(weights):
    with pytest.raises(ValueError, match="one finite number for each of 2 branches"):
        onelip.Sum(nn.Identity(), nn.Identity(), weights=weights)
    with pytest.raises(ValueError, match="at least one branch"):
        onelip.Sum()


def test_a_sum_is_saved_copied_and_trained_like_any_module():
    torch.manual_seed(0)
    model, other = (
        nn.Sequential(onelip.Sum(nn.Identity(), onelip.AOLConv2d(2, 2, 3), weights=(0.5, 0.5))) for _ in range(2)
    )
    x = torch.rand(3, 2, 6, 5)
    other.load_state_dict(model.state_dict(), strict=True)
    for mode in (True, False):
        model.train(mode)
        for twin in (other.train(mode), copy.deepcopy(model)):
            torch.testing.assert_close(twin(x), model(x))
    model(x).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    assert isinstance(onelip.freeze(model, (2, 6, 5))[0].branches[1], nn.Conv2d)


# Normalize


def test_normalize_divides_each_channel_and_is_in_the_state():
    module, x = onelip.Normalize([0.5, 4.0]), torch.rand(3, 2, 2, 2)
    torch.testing.assert_close(module(x), torch.stack([x[:, 0] / 0.5, x[:, 1] / 4.0], 1))
    assert list(module.state_dict()) == ["std"]
    assert float(onelip.lipschitz_bound(module, (2, 2, 2))) == 2.0
    assert Fraction(float(onelip.lipschitz_bound(onelip.Normalize([0.1]), (1, 2, 2)))) * Fraction(0.1) >= 1 - 1e-6
    with pytest.raises(UnsupportedShapeError, match="Normalize expects"):
        module(x[:, :1])


@pytest.mark.parametrize("std", [[], [0.0], [1.0, -1.0], [math.nan], [math.inf], [1e-60]])
def test_normalize_takes_positive_finite_numbers(std):
    with pytest.raises(UnsoundError, match="must be one positive finite number per channel"):
        onelip.Normalize(std)


def test_numbers_that_are_loaded_are_checked_when_bounded():
    module = onelip.Normalize([1.0, 2.0])
    module.load_state_dict({"std": torch.tensor([1.0, 0.0])})
    with pytest.raises(UnsoundError, match="positive finite"):
        onelip.lipschitz_bound(module, (2, 2, 2))


# Layers that compute otherwise than their bounds say


class LoudKernel(onelip.AOLConv2d):
    def apply_weights(self, x, weights):
        return 10 * super().apply_weights(x, weights)


class LoudSpectrum(onelip.LOTConv2d):
    def apply_weights(self, x, weights):
        return 10 * super().apply_weights(x, weights)


class LoudLinear(PointwiseLinear, LoudKernel):
    pass


@pytest.mark.parametrize(("kind", "shape"), [(LoudKernel, (2, 4, 4)), (LoudSpectrum, (2, 4, 4)), (LoudLinear, (4,))])
def test_a_layer_that_applies_its_weights_otherwise_than_its_bound_says_has_none(kind, shape):
    layer = kind(4, 3) if len(shape) == 1 else kind(2, 2, 3)
    for model in (layer, nn.Sequential(layer), onelip.Sum(layer)):
        with pytest.raises(UnsoundError, match=f"{kind.__name__} has an `apply_weights` .* needs a `realised_bound`"):
            onelip.lipschitz_bound(model, shape)
    with pytest.raises(UnsoundError, match=kind.__name__):
        onelip.lipschitz_bound(onelip.freeze(layer, shape), shape)


def test_freezing_loses_no_way_to_apply_weights():
    with pytest.raises(UnsoundError, match="needs a `frozen` of its own"):
        onelip.freeze(LoudKernel(2, 2, 3), (2, 4, 4))


class OtherWeights(onelip.AOLConv2d):
    def weights(self, image):
        return tuple(10 * tensor for tensor in super().weights(image))


def test_a_layer_with_other_weights_than_its_construction_gives_has_no_bound():
    with pytest.raises(UnsoundError, match=r"no proved Lipschitz bound is known for .*OtherWeights"):
        onelip.lipschitz_bound(OtherWeights(2, 2, 3), (2, 4, 4))


def test_what_is_set_or_hooked_on_a_layer_itself_has_no_bound():
    plain, frozen = onelip.LOTConv2d(2, 2, 3), onelip.freeze(onelip.LOTConv2d(2, 2, 3), (2, 4, 4))
    plain.apply_weights = lambda x, weights: 10 * x
    frozen.skeleton.register_forward_hook(lambda module, arguments, output: 10 * output)
    for module, reason in ((plain, "given another apply_weights"), (frozen, "LOTConv2d has forward hooks")):
        with pytest.raises(UnsoundError, match=reason):
            onelip.lipschitz_bound(module, (2, 4, 4))


@pytest.mark.parametrize("module", [nn.ReLU(), onelip.AOLConv2d(2, 2, 3), nn.Sequential(nn.Identity())])
def test_a_module_that_was_given_another_forward_has_no_bound(module):
    module.forward = lambda x: 10 * x
    with pytest.raises(UnsoundError, match=f"{type(module).__name__} was given another forward"):
        onelip.lipschitz_bound(module, (2, 4, 4))
