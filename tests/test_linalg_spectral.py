"""Convolutions given by their spectral matrices: products and the library's transforms agree, and so do derivatives."""

import io

import pytest
import torch

from onelip.linalg import spectral
from onelip.linalg.conv import convolve, spectral_matrices
from onelip.linalg.spectral import apply_by_library, apply_spectral

TORI = [((1, 1), (1, 1)), ((8, 8), (8, 8)), ((5, 4), (5, 4)), ((4, 4), (6, 6)), ((3, 6), (5, 9)), ((1, 1), (3, 3))]


def problem(image, around, batch=3, channels=(4, 2), dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, channels[1], *image, dtype=dtype, generator=generator)
    planes = torch.randn(2, around[0] * (around[1] // 2 + 1), *channels, dtype=dtype, generator=generator)
    return x.requires_grad_(), planes.requires_grad_()


@pytest.mark.parametrize("image", [(1, 1), (2, 3), (5, 4), (8, 8)])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_applying_spectral_matrices_is_the_circular_convolution(image, size):
    generator = torch.Generator().manual_seed(size)
    kernel = torch.randn(3, 2, size, size, dtype=torch.float64, generator=generator)
    x, matrices = torch.randn(4, 2, *image, dtype=torch.float64), spectral_matrices(kernel, image)
    result = apply_spectral(x, torch.stack([matrices.real, matrices.imag]), image)
    torch.testing.assert_close(result, convolve(x, kernel, None, "circular"), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("image", "around"), TORI)
def test_products_and_the_librarys_transforms_agree(image, around, monkeypatch):
    monkeypatch.setattr(spectral, "CHUNK", 1)  # four images at a time, and one that is left
    x, planes = problem(image, around, batch=9)
    found, expected = apply_spectral(x, planes, around), apply_by_library(x, planes, around)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(expected)
    derivatives = [torch.autograd.grad((y * weights).sum(), (x, planes)) for y in (found, expected)]
    for one, other in zip(*derivatives, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


def test_each_derivative_alone_is_that_of_both():
    x, planes = problem((4, 5), (6, 7))
    both = torch.autograd.grad(apply_spectral(x, planes, (6, 7)).sin().sum(), (x, planes))
    (of_x,) = torch.autograd.grad(apply_spectral(x, planes.detach(), (6, 7)).sin().sum(), x)
    (of_planes,) = torch.autograd.grad(apply_spectral(x.detach(), planes, (6, 7)).sin().sum(), planes)
    torch.testing.assert_close(both, (of_x, of_planes))


def test_it_has_second_derivatives_and_transforms():
    around = (3, 5)
    x, planes = problem((3, 4), around, batch=2, channels=(2, 1))
    assert torch.autograd.gradgradcheck(lambda x, planes: apply_spectral(x, planes, around), (x, planes))

    def energy(planes, image):
        return apply_spectral(image[None], planes, around).square().sum()

    each = torch.func.vmap(torch.func.grad(energy), in_dims=(None, 0))(planes.detach(), x.detach())
    (together,) = torch.autograd.grad(apply_spectral(x, planes, around).square().sum(), planes)
    torch.testing.assert_close(each.sum(0), together)
    many = torch.stack([planes, 2 * planes]).detach()
    twice = torch.func.vmap(lambda planes: apply_spectral(x, planes, around))(many)
    torch.testing.assert_close(twice[1], 2 * twice[0])


@pytest.mark.parametrize("channels_last", [False, True])
def test_it_keeps_the_memory_format(channels_last):
    x, planes = problem((4, 4), (4, 4), channels=(3, 2))
    form = torch.channels_last if channels_last else torch.contiguous_format
    y = apply_spectral(x.detach().contiguous(memory_format=form), planes.detach(), (4, 4))
    assert y.is_contiguous(memory_format=form)


def test_empty_batches_stay_empty():
    x, planes = problem((4, 4), (6, 6), batch=0)
    y = apply_spectral(x, planes, (6, 6))
    assert y.shape == (0, 4, 4, 4)
    assert torch.autograd.grad(y.sum(), planes)[0].abs().sum() == 0


def test_large_float32_images_are_transformed_by_the_library(monkeypatch):
    """There products would cost more; certificates, in float64, always take products."""
    calls = []
    monkeypatch.setattr(spectral, "LARGEST", 4)
    monkeypatch.setattr(
        spectral, "apply_by_library", lambda *arguments: calls.append(1) or apply_by_library(*arguments)
    )
    for dtype, expected in ((torch.float32, 1), (torch.float64, 0)):
        x, planes = problem((5, 5), (5, 5), dtype=dtype)
        calls.clear()
        apply_spectral(x, planes, (5, 5))
        assert len(calls) == expected


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:`torch.jit.* is deprecated")
def test_a_traced_convolution_can_be_saved_and_takes_batches_of_any_size():
    x, planes = (tensor.detach() for tensor in problem((4, 4), (6, 6), batch=2, dtype=torch.float32))
    traced, file = torch.jit.trace(lambda x: apply_spectral(x, planes, (6, 6)), x), io.BytesIO()
    torch.jit.save(traced, file)
    file.seek(0)
    many = torch.randn(9, 2, 4, 4)
    torch.testing.assert_close(torch.jit.load(file)(many), apply_spectral(many, planes, (6, 6)), rtol=1e-4, atol=1e-5)
