"""Norm bounds lie above the truth and close to it; estimates lie below."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onelip.linalg import conv, norms, operators, proof
from onelip.linalg.orthogonal import polar

from_shape = st.tuples(st.integers(1, 9), st.integers(1, 9))


def matrices(shape, seed, scale=1.0, dtype=torch.complex128):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@given(shape=from_shape, seed=st.integers(0, 10**6), exponent=st.integers(-60, 60))
@settings(max_examples=60, deadline=None)
def test_norm_bound_is_above_and_within_a_millionth(shape, seed, exponent):
    matrix = matrices((3, *shape), seed, 10.0**exponent, torch.float64)
    truth = torch.linalg.matrix_norm(matrix, 2)
    bound = operators.matrix_norm_bound(matrix)
    assert (bound >= truth * (1 - 1e-14)).all()
    assert (bound <= truth * (1 + 1e-6)).all()


@pytest.mark.parametrize("kind", ["identity", "ones", "rank one", "repeated", "diagonal"])
def test_norm_bound_of_structured_matrices(kind):
    size = 12
    matrix, truth = {
        "identity": (torch.eye(size), 1.0),
        "ones": (torch.ones(size, size), float(size)),
        "rank one": (torch.outer(torch.arange(size) * 1.0, torch.ones(size)), (506 * size) ** 0.5),
        "repeated": (3 * polar(torch.randn(size, size, dtype=torch.float64)), 3.0),
        "diagonal": (torch.diag(torch.arange(size) * 1.0), size - 1.0),
    }[kind]
    bound = float(operators.matrix_norm_bound(matrix.to(torch.float64)))
    assert truth * (1 - 1e-14) <= bound <= truth * (1 + 1e-6)


def test_the_bound_exceeds_the_exactly_known_norm_of_integer_matrices():
    """Integer rank-one matrices have norms whose squares are integers: compared exactly, without floating point."""
    for seed in range(50):
        left = torch.randint(-50, 50, (7,), generator=torch.Generator().manual_seed(seed))
        right = torch.randint(-50, 50, (5,), generator=torch.Generator().manual_seed(seed + 1000))
        squared = int((left**2).sum()) * int((right**2).sum())
        numerator, denominator = float(
            operators.matrix_norm_bound(torch.outer(left, right).double())
        ).as_integer_ratio()
        assert numerator**2 >= squared * denominator**2


def test_norm_bound_of_zero_is_tiny_and_of_nan_is_not_finite():
    assert 0 <= float(operators.matrix_norm_bound(torch.zeros(4, 4, dtype=torch.float64))) < 1e-100
    for bad in (float("nan"), float("inf")):
        matrix = torch.eye(4, dtype=torch.float64)
        matrix[1, 2] = bad
        assert not torch.isfinite(operators.matrix_norm_bound(matrix))


def test_a_proof_refuses_single_precision():
    with pytest.raises(TypeError, match="float64"):
        proof.largest_norm_bound(torch.eye(3))


@pytest.mark.parametrize("padding", ["circular", "zeros"])
@pytest.mark.parametrize("size", [1, 3])
def test_conv_norm_bound_is_differentiable(padding, size):
    kernels = matrices((2, 4, 3, size, size), size, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda kernels: operators.conv_norm_bound(kernels, (5, 6), padding), (kernels,))


@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize("size", [1, 3])
def test_conv_norm_bound_is_the_same_compiled_and_under_transforms(size):
    kernels = matrices((2, 4, 3, size, size), size, dtype=torch.float64).requires_grad_()

    def bound(kernels):
        return operators.conv_norm_bound(kernels, (5, 6), "zeros")

    expected = bound(kernels)
    gradient = torch.autograd.grad(expected.sum(), kernels)[0]
    compiled = torch.compile(bound, fullgraph=True, backend="aot_eager")(kernels)
    assert torch.equal(compiled, expected)
    assert torch.equal(torch.autograd.grad(compiled.sum(), kernels)[0], gradient)
    assert torch.equal(torch.func.vmap(bound)(kernels), expected)
    assert torch.equal(torch.func.vmap(torch.func.grad(bound))(kernels.detach()), gradient)
    assert bound(kernels.detach().to("meta")).shape == (2,)


@pytest.mark.parametrize("padding", ["circular", "zeros"])
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("image", [(1, 1), (2, 3), (5, 4), (8, 8)])
def test_conv_norm_bound_is_above_the_dense_norm(padding, size, image):
    kernel = torch.randn(3, 2, size, size, generator=torch.Generator().manual_seed(size))
    basis = torch.eye(2 * image[0] * image[1], dtype=torch.float64).unflatten(1, (2, *image))
    truth = torch.linalg.matrix_norm(conv.convolve(basis, kernel.double(), None, padding).flatten(1), 2)
    bound = operators.conv_norm_bound(kernel, image, padding)
    assert bound >= truth * (1 - 1e-12)
    if padding == "circular" or size == 1:
        assert bound <= truth * (1 + 1e-6)


def test_the_norm_of_an_all_ones_kernel_larger_than_the_image():
    """On one pixel a 5x5 kernel folds to the sum of its taps: 25, where a cropping transform sees 9."""
    kernel = torch.ones(1, 1, 5, 5)
    assert float(operators.conv_norm_bound(kernel, (1, 1), "circular")) == pytest.approx(25, rel=1e-6)


def test_the_norm_depends_on_the_image_size():
    kernel = torch.randn(4, 4, 3, 3, generator=torch.Generator().manual_seed(3))
    small, large = (float(operators.conv_norm_bound(kernel, (side, side), "circular")) for side in (2, 32))
    assert large > 1.01 * small


@pytest.mark.parametrize("size", [1, 3, 5])
def test_conv_norm_estimate_is_below_and_close(size):
    kernel = torch.randn(2, 8, 8, size, size, generator=torch.Generator().manual_seed(size))
    estimate = norms.conv_norm_estimate(kernel, (8, 8), "zeros")
    bound = operators.conv_norm_bound(kernel, (8, 8), "zeros")
    assert (estimate <= bound * (1 + 1e-6)).all()
    assert (estimate >= 0.98 * bound).all()


@given(seed=st.integers(0, 10**6), shape=from_shape, noise=st.floats(0, 1e-2))
@settings(max_examples=40, deadline=None)
def test_contract_leaves_no_norm_above_one(seed, shape, noise):
    nearly = polar(matrices(shape, seed)) + noise * matrices(shape, seed + 1)
    assert float(torch.linalg.matrix_norm(norms.contract(nearly), 2)) <= 1 + 1e-15 * 4
    single = nearly.to(torch.complex64)
    contracted = norms.contract(single)
    assert float(torch.linalg.matrix_norm(contracted.to(torch.complex128), 2)) <= 1 + 2e-7


def test_contract_leaves_contractions_as_they_are():
    small = 0.1 * torch.eye(3, dtype=torch.float64)
    assert float(torch.linalg.matrix_norm(norms.contract(small), 2)) <= 0.1
