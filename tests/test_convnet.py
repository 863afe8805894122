"""The network: parameter counts, shapes, construction in groups, errors."""

import copy

import pytest
import torch

import onelip
from onelip.errors import UnknownNameError, UnsupportedShapeError

COUNTS = {"XS": 1_572_288, "S": 6_283_136, "M": 25_120_512, "L": 100_457_984}


@pytest.mark.parametrize("size", COUNTS)
def test_parameter_counts_of_the_paper(size):
    model = onelip.ConvNet("standard", size=size, classes=10, image=(3, 32, 32), device="meta")
    assert sum(parameter.numel() for parameter in model.parameters()) == COUNTS[size]
    assert len(model.layers) == 27


@pytest.mark.parametrize(("side", "width"), [(8, 16), (16, 16), (32, 16), (64, 8), (128, 4), (256, 2)])
def test_widths_follow_the_image_side(side, width):
    channels = 1 if width < 3 else 3
    model = onelip.ConvNet("aol", size="XS", classes=10, image=(channels, side, side))
    assert model.width == width
    assert model(torch.rand(2, channels, side, side)).shape == (2, 10)
    assert len(model.layers) == 5 * (side.bit_length() - 1) + 2


@pytest.mark.parametrize("name", onelip.METHODS)
def test_construction_in_groups_is_that_of_each_layer_alone(name):
    torch.manual_seed(0)
    model = onelip.ConvNet(name, size=4, classes=4, image=(1, 8, 8)).double()
    x = torch.rand(3, 1, 8, 8, dtype=torch.float64)
    for mode in (True, False):
        model.train(mode)
        alone = x
        for module in model:
            alone = module(alone)
        torch.testing.assert_close(model(x), alone)


@pytest.mark.parametrize("name", onelip.METHODS)
def test_two_forwards_before_one_backward(name):
    torch.manual_seed(0)
    model = onelip.ConvNet(name, size=4, classes=4, image=(1, 8, 8)).double()
    x = torch.rand(4, 1, 8, 8, dtype=torch.float64)
    (model(x[:2]).square().sum() + model(x[2:]).square().sum()).backward()
    split = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    model(x).square().sum().backward()
    for parameter, expected in zip(model.parameters(), split, strict=True):
        torch.testing.assert_close(parameter.grad, expected)


@pytest.mark.parametrize("name", onelip.METHODS)
def test_activation_checkpointing_changes_no_gradient(name):
    torch.manual_seed(0)
    model = onelip.ConvNet(name, size=4, classes=4, image=(1, 8, 8)).double()
    x = torch.rand(4, 1, 8, 8, dtype=torch.float64)
    model(x).square().sum().backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    torch.utils.checkpoint.checkpoint(model, x, use_reentrant=False).square().sum().backward()
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("name", onelip.METHODS)
def test_freezing_a_network_keeps_outputs_and_bound(name):
    torch.manual_seed(0)
    model = onelip.ConvNet(name, size=4, classes=4, image=(1, 8, 8), mean=(0.4,)).eval()
    frozen = onelip.freeze(copy.deepcopy(model))
    x = torch.rand(5, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(frozen(x), model(x), rtol=1e-5, atol=1e-6)
    bound = float(onelip.lipschitz_bound(model, (1, 8, 8)))
    assert float(onelip.lipschitz_bound(frozen, (1, 8, 8))) == pytest.approx(bound, rel=1e-12)
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


def test_the_mean_is_subtracted_first_and_saved():
    mean = (0.5, 0.25, 0.125)
    model = onelip.ConvNet("aol", size=4, classes=4, image=(3, 8, 8), mean=mean)
    plain = onelip.ConvNet("aol", size=4, classes=4, image=(3, 8, 8))
    plain.load_state_dict({**model.state_dict(), "0.mean": torch.zeros(3)})
    x = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(model(x), plain(x - torch.tensor(mean)[:, None, None]))
    assert model.state_dict()["0.mean"].tolist() == list(mean)


def test_padding_is_the_papers_unless_it_is_chosen():
    for name, method in onelip.METHODS.items():
        build = {"size": 4, "classes": 4, "image": (1, 8, 8)}
        assert onelip.ConvNet(name, **build).padding == method.padding
        for padding in ("circular", "zeros"):
            model = onelip.ConvNet(name, padding=padding, **build)
            assert {layer.padding_mode for layer in model.layers[:-1]} == {padding}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"method": "ao"}, UnknownNameError, "did you mean aol"),
        ({"size": "XL"}, UnknownNameError, "XS, S, M, L"),
        ({"size": 5}, UnsupportedShapeError, "must be even"),
        ({"size": 2}, UnsupportedShapeError, "smallest size that works is XS"),
        ({"classes": 100_000}, UnsupportedShapeError, "use a width of at least 12500"),
        ({"image": (3, 20, 20)}, UnsupportedShapeError, "8, 16, 32, 64, 128, 256"),
        ({"image": (3, 8, 16)}, UnsupportedShapeError, "square images"),
        ({"padding": "reflect"}, UnsupportedShapeError, "'paper', 'circular', 'zeros'"),
        ({"kernel_size": 4}, UnsupportedShapeError, "1, 3, 5"),
        ({"mean": (0.5,)}, UnsupportedShapeError, "3 image channels"),
    ],
)
def test_arguments_that_do_not_work_are_refused(change, error, message):
    arguments = {"method": "aol", "size": 4, "classes": 10, "image": (3, 8, 8), **change}
    with pytest.raises(error, match=message):
        onelip.ConvNet(arguments.pop("method"), **arguments)


def test_an_image_of_another_size_is_refused():
    model = onelip.ConvNet("aol", size=4, classes=4, image=(1, 8, 8))
    with pytest.raises(UnsupportedShapeError, match="expected images"):
        model(torch.rand(1, 1, 16, 16))
