"""Every method keeps the public contract; tests/test_contract_faults.py shows that each check can fail."""

import itertools
import operator
import pickle
import unittest
from dataclasses import replace

import pytest
import torch

from onelip.errors import ContractError
from onelip.method import Traits
from onelip.methods import METHODS
from onelip.testing import CHECKS, cases, check_method, ddp_safe
from onelip.testing.dense import convolution_matrix, dense_operator, jacobian
from onelip.testing.setting import PADDINGS, SHAPES, WEIGHTS, pairwise_cover, settings

TOGETHER = ("ddp_safe",)
"""Checks that one test runs for all methods at once: each starts processes."""

CASES = [
    pytest.param(case, id=f"{name}-{case}")
    for name, method in METHODS.items()
    for case in cases(method)
    if case.check not in TOGETHER
]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("case", CASES)
def test_contract(case):
    case.run()


def test_two_processes_share_their_gradients():
    ddp_safe(*METHODS.values())


@pytest.mark.full
@pytest.mark.parametrize("check", [name for name in CHECKS if name not in TOGETHER])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_contract_on_the_whole_product(method, check):
    for case in cases(method, full=True):
        if case.check == check:
            case.run()


def test_what_cannot_be_checked_here_is_skipped_with_its_reason_and_said(monkeypatch):
    def unavailable(method, setting):
        raise unittest.SkipTest("no such machine")

    check = replace(CHECKS["ddp_safe"], run=unavailable)
    monkeypatch.setattr("onelip.testing.contract.CHECKS", {"ddp_safe": check})
    (case,) = cases(METHODS["aol"])
    with pytest.raises(unittest.SkipTest, match="no such machine"):
        case.run()
    with pytest.warns(UserWarning, match="aol: ddp_safe was not checked: no such machine"):
        check_method(METHODS["aol"])


def test_every_check_makes_cases():
    made = {case.check for method in METHODS.values() for case in cases(method, full=True)}
    assert made == set(CHECKS)
    assert {case.check for case in cases(METHODS["standard"])} <= made


def test_case_ids_are_unique_and_stable():
    ids = [str(case) for case in cases(METHODS["lot"])]
    assert len(set(ids)) == len(ids)
    assert ids == [str(case) for case in cases(METHODS["lot"])]


def test_a_broken_promise_names_method_check_and_case():
    false = replace(METHODS["aol"], name="mine", traits=Traits(orthogonal=True))
    case = next(case for case in cases(false) if case.check == "declared_traits_hold")
    with pytest.raises(
        ContractError, match=r"^mine: declared_traits_hold \[square-trained-circular-float64\]: "
    ) as info:
        case.run()
    for error in (info.value, pickle.loads(pickle.dumps(info.value))):  # from another process, too
        assert (error.method, error.check, error.case) == ("mine", case.check, case.id)
        assert str(error) == str(info.value)


def test_a_method_that_is_not_registered_signs_with_one_call():
    check_method(replace(METHODS["standard"], name="mine"))


def test_check_method_stops_at_the_first_broken_promise():
    false = replace(METHODS["standard"], name="mine", traits=Traits())
    with pytest.raises(ContractError, match="is_one_lipschitz"):
        check_method(false)


@pytest.mark.parametrize("sizes", [(2, 2), (18, 6, 2, 2), (1, 5, 3), (7,)], ids=str)
def test_the_cover_holds_every_pair_of_values(sizes):
    rows = pairwise_cover(sizes)
    for first, second in itertools.combinations(range(len(sizes)), 2):
        pairs = {(row[first], row[second]) for row in rows}
        assert pairs == set(itertools.product(range(sizes[first]), range(sizes[second])))
    assert len(set(rows)) == len(rows) <= max(map(operator.mul, sizes, sizes[1:]), default=0) * 1.2 + 2


def test_the_cover_is_far_smaller_than_the_product():
    cover, product = settings(full=False), settings(full=True)
    assert set(cover) < set(product)
    convolutions = [shape for shape in SHAPES if not shape.is_linear]
    linear = len(SHAPES) - len(convolutions)
    assert len(product) == len(WEIGHTS) * 2 * (len(convolutions) * len(PADDINGS) + linear)
    assert len(cover) * 3 < len(product)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("size", "image"), [(1, (2, 3)), (3, (4, 5)), (3, (1, 2)), (5, (3, 2))])
def test_the_written_out_convolution_is_that_of_torch(size, image, padding):
    kernel = torch.randn(3, 2, size, size, dtype=torch.float64)
    x = torch.randn(2, *image, dtype=torch.float64)
    rows, columns = (torch.arange(-(size // 2), side + size // 2) % side for side in image)
    padded = x[:, rows][:, :, columns] if padding == "circular" else x
    expected = torch.nn.functional.conv2d(padded[None], kernel, padding=0 if padding == "circular" else size // 2)
    actual = convolution_matrix(kernel, image, padding) @ x.flatten()
    torch.testing.assert_close(actual, expected.flatten())


def test_jacobian_and_dense_operator_agree_on_an_affine_module():
    module = torch.nn.Conv2d(2, 3, 3, padding=1, dtype=torch.float64)
    matrix = dense_operator(module, (2, 4, 3))
    torch.testing.assert_close(jacobian(module, torch.randn(1, 2, 4, 3, dtype=torch.float64)), matrix)
