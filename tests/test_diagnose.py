"""The diagnosis: its quantities by brute force, sound networks that pass, and broken modules that it names."""

import copy
import itertools
import math

import pytest
import torch
from torch import nn

import onelip
from onelip import METHODS, ConvNet, MarginCrossEntropy, MaxMin, diagnose, register_bound
from onelip.bench.report.diagnosis import diagnosis_drawing, finding
from onelip.bound import Bound
from onelip.certify.diagnose import total_variance
from onelip.linalg.conv import spectral_matrices
from onelip.linalg.spectral import apply_spectral

IMAGE, CLASSES = (1, 8, 8), 10


def batch(count=32, seed=0):
    """Smooth pictures, as photographs are: most of their energy is at low frequencies."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, 3, 3, generator=generator)
    x = nn.functional.interpolate(coarse, size=IMAGE[1:], mode="bilinear")
    return x, torch.randint(CLASSES, (count,), generator=generator)


def network(method="cpl", steps=3, padding="paper"):
    torch.manual_seed(0)
    model = ConvNet(method, size=8, classes=CLASSES, image=IMAGE, padding=padding)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    for step in range(steps):
        x, y = batch(seed=step + 1)
        optimiser.zero_grad()
        MarginCrossEntropy()(model(x), y).backward()
        optimiser.step()
    return model.eval()


class EcoLike(nn.Module):
    """A convolution by exponentials of skew matrices, one per frequency of a grid: orthogonal on images of that size.

    On larger images its k x k kernel interpolates the spectral matrices, and what lies between two rotations is none:
    the layer claims to be orthogonal, and is not.
    """

    def __init__(self, channels, grid):
        super().__init__()
        self.raw = nn.Parameter(torch.randn(channels, channels, 3, 3))
        self.grid = grid

    def kernel(self):
        free = spectral_matrices(self.raw, (self.grid, self.grid))
        rotations = torch.linalg.matrix_exp(free - free.mH)
        channels = self.raw.shape[0]
        impulse = torch.zeros(channels, channels, self.grid, self.grid, dtype=self.raw.dtype)
        impulse[range(channels), range(channels), 0, 0] = 1.0
        planes = torch.stack([rotations.real, rotations.imag])
        return apply_spectral(impulse, planes, (self.grid, self.grid)).transpose(0, 1)

    def forward(self, x):
        kernel, half = self.kernel().flip(-1, -2), self.grid // 2
        padded = nn.functional.pad(x, (self.grid - 1 - half, half) * 2, mode="circular")
        return nn.functional.conv2d(padded, kernel)


@register_bound(EcoLike)
def claimed(module, shape):
    return Bound(1.0, "orthogonal at every frequency, as its paper proves"), shape


def eco_like(model, place, grid, kind=EcoLike):
    """A layer that learned, as in training, to let through as much as it can."""
    torch.manual_seed(1)
    with torch.no_grad():
        x = nn.Sequential(*list(model)[:place])(batch()[0])
    layer = kind(x.shape[1], grid)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(30):
        optimiser.zero_grad()
        y = layer(x)
        (-(y - y.mean(0)).square().sum()).backward()
        optimiser.step()
    return layer


def planted(model, place, module):
    model = copy.deepcopy(model)
    model[place] = module
    return model


def names(layers):
    return [layer.name for layer in layers if layer.broken]


def test_total_variance_is_half_the_mean_squared_distance_of_pairs():
    x = torch.randn(9, 2, 3, dtype=torch.float64)
    pairs = [float((a - b).square().sum()) for a, b in itertools.product(x, x)]
    assert total_variance(x) == pytest.approx(sum(pairs) / len(pairs) / 2, rel=1e-12)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.traits.constrained])
def test_no_module_of_a_constrained_network_stretches(name):
    layers = diagnose(network(name), *batch())
    assert [layer.name for layer in layers] == [str(index) for index in range(len(layers))]
    for layer in layers:
        assert layer.bound is not None
        assert layer.growth <= layer.bound**2 * (1 + 1e-9)
        assert layer.preservation <= layer.bound * (1 + 1e-8)
        assert not layer.broken
    assert "No module raises the variance" in finding(layers)


@pytest.mark.parametrize("name", ["bcop", "cayley", "lot"])
def test_orthogonal_layers_preserve_and_dropping_half_of_the_values_costs_sqrt_one_half(name):
    """With circular padding: an isometry keeps the norm of every step, the variance, and the norm of every gradient."""
    layers = diagnose(network(name, padding="circular"), *batch(256))
    for before, layer in itertools.pairwise(layers[: len(layers) - 2]):
        if layer.kind == "FitChannels" and layer.shape[0] < before.shape[0]:
            assert layer.preservation == pytest.approx(math.sqrt(0.5), rel=0.02)
        elif layer.kind not in {"FitChannels", "MaxMin"}:
            assert layer.growth == pytest.approx(1, rel=1e-6)
            assert layer.preservation == pytest.approx(1, rel=1e-6)
            assert layer.gradient == pytest.approx(before.gradient, rel=1e-6)


def test_preservation_of_a_linear_map_is_its_frobenius_norm():
    """The mean of ||J v||^2 over unit directions v is ||J||_F^2 / n."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6))
    (layer,) = diagnose(model, torch.randn(4000, 6), torch.zeros(4000, dtype=torch.int64))
    assert layer.preservation == pytest.approx(float(model[0].weight.detach().norm()) / math.sqrt(6), rel=0.03)
    assert layer.bound == pytest.approx(float(torch.linalg.matrix_norm(model[0].weight.detach(), 2)), rel=1e-5)


