"""Self-correlations against dense operators; absolute sums by the lean way and by torch, in every derivative."""

import pytest
import torch

from onelip.linalg import correlation
from onelip.linalg.convolve import convolve
from onelip.linalg.correlation import absolute_correlation, absolute_sums


def kernels(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).requires_grad_()


def matrix_of(kernel, image):
    """The circular convolution with a kernel on images of one size, column by column."""
    channels = kernel.shape[1]
    basis = torch.eye(channels * image[0] * image[1], dtype=torch.float64).unflatten(1, (channels, *image))
    return convolve(basis, kernel, None, "circular").flatten(1).T


def test_self_correlation_is_the_kernel_of_the_operator_times_its_adjoint():
    both, image = kernels(2, 3, 2, 3, 3).detach(), (9, 9)
    for kernel, product in zip(both, correlation.self_correlation(both), strict=True):
        operator = matrix_of(kernel, image)
        torch.testing.assert_close(operator @ operator.T, matrix_of(product, image))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 2, 3, 3), (2, 3, 2, 3, 3), (2, 2, 4, 4, 1, 1), (1, 2, 5, 5, 5)])
def test_both_ways_agree(shape, dtype):
    kernel = kernels(*shape, dtype=dtype)
    found, expected = absolute_correlation(kernel), absolute_sums(kernel)
    made_by = found.grad_fn, found.grad_fn.next_functions[0][0]
    assert "_AbsoluteSumsBackward" in {type(node).__name__ for node in made_by}
    torch.testing.assert_close(found, expected)
    direction = torch.randn_like(expected)  # no symmetric one
    torch.testing.assert_close(*(torch.autograd.grad(y, kernel, direction)[0] for y in (found, expected)))


def test_float32_and_float64_speak_of_one_operator():
    kernel = kernels(2, 3, 4, 3, 3)
    torch.testing.assert_close(
        correlation.self_correlation(kernel.float()).double(),
        correlation.self_correlation(kernel),
        rtol=1e-5,
        atol=1e-5,
    )


def test_second_derivatives_and_derivatives_in_batches():
    kernel = kernels(2, 3, 2, 3, 3)
    assert torch.autograd.gradgradcheck(absolute_correlation, (kernel,))
    assert torch.autograd.gradcheck(absolute_correlation, (kernel,), check_batched_grad=True)


def test_transforms_and_autocast_take_the_plain_way():
    kernel = kernels(2, 3, 2, 3, 3).detach()
    each = torch.func.vmap(torch.func.grad(lambda one: absolute_correlation(one).sin().sum()))(kernel)
    together = torch.func.grad(lambda all_: absolute_correlation(all_).sin().sum())(kernel)
    torch.testing.assert_close(each, together)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(absolute_correlation(kernel), absolute_sums(kernel))


def test_a_derivative_keeps_its_precision_where_the_backward_pass_runs_under_autocast():
    kernel = kernels(2, 3, 2, 3, 3, dtype=torch.float32)
    total = absolute_correlation(kernel).sum()
    (expected,) = torch.autograd.grad(total, kernel, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = torch.autograd.grad(total, kernel)
    assert torch.equal(found, expected)
