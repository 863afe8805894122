"""Norm bounds lie above the truth and close to it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onelip.linalg import conv, convolve, norms, operators, proof, rounding
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


def test_norm_bound_of_zero_is_tiny_and_of_nan_is_not_finite():
    assert 0 <= float(operators.matrix_norm_bound(torch.zeros(4, 4, dtype=torch.float64))) < 1e-100
    for bad in (float("nan"), float("inf")):
        matrix = torch.eye(4, dtype=torch.float64)
        matrix[1, 2] = bad
        assert not torch.isfinite(operators.matrix_norm_bound(matrix))


@pytest.mark.parametrize("padding", ["circular", "zeros"])
@pytest.mark.parametrize("size", [1, 3])
def test_conv_norm_bound_is_differentiable(padding, size):
    kernels = matrices((2, 4, 3, size, size), size, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda kernels: operators.conv_norm_bound(kernels, (5, 6), padding), (kernels,))


@pytest.mark.parametrize("channels", [16, 32, 64])
def test_the_derivative_with_many_channels_is_that_of_the_singular_values(channels):
    kernel = matrices((channels, channels, 3, 3), 0, dtype=torch.float64).requires_grad_()
    largest = torch.linalg.svdvals(conv.spectral_matrices(kernel, (8, 8))).amax()
    both = (largest, operators.conv_norm_bound(kernel, (8, 8), "circular"))
    torch.testing.assert_close(*(torch.autograd.grad(norm, kernel)[0] for norm in both), rtol=1e-6, atol=1e-6)


def test_the_norm_has_no_second_derivative_and_says_so():
    kernel = matrices((3, 2, 3, 3), 0, dtype=torch.float64).requires_grad_()
    norm = operators.conv_norm_bound(kernel, (4, 4), "zeros")
    (first,) = torch.autograd.grad(norm**2, kernel, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(first.sum(), kernel)
    square = torch.func.grad(lambda kernel: operators.conv_norm_bound(kernel, (4, 4), "zeros") ** 2)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.func.grad(lambda kernel: square(kernel).sum())(kernel.detach())


@pytest.mark.parametrize("exponent", [-150, -18, 100, 150])
def test_the_derivative_of_a_norm_is_that_of_every_multiple_of_the_kernel(exponent):
    kernel = matrices((3, 2, 3, 3), 0, dtype=torch.float64)

    def derivative(kernel):
        return torch.func.grad(lambda kernel: operators.conv_norm_bound(kernel, (4, 4), "zeros"))(kernel)

    torch.testing.assert_close(derivative(10.0**exponent * kernel), derivative(kernel))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("operator", [operators._bounds, operators._gradients])
def test_operators_are_what_they_tell_compilers(operator):
    for kernel in (matrices((4, 4, 3, 3), 0, dtype=torch.float64), torch.ones(4, 4, 1, 1, dtype=torch.float64)):
        for one in (kernel, kernel.contiguous(memory_format=torch.channels_last), kernel.transpose(0, 1)):
            torch.library.opcheck(operator, (one, [4, 5]))


@pytest.mark.filterwarnings("ignore")
def test_images_of_any_size_are_compiled_once():
    kernel = matrices((4, 4, 3, 3), 0, dtype=torch.float64)

    def bound(x):
        return operators.conv_norm_bound(kernel, (x.shape[0], x.shape[1]), "zeros")

    torch.compiler.reset()
    with torch._dynamo.config.patch(error_on_recompile=True):
        compiled = torch.compile(bound, fullgraph=True, backend="aot_eager", dynamic=True)
        for side in (6, 8, 11):
            x = torch.zeros(side, side + 1)
            assert torch.equal(compiled(x), bound(x))


@pytest.fixture
def in_float32(monkeypatch):
    """The charges of float64, for float32."""
    monkeypatch.setattr(rounding, "UNIT_ROUNDOFF", 2.0**-24)
    monkeypatch.setattr(norms, "UNIT_ROUNDOFF", 2.0**-24)
    monkeypatch.setattr(norms, "UNDERFLOW", 1e-60)
    monkeypatch.setattr(proof, "UNIT_ROUNDOFF", 2.0**-24)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_the_charge_of_a_gram_matrix_covers_its_rounding(dtype, in_float32):
    matrix = matrices((5, 40, 30), 0, dtype=dtype)
    wide = matrix.to(torch.complex128)
    error = torch.linalg.matrix_norm((matrix.mH @ matrix).to(torch.complex128) - wide.mH @ wide)
    assert (error > 0).all()
    assert (error <= norms.gram_error(matrix)).all()


def test_the_charge_of_spectral_matrices_covers_their_rounding(in_float32):
    kernel = matrices((6, 5, 5, 5), 0, dtype=torch.float32)
    exact = conv.spectral_matrices(kernel.double(), (7, 9))
    error = torch.linalg.matrix_norm(conv.spectral_matrices(kernel, (7, 9)) - exact).amax()
    assert 0 < float(error) <= float(norms.spectral_error(kernel))


def test_a_residual_that_is_zero_by_rounding_proves_no_more_than_is_true(in_float32, monkeypatch):
    """D = R R^T as computed has a negative eigenvalue where R is singular: s I - D has one above s."""
    factor = matrices((1, 40, 40), 0, dtype=torch.float32).tril()
    factor[:, range(40), range(40)] = 0
    product = factor @ factor.mH
    truth = 3.0 - torch.linalg.eigvalsh(product.double()).amin()
    monkeypatch.setattr(torch, "baddbmm", lambda matrices, *factors, alpha: torch.zeros_like(matrices))
    assert 3.0 < float(truth) <= float(proof._eigenvalue_bounds(product, factor, 3.0))


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
    truth = torch.linalg.matrix_norm(convolve.convolve(basis, kernel.double(), None, padding).flatten(1), 2)
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
