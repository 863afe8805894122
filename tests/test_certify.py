"""Model bounds and radii: hand-computed cases, refusals, ties, NaN."""

import math

import pytest
import torch
from torch import nn

import onelip
from onelip.errors import UnsoundError, UnsupportedShapeError

IMAGE = (3, 8, 8)


def linear(rows):
    layer = nn.Linear(len(rows[0]), len(rows), bias=False)
    layer.weight.data = torch.tensor(rows)
    return layer


def test_the_bound_of_a_chain_is_the_product_of_known_norms():
    model = nn.Sequential(nn.Flatten(), linear([[3.0, 0.0], [0.0, 1.0]]), nn.ReLU(), linear([[0.0, 2.0]]))
    bound = onelip.lipschitz_bound(model, (2, 1, 1))
    assert 6.0 <= float(bound) <= 6.0 * (1 + 4e-6)
    assert len(bound.parts) == 4
    assert "Cholesky" in bound.parts[1].why


@pytest.mark.parametrize("module", [nn.GroupNorm(1, 3), nn.Softmax(1), nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3, 2, 1)])
def test_an_unknown_module_is_refused_by_name(module):
    with pytest.raises(UnsoundError, match=type(module).__name__):
        onelip.lipschitz_bound(nn.Sequential(nn.Identity(), module), IMAGE)


def test_a_subclass_with_its_own_forward_is_not_taken_for_its_base():
    class Doubling(nn.Sequential):
        def forward(self, x):
            return 2 * super().forward(x)

    with pytest.raises(UnsoundError, match="Doubling"):
        onelip.lipschitz_bound(Doubling(nn.Identity()), IMAGE)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_are_not_finite_have_no_bound(bad):
    for name in onelip.METHODS:
        model = onelip.ConvNet(name, size=4, classes=4, image=(1, 8, 8))
        next(iter(model.layers[3].parameters())).data.view(-1)[0] = bad
        with pytest.raises(UnsoundError, match="NaN or inf"):
            onelip.lipschitz_bound(model, (1, 8, 8))


@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
def test_torch_convolutions_are_bounded_by_their_own_norm(padding_mode):
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 3, 3, padding=1, padding_mode=padding_mode, bias=False).double().requires_grad_(False)
    basis = torch.eye(2 * 36, dtype=torch.float64).unflatten(1, (2, 6, 6))
    truth = float(torch.linalg.matrix_norm(layer(basis).flatten(1), 2))
    assert truth <= float(onelip.lipschitz_bound(layer, (2, 6, 6))) <= truth * 1.06


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(UnsupportedShapeError, match="takes images"):
        onelip.lipschitz_bound(onelip.AOLConv2d(3, 4, 3), (2, 8, 8))
    with pytest.raises(UnsupportedShapeError, match="takes vectors"):
        onelip.lipschitz_bound(onelip.AOLLinear(3, 4), (5,))


def test_radius_of_a_linear_classifier_is_at_most_its_distance_to_the_boundary():
    """For orthonormal rows the true distance is the margin over sqrt(2), which the certificate attains."""
    model = nn.Sequential(linear([[1.0, 0.0], [0.0, 1.0]])).double()
    x, y = torch.tensor([[3.0, 1.0], [1.0, 3.0]], dtype=torch.float64), torch.tensor([0, 0])
    radius = onelip.certified_radius(model, x, y)
    assert radius[0] == pytest.approx(math.sqrt(2), rel=4e-6)
    assert radius[0] <= math.sqrt(2)
    assert radius[1] == 0


@pytest.mark.parametrize("row", [[1.0, 1.0], [0.0, 1.0], [math.nan, 0.0], [math.inf, 0.0], [0.0, -math.inf]])
def test_ties_wrong_answers_and_non_finite_logits_are_never_robust(row):
    x = torch.tensor([row], dtype=torch.float64)
    assert onelip.certified_radius(nn.Identity(), x, torch.tensor([0])).tolist() == [0.0]


def test_a_single_class_certifies_nothing():
    assert onelip.certified_radius(nn.Identity(), torch.ones(2, 1), torch.zeros(2, dtype=torch.long)).sum() == 0


