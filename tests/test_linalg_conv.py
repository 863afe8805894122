"""Kernels against dense operators: spectra, paddings, transposes, compositions."""

import pytest
import torch

from onelip.linalg import conv, convolve

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
    operator = dense(lambda x: convolve.convolve(x, weight, None, "circular"), 2, image)
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
    forward = dense(lambda x: convolve.convolve(x, weight, None, padding), 2, image)
    backward = dense(lambda y: convolve.convolve_transposed(y, weight, padding), 3, image)
    torch.testing.assert_close(backward, forward.T, rtol=1e-12, atol=1e-12)


def test_transposed_kernel_acts_as_the_adjoint_with_either_padding():
    weight = kernel(size=5)
    for padding in ("circular", "zeros"):
        forward = dense(lambda x, p=padding: convolve.convolve(x, weight, None, p), 2, (6, 7))
        backward = dense(lambda y, p=padding: convolve.convolve(y, conv.transpose_kernel(weight), None, p), 3, (6, 7))
        torch.testing.assert_close(backward, forward.T)


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("size", [1, 3, 5])
def test_zero_padding_is_a_compression_of_the_covering_torus(image, size):
    weight = kernel(size=size)
    torus = conv.torus(image, size, "zeros")
    zeros = dense(lambda x: convolve.convolve(x, weight, None, "zeros"), 2, image)
    around = torch.nn.functional.pad

    def embedded(x):
        full = around(x, (0, torus[1] - image[1], 0, torus[0] - image[0]))
        return convolve.convolve(full, weight, None, "circular")[..., : image[0], : image[1]]

    torch.testing.assert_close(dense(embedded, 2, image), zeros)