def test_gradients_are_those_of_each_image_through_the_whole_network():
    """One backward pass through the network's own forward, hooks on its modules, image by image."""
    model = network("sll")
    x, y = batch(6)
    layers = diagnose(model, x, y, loss=MarginCrossEntropy(0.3, 0.5))
    exact = onelip.freeze(model).double()
    squares = torch.zeros(len(layers), dtype=torch.float64)
    for image, label in zip(x.double().split(1), y.split(1), strict=True):
        outputs = []
        for module in exact:
            outputs.append(module(outputs[-1] if outputs else image))
            outputs[-1].requires_grad_().retain_grad()
        MarginCrossEntropy(0.3, 0.5)(outputs[-1], label).backward()
        squares += torch.stack([output.grad.square().sum() for output in outputs])
    expected = (squares / len(x)).sqrt().tolist()
    assert [layer.gradient for layer in layers] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("place", [6, 20, 34])
def test_an_eco_like_layer_is_named_and_the_same_layer_on_its_own_grid_is_not(place):
    model = network()
    side = onelip.diagnose(model, *batch())[place].shape[1]
    grid = 3 if side > 3 else 1 + side
    broken = diagnose(planted(model, place, eco_like(model, place, grid)), *batch())
    assert names(broken) == [str(place)]
    assert broken[place].growth > 1.01
    assert broken[place].exceeds(1.0)
    said = finding(broken)
    assert f"Broken: {place} (EcoLike) raises the variance" in said
    assert "beyond its proved bound 1.000000" in said
    sound = diagnose(planted(model, place, eco_like(model, place, side)), *batch())
    assert names(sound) == []
    assert sound[place].growth == pytest.approx(1, rel=1e-5)
    assert sound[place].preservation == pytest.approx(1, rel=1e-5)


def test_a_layer_that_nothing_is_proved_of_is_named_too():
    class Unknown(EcoLike):
        pass

    model = network()
    layers = diagnose(planted(model, 6, eco_like(model, 6, 3, Unknown)), *batch())
    assert names(layers) == ["6"]
    assert layers[6].bound is None
    assert "bound" not in finding(layers)
    assert all(layer.bound is not None for layer in layers if layer.name != "6")


