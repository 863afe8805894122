"""Kernels against dense operators: spectra, paddings, transposes, compositions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onelip.linalg import conv

IMAGES = [(1, 1), (2, 3), (4, 4), (5, 8), (7, 7)]


def kernel(out_channels=3, in_channels=2, size=3, seed=0, batch=()):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, out_channels, in_channels, size, size, generator=generator, dtype=torch.float64)


def dense(function, channels, image):
    """The matrix of a linear map of images, column by column."""
    basis = torch.eye(channels * image[0] * image[1], dtype=torch.float64).unflatten(1, (channels, *image))
    return function(basis).flatten(1).T


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("size", [1, 3, 5])
def test_spectral_matrices_have_the_singular_values_of_the_circular_operator(image, size):
    weight = kernel(size=size)
    operator = dense(lambda x: conv.convolve(x, weight, None, "circular"), 2, image)
    half = torch.linalg.svdvals(conv.spectral_matrices(weight, image))
    height, width = image
    twice = [column not in (0, width / 2) for _ in range(height) for column in range(width // 2 + 1)]
    expected = torch.cat([half, half[torch.tensor(twice)]]).flatten().sort(descending=True).values
    torch.testing.assert_close(torch.linalg.svdvals(operator)[: len(expected)], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("padding", ["circular", "zeros"])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_transposed_convolution_is_the_adjoint(image, padding, size):
    weight = kernel(size=size)
    forward = dense(lambda x: conv.convolve(x, weight, None, padding), 2, image)
    backward = dense(lambda y: conv.convolve_transposed(y, weight, padding), 3, image)
    torch.testing.assert_close(backward, forward.T, rtol=1e-12, atol=1e-12)


def test_transposed_kernel_acts_as_the_adjoint_with_either_padding():
    weight = kernel(size=5)
    for padding in ("circular", "zeros"):
        forward = dense(lambda x, p=padding: conv.convolve(x, weight, None, p), 2, (6, 7))
        backward = dense(lambda y, p=padding: conv.convolve(y, conv.transpose_kernel(weight), None, p), 3, (6, 7))
        torch.testing.assert_close(backward, forward.T)


def test_self_correlation_is_the_kernel_of_the_operator_times_its_adjoint():
    weight, image = kernel(batch=(2,)), (9, 9)
    product = conv.self_correlation(weight)
    for index in range(2):
        operator = dense(lambda x, i=index: conv.convolve(x, weight[i], None, "circular"), 2, image)
        expected = dense(lambda x, i=index: conv.convolve(x, product[i], None, "circular"), 3, image)
        torch.testing.assert_close(operator @ operator.T, expected)


@given(padding=st.integers(0, 9), height=st.integers(1, 5), width=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_circular_padding_repeats_the_image(padding, height, width):
    x = torch.arange(height * width, dtype=torch.float64).view(1, 1, height, width)
    padded = conv.circular_pad(x, padding)
    for i in range(padded.shape[2]):
        for j in range(padded.shape[3]):
            assert padded[0, 0, i, j] == x[0, 0, (i - padding) % height, (j - padding) % width]


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("size", [1, 3, 5])
def test_zero_padding_is_a_compression_of_the_covering_torus(image, size):
    weight = kernel(size=size)
    torus = conv.torus(image, size, "zeros")
    zeros = dense(lambda x: conv.convolve(x, weight, None, "zeros"), 2, image)
    around = torch.nn.functional.pad

    def embedded(x):
        full = around(x, (0, torus[1] - image[1], 0, torus[0] - image[0]))
        return conv.convolve(full, weight, None, "circular")[..., : image[0], : image[1]]

    torch.testing.assert_close(dense(embedded, 2, image), zeros)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("padding", [1, 2, 3])
def test_circular_padding_and_its_derivatives_are_torchs(padding, memory_format):
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64).contiguous(memory_format=memory_format).requires_grad_()
    expected = torch.nn.functional.pad(x, (padding,) * 4, mode="circular")
    found = conv.circular_pad(x, padding)
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=memory_format)
    weight = torch.randn_like(expected)
    grads = [torch.autograd.grad((y * weight).sum(), x)[0] for y in (found, expected)]
    torch.testing.assert_close(*grads)
    assert torch.autograd.gradgradcheck(lambda x: conv.circular_pad(x, padding), (x,))
