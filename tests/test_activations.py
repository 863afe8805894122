"""Activations against plain definitions: values, derivatives, distances."""

import pytest
import torch

from onelip import Abs, GroupSort, MaxMin
from onelip.errors import UnsupportedShapeError

SHAPES = [(5, 6), (5, 7), (5, 1), (2, 6, 3, 4), (2, 3, 1, 1)]


def reference(x):
    """MaxMin by sorting, as the definition reads."""
    even = x.shape[1] // 2 * 2
    pairs = x[:, :even].reshape(x.shape[0], even // 2, 2, *x.shape[2:])
    return torch.cat([pairs.sort(dim=2, descending=True).values.reshape(x[:, :even].shape), x[:, even:]], dim=1)


@pytest.mark.parametrize("shape", SHAPES)
def test_maxmin_is_sorting_of_pairs(shape):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    found, expected = MaxMin()(x), reference(x)
    assert torch.equal(found, expected)
    weight = torch.randn(shape, dtype=torch.float64)
    assert torch.equal(*(torch.autograd.grad((y * weight).sum(), x)[0] for y in (found, expected)))


def test_maxmin_has_second_derivatives_and_transforms():
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(MaxMin(), (x,))
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: MaxMin()(row[None])[0]))(x.detach())
    torch.testing.assert_close(jacobian @ jacobian.mT, torch.eye(4, dtype=torch.float64).expand(3, 4, 4))


@pytest.mark.parametrize("shape", [(3, 2, 4), (3, 2, 5), (3, 2, 5, 2, 2)])
def test_maxmin_of_a_batch_and_one_direction(shape):
    """The mask is of the batch, and the direction is not."""
    x, direction = torch.randn(shape, dtype=torch.float64), torch.randn(shape[1:], dtype=torch.float64)

    def gradient(way, x):
        return torch.func.vjp(way, x)[1](direction)[0]

    found = torch.func.vmap(lambda x: gradient(MaxMin(), x))(x)
    assert torch.equal(found, torch.stack([gradient(reference, one) for one in x]))


@pytest.mark.filterwarnings("ignore:`torch.jit.* is deprecated")
def test_maxmin_has_derivatives_in_forward_mode():
    x, tangent = (torch.randn(3, 5, dtype=torch.float64) for _ in range(2))
    for found, expected in zip(*(torch.func.jvp(way, (x,), (tangent,)) for way in (MaxMin(), reference)), strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.func.jacfwd(way)(x) for way in (MaxMin(), reference)))
    ties, one = torch.zeros(1, 2), torch.tensor([[1.0, 3.0]])
    assert torch.equal(torch.func.jvp(MaxMin(), (ties,), (one,))[1], one), "as its transpose, which exchanges nothing"
    assert torch.equal(torch.func.vjp(MaxMin(), ties)[1](one)[0], one)
    assert torch.func.jvp(MaxMin(), (torch.full((1, 2), float("nan")),), (one,))[0].isnan().all()
    x.requires_grad_()
    assert torch.autograd.gradcheck(MaxMin(), (x,), check_forward_ad=True)


def test_maxmin_keeps_the_memory_format():
    x = torch.randn(2, 6, 3, 4).contiguous(memory_format=torch.channels_last)
    assert MaxMin()(x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_gradients_of_maxmin_have_the_memory_format_of_its_images(form):
    x = torch.randn(2, 6, 3, 4).contiguous(memory_format=form).requires_grad_()
    y = MaxMin()(x)
    (gradient,) = torch.autograd.grad(y, x, torch.ones_like(y, memory_format=torch.contiguous_format))
    assert gradient.is_contiguous(memory_format=form)


def test_maxmin_passes_nan_on():
    assert MaxMin()(torch.tensor([[float("nan"), 1.0]])).isnan().any()


@pytest.mark.parametrize("activation", [MaxMin(), GroupSort(3), Abs()])
def test_activations_are_one_lipschitz(activation):
    x, y = torch.randn(2, 200, 6, 2, 2, dtype=torch.float64)
    apart = (activation(x) - activation(y)).flatten(1).norm(dim=1)
    assert (apart <= (x - y).flatten(1).norm(dim=1) * (1 + 1e-15)).all()
    close = x + 1e-6 * y
    ratio = (activation(x) - activation(close)).flatten(1).norm(dim=1) / (x - close).flatten(1).norm(dim=1)
    torch.testing.assert_close(ratio, torch.ones_like(ratio))


def test_groupsort_sorts_groups_of_consecutive_channels():
    assert GroupSort(3)(torch.tensor([[1.0, 3.0, 2.0, 4.0, 5.0, 6.0]])).tolist() == [[3, 2, 1, 6, 5, 4]]


def test_groupsort_refuses_what_it_cannot_group():
    with pytest.raises(UnsupportedShapeError, match="multiple of group_size=4"):
        GroupSort(4)(torch.zeros(1, 6))
    with pytest.raises(UnsupportedShapeError, match="positive"):
        GroupSort(0)
