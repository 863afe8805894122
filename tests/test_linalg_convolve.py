"""Circular convolutions: the lean way and padded images agree, in value and in every derivative."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onelip.bench.measure.memory import peak_bytes
from onelip.linalg import convolve
from onelip.linalg.convolve import convolve_padded


def circular(x, kernel, bias=None):
    return convolve.convolve(x, kernel, bias, "circular")


def problem(batch=3, channels=(3, 2), image=(4, 5), size=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, channels[1], *image, dtype=dtype, generator=generator)
    kernel = torch.randn(*channels, size, size, dtype=dtype, generator=generator)
    bias = torch.randn(channels[0], dtype=dtype, generator=generator)
    return x.requires_grad_(), kernel.requires_grad_(), bias.requires_grad_()


@given(padding=st.integers(0, 9), height=st.integers(1, 5), width=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_circular_padding_repeats_the_image(padding, height, width):
    x = torch.arange(height * width, dtype=torch.float64).view(1, 1, height, width)
    padded = convolve.circular_pad(x, padding)
    for i in range(padded.shape[2]):
        for j in range(padded.shape[3]):
            assert padded[0, 0, i, j] == x[0, 0, (i - padding) % height, (j - padding) % width]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("padding", [1, 2, 3])
def test_circular_padding_and_its_derivatives_are_torchs(padding, memory_format):
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64).contiguous(memory_format=memory_format).requires_grad_()
    expected = torch.nn.functional.pad(x, (padding,) * 4, mode="circular")
    found = convolve.circular_pad(x, padding)
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=memory_format)
    weight = torch.randn_like(expected)
    grads = [torch.autograd.grad((y * weight).sum(), x)[0] for y in (found, expected)]
    torch.testing.assert_close(*grads)
    assert torch.autograd.gradgradcheck(lambda x: convolve.circular_pad(x, padding), (x,))


@pytest.mark.parametrize("image", [(4, 5), (1, 1), (2, 1)])
@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("count", [2, 3])
def test_both_ways_agree(image, size, count):
    tensors = problem(image=image, size=size)[:count]
    found, expected = circular(*tensors), convolve_padded(*tensors)
    assert type(found.grad_fn).__name__ == "_CircularConvolutionBackward"
    assert torch.equal(found, expected)
    direction = torch.randn_like(expected)
    derivatives = (torch.autograd.grad(y, tensors, direction) for y in (found, expected))
    for one, other in zip(*derivatives, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_each_derivative_alone(wanted):
    tensors = problem()
    expected = torch.autograd.grad(circular(*tensors).sin().sum(), tensors)[wanted]
    alone = [tensor if index == wanted else tensor.detach() for index, tensor in enumerate(tensors)]
    (found,) = torch.autograd.grad(circular(*alone).sin().sum(), tensors[wanted])
    assert torch.equal(found, expected)


def test_complex_images_have_the_derivatives_of_padded_ones():
    x, kernel, _ = (tensor.detach().to(torch.complex128) for tensor in problem())
    tensors = [(tensor * (1 + 0.5j)).requires_grad_() for tensor in (x, kernel)]
    direction = torch.randn(3, 3, 4, 5, dtype=torch.complex128)
    derivatives = (torch.autograd.grad(way(*tensors), tensors, direction) for way in (circular, convolve_padded))
    for one, other in zip(*derivatives, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.filterwarnings("ignore:`torch.jit.* is deprecated")
def test_derivatives_in_forward_mode():
    x, kernel, bias = (tensor.detach() for tensor in problem())
    _, tangent = torch.func.jvp(lambda x: circular(x, kernel, bias), (x,), (x,))
    torch.testing.assert_close(tangent, circular(x, kernel))
    gradient = torch.func.grad(lambda x: circular(x, kernel).square().sum())
    _, tangent = torch.func.jvp(gradient, (x,), (x,))
    torch.testing.assert_close(tangent, gradient(x))


def test_second_derivatives_and_derivatives_in_batches():
    tensors = problem(batch=2, channels=(2, 2), image=(3, 3))
    assert torch.autograd.gradgradcheck(circular, tensors)
    assert torch.autograd.gradcheck(circular, tensors, check_batched_grad=True)


def test_transforms_take_the_plain_way_and_autocast_the_lean_one():
    x, kernel, bias = (tensor.detach() for tensor in problem(dtype=torch.float32))

    def energy(kernel, image):
        return circular(image[None], kernel, bias).square().sum()

    each = torch.func.vmap(torch.func.grad(energy), in_dims=(None, 0))(kernel, x)
    together = torch.func.grad(lambda kernel: circular(x, kernel, bias).square().sum())(kernel)
    torch.testing.assert_close(each.sum(0), together, rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        found = circular(x, kernel.requires_grad_(), bias)
    assert type(found.grad_fn).__name__ == "_CircularConvolutionBackward"
    lower = (tensor.bfloat16() for tensor in (x, kernel, bias))
    assert torch.equal(found, convolve_padded(*lower))
    kernel = kernel.detach()
    meta = circular(x.to("meta"), kernel.to("meta"), bias.to("meta"))
    assert meta.shape == (3, 3, 4, 5)


def test_a_derivative_keeps_its_precision_where_the_backward_pass_runs_under_autocast():
    tensors = problem(dtype=torch.float32)
    total = circular(*tensors).sum()
    expected = torch.autograd.grad(total, tensors, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(total, tensors)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_the_backward_pass_keeps_no_margins():
    x, kernel, _ = problem(batch=64, channels=(8, 8), image=(4, 4))

    def graph(way):
        return peak_bytes(lambda: way(way(x, kernel), kernel), device="cpu", alive=[x, kernel])

    assert graph(circular) <= graph(convolve_padded) - x.nbytes


@pytest.mark.parametrize(("wanted", "convolutions"), [((0,), 1), ((1,), 1), ((2,), 0), ((0, 1), 2), ((0, 1, 2), 2)])
def test_no_derivative_is_taken_that_nobody_asks_for(wanted, convolutions, monkeypatch):
    calls = []
    for name in ("convolve_transposed", "kernel_gradient"):
        way = getattr(convolve, name)
        monkeypatch.setattr(convolve, name, lambda *arguments, way=way: calls.append(1) or way(*arguments))
    tensors = [tensor.requires_grad_(index in wanted) for index, tensor in enumerate(problem())]
    circular(*tensors).sum().backward()
    assert len(calls) == convolutions


def test_the_bias_may_change_before_the_backward_pass():
    """As with torch's own convolution, whose derivative does not know it either."""
    x, kernel, bias = problem()
    total = circular(x, kernel, bias).sum()
    with torch.no_grad():
        bias.add_(1)
    assert torch.autograd.grad(total, bias)[0].tolist() == [60] * 3


