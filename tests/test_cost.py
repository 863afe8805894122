"""The cost formula of every method counts what its layers run."""

import pytest
import torch

from onelip.bench.measure.flops import count_macs
from onelip.method import ConvShape
from onelip.methods import METHODS
from onelip.models import ConvNet
from onelip.nn.base import LipschitzModule

SIZES = (
    (2, 8, 8, 4, 4, 3),
    (3, 6, 10, 5, 8, 3),
    (2, 7, 9, 8, 3, 3),
    (2, 8, 6, 3, 7, 5),
    (2, 5, 7, 1, 4, 3),
    (1, 2, 2, 4, 4, 3),
    (2, 1, 3, 3, 2, 5),
    (2, 4, 4, 6, 6, 1),
    (2, 4, 4, 9, 4, 1),
    (3, 1, 1, 5, 7, 1),
)
FIELDS = ("batch", "height", "width", "in_channels", "out_channels", "kernel_size")
SHAPES = [ConvShape(**dict(zip(FIELDS, size, strict=True)), padding=p) for size in SIZES for p in ("circular", "zeros")]


def shape_id(shape):
    return "-".join(str(getattr(shape, name)) for name in (*FIELDS, "padding"))


def layer_of(method, shape, stride=1) -> LipschitzModule:
    torch.manual_seed(0)
    channels = shape.in_channels // stride**2, shape.out_channels
    return method.conv2d(*channels, shape.kernel_size, stride=stride, padding_mode=shape.padding)


@torch.no_grad()
def counted(layer, shape) -> tuple[int, int, int]:
    """Multiply-accumulates of a forward pass in training and in eval mode, and of a construction."""
    image = layer.inner_image((shape.height * layer.stride, shape.width * layer.stride))
    x = torch.randn(shape.batch, layer.in_channels, shape.height * layer.stride, shape.width * layer.stride)
    raw = tuple(tensor[None] for tensor in layer.train().raw())
    construction = count_macs(lambda: layer.construct(raw, image))
    weights = tuple(tensor[0] for tensor in layer.construct(raw, image))
    training = count_macs(lambda: layer(x, weights))
    layer.eval()(x)
    return training, count_macs(lambda: layer(x)), construction


@pytest.mark.parametrize("shape", SHAPES, ids=shape_id)
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_formula_counts_what_runs(method, shape):
    cost = method.cost(shape)
    assert (cost.training, cost.inference, cost.construction) == counted(layer_of(method, shape), shape)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_strided_layer_costs_what_its_inner_layer_costs(method):
    shape = ConvShape(batch=2, height=3, width=4, in_channels=8, out_channels=5, kernel_size=3, padding="zeros")
    cost = method.cost(shape)
    assert (cost.training, cost.inference, cost.construction) == counted(layer_of(method, shape, stride=2), shape)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_linear_layer_costs_what_a_1x1_convolution_costs(method):
    shape = ConvShape(batch=3, height=1, width=1, in_channels=5, out_channels=7, kernel_size=1, padding="zeros")
    layer, x = method.linear(5, 7).eval(), torch.randn(3, 5)
    with torch.no_grad():
        layer(x)
        assert count_macs(lambda: layer(x)) == method.cost(shape).inference


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_network_costs_the_sum_of_its_layers(method):
    torch.manual_seed(0)
    model = ConvNet(method, size=4, classes=3, image=(1, 8, 8))
    costs = [method.cost(shape) for shape in model.conv_shapes(2)]
    x = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        construction = count_macs(model.construct)
        training = count_macs(lambda: model(x))
        model.eval()(x)
        assert count_macs(lambda: model(x)) == sum(cost.inference for cost in costs)
    assert construction == sum(cost.construction for cost in costs)
    assert training == construction + sum(cost.training for cost in costs)