def test_an_expansion_that_the_variance_does_not_see_is_found_by_small_steps():
    """Scaled where the images do not differ: the variance falls, small steps grow."""

    class Hidden(nn.Module):
        def forward(self, x):
            scales = torch.full(x.shape[1:], 3.0, dtype=x.dtype)
            scales[0] = 0.5
            return x * scales

    model = planted(network(), 2, Hidden())  # all channels but the first are zero there
    layers = diagnose(model, *batch())
    assert layers[2].growth == pytest.approx(0.25)
    assert names(layers) == ["2"]
    assert "2 (Hidden) stretches small steps" in finding(layers)


def test_a_bound_below_one_that_is_not_kept():
    class Half(nn.Module):
        def forward(self, x):
            return 0.8 * x

    register_bound(Half)(lambda module, shape: (Bound(0.5, "claimed"), shape))
    layers = diagnose(nn.Sequential(nn.Flatten(), Half()), *batch())
    assert names(layers) == ["1"]
    assert layers[1].exceeds(0.5)
    assert not layers[1].exceeds(0.8)
    assert "0.64" in finding(layers)
    assert "beyond its proved bound 0.500000" in finding(layers)


def test_a_weight_that_is_not_a_number_is_reported_and_later_modules_are_not_blamed():
    model = network("aol")
    with torch.no_grad():
        model[12].weight[0, 0, 0, 0] = math.nan
    layers = diagnose(model, *batch())
    assert [layer.finite for layer in layers] == [index < 12 for index in range(len(layers))]
    assert names(layers) == ["12"]
    assert layers[12].bound is None
    assert all(math.isnan(layer.growth) for layer in layers[13:])
    assert finding(layers) == "Values are not finite from 12 (AOLConv2d) on."
    assert "not finite from 12" in diagnosis_drawing(layers, "title").svg


def test_values_that_overflow_are_reported():
    class Huge(nn.Module):
        def forward(self, x):
            return x * 1e300 * 1e300

    layers = diagnose(planted(network(), 9, Huge()), *batch())
    assert names(layers) == ["9"]
    assert finding(layers) == "Values are not finite from 9 (Huge) on."


def test_gradients_that_are_not_finite_are_reported():
    class Root(nn.Module):
        def forward(self, x):
            return (x * 0).abs().sqrt() + x / 2

    layers = diagnose(planted(network(), 9, Root()), *batch())
    assert all(layer.finite for layer in layers)
    assert not math.isfinite(layers[8].gradient)
    assert "Gradients are not finite up to 8 (CPLConv2d)." in finding(layers)