def test_labels_must_exist():
    for label in (2, -1):
        with pytest.raises(ValueError, match="labels must lie"):
            onelip.certified_radius(nn.Identity(), torch.ones(1, 2), torch.tensor([label]))


def test_certification_evaluates_in_eval_mode_and_restores_the_mode_of_every_module():
    model = nn.Sequential(nn.Dropout(0.9), nn.Identity()).train()
    model[1].eval()
    x = torch.eye(4) * 5
    radius = onelip.certified_radius(model, x, torch.arange(4))
    torch.testing.assert_close(radius, torch.full((4,), 5 / math.sqrt(2), dtype=torch.float64))
    assert [module.training for module in model.modules()] == [True, True, False]


def test_certification_never_reads_a_memo():
    """An edit through `.data` is seen by no counter; the bound is nevertheless that of the present weights."""
    layer = onelip.StandardConv2d(2, 2, 1, bias=False).eval()
    with torch.no_grad():
        layer(torch.zeros(1, 2, 4, 4))
    before = float(onelip.lipschitz_bound(layer, (2, 4, 4)))
    layer.weight.data.mul_(3)
    assert float(onelip.lipschitz_bound(layer, (2, 4, 4))) == pytest.approx(3 * before)


def test_perturbations_within_the_radius_do_not_change_the_answer():
    torch.manual_seed(0)
    for name in onelip.METHODS:
        model = onelip.ConvNet(name, size=4, classes=4, image=(1, 8, 8)).double().eval()
        x = torch.rand(32, 1, 8, 8, dtype=torch.float64, requires_grad=True)
        logits = model(x)
        y = logits.argmax(1)
        margin = logits.gather(1, y[:, None])[:, 0] - logits.scatter(1, y[:, None], -math.inf).amax(1)
        (gradient,) = torch.autograd.grad(margin.sum(), x)
        radius = onelip.certified_radius(model, x.detach(), y)
        assert (radius > 0).all()
        direction = gradient / gradient.flatten(1).norm(dim=1)[:, None, None, None]
        attacked = x.detach() - 0.999 * radius[:, None, None, None] * direction
        assert torch.equal(model(attacked).argmax(1), y)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_frozen_weights_that_are_not_finite_have_no_bound(bad):
    for name in onelip.METHODS:
        frozen = onelip.freeze(onelip.ConvNet(name, size=4, classes=4, image=(1, 8, 8)))
        tensor = next(value for key, value in frozen[4].state_dict().items() if "bias" not in key)
        tensor[(0,) * tensor.dim()] = bad
        with pytest.raises(UnsoundError):
            onelip.lipschitz_bound(frozen, (1, 8, 8))


class Negated(onelip.ConvNet):
    def forward(self, x):
        return -super().forward(x)


def test_a_subclass_of_the_network_that_computes_otherwise_is_never_certified():
    model = Negated("aol", size=4, classes=4, image=(1, 8, 8))
    with pytest.raises(UnsoundError, match="Negated"):
        onelip.certified_radius(model, torch.rand(2, 1, 8, 8), torch.zeros(2, dtype=torch.long))


class Half(onelip.StandardConv2d):
    def kernel(self, raw):
        return raw[0] / 1000


def test_a_layer_with_a_construction_of_its_own_is_certified_as_it_computes():
    layer, x = Half(2, 2, 3).eval(), torch.rand(1, 2, 4, 4)
    with torch.no_grad():
        change = torch.linalg.vector_norm(layer(x) - layer(torch.zeros_like(x)))
    assert change <= float(onelip.lipschitz_bound(layer, (2, 4, 4))) * torch.linalg.vector_norm(x)


def test_a_layer_with_another_forward_needs_a_rule_of_its_own():
    class Doubled(onelip.AOLConv2d):
        def forward(self, x, weights=None):
            return 2 * super().forward(x, weights)

    layer = Doubled(2, 2, 1)
    with pytest.raises(UnsoundError, match="Doubled"):
        onelip.lipschitz_bound(layer, (2, 4, 4))
    onelip.register_bound(Doubled)(lambda module, shape: (onelip.Bound(2.0, "twice AOL"), shape))
    assert float(onelip.lipschitz_bound(layer, (2, 4, 4))) == 2.0


