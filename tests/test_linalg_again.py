"""Backward passes by hand under transforms that the graph was not made in: gradients in batches, by both of torch's."""

from itertools import chain, combinations

import pytest
import torch
from torch.autograd import forward_ad

from onelip.linalg.convolve import circular_pad, convolve
from onelip.linalg.correlation import absolute_correlation
from onelip.linalg.series import convolution_series
from onelip.linalg.spectral import apply_spectral
from onelip.nn.activations import MaxMin

X, KERNEL, BIAS = (2, 4, 5, 6), (4, 4, 3, 3), (4,)
BY_HAND = {
    "circular convolution": (lambda x, kernel, bias: convolve(x, kernel, bias, "circular"), (X, KERNEL, BIAS)),
    "sums of a correlation": (absolute_correlation, (KERNEL,)),
    "series": (lambda x, kernel: convolution_series(x, kernel, 4, "zeros"), (X, KERNEL)),
    "spectral convolution": (lambda x, planes: apply_spectral(x, planes, (5, 6)), (X, (2, 20, 4, 4))),
    "activation": (MaxMin(), (X,)),
    "padding": (lambda x: circular_pad(x, 1), (X,)),
}
CASES = [
    (name, wanted)
    for name, (_, shapes) in BY_HAND.items()
    for wanted in chain.from_iterable(combinations(range(len(shapes)), count) for count in range(1, len(shapes) + 1))
]
"""Every nonempty choice of tensors that require a gradient: images are mostly data."""


def close(found, expected):
    """Up to rounding of the largest numbers: sums of terms that cancel have no better."""
    difference = (found - expected).detach().abs().max()
    return difference <= 100 * torch.finfo(found.dtype).eps * expected.abs().max()


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("name", "wanted"), CASES)
def test_gradients_in_batches_and_recorded_ones(name, wanted, form, dtype):
    function, shapes = BY_HAND[name]
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(*shape, dtype=dtype, generator=generator) for shape in shapes]
    tensors[0] = tensors[0].contiguous(memory_format=form)
    asked = [tensors[index].requires_grad_() for index in wanted]
    y = function(*tensors)
    directions = torch.randn(3, *y.shape, dtype=dtype, generator=generator)

    def gradients(direction, **options):
        return torch.autograd.grad(y, asked, direction, retain_graph=True, **options)

    each = [gradients(direction) for direction in directions]
    expected = [torch.stack(those) for those in zip(*each, strict=True)]
    for found in (torch.func.vmap(gradients)(directions), gradients(directions, is_grads_batched=True)):
        for one, other in zip(found, expected, strict=True):
            assert close(one, other)
    for one, other in zip(gradients(directions[0], create_graph=True), each[0], strict=True):
        assert close(one, other)


@pytest.mark.parametrize(("name", "wanted"), CASES)
def test_recorded_gradients_in_batches_can_be_differentiated(name, wanted):
    """Squares, so that linear functions count."""
    function, shapes = BY_HAND[name]
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(*shape, dtype=torch.float64, generator=generator) for shape in shapes]
    asked = [tensors[index].requires_grad_() for index in wanted]
    y = function(*tensors).square()
    directions = torch.randn(3, *y.shape, dtype=torch.float64, generator=generator)

    def gradients(direction, **options):
        return torch.autograd.grad(y, asked, direction, retain_graph=True, create_graph=True, **options)

    def derivatives(batches):
        return torch.autograd.grad(sum(batch.sin().sum() for batch in batches), asked, retain_graph=True)

    one_by_one = [torch.stack(those) for those in zip(*map(gradients, directions), strict=True)]
    expected, found = derivatives(one_by_one), derivatives(gradients(directions, is_grads_batched=True))
    for one, other in zip(found, expected, strict=True):
        assert close(one, other)


@pytest.mark.filterwarnings("ignore:`torch.jit.* is deprecated")
@pytest.mark.parametrize(("name", "wanted"), CASES)
def test_all_ways_to_second_derivatives_agree(name, wanted):
    """Recorded gradients, one by one and in batches of both kinds, and the forward mode, also of itself."""
    function, shapes = BY_HAND[name]
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(*shape, dtype=torch.float64, generator=generator) for shape in shapes]
    asked = tuple(tensors[index] for index in wanted)
    along = tuple(torch.randn(one.shape, dtype=torch.float64, generator=generator) for one in asked)

    def energy(*asked):
        given = [*tensors]
        for index, one in zip(wanted, asked, strict=True):
            given[index] = one
        return function(*given).sin().sum()

    def derivative(*at):
        return torch.func.jvp(energy, at, along)[1]

    hessian = torch.autograd.functional.hessian(energy, asked)
    product = torch.autograd.functional.hvp(energy, asked, along)[1]
    for options in ({}, {"outer_jacobian_strategy": "forward-mode"}):
        found = torch.autograd.functional.hessian(energy, asked, vectorize=True, **options)
        for rows, expected in zip(found, hessian, strict=True):
            assert all(close(*pair) for pair in zip(rows, expected, strict=True))
    expected = sum((one * other).sum() for one, other in zip(product, along, strict=True))
    assert close(torch.func.jvp(derivative, asked, along)[1], expected)
    for found, expected in zip(torch.func.grad(derivative, tuple(range(len(asked))))(*asked), product, strict=True):
        assert close(found, expected)


@pytest.mark.filterwarnings("ignore:`torch.jit.* is deprecated")
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", BY_HAND)
def test_gradients_along_a_tangent(name, order):
    """Of a graph that was made outside of the forward mode: they are linear in the direction."""
    function, shapes = BY_HAND[name]
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(*shape, dtype=torch.float64, generator=generator, requires_grad=True) for shape in shapes]
    y = function(*tensors)
    if order == 2:
        y = y.square()
        gradients = torch.autograd.grad(y, tensors, torch.ones_like(y), create_graph=True)
        y = torch.cat([gradient.sin().flatten() for gradient in gradients])
    direction, tangent = (torch.randn(y.shape, dtype=torch.float64, generator=generator) for _ in range(2))
    expected = torch.autograd.grad(y, tensors, tangent, retain_graph=True)
    with forward_ad.dual_level():
        found = torch.autograd.grad(y, tensors, forward_ad.make_dual(direction, tangent))
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(forward_ad.unpack_dual(one).tangent, other)
