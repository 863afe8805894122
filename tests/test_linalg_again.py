"""Backward passes by hand under transforms that the graph was not made in: gradients in batches, by both of torch's."""

import pytest
import torch

from onelip.linalg.convolve import convolve
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
}


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", list(BY_HAND))
def test_gradients_in_batches(name, form):
    function, shapes = BY_HAND[name]
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(*shape, dtype=torch.float64, generator=generator) for shape in shapes]
    tensors[0] = tensors[0].contiguous(memory_format=form)
    tensors = [tensor.requires_grad_() for tensor in tensors]
    y = function(*tensors)
    directions = torch.randn(3, *y.shape, dtype=torch.float64, generator=generator)

    def gradients(direction, **options):
        return torch.autograd.grad(y, tensors, direction, retain_graph=True, **options)

    expected = [torch.stack(each) for each in zip(*map(gradients, directions), strict=True)]
    for found in (torch.func.vmap(gradients)(directions), gradients(directions, is_grads_batched=True)):
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)