def test_a_module_that_is_used_twice_is_certified_as_it_runs():
    torch.manual_seed(0)
    activation, layer = onelip.MaxMin(), onelip.CayleyConv2d(2, 2, 3, bias=False)
    model = nn.Sequential(layer, activation, layer, activation, nn.Flatten()).eval()
    frozen = onelip.freeze(model, (2, 4, 4))
    x = torch.rand(3, 2, 4, 4)
    torch.testing.assert_close(frozen(x), model(x))
    assert len(onelip.lipschitz_bound(frozen, (2, 4, 4)).parts) == 5


def test_forward_hooks_are_refused():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    model[1].register_forward_hook(lambda module, arguments, output: 10 * output)
    with pytest.raises(UnsoundError, match="forward hooks"):
        onelip.lipschitz_bound(model, (4, 1, 1))
    with pytest.raises(UnsoundError, match="forward hooks"):
        onelip.freeze(model, (4, 1, 1))


def test_center_does_not_broadcast():
    with pytest.raises(UnsupportedShapeError, match="takes images"):
        onelip.lipschitz_bound(onelip.Center([0.0, 0.0, 0.0]), (1, 8, 8))
    with pytest.raises(UnsupportedShapeError, match="Center expects"):
        onelip.Center([0.0, 0.0, 0.0])(torch.rand(1, 1, 8, 8))
    with pytest.raises(UnsupportedShapeError, match="this network takes"):
        onelip.lipschitz_bound(onelip.ConvNet("aol", size=4, classes=4, image=(1, 8, 8)), (3, 8, 8))


def test_a_negative_scale_is_refused():
    frozen = onelip.freeze(onelip.CPLConv2d(2, 2, 3), (2, 4, 4))
    frozen.weight1.neg_()
    with pytest.raises(UnsoundError, match="negative"):
        onelip.lipschitz_bound(frozen, (2, 4, 4))


def test_low_precision_is_refused():
    x, y = torch.rand(2, 4), torch.tensor([0, 1])
    with pytest.raises(UnsoundError, match="bfloat16"):
        onelip.lipschitz_bound(onelip.AOLLinear(4, 3, dtype=torch.bfloat16), (4,))
    with pytest.raises(UnsoundError, match="bfloat16"):
        onelip.certified_radius(nn.Identity(), x.bfloat16(), y, arithmetic="real")
    model = nn.Sequential(nn.Linear(4, 3)).eval()
    with torch.autocast("cpu", torch.bfloat16):
        within = onelip.certified_radius(model, x, y)
    assert torch.equal(within, onelip.certified_radius(model, x, y))


def test_labels_are_integers_and_arithmetics_are_named():
    x, y = torch.rand(2, 4), torch.tensor([0, 1])
    for labels in (y + 0.9, y == 1):
        with pytest.raises(ValueError, match="integers"):
            onelip.certified_radius(nn.Identity(), x, labels)
    with pytest.raises(ValueError, match="'float32' is not one of 'float64', 'executed', 'real'"):
        onelip.certified_radius(nn.Identity(), x, y, arithmetic="float32")


@pytest.mark.parametrize("name", onelip.METHODS)
def test_a_frozen_model_is_certified_like_the_model(name):
    torch.manual_seed(0)
    model = onelip.ConvNet(name, size=4, classes=4, image=(1, 8, 8))
    x, y = torch.rand(3, 1, 8, 8), torch.tensor([0, 1, 2])
    expected = onelip.certified_radius(model, x, y)
    torch.testing.assert_close(onelip.certified_radius(onelip.freeze(model), x, y), expected)


def test_layers_frozen_for_one_image_size_refuse_another_where_it_matters():
    for kind in (onelip.CPLConv2d, onelip.LOTConv2d, onelip.CayleyConv2d):
        frozen = onelip.freeze(kind(2, 2, 3), (2, 4, 6))
        for use in (lambda f=frozen: f(torch.rand(1, 2, 8, 2)), lambda f=frozen: f.bound((8, 2))):
            with pytest.raises(UnsupportedShapeError, match="frozen for images of 4x6"):
                use()
    for kind in (onelip.SOCConv2d, onelip.SLLConv2d):
        assert onelip.freeze(kind(2, 2, 3), (2, 4, 6))(torch.rand(1, 2, 8, 2)).shape == (1, 2, 8, 2)
