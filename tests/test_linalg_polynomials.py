"""Polar factors by products against those by decompositions, inside and outside of the range that is promised."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from onelip.linalg import polynomials
from onelip.linalg.orthogonal import polar
from onelip.linalg.polynomials import RANGE, SAFETY, SPREAD, STEPS, polar_by_products

SHAPES = [(5, 5), (7, 4), (4, 7), (1, 1), (1, 3), (6, 1)]


def matrices(shape, smallest, *, dtype=torch.complex128, seed=0, count=3):
    """Singular values from 1 down to the smallest."""
    generator = torch.Generator().manual_seed(seed)
    left, _, right = torch.linalg.svd(torch.randn(count, *shape, generator=generator, dtype=dtype), full_matrices=False)
    values = torch.logspace(0, np.log10(smallest), left.shape[-1], dtype=torch.float64)
    return left * values @ right


def test_the_steps_take_the_range_to_one_and_nothing_above_it():
    values = np.concatenate([np.geomspace(1e-12, RANGE, 1000), np.linspace(RANGE, 1, 100_001)])
    reached = values
    for a, b, c in STEPS:
        reached = a * reached + b * reached**3 + c * reached**5
    assert (reached <= 1 + 1e-9).all()
    assert (reached >= 0).all()
    assert (reached[values >= RANGE] >= 1 - 1e-9).all()


def test_the_first_polynomial_is_the_nearest():
    """At four points the errors are equal with alternating signs (Chebyshev's theorem), and none is larger."""
    a, b, c = (one * SAFETY**power for one, power in zip(STEPS[0], (1, 3, 5), strict=True))
    x = np.linspace(1 / SPREAD, 1, 200_001)
    error = 1 - (a * x + b * x**3 + c * x**5)
    largest = abs(error).max()
    touched = np.flatnonzero(abs(error) > largest * (1 - 1e-7))
    signs = np.sign(error[touched])
    assert 1 + np.count_nonzero(np.diff(signs)) == 4


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_factor_and_derivative_are_those_of_a_decomposition(shape, dtype, scale):
    matrix = (scale * matrices(shape, 1e-2, dtype=dtype)).requires_grad_()
    found, expected = polar_by_products(matrix), polar(matrix)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7)
    direction = torch.randn_like(expected)
    gradients = (torch.autograd.grad(y, matrix, direction)[0] * scale for y in (found, expected))
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_second_derivatives(shape):
    matrix = matrices(shape, 0.3, dtype=torch.float64, count=2).requires_grad_()
    assert torch.autograd.gradgradcheck(polar_by_products, (matrix,))
    fixed = torch.randn_like(matrix)
    (gradient,) = torch.autograd.grad((polar_by_products(matrix) * fixed).sum(), matrix, create_graph=True)
    assert gradient.requires_grad  # nothing but the factor itself depends on the matrix here


@given(seed=st.integers(0, 10**6), shape=st.sampled_from(SHAPES), exponent=st.floats(-2, 0))
@settings(max_examples=30, deadline=None)
def test_in_float32_it_is_the_factor_up_to_a_hundred_thousandth(seed, shape, exponent):
    exact = matrices(shape, 10**exponent, seed=seed)
    rounded = exact.to(torch.complex64)
    found, expected = polar_by_products(rounded), polar(rounded.to(torch.complex128))
    torch.testing.assert_close(found.to(torch.complex128), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("smallest", [1e-5, 1e-8, 1e-20])
def test_outside_of_the_range_it_shrinks_and_never_expands(smallest):
    found = torch.linalg.svdvals(polar_by_products(matrices((6, 6), smallest)))
    assert float(found.amax()) <= 1 + 1e-8
    assert float(found.amin()) < 0.999
    zero = torch.zeros(2, 3, 3, requires_grad=True)
    assert torch.equal(polar_by_products(zero), zero)
    large = torch.full_like(zero, 1e8)
    assert torch.autograd.grad(polar_by_products(zero), zero, large)[0].isfinite().all()


def test_rounding_above_a_bound_does_not_grow():
    """The largest singular value lies at the end of the interval of every step, or a little above."""
    for above in (0.0, 1e-7, 1e-3):
        value = 1 + above
        for a, b, c in STEPS:
            value = a * value + b * value**3 + c * value**5
        assert value == pytest.approx(1, abs=1e-9)


def test_in_batches():
    stack = matrices((4, 3), 0.1, count=4)
    assert torch.equal(torch.func.vmap(polar_by_products)(stack), polar_by_products(stack))
    assert torch.autograd.gradcheck(
        polar_by_products, (stack[:1].clone().requires_grad_(),), check_batched_grad=True, atol=1e-6
    )


def test_it_takes_few_steps():
    assert len(STEPS) == 11


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_it_is_the_same_compiled():
    stack = matrices((5, 4), 0.1, dtype=torch.float64).requires_grad_()
    torch.compiler.reset()
    compiled = torch.compile(polar_by_products, fullgraph=True, backend="aot_eager")
    found, expected = compiled(stack), polar_by_products(stack)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(y.sin().sum(), stack)[0] for y in (found, expected)))


@pytest.mark.parametrize("exponent", [-17, 18, 25, 36])
def test_no_square_that_overflows_or_vanishes_is_taken(exponent):
    small = matrices((5, 4), 0.1, dtype=torch.float64).float()
    scaled = (10.0**exponent * small).requires_grad_()
    found = polar_by_products(scaled)
    torch.testing.assert_close(found, polar(small), rtol=0, atol=1e-5)
    assert torch.autograd.grad(found.sum(), scaled)[0].isfinite().all()


def test_a_matrix_is_divided_by_the_smaller_bound():
    """That of Frobenius for a row and a column, that of sums for a permutation, which stays at 1."""
    lopsided = torch.zeros(1, 30, 30, dtype=torch.float64)
    lopsided[:, 0], lopsided[:, 1:, 0] = 1, 1
    permutation = torch.eye(40, dtype=torch.float64)[torch.randperm(40, generator=torch.Generator().manual_seed(0))]
    assert float(polynomials._norm_bound(lopsided)) == pytest.approx(59**0.5)
    assert float(polynomials._norm_bound(permutation)) == 1


def test_a_wide_matrix_costs_what_a_tall_one_does():
    def flops(*shape):
        with FlopCounterMode(display=False) as counter:
            polar_by_products(torch.ones(*shape))
        return counter.get_total_flops()

    assert flops(3, 40) == flops(40, 3)


def test_a_derivative_keeps_its_precision_where_the_backward_pass_runs_under_autocast():
    stack = matrices((5, 4), 0.1, dtype=torch.float64).float().requires_grad_()
    total = polar_by_products(stack).sin().sum()
    (expected,) = torch.autograd.grad(total, stack, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = torch.autograd.grad(total, stack)
    assert torch.equal(found, expected)
