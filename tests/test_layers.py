"""Uses of layers beyond the contract: transforms, inference mode, meta tensors, odd shapes."""

import numpy as np
import pytest
import torch

import onelip
from onelip.nn.construct import construct_all

KINDS = [method.conv2d for method in onelip.METHODS.values()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_transform_of_the_input_leaves_the_layer_usable(kind):
    layer = kind(2, 2, 3).eval().requires_grad_(False)
    x = torch.rand(1, 2, 4, 4)
    torch.func.grad(lambda x: layer(x).sum())(x)
    assert torch.isfinite(layer(x)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_kept_under_inference_mode(kind):
    layer = kind(2, 2, 3).eval()
    with torch.inference_mode():
        layer(torch.rand(1, 2, 4, 4))
        assert layer.recall((4, 4)) is not None
    layer(torch.rand(1, 2, 4, 4)).sum().backward()


@pytest.mark.parametrize("kind", KINDS)
def test_a_parameter_viewed_otherwise_is_another_parameter(kind):
    layer = kind(4, 4, 3).eval().double()
    torch.nn.init.normal_(layer.raw()[0])
    x = torch.rand(1, 4, 4, 4, dtype=torch.float64)
    with torch.no_grad():
        before = layer(x)
        first = layer.raw()[0]
        first.data = first.data.transpose(0, 1)
        after = layer(x)
        layer.forget()
        torch.testing.assert_close(after, layer(x))
    assert not torch.allclose(before, after)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_run_on_meta_tensors(kind):
    layer = kind(2, 4, 3, stride=2, device="meta")
    assert layer(torch.empty(3, 2, 8, 8, device="meta")).shape == (3, 4, 4, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_batch_gives_an_empty_batch(kind):
    assert kind(2, 3, 3)(torch.empty(0, 2, 4, 4)).shape == (0, 3, 4, 4)


def test_arguments_may_be_pairs_and_integers_of_numpy():
    layer = onelip.AOLConv2d(np.int64(2), 4, (3, 3), stride=[2, 2], dilation=(1, 1))
    assert (layer.in_channels, layer.kernel_size, layer.stride) == (2, 3, 2)
    assert all(type(value) is int for value in (layer.in_channels, layer.kernel_size, layer.stride))
    assert onelip.AOLLinear(np.int32(4), 3)(torch.rand(2, 4)).shape == (2, 3)
    for bad in ((3, 5), (3, 3, 3), 3.0, "3", True, np.array([3, 3]), torch.tensor([3, 3]), torch.tensor(3.0)):
        with pytest.raises(onelip.errors.UnsupportedShapeError, match="kernel_size"):
            onelip.AOLConv2d(2, 4, bad)


def test_freeze_constructs_every_layer_once(monkeypatch):
    model, calls = onelip.ConvNet("aol", size=4, classes=4, image=(1, 8, 8)), []
    construct = onelip.AOLConv2d.construct
    monkeypatch.setattr(
        onelip.AOLConv2d, "construct", lambda layer, raw, image: calls.append(raw) or construct(layer, raw, image)
    )
    onelip.freeze(model)
    assert sum(raw[0].shape[0] for raw in calls) == len(model.layers)


def test_kernel_sizes_are_not_constructed_together():
    small, large = onelip.BCOPConv2d(1, 4, 1), onelip.BCOPConv2d(1, 4, 3)
    (first,), (second,) = construct_all([small, large], [(4, 4), (4, 4)])
    assert first.shape == (4, 1, 1, 1)
    assert second.shape == (4, 1, 3, 3)


def test_a_single_input_channel_keeps_the_image_in_its_place():
    layer = onelip.BCOPConv2d(1, 1, 3, padding_mode="zeros", bias=False)
    assert layer(torch.ones(1, 1, 1, 1)).abs().item() == pytest.approx(1)


@pytest.mark.parametrize("name", ["aol", "cpl"])
def test_gradients_per_sample(name):
    layer = onelip.METHODS[name].conv2d(2, 2, 3)
    weights = dict(layer.named_parameters())

    def loss(weights, image):
        return torch.func.functional_call(layer, weights, (image[None],)).square().sum()

    x = torch.rand(3, 2, 4, 4)
    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, x)
    total = torch.func.grad(lambda w: sum(loss(w, image) for image in x))(weights)
    for key, gradient in total.items():
        torch.testing.assert_close(each[key].sum(0), gradient)


@pytest.mark.parametrize("kind", [onelip.CPLConv2d, onelip.SLLConv2d])
def test_residual_sums_keep_their_precision_under_autocast(kind):
    layer, x = kind(4, 4, 3), torch.randn(2, 4, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.float32
    assert not torch.equal(y, y.bfloat16().float()), "the sum is rounded to what the update has"


@pytest.mark.parametrize("kind", [onelip.CayleyConv2d, onelip.LOTConv2d])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_transforms_of_half_precision_are_taken_in_float32(kind, dtype):
    """Only weights, images and results are rounded, and not sines and sums."""
    layer, x = onelip.freeze(kind(4, 4, 3), (4, 8, 8)).to(dtype), torch.randn(3, 4, 8, 8).to(dtype)
    found = layer(x)
    expected = layer.to(torch.float64)(x.to(torch.float64))
    assert found.dtype == dtype
    torch.testing.assert_close(found.to(torch.float64), expected, rtol=torch.finfo(dtype).eps, atol=2e-3)
