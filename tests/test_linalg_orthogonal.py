"""Polar factors, Cayley transforms and the exponential series against their definitions."""

import math

import pytest
import torch

from onelip.linalg import orthogonal, stacks
from onelip.linalg.orthogonal import cayley, polar
from onelip.linalg.series import carried_on_bounds, exponential_series, exponential_series_bound
from onelip.methods.bcop import bcop_kernel

SHAPES = [(4, 4), (6, 3), (3, 6), (5, 1), (1, 5)]


def random(shape, *, complex_=True, seed=0):
    dtype = torch.complex128 if complex_ else torch.float64
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def assert_semi_orthogonal(matrix):
    gram = matrix.mH @ matrix if matrix.shape[-2] >= matrix.shape[-1] else matrix @ matrix.mH
    torch.testing.assert_close(gram, torch.eye(gram.shape[-1], dtype=gram.dtype).expand_as(gram))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("function", [polar, cayley])
def test_results_are_semi_orthogonal(function, shape, complex_):
    assert_semi_orthogonal(function(random(shape, complex_=complex_)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("function", [polar, cayley])
def test_derivatives(function, shape, complex_):
    assert torch.autograd.gradcheck(function, (random(shape, complex_=complex_).requires_grad_(),))


@pytest.mark.parametrize("shape", SHAPES)
def test_polar_factor_is_the_limit_of_bjorck_iterations(shape):
    matrix = random(shape)
    iterate = matrix / torch.linalg.matrix_norm(matrix, 2)[..., None, None]
    for _ in range(100):
        iterate = 1.5 * iterate - 0.5 * iterate @ iterate.mH @ iterate
    torch.testing.assert_close(polar(matrix), iterate)


def test_polar_gradient_agrees_with_bjorck_iterations_under_autograd():
    for shape in SHAPES:
        matrix, weight = random(shape).requires_grad_(), random(shape, seed=1)
        iterate = matrix / torch.linalg.matrix_norm(matrix, 2).detach()[..., None, None]
        for _ in range(60):
            iterate = 1.5 * iterate - 0.5 * iterate @ iterate.mH @ iterate
        (expected,) = torch.autograd.grad((iterate * weight.conj()).real.sum(), matrix)
        (found,) = torch.autograd.grad((polar(matrix) * weight.conj()).real.sum(), matrix)
        torch.testing.assert_close(found, expected)


def test_polar_gradient_at_the_identity_is_finite_and_right():
    """All singular values are equal there, where the derivative of an SVD does not exist."""
    identity = torch.eye(4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(polar, (identity,))


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_polar_of_deficient_matrices_is_orthogonal_with_finite_gradient(rank):
    matrix = (random((4, rank), complex_=False)[0] @ random((rank, 4), complex_=False)[0]).requires_grad_()
    factor = polar(matrix)
    assert_semi_orthogonal(factor.detach())
    factor.sum().backward()
    assert torch.isfinite(matrix.grad).all()


def test_cayley_is_the_textbook_formula():
    for rows, columns in [(4, 4), (7, 4)]:
        matrix = random((rows, columns))
        square, rest = matrix[:, :columns], matrix[:, columns:]
        skew = square - square.mH + rest.mH @ rest
        identity = torch.eye(columns, dtype=skew.dtype)
        inverse = torch.linalg.inv(identity + skew)
        expected = torch.cat([inverse @ (identity - skew), -2 * rest @ inverse], dim=1)
        torch.testing.assert_close(cayley(matrix), expected)


def naive_block_convolution(left, right):
    """(left * right)[i, j] = sum_ab left[a, b] right[i - a, j - b], matrices multiplied."""
    height, width = (a + b - 1 for a, b in zip(left.shape[2:], right.shape[2:], strict=True))
    result = torch.zeros(left.shape[0], right.shape[1], height, width, dtype=left.dtype)
    for a in range(left.shape[2]):
        for b in range(left.shape[3]):
            for c in range(right.shape[2]):
                for d in range(right.shape[3]):
                    result[:, :, a + c, b + d] += left[:, :, a, b] @ right[:, :, c, d]
    return result


@pytest.mark.parametrize("size", [1, 3, 5])
def test_bcop_kernel_is_the_block_convolution_of_the_paper(size):
    matrix = polar(random((5, 4), complex_=False)[0])
    frames = polar(torch.randn(2 * (size - 1), 4, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64))
    identity = torch.eye(4, dtype=torch.float64)
    expected = matrix[:, :, None, None]
    for vertical, horizontal in zip(frames[0::2], frames[1::2], strict=True):
        p, q = vertical @ vertical.T, horizontal @ horizontal.T
        rows = [[p @ q, p @ (identity - q)], [(identity - p) @ q, (identity - p) @ (identity - q)]]
        box = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
        expected = naive_block_convolution(expected, box)
    torch.testing.assert_close(bcop_kernel(matrix, frames), expected)


@pytest.mark.parametrize("degree", [5, 12])
def test_exponential_series_is_the_sum_of_its_terms(degree):
    matrix = random((4, 4), complex_=False)
    power, expected = torch.eye(4, dtype=torch.float64), torch.zeros(2, 4, 4, dtype=torch.float64)
    for order in range(degree + 1):
        expected = expected + power / math.factorial(order)
        power = power @ matrix
    torch.testing.assert_close(exponential_series(matrix, degree), expected)


@pytest.mark.parametrize(("degree", "norm"), [(4, 2.0), (5, 2.1), (12, 3.3), (12, 3.5), (15, 3.0)])
def test_series_bound_encloses_the_largest_modulus(degree, norm):
    grid = torch.linspace(0, norm, 200_001, dtype=torch.float64) * 1j
    truth = float(sum(grid**order / math.factorial(order) for order in range(degree + 1)).abs().max())
    bound = exponential_series_bound(norm, degree)
    assert truth <= bound <= truth * (1 + 1e-6)


@pytest.mark.parametrize(("degree", "contracts", "expands"), [(4, 2.828, 2.83), (8, 0.5, 4.0), (12, 3.37, 3.39)])
def test_where_the_series_contracts(degree, contracts, expands):
    """Degrees divisible by four do not exceed 1 up to a limit: sqrt(8) for 4, 3.379 for 12."""
    assert exponential_series_bound(contracts, degree) <= 1 + 1e-9
    assert exponential_series_bound(expands, degree) > 1 + 1e-5


@pytest.mark.parametrize(("degree", "norm", "most"), [(12, 2.1, 1.02), (12, 3.3, 1.06), (5, 2.1, 1.3), (5, 20.0, 3.0)])
def test_what_a_term_errs_by_is_carried_on_by_no_more_than_its_bound(degree, norm, most):
    grid = torch.linspace(0, norm, 20_001, dtype=torch.float64) * 1j
    bounds = carried_on_bounds(norm, degree)
    assert len(bounds) == degree
    for first, bound in enumerate(bounds, start=1):
        terms = [
            grid ** (last - first) * math.factorial(first) / math.factorial(last) for last in range(first, degree + 1)
        ]
        truth = float(sum(terms).abs().max())
        assert truth <= bound <= most * truth
        sizes = [norm ** (last - first) * math.factorial(first) / math.factorial(last) for last in range(first, 100)]
        kept = degree + 1 - first
        assert bound >= min(sum(sizes[:kept]), 1 + sum(sizes[kept:])) * (1 - 1e-14)


def test_an_unknown_norm_carries_on_anything():
    assert carried_on_bounds(math.inf, 3)[:2] == (math.inf, math.inf)


def test_training_degree_five_exceeds_one():
    assert exponential_series_bound(2.1, 5) == pytest.approx(1.0047, abs=1e-4)


def test_polar_has_no_second_derivative_and_says_so():
    """Also where the direction depends on nothing, and the first derivative alone does on the matrix."""
    matrix = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    loss = (polar(matrix) * torch.randn(4, 3, dtype=torch.float64)).sum() + matrix.pow(3).sum()
    (gradient,) = torch.autograd.grad(loss, matrix, create_graph=True)
    with pytest.raises(RuntimeError, match="have no second derivative"):
        gradient.sum().backward()
    batch = torch.randn(2, 4, 3, dtype=torch.float64)
    torch.autograd.grad(polar(matrix), matrix, batch, is_grads_batched=True)
    with pytest.raises(RuntimeError, match="have no second derivative"):
        torch.autograd.grad(polar(matrix), matrix, batch, is_grads_batched=True, create_graph=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
@pytest.mark.parametrize("loud", [True, False])
def test_polar_survives_a_decomposition_that_gives_up(monkeypatch, dtype, loud):
    """LAPACK may fail in single precision on repeated singular values; the failure is planted here.

    A silent one was met in the training of BCOP at 512 x 512 on two threads: U full of NaN, and S right.
    """
    svd = torch.linalg.svd

    def fails_in_single(matrices, **options):
        if matrices.dtype not in (torch.float32, torch.complex64):
            return svd(matrices, **options)
        if loud:
            raise torch.linalg.LinAlgError("failed to converge")
        left, singular, right = svd(matrices, **options)
        return left.index_fill(0, torch.tensor(1), float("nan")), singular, right

    matrix = torch.randn(3, 4, 2, dtype=dtype, requires_grad=True)
    expected = polar(matrix)
    monkeypatch.setattr(torch.linalg, "svd", fails_in_single)
    found = polar(matrix)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected)
    found.abs().sum().backward()
    assert torch.isfinite(torch.view_as_real(matrix.grad) if matrix.grad.is_complex() else matrix.grad).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("size", [65, 200])
def test_the_cayley_transform_of_many_large_matrices_is_right_on_several_threads(size, dtype):
    """LU factorisations of such stacks are wrong on CPUs where threads share them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        generator = torch.Generator().manual_seed(0)
        matrices = 0.1 * torch.randn(4, size, size, dtype=dtype, generator=generator)
        result = cayley(matrices)
    finally:
        torch.set_num_threads(threads)
    identity = torch.eye(size, dtype=dtype)
    skew = matrices - matrices.mH
    torch.testing.assert_close(result @ (identity + skew), identity - skew, rtol=0, atol=1e-12)
    torch.testing.assert_close(result.mH @ result, identity.expand_as(result), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(130, 130), (140, 130), (130, 140)])
@pytest.mark.parametrize("condition", [1.0, 30.0, 9e2, 1.1e3, 1e6, math.inf])
def test_polar_factors_of_large_matrices_are_those_of_singular_values(shape, condition):
    """Well-conditioned ones go by their Gram matrices, the others must not."""
    left, _, right = torch.linalg.svd(random(shape), full_matrices=False)
    singular = torch.logspace(0, -math.log10(condition), 130) if condition < math.inf else torch.arange(130) / 130
    matrix = (left * singular.to(left.dtype)) @ right
    found = polar(matrix)
    assert_semi_orthogonal(found)
    if condition < math.inf:
        assert (found - left @ right).abs().max() < 1e-9


def test_large_well_conditioned_matrices_take_no_singular_value_decomposition(monkeypatch):
    matrix = torch.eye(128, dtype=torch.complex128) + 0.01 * random((128, 128))
    expected = polar(matrix)
    monkeypatch.setattr(stacks, "WORTH", math.inf)
    calls = []
    decompose = torch.linalg.svd
    monkeypatch.setattr(torch.linalg, "svd", lambda *a, **k: calls.append(1) or decompose(*a, **k))
    torch.testing.assert_close(polar(matrix), expected)
    assert not calls
    polar(matrix.to(torch.complex64))
    polar(torch.zeros_like(matrix))
    assert len(calls) == 2


@pytest.mark.parametrize("scale", [1e-200, 1e-158, 1e-140, 1e150])
def test_polar_factors_of_tiny_and_huge_matrices_are_orthogonal(scale):
    """Squares of what is tiny are not numbers any more."""
    assert_semi_orthogonal(
        polar(scale * (torch.eye(80, dtype=torch.float64) + 0.01 * random((80, 80), complex_=False)))
    )


def test_the_derivative_does_not_depend_on_the_order_of_singular_values(monkeypatch):
    monkeypatch.setattr(orthogonal, "LARGE", 3)
    for shape in SHAPES:
        assert torch.autograd.gradcheck(polar, (random(shape).requires_grad_(),))
