"""Other ways to an output than the one that bounds and certificates speak of are refused, or numbers are right."""

import pytest
import torch
from torch import nn

import onelip
from onelip.certify.certificate import Certificate
from onelip.errors import CertificateError, UnsoundError
from onelip.nn.base import LipschitzModule
from onelip.nn.linear import PointwiseLinear
from onelip.nn.reshape import FitChannels


def overriding(kind, name):
    """A subclass with a method of its own, which might do anything; that it does the same cannot be seen."""

    def method(self, *arguments):
        return getattr(kind, name)(self, *arguments)

    return type(f"Own{kind.__name__}", (kind,), {name: method})


@pytest.mark.parametrize("name", ["forward", "weights", "recall", "remember", "realise", "inner_image"])
@pytest.mark.parametrize("kind", [onelip.CayleyConv2d, onelip.StandardConv2d])
def test_a_layer_that_comes_by_its_output_in_another_way_is_refused(kind, name):
    """Also behind the mix-in for vectors, whose own forward hands on to that of the class."""
    conv = overriding(kind, name)
    linear = type("OwnLinear", (PointwiseLinear, conv), {})
    for layer, shape in ((conv(3, 3, 1), (3, 2, 2)), (linear(3, 3), (3,))):
        with pytest.raises(UnsoundError, match="Own"):
            onelip.lipschitz_bound(layer, shape)
        with pytest.raises(UnsoundError, match=f"has a {name} of its own"):
            onelip.freeze(layer, shape)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (onelip.CayleyConv2d(2, 2, 3), "weights"),
        (nn.Conv2d(2, 2, 3, padding=1), "_conv_forward"),
        (nn.BatchNorm2d(2), "train"),
        (onelip.ConvNet("aol", size=4, classes=2, image=(2, 8, 8)), "construct"),
    ],
)
def test_a_method_that_is_set_on_a_module_itself_is_refused(module, name):
    setattr(module, name, getattr(type(module), name).__get__(module))
    with pytest.raises(UnsoundError, match=f"was given another {name}"):
        onelip.lipschitz_bound(module, (2, 8, 8))
    with pytest.raises(UnsoundError, match=f"was given another {name}"):
        onelip.freeze(module, (2, 8, 8))


class StaysNoisy(nn.Dropout):
    def train(self, mode=True):
        return super().train(True)


def test_a_module_that_stays_in_training_mode_has_no_certificate():
    model = nn.Sequential(StaysNoisy(), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(UnsoundError, match="StaysNoisy stays in training mode"):
        onelip.certified_radius(model, torch.rand(1, 1, 2, 2), torch.tensor([0]))


class StaysQuiet(nn.Module):
    def forward(self, weight):
        return weight * (0.1 if self.training else 1.0)

    def train(self, mode=True):
        return super().train(True)


def test_a_parametrization_that_stays_in_training_mode_has_no_bound_and_no_certificate():
    """Its twin, which does not, has the same weights: its certificate must not be taken for that of this one."""
    twins = [nn.Sequential(onelip.StandardConv2d(2, 2, 3), nn.Flatten()).eval() for _ in range(2)]
    for model, kind in zip(twins, (QuietInTraining, StaysQuiet), strict=True):
        nn.utils.parametrize.register_parametrization(model[0], "weight", kind())
    twins[1].load_state_dict(twins[0].state_dict())
    x, y = torch.rand(2, 2, 2, 2), torch.tensor([0, 1])
    certificate = onelip.issue_certificate(twins[0], x, y)
    onelip.verify_certificate(certificate, twins[0], x, y)
    with pytest.raises(UnsoundError, match="StaysQuiet stays in training mode"):
        onelip.verify_certificate(certificate, twins[1], x, y)
    with pytest.raises(UnsoundError, match="StaysQuiet stays in training mode"):
        onelip.lipschitz_bound(twins[1], (2, 2, 2))


class FromTorch(nn.Conv2d, onelip.AOLConv2d):
    """Its forward is torch's, on the raw kernel."""

    def __init__(self):
        onelip.AOLConv2d.__init__(self, 2, 2, 3)


class Restored(onelip.AOLConv2d):
    forward = LipschitzModule.forward


def test_what_counts_is_the_forward_that_is_found_not_where_its_class_was_written(monkeypatch):
    with pytest.raises(UnsoundError, match="FromTorch"):
        onelip.lipschitz_bound(FromTorch(), (2, 4, 4))
    assert float(onelip.lipschitz_bound(Restored(2, 2, 3), (2, 4, 4))) <= 1
    monkeypatch.setattr(onelip.CayleyConv2d, "forward", lambda layer, x: 10 * x, raising=False)
    with pytest.raises(UnsoundError, match="CayleyConv2d"):
        onelip.lipschitz_bound(onelip.CayleyConv2d(2, 2, 3), (2, 4, 4))


class WithADefault(nn.Module):
    activation = staticmethod(torch.relu)

    def __init__(self):
        super().__init__()
        self.activation = torch.tanh
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(1))])

    def forward(self, x):
        return self.scales[0] * self.activation(x)