def test_a_gradient_takes_the_memory_format_of_the_images():
    x, kernel, _ = problem()
    x = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    y = circular(x, kernel)
    (gradient,) = torch.autograd.grad(y, x, torch.ones_like(y, memory_format=torch.contiguous_format))
    assert gradient.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_the_memory_format_is_kept_and_empty_batches_stay_empty(form):
    x, kernel, bias = problem()
    x = x.detach().contiguous(memory_format=form).requires_grad_()
    y = circular(x, kernel, bias)
    assert y.is_contiguous(memory_format=form)
    assert torch.autograd.grad(y, x, y.detach())[0].is_contiguous(memory_format=form)
    empty = circular(x[:0], kernel, bias)
    assert empty.shape == (0, 3, 4, 5)
    assert torch.autograd.grad(empty.sum(), kernel)[0].abs().sum() == 0


@pytest.mark.parametrize("padding", ["circular", "zeros"])
@pytest.mark.parametrize(("dtype", "largest"), [(torch.float64, 3), (torch.float32, 8)])
def test_in_float64_few_images_are_unfolded_at_a_time(padding, dtype, largest, monkeypatch):
    """What torch copies of them is new memory, which takes longer than the products where it is much."""
    x, kernel, bias = (tensor.detach().requires_grad_() for tensor in problem(batch=8, dtype=dtype))
    whole = convolve.convolve(x, kernel, bias, padding)
    counts, convolution = [], torch.nn.functional.conv2d

    def counted(images, *args, **kwargs):
        counts.append(len(images))
        return convolution(images, *args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "conv2d", counted)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    pixels = 6 * 7 if padding == "circular" else 4 * 5
    monkeypatch.setattr(convolve, "AT_ONCE", 8 * 2 * pixels * 9 * 3)
    parts = convolve.convolve(x, kernel, bias, padding)
    assert sum(counts) == 8
    assert max(counts) == largest
    torch.testing.assert_close(parts, whole, rtol=1e-6, atol=0)
    direction = torch.randn_like(whole)
    for one, other in zip(*(torch.autograd.grad(y, (x, kernel, bias), direction) for y in (parts, whole)), strict=True):
        torch.testing.assert_close(one, other)


def test_as_many_images_as_threads_are_unfolded_at_least(monkeypatch):
    x, kernel, bias = problem(batch=4)
    monkeypatch.setattr(convolve, "AT_ONCE", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(circular(x, kernel, bias), convolve_padded(x, kernel, bias))
    monkeypatch.setattr(torch, "cat", lambda parts: [len(part) for part in parts])
    assert convolve._convolve_in_parts(x, kernel, None) == [3, 1]
    monkeypatch.setattr(convolve, "AT_ONCE", 8 * 9 * x[0].numel() * 5)
    assert convolve._convolve_in_parts(x.repeat(4, 1, 1, 1), kernel, None) == [3, 3, 3, 3, 3, 1], "all threads have one"
    assert convolve._convolve_in_parts(x, kernel[:, :, :1, :1], None).shape == (4, 3, 4, 5), "of which none is copied"


def test_a_trace_by_proxies_or_by_jit_takes_batches_of_any_size(monkeypatch):
    """Where torch's own convolution does; circular padding makes images of the size that it is traced with."""
    from torch.fx.experimental.proxy_tensor import make_fx

    monkeypatch.setattr(convolve, "AT_ONCE", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    x, kernel, bias = (tensor.detach() for tensor in problem(batch=7))

    def convolved(images):
        return convolve.convolve(images, kernel, bias, "zeros")

    expected = convolved(x)
    assert torch.equal(make_fx(convolved)(x[:4])(x), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(convolved, (x[:4],))
    assert torch.equal(traced(x), expected)