def test_what_cannot_be_drawn_is_marked_and_zero_is_not_marked_as_not_finite():
    """A network that answers always the same has variance 0, which a logarithmic axis does not hold."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES, bias=False))
    nn.init.zeros_(model[1].weight)
    layers = diagnose(model, *batch())
    assert (layers[1].variance, names(layers)) == (0.0, [])
    assert "var(--series-2" not in diagnosis_drawing(layers, "title").svg
    nn.init.constant_(model[1].weight, math.nan)
    assert "var(--series-2" in diagnosis_drawing(diagnose(model, *batch()), "title").svg


def test_a_batch_of_equal_images_is_no_expansion():
    """The variance is that of rounding, and its growth says nothing."""
    x, y = batch()
    layers = diagnose(network("cayley"), x[:1].expand_as(x) + 1e6, y)
    assert names(layers) == []


def test_the_model_stays_as_it_is():
    model = network("bcop", steps=0).train()
    model[5].eval()
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    flags = [parameter.requires_grad for parameter in model.parameters()]
    x, y = batch()
    kept = x.clone()
    first, second = diagnose(model, x, y), diagnose(model, x, y)
    assert first == second
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(value.dtype == torch.float32 for value in model.state_dict().values())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(x, kept)


def test_modes_of_torch_change_nothing():
    model, (x, y) = network("soc"), batch()
    plain = diagnose(model, x, y)
    with torch.inference_mode():
        assert diagnose(model, x.double(), y.clone()) == plain
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert diagnose(model, x, y) == plain


def test_a_module_that_hides_from_autograd_passes_no_gradient_on():
    class Hides(nn.Module):
        def forward(self, x):
            return x.detach() * 1

    layers = diagnose(planted(network(), 9, Hides()), *batch())
    assert [layer.gradient == 0 for layer in layers] == [index < 9 for index in range(len(layers))]


def test_other_directions_give_another_estimate_of_preservation_and_nothing_else():
    model, (x, y) = network(), batch()
    one, other = diagnose(model, x, y, seed=1), diagnose(model, x, y, seed=2)
    assert one != other
    assert [layer.growth for layer in one] == [layer.growth for layer in other]
    assert [layer.preservation for layer in one] == pytest.approx([layer.preservation for layer in other], rel=0.1)


def test_a_frozen_network_nested_sequences_and_modules_that_work_in_place():
    x, y = batch()
    model = network("lot")
    grown = [layer.growth for layer in diagnose(model, x, y)]
    frozen = diagnose(onelip.freeze(model), x, y)
    assert [layer.growth for layer in frozen] == pytest.approx(grown, rel=1e-5)
    body = nn.Sequential(nn.Linear(64, 64), nn.ReLU(inplace=True))
    layers = diagnose(nn.Sequential(nn.Flatten(), body, nn.Linear(64, CLASSES)), x, y)
    assert [layer.name for layer in layers] == ["0", "1.0", "1.1", "2"]
    plain = nn.Sequential(nn.Flatten(), nn.Sequential(body[0], nn.ReLU()), nn.Linear(64, CLASSES))
    plain[2].load_state_dict({"weight": torch.zeros(CLASSES, 64), "bias": torch.zeros(CLASSES)})
    assert [layer.variance for layer in diagnose(plain, x, y)][:3] == [layer.variance for layer in layers][:3]


def test_modules_that_are_not_taken_apart():
    class Skips(nn.Sequential):
        def forward(self, x):
            return x + super().forward(x)

    x, y = batch()
    layers = diagnose(nn.Sequential(nn.Flatten(), Skips(nn.Linear(64, 64), MaxMin())), x, y)
    assert [(layer.name, layer.kind, layer.bound) for layer in layers[1:]] == [("1", "Skips", None)]
    whole = nn.Sequential(nn.Flatten())
    whole.register_forward_hook(lambda module, arguments, result: 3 * result)
    (layer,) = diagnose(whole, x, y)
    assert (layer.name, layer.bound) == ("model", None)
    assert layer.growth == pytest.approx(9)
    assert layer.broken


class Pair(nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda model, x, y: (model, x[:0], y[:0]), "two or more"),
        (lambda model, x, y: (model, x[:1], y[:1]), "two or more"),
        (lambda model, x, y: (model, x, y[:3]), "one label per input"),
        (lambda model, x, y: (model, x, y.float()), "integers"),
        (lambda model, x, y: (model, x, y - 100), r"labels must lie in \[0, 10\)"),
        (lambda model, x, y: (model, x, y + 10), r"labels must lie in \[0, 10\)"),
        (lambda model, x, y: (model, x[:, :, :4], y), "shape"),
        (lambda model, x, y: (model, x.expand(-1, 3, -1, -1), y), "takes images of shape"),
        (lambda model, x, y: (model, x / 0, y), "NaN or inf"),
        (lambda model, x, y: (nn.Sequential(*list(model)[:5]), x, y), "logits"),
        (lambda model, x, y: (nn.Sequential(nn.Flatten(), Pair()), x, y), "module 1 must give"),
        (lambda model, x, y: (nn.Sequential(), x, y), "no modules"),
    ],
)
def test_what_cannot_be_diagnosed_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        diagnose(*change(network(steps=0), *batch()))
