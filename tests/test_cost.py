"""The cost formulas of every method count what its layers run, and what they hold in memory."""

import math
from dataclasses import asdict, replace

import pytest
import torch

from onelip.bench.formula import formula, value
from onelip.bench.measure.flops import count_macs
from onelip.bench.measure.memory import kept_bytes, peak_bytes
from onelip.bench.theory import QUANTITIES
from onelip.cost import ConvShape, Memory
from onelip.methods import METHODS
from onelip.models import ConvNet
from onelip.nn.base import LipschitzModule
from onelip.nn.spectral import SpectralConv2d

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


MEMORY_SIZES = (
    (4, 8, 8, 24, 24, 3),
    (4, 8, 8, 32, 20, 3),
    (4, 8, 8, 20, 32, 3),
    (2, 6, 10, 40, 72, 3),
    (2, 4, 4, 96, 96, 3),
    (2, 5, 4, 133, 70, 3),
    (2, 12, 12, 16, 16, 5),
    (64, 16, 16, 16, 16, 3),
    (8, 4, 4, 48, 48, 1),
    (8, 4, 4, 64, 40, 1),
    (8, 2, 2, 40, 64, 1),
    (2, 68, 66, 6, 8, 3),
)
MEMORY_SHAPES = [
    ConvShape(**dict(zip(FIELDS, size, strict=True)), padding=p) for size in MEMORY_SIZES for p in ("circular", "zeros")
]
CPU = torch.device("cpu")


def held(method, shape) -> Memory:
    """What a layer's tensors hold, in float32 numbers, counted."""
    layer = layer_of(method, shape).train()
    source = torch.randn(shape.batch, shape.in_channels, shape.height, shape.width, requires_grad=True)
    source = source.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    parameters = list(layer.parameters())

    def construct():
        return layer.construct(tuple(tensor[None] for tensor in layer.raw()), shape.image)

    given = tuple(tensor[0].detach().clone().requires_grad_() for tensor in construct())
    known = [*parameters, source, *given]
    # The input is nobody's but the layer's, and of its output only what leads to it is held.
    training = kept_bytes(lambda: layer(source * 1.0, given).grad_fn, device=CPU, alive=known)
    construction = kept_bytes(construct, device=CPU, alive=parameters)
    layer.eval()
    with torch.no_grad():
        weights = kept_bytes(construct, device=CPU, alive=parameters)
        given = tuple(tensor[0] for tensor in construct())
        known = [*parameters, source.detach(), *given]
        layer(source, given)  # makes tables
        own = sum({one.untyped_storage()._cdata: one.untyped_storage().nbytes() for one in known}.values())
        inference = peak_bytes(lambda: layer(source.detach(), given), device=CPU, alive=known) - own
    numbers = (training, construction, inference, weights)
    return Memory(**{name: size // 4 for name, size in zip(asdict(method.cost(shape).memory), numbers, strict=True)})


def negligible(shape) -> int:
    """Vectors of an entry per channel or side, and tables of an entry per pixel, of which formulas do not speak."""
    around = math.prod(side + 2 * (shape.kernel_size // 2) for side in shape.image)
    vectors = 16 * (shape.in_channels + shape.out_channels + shape.height + shape.width)
    return vectors + (3 * shape.kernel_size**2 + 4) * around


# With the padding of a method's paper always, with the other one where there is time.
HELD = [
    pytest.param(
        method,
        shape,
        id=f"{method.name}-{shape_id(shape)}",
        marks=() if shape.padding == method.padding else pytest.mark.full,
    )
    for method in METHODS.values()
    for shape in MEMORY_SHAPES
]


@pytest.mark.parametrize(("method", "shape"), HELD)
def test_formula_says_what_is_held(method, shape):
    said, found = asdict(method.cost(shape).memory), asdict(held(method, shape))
    for name, number in said.items():
        assert abs(found[name] - number) <= negligible(shape), (name, found[name], number)


LARGE = ConvShape(
    batch=512, height=1024, width=1024, in_channels=1024, out_channels=1024, kernel_size=3, padding="circular"
)
"""So large that nothing but leading terms counts."""

SPECTRAL = replace(LARGE, height=64, width=64, in_channels=64, out_channels=64)
"""The largest for which the formulas of methods that act per frequency are said: larger images are transformed, and
larger matrices inverted, otherwise."""


@pytest.mark.parametrize("method", [one for one in METHODS.values() if one.theory], ids=lambda one: one.name)
@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda one: one.key)
def test_leading_terms_are_those_of_the_exact_formulas(method, quantity):
    spectral = issubclass(method.conv2d, SpectralConv2d)
    shape, tolerance = (SPECTRAL, 0.1) if spectral else (LARGE, 0.01)
    text = getattr(method.theory, quantity.ours)
    assert value(text, shape) == pytest.approx(quantity.of(method.cost(shape)), rel=tolerance), formula(text)
