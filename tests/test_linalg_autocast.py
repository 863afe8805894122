"""Derivatives that are written by hand keep their precision where a backward pass runs under autocast."""

import pytest
import torch

from onelip.linalg.operators import conv_norm_bound
from onelip.linalg.orthogonal import polar
from onelip.linalg.spectral import apply_spectral


def normal(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


FUNCTIONS = {
    "polar factor": (polar, (normal(3, 4),)),
    "polar factor of complex matrices": (polar, (normal(3, 4, dtype=torch.complex64),)),
    "norm": (lambda kernel: conv_norm_bound(kernel, (4, 4), "circular"), (normal(2, 2, 3, 3),)),
    "images": (lambda x: apply_spectral(x, normal(2, 12, 3, 2), (4, 4)), (normal(5, 2, 4, 4),)),
    "matrices": (lambda planes: apply_spectral(normal(5, 2, 4, 4), planes, (4, 4)), (normal(2, 12, 3, 2),)),
    "images and matrices": (
        lambda x, planes: apply_spectral(x, planes, (4, 4)),
        (normal(5, 2, 4, 4), normal(2, 12, 3, 2)),
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_derivative_is_the_same_under_autocast(name):
    function, inputs = FUNCTIONS[name]
    inputs = [tensor.requires_grad_() for tensor in inputs]
    result = function(*inputs)
    direction = normal(*result.shape, dtype=result.dtype)
    expected = torch.autograd.grad(result, inputs, direction, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(result, inputs, direction)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def test_second_derivatives_are_the_same_under_autocast():
    x, planes = normal(5, 2, 4, 4).requires_grad_(), normal(2, 12, 3, 2).requires_grad_()
    first = torch.autograd.grad(apply_spectral(x, planes, (4, 4)).square().sum(), (x, planes), create_graph=True)
    energy = sum(gradient.square().sum() for gradient in first)
    expected = torch.autograd.grad(energy, (x, planes), retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(energy, (x, planes))
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
