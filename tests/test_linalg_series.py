"""The series of a convolution: the lean way and the plain one agree, in value and in every derivative."""

import pytest
import torch

from onelip.bench.measure.memory import peak_bytes
from onelip.linalg import series
from onelip.linalg.series import convolution_series, series_by_terms

PADDINGS = ["circular", "zeros"]
SHIPPED_PART, SHIPPED_KEPT = series.PART, series.KEPT


def problem(batch=5, channels=3, image=(4, 5), size=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, channels, *image, dtype=dtype, generator=generator)
    kernel = 0.3 * torch.randn(channels, channels, size, size, dtype=dtype, generator=generator)
    return x.requires_grad_(), kernel.requires_grad_()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(series, "PART", 2 * 3 * 4 * 5)  # two images at a time, and one that is left
    monkeypatch.setattr(series, "KEPT", 2 * 4 * 5)  # two terms


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("degree", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("kept", [0, 2, 9])
def test_both_ways_agree(padding, degree, size, kept, monkeypatch):
    monkeypatch.setattr(series, "KEPT", kept * 4 * 5)
    x, kernel = problem(size=size)
    found, expected = (way(x, kernel, degree, padding) for way in (convolution_series, series_by_terms))
    assert type(found.grad_fn).__name__ == "_SeriesBackward"
    torch.testing.assert_close(found, expected)
    direction = torch.randn_like(expected)
    derivatives = [torch.autograd.grad(y, (x, kernel), direction) for y in (found, expected)]
    for one, other in zip(*derivatives, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("padding", PADDINGS)
def test_each_derivative_alone_and_second_ones(padding):
    x, kernel = problem(batch=3, channels=2, image=(3, 3))
    both = torch.autograd.grad(convolution_series(x, kernel, 3, padding).sin().sum(), (x, kernel))
    (of_x,) = torch.autograd.grad(convolution_series(x, kernel.detach(), 3, padding).sin().sum(), x)
    (of_kernel,) = torch.autograd.grad(convolution_series(x.detach(), kernel, 3, padding).sin().sum(), kernel)
    torch.testing.assert_close(both, (of_x, of_kernel))
    assert torch.autograd.gradgradcheck(lambda x, kernel: convolution_series(x, kernel, 3, padding), (x, kernel))
    assert torch.autograd.gradcheck(
        lambda x, kernel: convolution_series(x, kernel, 3, padding), (x, kernel), check_batched_grad=True
    )


@pytest.mark.filterwarnings("ignore:`torch.jit.* is deprecated")
def test_transforms_take_the_plain_way_and_autocast_the_lean_one():
    x, kernel = problem(dtype=torch.float32)
    x, kernel = x.detach(), kernel.detach()

    def energy(kernel, image):
        return convolution_series(image[None], kernel, 3, "zeros").square().sum()

    each = torch.func.vmap(torch.func.grad(energy), in_dims=(None, 0))(kernel, x)
    together = torch.func.grad(lambda kernel: convolution_series(x, kernel, 3, "zeros").square().sum())(kernel)
    torch.testing.assert_close(each.sum(0), together, rtol=1e-4, atol=1e-4)
    for padding in PADDINGS:
        _, tangent = torch.func.jvp(lambda x, padding=padding: convolution_series(x, kernel, 3, padding), (x,), (x,))
        torch.testing.assert_close(tangent, series_by_terms(x, kernel, 3, padding), msg="it is linear in x")
    with torch.autocast("cpu", torch.bfloat16):
        found = convolution_series(x, kernel.requires_grad_(), 3, "zeros")
    assert type(found.grad_fn).__name__ == "_SeriesBackward"
    assert found.dtype == torch.bfloat16
    expected = series_by_terms(x, kernel, 3, "zeros")
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.05)
    gradients = (torch.autograd.grad(y.float().sum(), kernel)[0] for y in (found, expected))
    torch.testing.assert_close(*gradients, rtol=0.05, atol=0.5)


def test_a_derivative_keeps_its_precision_where_the_backward_pass_runs_under_autocast():
    x, kernel = problem(dtype=torch.float32)
    y = convolution_series(x, kernel, 3, "zeros")
    expected = torch.autograd.grad(y.sum(), (x, kernel), retain_graph=True)
    total = y.sum()
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(total, (x, kernel))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_the_backward_pass_keeps_the_images_alone(monkeypatch):
    """The plain way keeps an image for each term; ours those of a part, of the size that is shipped."""
    monkeypatch.setattr(series, "PART", SHIPPED_PART)
    x, kernel = problem(
        batch=8 * SHIPPED_PART // (16 * 16**2), channels=16, image=(16, 16), size=1, dtype=torch.float32
    )

    def step(way):
        torch.autograd.grad(way(x, kernel, 8, "zeros").sum(), (x, kernel))

    lean, plain = (
        peak_bytes(lambda way=way: step(way), device="cpu", alive=[x, kernel])
        for way in (convolution_series, series_by_terms)
    )
    assert lean < 4.5 * x.nbytes < 9 * x.nbytes < plain


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_memory_format_is_kept_and_empty_batches_stay_empty(channels_last):
    form = torch.channels_last if channels_last else torch.contiguous_format
    x, kernel = (tensor.detach() for tensor in problem())
    assert convolution_series(x.contiguous(memory_format=form), kernel, 3, "zeros").is_contiguous(memory_format=form)
    empty = convolution_series(x[:0], kernel.requires_grad_(), 3, "zeros")
    assert empty.shape == (0, 3, 4, 5)
    assert torch.autograd.grad(empty.sum(), kernel)[0].abs().sum() == 0


def test_recorded_gradients_know_paths_that_are_not_theirs():
    """The same kernel twice, and a kernel that is a function of the images: each path counts once."""
    x, kernel = problem(channels=2)

    def twice(way):
        return way(way(x, kernel, 4, "circular"), kernel, 4, "circular").square().sum()

    def of_x(way):
        return way(x, kernel * x.mean(), 3, "zeros").square().sum()

    for loss in (twice, of_x):
        recorded = torch.autograd.grad(loss(convolution_series), (x, kernel), create_graph=True)
        expected = torch.autograd.grad(loss(series_by_terms), (x, kernel))
        for one, other in zip(recorded, expected, strict=True):
            torch.testing.assert_close(one, other)


def test_hooks_of_the_images_run_once():
    x, kernel = problem()
    calls = []
    hidden = x * 1
    hidden.register_hook(lambda gradient: calls.append(1))
    torch.autograd.grad(convolution_series(hidden, kernel, 3, "zeros").sum(), x, create_graph=True)
    assert len(calls) == 1


def test_no_term_is_computed_again_for_the_images_alone(monkeypatch):
    calls = []
    convolve = series.convolve
    x, kernel = problem(batch=2)
    y = convolution_series(x, kernel.detach(), 5, "zeros")
    monkeypatch.setattr(series, "convolve", lambda *arguments: calls.append(1) or convolve(*arguments))
    torch.autograd.grad(y.sum(), x)
    assert len(calls) == 5


@pytest.mark.parametrize(("image", "kept"), [((4, 4), 4), ((8, 8), 2), ((8, 16), 1), ((16, 16), 0)])
def test_terms_of_small_images_are_kept_and_not_computed_again(image, kept, monkeypatch):
    monkeypatch.setattr(series, "KEPT", SHIPPED_KEPT)
    calls = []
    convolve = series.convolve
    x, kernel = problem(batch=2, image=image)
    monkeypatch.setattr(series, "PART", x.numel())
    y = convolution_series(x, kernel, 5, "zeros")
    assert len(y.grad_fn.saved_tensors) == 2 + kept
    assert convolution_series(x, kernel.detach(), 5, "zeros").grad_fn.saved_tensors[2:] == ()
    monkeypatch.setattr(series, "convolve", lambda *arguments: calls.append(1) or convolve(*arguments))
    torch.autograd.grad(y.sum(), (x, kernel))
    assert len(calls) == 4 - kept + 5  # terms again, and gradients
