"""Convolutions given by their spectral matrices: products and the library's transforms agree, and so do derivatives."""

import io
import weakref

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from onelip.linalg import fourier, spectral, spectral_products
from onelip.linalg.conv import spectral_matrices
from onelip.linalg.convolve import convolve
from onelip.linalg.fourier import distinct_count, distinct_frequencies, transform, transform_back
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


@pytest.mark.parametrize("width", range(1, 7))
@pytest.mark.parametrize("height", range(1, 7))
def test_matrices_of_distinct_frequencies_give_the_others(height, width):
    """No two of them are mirror images: there are as many as pairs of opposite frequencies."""
    kernel = torch.randn(3, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    distinct, place, mirrored = distinct_frequencies((height, width), kernel.device)
    matrices = spectral_matrices(kernel, (height, width), distinct)[place]
    found = torch.where(mirrored[:, None, None], matrices.conj(), matrices)
    torch.testing.assert_close(found, spectral_matrices(kernel, (height, width)))
    pairs = {frozenset([(p, q), (-p % height, -q % width)]) for p in range(height) for q in range(width)}
    assert len(distinct) == distinct_count((height, width)) == len(pairs)


@pytest.mark.parametrize(("image", "around"), TORI)
def test_products_and_the_librarys_transforms_agree(image, around, monkeypatch):
    monkeypatch.setattr(spectral_products, "CHUNK", 1)  # four images at a time, and one that is left
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
    found = torch.func.vmap(lambda planes: apply_spectral(x, planes, around))(many)
    torch.testing.assert_close(found, torch.stack([apply_spectral(x, one, around) for one in many]))


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
    assert torch.autograd.grad(y.sum(), planes, create_graph=True)[0].abs().sum() == 0


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


@pytest.mark.parametrize("of", [(0,), (1,), (0, 1)])
def test_gradients_come_in_batches(of):
    """`is_grads_batched` hides the batch; the gradients are those of one after the other."""
    tensors = problem((3, 4), (3, 5), batch=2)
    asked = [tensors[index] for index in of]
    y = apply_spectral(*tensors, (3, 5))
    basis = torch.eye(y.numel(), dtype=y.dtype).view(-1, *y.shape)
    together = torch.autograd.grad(y, asked, basis, is_grads_batched=True, retain_graph=True)
    each = zip(*(torch.autograd.grad(y, asked, one, retain_graph=True) for one in basis), strict=True)
    for found, expected in zip(together, each, strict=True):
        torch.testing.assert_close(found, torch.stack(expected))


@pytest.mark.filterwarnings("ignore:`torch.jit.* is deprecated")
def test_it_has_derivatives_in_forward_mode():
    x, planes = problem((3, 4), (3, 5), batch=2, channels=(2, 1))
    around = (3, 5)
    assert torch.autograd.gradcheck(
        lambda x, planes: apply_spectral(x, planes, around), (x, planes), check_forward_ad=True, check_batched_grad=True
    )

    def energy(x, planes):
        return apply_spectral(x, planes, around).square().sum()

    forward = torch.func.hessian(energy, argnums=1)(x.detach(), planes.detach())
    backward = torch.autograd.functional.hessian(lambda planes: energy(x.detach(), planes), planes.detach())
    torch.testing.assert_close(forward, backward)


def test_parameters_take_the_products_too(monkeypatch):
    """An attack may optimise the image as a parameter; what is proved of rounding speaks of the products."""
    monkeypatch.setattr(spectral, "apply_by_library", None)
    x, planes = problem((4, 4), (6, 6))
    asked = torch.nn.Parameter(x.detach()), torch.nn.Parameter(planes.detach())
    assert torch.equal(apply_spectral(*asked, (6, 6)), apply_spectral(x, planes, (6, 6)))


def test_what_a_fake_mode_made_is_not_kept():
    """Sines without numbers would be taken for those of later images."""
    size = (11, 13)
    x, planes = (tensor.detach() for tensor in problem(size, size))
    with FakeTensorMode(allow_non_fake_inputs=True):
        transform(x.new_zeros(*size, 1), size)
        transform_back(x.new_zeros(2, 11 * 7, 1), size, size)
    y = apply_spectral(x, planes, size)
    assert type(y) is torch.Tensor
    torch.testing.assert_close(y, apply_by_library(x, planes, size))


def test_gradients_in_batches_can_be_differentiated_again():
    x, planes = problem((3, 4), (3, 5), batch=1, channels=(2, 1))

    def energy(way):
        def apply(x):
            return way(x, planes, (3, 5))

        jacobian = torch.autograd.functional.jacobian(apply, x, create_graph=True, vectorize=True)
        return torch.autograd.grad(jacobian.square().sum(), planes)[0]

    try:
        expected = energy(apply_by_library)
    except RuntimeError as error:
        pytest.skip(f"this torch cannot do it with its own transforms either: {error}")
    torch.testing.assert_close(energy(apply_spectral), expected)


@pytest.fixture
def in_parts(monkeypatch):
    """Two images of two channels at a time."""
    monkeypatch.setattr(spectral_products, "CHUNK", 1)


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("of_x", [True, False])
def test_spectra_of_parts_have_second_derivatives(of_x):
    x, planes = problem((3, 4), (4, 5), batch=5, channels=(1, 2))
    assert type(apply_spectral(x, planes, (4, 5)).grad_fn).__name__ == "_ApplyAndKeepBackward"
    tensors = (x.requires_grad_(of_x), planes)
    assert torch.autograd.gradgradcheck(lambda x, planes: apply_spectral(x, planes, (4, 5)), tensors)


@pytest.mark.usefixtures("in_parts")
def test_recorded_gradients_know_paths_that_are_not_theirs():
    """The same matrices twice, and matrices that are a function of the images: each path counts once."""
    x, planes = problem((4, 4), (6, 6), batch=3, channels=(2, 2))

    def twice(way):
        return way(way(x, planes, (6, 6)), planes, (6, 6)).square().sum()

    def of_x(way):
        return way(x, planes * x.mean(), (6, 6)).square().sum()

    for loss in (twice, of_x):
        found = torch.autograd.grad(loss(apply_spectral), (x, planes), create_graph=True)
        expected = torch.autograd.grad(loss(apply_by_library), (x, planes), create_graph=True)
        again = [torch.autograd.grad(sum(g.sin().sum() for g in both), (x, planes)) for both in (found, expected)]
        for one, other in zip((*found, *again[0]), (*expected, *again[1]), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("in_parts")
def test_no_image_is_transformed_twice(monkeypatch):
    x, planes = problem((4, 4), (6, 6), batch=5, channels=(2, 2))
    calls = []
    monkeypatch.setattr(
        spectral_products, "transform", lambda *given: calls.append(given[0].shape) or transform(*given)
    )
    apply_spectral(x, planes, (6, 6)).sum().backward()
    assert len(calls) == 2 * 3  # images and gradients, of three parts each


@pytest.mark.usefixtures("in_parts")
def test_nothing_is_kept_and_transformed_for_gradients_that_nobody_asks_for(monkeypatch):
    x, planes = problem((4, 4), (6, 6), batch=5, channels=(2, 2))
    saved = apply_spectral(x, planes.detach(), (6, 6)).grad_fn.saved_tensors
    assert [None if tensor is None else tensor.shape for tensor in saved] == [None, planes.shape]
    y = apply_spectral(x.detach(), planes, (6, 6))
    monkeypatch.setattr(spectral_products, "transform_back", None)
    y.sum().backward()


def test_images_are_not_kept_for_the_backward_pass():
    x, planes = problem((4, 4), (6, 6))
    hidden = x * 2
    alive = weakref.ref(hidden.untyped_storage())
    assert alive() is not None
    y = apply_spectral(hidden, planes, (6, 6))
    del hidden
    assert alive() is None
    assert torch.autograd.grad(y.sum(), x)[0].isfinite().all()


@pytest.mark.parametrize("of_planes", [True, False])
@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_images_and_gradients_have_the_memory_format_of_the_images(form, of_planes):
    """Also where the gradient that comes has another; and in-place operations may follow."""
    x, planes = problem((4, 4), (6, 6))
    x = x.detach().contiguous(memory_format=form).requires_grad_()
    y = apply_spectral(x, planes.requires_grad_(of_planes), (6, 6))
    assert y.is_contiguous(memory_format=form)
    y.relu_()
    (gradient,) = torch.autograd.grad(y, x, torch.ones_like(y, memory_format=torch.contiguous_format))
    assert gradient.is_contiguous(memory_format=form)


def test_an_empty_batch_has_gradients_by_the_library_too():
    x, planes = problem((3, 4), (3, 4))
    for way in (apply_spectral, apply_by_library):
        gradients = torch.autograd.grad(way(x[:0], planes, (3, 4)).sum(), (x, planes))
        assert [one.shape for one in gradients] == [x.shape, planes.shape]
        assert all((one == 0).all() for one in gradients)


def test_tables_of_sines_are_kept_as_long_as_they_are_used(monkeypatch):
    monkeypatch.setattr(fourier, "CACHED", 2)
    made = []

    @fourier._cached
    def tables(size):
        made.append(size)
        return torch.zeros(size), torch.zeros(size)

    for size in (1, 2, 1, 3, 1):
        tables(size)
    assert made == [1, 2, 3]
    tables(2)
    assert made == [1, 2, 3, 2]