def test_functions_and_lists_of_ones_own_modules_are_no_other_path():
    onelip.register_bound(WithADefault)(lambda module, shape: (onelip.Bound(1.0, "tanh"), shape))
    model = WithADefault()
    assert float(onelip.lipschitz_bound(model, (2,))) == 1
    assert torch.equal(onelip.freeze(model, (2,))(torch.ones(1, 2)), torch.ones(1, 2).tanh())


def test_a_compiled_call_is_known_by_what_it_compiles():
    layer = onelip.AOLConv2d(2, 2, 3).eval()
    layer.compile(backend="eager")
    assert float(onelip.lipschitz_bound(layer, (2, 4, 4))) <= 1
    layer._compiled_call_impl = lambda x: 10 * x
    with pytest.raises(UnsoundError, match="given another _compiled_call_impl"):
        onelip.lipschitz_bound(layer, (2, 4, 4))


class QuietInTraining(nn.Module):
    def forward(self, weight):
        return weight * (0.1 if self.training else 1.0)


def test_bounds_speak_of_eval_mode_of_parametrizations_too():
    layer = onelip.StandardConv2d(2, 2, 3)
    nn.utils.parametrize.register_parametrization(layer, "weight", QuietInTraining())
    in_eval_mode = float(onelip.lipschitz_bound(layer.eval(), (2, 4, 4)))
    assert float(onelip.lipschitz_bound(layer.train(), (2, 4, 4))) == in_eval_mode
    assert layer.training
    assert all(module.training for module in layer.modules())


def test_a_kernel_of_another_size_than_its_convolution_says_has_no_bound():
    conv, linear = nn.Conv2d(1, 1, 5, padding=2), nn.Linear(4, 3)
    conv.weight, linear.weight = nn.Parameter(torch.ones(1, 1, 3, 3)), nn.Parameter(torch.ones(2, 4))
    for module, shape in ((conv, (1, 4, 4)), (linear, (4,))):
        with pytest.raises(UnsoundError, match="with a weight of shape"):
            onelip.lipschitz_bound(module, shape)


def test_a_circular_convolution_whose_padding_was_changed_has_no_bound():
    conv = nn.Conv2d(1, 1, 3, padding=0, padding_mode="circular")
    conv.padding = (1, 1)
    with pytest.raises(UnsoundError, match="no proved bound is known for this Conv2d"):
        onelip.lipschitz_bound(conv, (1, 4, 4))


class Ten(onelip.StandardConv2d):
    """x -> 10 W x, with all that is asked of a way to apply weights: a bound, a rounding and a frozen form."""

    def apply_weights(self, x, weights):
        return super().apply_weights(x, (10 * weights[0],))

    def realised_bound(self, weights, image, *, enough=0.0):
        return super().realised_bound((weights[0].double() * (10 * (1 + 1e-12)),), image, enough=enough)

    def rounding(self, x, weights, image, norm):
        return super().rounding(x, (weights[0] * (10 * (1 + 1e-12)),), image, norm)

    def frozen(self, image):
        return LipschitzModule.frozen(self, image)


class TenLinear(PointwiseLinear, Ten):
    pass


def with_radius(certificate, radius):
    fields = {name: getattr(certificate, name) for name in Certificate.model_fields if name != "digest"}
    fields["inputs"] = (certificate.inputs[0].model_copy(update={"radius": radius}), *certificate.inputs[1:])
    return Certificate.signed_off(**fields)


def test_rows_of_a_last_layer_that_applies_them_otherwise_prove_no_radius():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), TenLinear(4, 3)).double().eval()
    x = torch.rand(1, 1, 2, 2, dtype=torch.float64)
    y = model(x).argmax(1)
    certificate = onelip.issue_certificate(model, x, y)
    onelip.verify_certificate(certificate, model, x, y)
    with pytest.raises(CertificateError, match="radius"):
        onelip.verify_certificate(with_radius(certificate, 3 * certificate.inputs[0].radius), model, x, y)


