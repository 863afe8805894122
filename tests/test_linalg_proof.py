"""Norms by Cholesky residuals: proved whatever the estimate and the factorisation say, and tight."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import onelip
from onelip.linalg import banded, proof
from onelip.linalg.estimates import start_vector
from onelip.linalg.operators import conv_norm_bound
from onelip.linalg.orthogonal import polar
from onelip.testing.dense import convolution_matrix

LARGE = torch.randn(500, 500, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def kernels(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 12)),
    exponent=st.integers(-120, 120),
    complex_=st.booleans(),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None)
def test_the_bound_is_above_and_within_a_millionth(shape, exponent, complex_, seed):
    dtype = torch.complex128 if complex_ else torch.float64
    generator = torch.Generator().manual_seed(seed)
    matrices = 10.0**exponent * torch.randn(*shape, generator=generator, dtype=dtype)
    truth = float(torch.linalg.matrix_norm(matrices, 2).amax())
    assert truth * (1 - 1e-14) <= proof.largest_norm_bound(matrices) <= truth * (1 + 1e-6)


@given(
    channels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    image=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    size=st.sampled_from([1, 3, 5]),
    padding=st.sampled_from(["circular", "zeros"]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None)
def test_the_bound_of_a_small_convolution_is_above_and_within_a_millionth(channels, image, size, padding, seed):
    kernel = kernels(*channels, size, size, seed=seed)
    truth = float(torch.linalg.matrix_norm(convolution_matrix(kernel, image, padding), 2))
    bound, _ = proof.conv_largest_norm_bound(kernel, image, padding)
    assert truth * (1 - 1e-14) <= bound <= truth * (1 + 1e-6)


@pytest.mark.parametrize("kind", ["orthogonal", "repeated", "wide", "large"])
def test_the_bound_is_tight_where_many_singular_values_meet(kind):
    square = torch.randn(40, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrices, truth = {
        "orthogonal": (polar(square), 1.0),
        "repeated": (torch.cat([3 * torch.eye(20), torch.zeros(20, 20)]).double(), 3.0),
        "wide": (square[:7], float(torch.linalg.matrix_norm(square[:7], 2))),
        "large": (LARGE, float(torch.linalg.matrix_norm(LARGE, 2))),
    }[kind]
    assert truth * (1 - 1e-14) <= proof.largest_norm_bound(matrices) <= truth * (1 + 1e-6)


@pytest.mark.parametrize("complex_", [False, True])
def test_large_matrices_near_isometries_need_no_factor(complex_, monkeypatch):
    """They are within a millionth all the same; one that is not near an isometry needs a factor, and gets one."""
    generator = torch.Generator().manual_seed(0)
    shape, dtype = (4, 300, 280), torch.complex128 if complex_ else torch.float64
    isometries = 3 * polar(torch.randn(shape, generator=generator, dtype=dtype))
    isometries += 1e-9 * torch.randn(shape, generator=generator, dtype=dtype)
    truth, attempts = float(torch.linalg.matrix_norm(isometries, 2).amax()), []
    prove = proof._Search.prove
    monkeypatch.setattr(proof._Search, "prove", lambda *arguments: attempts.append(1) or prove(*arguments))
    bound = proof.largest_norm_bound(isometries)
    assert truth * (1 - 1e-14) <= bound <= truth * (1 + 1e-6)
    assert not attempts
    assert proof.largest_norm_bound(isometries, enough=bound) <= bound
    isometries[2, :, 5] *= 1 + 1e-5
    isometries[2, :, 6] *= 1 - 1e-5
    truth = float(torch.linalg.matrix_norm(isometries, 2).amax())
    assert truth * (1 - 1e-14) <= proof.largest_norm_bound(isometries) <= truth * (1 + 1e-6)
    assert attempts


def test_the_bound_exceeds_the_exactly_known_norm_of_integer_matrices():
    """Integer rank-one matrices have norms whose squares are integers: compared exactly, without floating point."""
    for seed in range(50):
        generator = torch.Generator().manual_seed(seed)
        left, right = (torch.randint(-50, 50, (size,), generator=generator) for size in (7, 5))
        squared = int((left**2).sum()) * int((right**2).sum())
        numerator, denominator = proof.largest_norm_bound(torch.outer(left, right).double()).as_integer_ratio()
        assert numerator**2 >= squared * denominator**2


@pytest.mark.parametrize("lie", [0.5, 0.999, 1.5])
@pytest.mark.parametrize("module", [proof, banded])
def test_wrong_estimates_and_wrong_factors_never_lower_the_bound(monkeypatch, module, lie):
    kernel, image = kernels(3, 3, 3, 3), (5, 5)
    matrix = convolution_matrix(kernel, image, "zeros")
    truth = float(torch.linalg.matrix_norm(matrix, 2))

    def bound():
        return proof.largest_norm_bound(matrix) if module is proof else banded.zero_padded_norm_bound(kernel, image)

    estimate = module.largest_eigenvalue_estimate
    monkeypatch.setattr(module, "largest_eigenvalue_estimate", lambda *arguments: lie * estimate(*arguments))
    assert bound() >= truth
    monkeypatch.setattr(
        torch.linalg, "cholesky_ex", lambda a: (1.001 * a.tril() / a.abs().amax().sqrt(), torch.tensor(0))
    )
    assert bound() >= truth


@pytest.mark.parametrize("rows", [1, 6000])
def test_the_bound_is_tight_for_long_matrices(rows):
    """Room for other machines grows with the shorter side."""
    for matrix in (torch.ones(rows, 160000 // rows, dtype=torch.float64), 3 * polar(kernels(6000, 300))):
        truth = float(torch.linalg.matrix_norm(matrix, 2))
        assert truth * (1 - 1e-14) <= proof.largest_norm_bound(matrix) <= truth * (1 + 1e-6)


def test_a_bound_is_found_enough_whatever_the_order_of_summation_makes_of_the_shortest_way(monkeypatch):
    """Also where that way lies a little above what another machine found, by it or by a factor."""
    matrix = polar(kernels(320, 300)) + 2e-9 * kernels(320, 300, seed=1)
    order = torch.randperm(320, generator=torch.Generator().manual_seed(0))
    claims = [proof.largest_norm_bound(matrix)]
    monkeypatch.setattr(proof, "EXPENSIVE", math.inf)
    claims.append(proof.largest_norm_bound(matrix))
    monkeypatch.undo()
    for claim in claims:
        assert proof.largest_norm_bound(matrix[order], enough=claim) <= claim


def test_every_quarter_of_a_residual_counts_as_often_as_it_stands_there():
    one = torch.zeros(1, 200, 200, dtype=torch.float64)
    one[0, 0, 0] = one[0, 150, 0] = one[0, 0, 150] = one[0, 150, 150] = 1.0
    assert 2.0 <= float(proof._residual(one, torch.zeros_like(one))) <= 2.0 + 1e-11


@pytest.mark.parametrize("half", [20, 150])
@pytest.mark.parametrize("quarter", ["first", "below", "second"])
def test_a_factor_that_is_right_but_for_one_quarter_does_not_lower_the_bound(quarter, half, monkeypatch):
    """Each quarter of the residual counts: no other one tells that s lies below the eigenvalues of the Gram matrix."""
    one, nothing = torch.eye(half, dtype=torch.float64), torch.zeros(half, half, dtype=torch.float64)
    rows = {"first": [0.9 * one, nothing, nothing, one / 2], "second": [one / 2, nothing, nothing, 0.9 * one]}
    gram = torch.stack(rows.get(quarter, [0.6 * one, 0.4 * one, 0.4 * one, 0.6 * one])).view(2, 2, half, half)
    matrix = torch.linalg.cholesky(torch.cat([torch.cat(list(row), dim=1) for row in gram])).mT
    shift = 0.7

    def right_but_for_one(matrices):
        blocks = [(matrices[0, part, part].clamp(min=0)).sqrt() for part in (slice(half), slice(half, 2 * half))]
        return torch.block_diag(*blocks)[None], torch.zeros(1)

    monkeypatch.setattr(proof, "largest_eigenvalue_estimate", lambda *arguments: shift)
    monkeypatch.setattr(torch.linalg, "cholesky_ex", right_but_for_one)
    assert proof.largest_norm_bound(matrix) >= float(torch.linalg.matrix_norm(matrix, 2)) * (1 - 1e-14) > shift**0.5


def falling(power, size=300):
    """Singular values that crowd at the largest, where Krylov spaces find it late."""
    left, right = (polar(kernels(size, size, seed=seed)) for seed in (1, 2))
    return left * (1 - torch.linspace(0, 1, size, dtype=torch.float64) ** power) @ right


def hidden(size=6):
    """Its largest singular vector is orthogonal to where every Krylov space begins."""
    start = start_vector(size, torch.zeros(1, dtype=torch.float64))[:, 0]
    vector = torch.zeros(size, dtype=torch.float64)
    vector[0], vector[1] = start[1], -start[0]
    vector = vector / torch.linalg.vector_norm(vector)
    return torch.eye(size, dtype=torch.float64) + torch.outer(vector, vector)


@pytest.mark.parametrize("matrix", [falling(2), falling(4), hidden()], ids=["square", "fourth power", "hidden"])
def test_the_bound_is_tight_where_the_estimate_is_poor(matrix):
    truth = float(torch.linalg.matrix_norm(matrix, 2))
    assert truth * (1 - 1e-14) <= proof.largest_norm_bound(matrix) <= truth * (1 + 1e-6)


def test_the_bound_of_a_long_strip_is_tight():
    """[1, 2, 1] along 1024 pixels has norm 2 + 2 cos(pi / 1025), as is known of such matrices."""
    kernel = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    kernel[0, 0, :, 1] = torch.tensor([1.0, 2.0, 1.0])
    truth = 2 + 2 * math.cos(math.pi / 1025)
    for image in ((1024, 1), (1024, 2)):
        assert truth * (1 - 1e-14) <= banded.zero_padded_norm_bound(kernel, image) <= truth * (1 + 1e-6)


def test_a_kernel_that_is_not_finite_has_no_finite_bound():
    for padding in ("circular", "zeros"):
        assert proof.conv_largest_norm_bound(torch.full((2, 2, 3, 3), math.nan), (4, 4), padding)[0] == math.inf


def test_a_bound_that_is_enough_is_not_improved():
    kernel, image = kernels(3, 3, 3, 3), (4, 4)
    tight, way = proof.conv_largest_norm_bound(kernel, image, "zeros")
    loose, other = proof.conv_largest_norm_bound(kernel, image, "zeros", enough=2 * tight)
    assert (way, other) == ("rows of pixels", "spectral matrices of a larger torus")
    assert tight < loose <= 2 * tight


def test_zero_and_bad_matrices():
    assert 0 <= proof.largest_norm_bound(torch.zeros(4, 3, dtype=torch.float64)) < 1e-100
    for bad in (float("nan"), float("inf")):
        matrix = torch.eye(4, dtype=torch.float64)
        matrix[1, 2] = bad
        assert proof.largest_norm_bound(matrix) == float("inf")


def test_other_dtypes_are_refused():
    with pytest.raises(TypeError, match="float32"):
        proof.largest_norm_bound(torch.eye(3))


def test_layers_with_zero_padding_take_the_dense_bound_where_it_fits():
    torch.manual_seed(0)
    layer = onelip.StandardConv2d(3, 3, 3, padding_mode="zeros")
    truth = float(torch.linalg.matrix_norm(convolution_matrix(layer.weight.detach().double(), (4, 4), "zeros"), 2))
    for module in (layer, onelip.freeze(layer, (3, 4, 4))):
        bound = onelip.lipschitz_bound(module, (3, 4, 4))
        assert truth <= float(bound) <= truth * (1 + 1e-6)
        assert "rows of pixels" in bound.why
    assert float(conv_norm_bound(layer.weight.detach(), (4, 4), "zeros")) > 1.02 * truth
    assert "larger torus" in onelip.lipschitz_bound(layer, (3, 40, 40)).why


@pytest.mark.parametrize("kind", ["dense", "falling", "orthogonal", "complex", "zeros", "circular"])
def test_a_bound_is_found_enough_again_where_rounding_differs(kind):
    kernel = kernels(4, 4, 3, 3)
    matrices = {
        "dense": LARGE,
        "falling": falling(4),
        "orthogonal": polar(LARGE[:90, :90]),
        "complex": torch.complex(LARGE[:90, :90], LARGE[90:180, :90])[None],
    }

    def bound(noise, enough=0.0):
        if kind in matrices:
            return proof.largest_norm_bound(matrices[kind] * (1 + noise), enough=enough)
        return proof.conv_largest_norm_bound(kernel * (1 + noise), (6, 6), kind, enough=enough)[0]

    claim = bound(0.0)
    for noise in (-1e-13, 0.0, 1e-13):
        assert bound(noise, claim) <= claim
    assert bound(1e-6, claim) > claim  # what is not true is not confirmed


def test_what_is_enough_is_not_improved_and_not_exceeded():
    truth = float(torch.linalg.matrix_norm(LARGE, 2))
    for enough in (1.001 * truth, 1.3 * truth):
        assert truth <= proof.largest_norm_bound(LARGE, enough=enough) <= enough
    assert truth <= proof.largest_norm_bound(LARGE, enough=0.999 * truth) <= truth * (1 + 1e-6)


@pytest.mark.parametrize("padding", ["circular", "zeros"])
@pytest.mark.parametrize("exponent", [-900, -650, 400])
def test_the_bound_of_a_convolution_is_tight_at_every_magnitude(exponent, padding):
    kernel = kernels(3, 2, 3, 3)
    plain, _ = proof.conv_largest_norm_bound(kernel, (4, 5), padding)
    bound, _ = proof.conv_largest_norm_bound(2.0**exponent * kernel, (4, 5), padding)
    assert bound == pytest.approx(2.0**exponent * plain, rel=1e-9, abs=0)
    assert proof.conv_largest_norm_bound(2.0**exponent * kernel, (4, 5), padding, enough=bound)[0] <= bound


@pytest.mark.parametrize("size", [3, 5])
def test_a_bound_is_found_enough_where_the_taps_of_a_folded_kernel_cancel(size):
    """In the order of another machine, which a mirrored kernel has."""
    for seed in range(100):
        kernel = kernels(1, 1, size, size, seed=seed)
        claim, _ = proof.conv_largest_norm_bound(kernel, (1, 1), "circular")
        assert proof.conv_largest_norm_bound(kernel.flip(-1), (1, 1), "circular", enough=claim)[0] <= claim
