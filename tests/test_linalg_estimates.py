"""Estimates of norms lie below the truth and close to it, whatever the shape, the rank and the scale."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onelip.linalg import conv, estimates, operators

ROUNDING = 1e-6


def random(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def norms_on(kernels, around):
    """By the singular values of all spectral matrices, in double precision."""
    return torch.linalg.svdvals(conv.spectral_matrices(kernels.double(), around)).amax((-2, -1))


def of_rank(count, channels, rank):
    left, right = random(count, channels, rank, seed=1), random(count, rank, channels, 3, 3, seed=2)
    return torch.einsum("nor,nrikl->noikl", left, right)


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), seed=st.integers(0, 10**6), exponent=st.integers(-15, 15))
@settings(max_examples=60, deadline=None)
def test_of_small_matrices_it_is_the_norm(rows, columns, seed, exponent):
    """Where the largest singular values lie close together, the 256th power tells them apart up to 1 %."""
    stack = 10.0**exponent * random(3, rows, columns, seed=seed)
    truth = torch.linalg.matrix_norm(stack.double(), 2)
    ratio = estimates.norm_estimate(stack).double() / truth
    assert (ratio <= 1 + ROUNDING).all()
    assert (ratio >= 0.99).all()
    assert ratio.max() >= 1 - 1e-3


@pytest.mark.filterwarnings("ignore:`torch.jit.* is deprecated")
@pytest.mark.parametrize(
    "norm",
    [
        lambda kernel: estimates.norm_estimate(kernel.flatten(1)),
        lambda kernel: estimates.conv_norm_estimate(kernel, (4, 5), "zeros"),
    ],
)
def test_the_derivative_is_that_of_the_norm_and_a_second_one_is_refused(norm):
    """Forward and backward; a second derivative lacks the motion of the singular vectors, however it is taken."""
    kernel, tangent = random(3, 2, 3, 3, dtype=torch.float64), random(3, 2, 3, 3, seed=1, dtype=torch.float64)
    step = 1e-6
    slope = (norm(kernel + step * tangent) - norm(kernel - step * tangent)) / (2 * step)

    def gradient(kernel):
        kernel = kernel.clone().requires_grad_()
        return torch.autograd.grad(norm(kernel), kernel, create_graph=True)[0]

    def along(kernel):
        return torch.func.jvp(norm, (kernel,), (tangent,))[1]

    close = {"rtol": 1e-4, "atol": 0.0}
    torch.testing.assert_close((gradient(kernel) * tangent).sum(), slope, **close)
    torch.testing.assert_close(along(kernel), slope, **close)
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(norm))(kernel[None])[0], gradient(kernel).detach())
    kernel.requires_grad_()
    for second in (
        lambda: gradient(kernel).sum().backward(),
        lambda: torch.func.grad(lambda kernel: along(kernel).sum())(kernel),
        lambda: torch.func.jvp(along, (kernel,), (tangent,)),
    ):
        with pytest.raises(RuntimeError, match="has no second derivative"):
            second()
    with pytest.raises(NotImplementedError, match="jvp"):
        torch.func.jvp(torch.func.grad(norm), (kernel,), (tangent,))


@pytest.mark.parametrize("shape", [(64, 64), (128, 32), (32, 128), (256, 256)])
def test_of_large_matrices_it_is_close(shape):
    stack = random(10, *shape)
    ratio = estimates.norm_estimate(stack).double() / torch.linalg.matrix_norm(stack.double(), 2)
    assert (ratio <= 1 + ROUNDING).all()
    assert (ratio >= 0.97).all()


def test_it_starts_orthogonal_to_nothing_simple():
    size = 8
    index = torch.arange(size)
    simple = [torch.cos(torch.pi * step * (index + 0.5) / size) for step in range(size)] + list(torch.eye(size))
    simple += [torch.eye(size)[0] - torch.eye(size)[step] for step in range(1, size)]
    stack = torch.stack([torch.outer(random(size), direction / direction.norm()) for direction in simple])
    torch.testing.assert_close(estimates.norm_estimate(stack), random(size).norm().expand(len(stack)))


SMALL_KERNELS = {
    "one channel": random(2000, 1, 1, 3, 3),
    "two channels": random(2000, 2, 2, 3, 3),
    "three channels": random(2000, 3, 3, 3, 3),
    "rank one": of_rank(1000, 4, 1),
    "rank two": of_rank(500, 8, 2),
    "many of one channel": of_rank(30, 64, 1),
    "repeated": torch.einsum("ab,noikl->naobikl", torch.eye(4), random(500, 2, 2, 3, 3)).flatten(1, 2).flatten(2, 3),
    "wide": random(500, 2, 5, 3, 3),
    "tall": random(500, 5, 2, 3, 3),
}


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("kind", list(SMALL_KERNELS))
def test_krylov_spaces_that_end_early_do_no_harm(kind, side):
    """An even torus has real spectral matrices among its complex ones, and kernels of one channel one step each."""
    kernels = SMALL_KERNELS[kind]
    ratio = estimates.conv_norm_estimate(kernels, (side, side), "circular").double() / norms_on(kernels, (side, side))
    assert (ratio <= 1 + ROUNDING).all()
    assert (ratio >= 0.98).all()


@pytest.mark.parametrize("padding", ["circular", "zeros"])
@pytest.mark.parametrize("image", [(1, 1), (2, 3), (4, 4), (8, 8)])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_it_is_the_norm_on_the_torus_of_its_padding(size, image, padding):
    kernels = random(20, 4, 3, size, size, seed=size)
    around = (1, 1) if size == 1 else conv.torus(image, size, padding)
    ratio = estimates.conv_norm_estimate(kernels, image, padding).double() / norms_on(kernels, around)
    assert (ratio <= 1 + ROUNDING).all()
    assert (ratio >= 0.995).all()


@pytest.mark.parametrize("channels", [16, 32, 64])
def test_with_many_channels_it_is_close(channels):
    kernels = random(4, channels, channels, 3, 3)
    ratio = estimates.conv_norm_estimate(kernels, (8, 8), "circular").double() / norms_on(kernels, (8, 8))
    assert (ratio <= 1 + ROUNDING).all()
    assert (ratio >= 0.97).all()


@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_it_scales_with_the_kernel(scale):
    kernels = random(3, 4, 4, 3, 3)
    found = estimates.conv_norm_estimate(scale * kernels, (6, 6), "zeros") / scale
    torch.testing.assert_close(found, estimates.conv_norm_estimate(kernels, (6, 6), "zeros"))


def test_zeros_have_no_norm_and_a_finite_derivative():
    for size in (1, 3):
        kernels = torch.zeros(2, 3, 3, size, size, requires_grad=True)
        norms = estimates.conv_norm_estimate(kernels, (6, 6), "circular")
        assert (norms == 0).all()
        assert torch.autograd.grad(norms.sum(), kernels)[0].isfinite().all()


@pytest.mark.parametrize("size", [1, 3])
def test_its_derivative_is_that_of_the_norm(size):
    kernels = random(3, 3, 4, size, size, dtype=torch.float64).requires_grad_()
    both = (way(kernels, (5, 6), "circular") for way in (estimates.conv_norm_estimate, operators.conv_norm_bound))
    torch.testing.assert_close(*(torch.autograd.grad(norm.sum(), kernels)[0] for norm in both), rtol=1e-5, atol=1e-5)


def test_nothing_of_the_search_is_recorded():
    norm = estimates.conv_norm_estimate(random(2, 4, 4, 3, 3).requires_grad_(), (6, 6), "circular")
    found, waiting = set(), [norm.grad_fn]
    while waiting:
        node = waiting.pop()
        found.add(node)
        waiting += [other for other, _ in node.next_functions if other is not None and other not in found]
    assert len(found) < 30


@pytest.mark.parametrize("size", [1, 3])
def test_transforms_see_one_kernel_or_many(size):
    kernels = random(3, 4, 4, size, size)

    def norm(kernel):
        return estimates.conv_norm_estimate(kernel, (6, 6), "circular")

    each = torch.func.vmap(torch.func.grad(norm))(kernels)
    torch.testing.assert_close(each, torch.func.grad(lambda kernels: norm(kernels).sum())(kernels))
    torch.testing.assert_close(norm(kernels[0]), norm(kernels)[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [1, 3])
def test_of_less_precise_kernels_it_is_as_good(size, dtype):
    kernels = random(3, 4, 4, size, size).to(dtype)
    found = estimates.conv_norm_estimate(kernels, (6, 6), "zeros")
    assert torch.equal(found, estimates.conv_norm_estimate(kernels.float(), (6, 6), "zeros"))