def test_no_radius_is_proved_where_the_evaluation_could_overflow():
    first, last = nn.Linear(4, 2, bias=False), nn.Linear(2, 1, bias=False)
    first.weight.data = torch.tensor([[1e150, 0, 0, 0], [1e150, 0, 0, 0]], dtype=torch.float64)
    last.weight.data = torch.tensor([[1e-295, -1e-295]], dtype=torch.float64)
    model = nn.Sequential(nn.Flatten(), first, last, nn.Hardtanh(1e60, 2e60), FitChannels(2)).eval()
    x, y = torch.rand(1, 1, 2, 2, dtype=torch.float64), torch.tensor([0])
    certificate = onelip.issue_certificate(model, x, y)
    with pytest.raises(CertificateError, match="radius"):
        onelip.verify_certificate(with_radius(certificate, 1e170), model, x, y)


def test_the_series_of_a_matrix_is_rounded_once():
    """In eval mode: another machine, which sums in another order, comes to the same weights but for rare last bits."""
    torch.manual_seed(0)
    layer = onelip.SOCLinear(64, 64)
    (kernel,) = layer.realise((1, 1))
    (exact,) = layer.double().realise((1, 1))
    assert torch.equal(kernel, exact.float())


def test_a_frozen_matrix_counts_though_its_mirror_image_says_otherwise():
    """Layers construct matrices of mirrored frequencies as conjugates, but a file may hold any."""
    layer = onelip.freeze(onelip.LOTConv2d(2, 2, 3, padding_mode="circular"), (2, 6, 6))
    with torch.no_grad():
        layer.weight0[:, 5 * 4] *= 3  # Row 5 of column 0, the mirror image of row 1.
    basis = torch.eye(72).view(72, 2, 6, 6)
    norm = float(torch.linalg.matrix_norm((layer(basis) - layer(torch.zeros(1, 2, 6, 6))).flatten(1), ord=2))
    assert norm > 1.5
    assert float(onelip.lipschitz_bound(layer, (2, 6, 6))) >= norm


class Loud(torch.Tensor):
    """Numbers with operations of their own, as those of a quantised weight: products are ten times as large."""

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), keywords=None):
        result = super().__torch_function__(function, types, arguments, keywords or {})
        loud = function in (nn.functional.linear, nn.functional.conv2d)
        return 10 * result if loud else result


@pytest.mark.parametrize("layer", [nn.Linear(4, 4), nn.Conv2d(4, 4, 3, padding=1), onelip.StandardConv2d(4, 4, 3)])
def test_a_weight_with_operations_of_its_own_is_refused(layer):
    shape = (4,) if isinstance(layer, nn.Linear) else (4, 6, 6)
    layer.weight = nn.Parameter(layer.weight.detach().as_subclass(Loud), requires_grad=False)
    assert type(layer.weight) is Loud
    for refused in (onelip.lipschitz_bound, onelip.freeze):
        with pytest.raises(UnsoundError, match="weight is a Loud, whose operations may be its own"):
            refused(layer, shape)
    x = torch.zeros(1, *shape)
    with pytest.raises(UnsoundError, match="operations may be its own"):
        onelip.certified_radius(nn.Sequential(layer, nn.Flatten()), x, torch.zeros(1, dtype=torch.long))


def test_a_weight_that_a_parametrization_gives_operations_of_its_own_is_refused():
    class Wrapped(nn.Module):
        def forward(self, weight):
            return weight.as_subclass(Loud)

    layer = nn.Linear(4, 4)
    nn.utils.parametrize.register_parametrization(layer, "weight", Wrapped())
    with pytest.raises(UnsoundError):
        onelip.lipschitz_bound(layer, (4,))


def test_attributes_that_are_looked_up_in_another_way_are_refused():
    class Sly(onelip.AOLConv2d):
        def __getattribute__(self, name):
            if name == "apply_weights":
                return lambda x, weights: 10 * x
            return super().__getattribute__(name)

    with pytest.raises(UnsoundError, match="Sly looks its attributes up in a way of its own"):
        onelip.lipschitz_bound(Sly(3, 3, 3), (3, 6, 6))
