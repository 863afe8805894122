"""The float32 program at its edges: weights, types, modules and settings that its certificates must not trip over."""

from __future__ import annotations

import math
import subprocess
import sys
import threading

import pytest
import torch
from tests.test_executed import errors_and_bounds
from torch import nn

import onelip
from onelip import METHODS, Certifier, Sum, certified_program
from onelip.certify.executed import ResidualCharge, SeriesCharge, Sums
from onelip.certify.program import Program
from onelip.errors import CertificateError, UnsoundError
from onelip.linalg import float32
from onelip.linalg.conv import transpose_kernel
from onelip.linalg.convolve import convolve
from onelip.linalg.precision import NAMED, sums_of_products
from onelip.linalg.rounding import absolute_norm
from onelip.linalg.series import carried_on_bounds
from onelip.nn.blocked import BlockedConv2d
from onelip.nn.reshape import Normalize
from onelip.testing.dense import dense_operator

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("channels", "side", "block", "bias", "most"),
    [
        (40, 3, 16, True, 144 + 2 + 1),
        (40, 3, None, True, 360 + 1),
        (64, 1, 16, False, 16 + 2),
        (7, 5, 2, False, 50 + 2),
    ],
)
def test_as_many_roundings_as_a_product_passes_through(channels, side, block, bias, most):
    """Its own, those of the sums inside a block, those of the pairs of blocks, that of the bias."""
    kernel = torch.ones(3, channels, side, side)
    conv = BlockedConv2d(kernel, torch.ones(3) if bias else None, padding="zeros", block=block)
    assert most <= conv.roundings <= most + 1
    assert Sums(conv).gamma >= float32.gamma(most)


def charged(name, far, channels=20, side=5):
    """A layer of a method in a program: its step, its charge, an input in float64, and how far others lie."""
    torch.manual_seed(0)
    layer, image = METHODS[name].conv2d(channels, channels, 3, padding_mode="zeros"), (channels, side, side)
    certifier = Certifier(layer, image, arithmetic="executed")
    (step,), z = certifier.steps, torch.rand(2, *image, dtype=torch.float64)
    found = certifier.along.charge(step, z, step.module(z.clone()), torch.full((2,), far, dtype=torch.float64))
    return step, certifier.program.model, z, found


@pytest.mark.parametrize("far", [0.0, 10.0])
@pytest.mark.parametrize("name", ["cpl", "sll"])
def test_a_residual_layer_pays_for_both_convolutions(name, far):
    step, module, z, found = charged(name, far)
    kernel, scale = step.module.weights()
    meant = transpose_kernel(kernel * -scale.expand(20)[:, None, None, None])
    there, back, far_B = Sums(module.there), Sums(module.back), torch.full((2,), far, dtype=torch.float64)
    first = there.error(z, far_B, there.size(z, far_B))
    hidden = convolve(z, kernel, module.there.bias.double(), "zeros").relu_()
    around = 0.1 * float(scale.sqrt().amin()) * far_B + first  # a lower bound of ||K|| far
    second = back.error(hidden, around, back.size(hidden, around))
    norm = torch.linalg.matrix_norm(meant.flatten(1), 2)  # of one of its parts: a lower bound of ||W||
    assert bool((found >= norm * first + second).all())
    assert bool((found <= 100 * (norm * first + second)).all())


@pytest.mark.parametrize("far", [0.0, 10.0])
def test_a_series_pays_for_what_its_terms_may_err_by(far):
    """Each term is made to err by what is charged for it, in a direction that L maps to nothing: errors add up."""
    step, module, z, found = charged("soc", far, side=5, channels=9)
    kernel, far_B = step.module.weights()[0], torch.full((len(z),), far, dtype=torch.float64)
    operator = dense_operator(lambda x: convolve(x, kernel, None, "zeros"), tuple(z.shape[1:]))
    values, vectors = torch.linalg.eigh(operator.to(torch.complex128) * 1j)  # skew, of an odd side: 0 is among them
    lost = vectors[:, values.abs().argmin()].real.reshape(z.shape[1:])
    lost = lost / lost.norm()
    assert float(values.abs().amin()) < 1e-12
    term = total = z
    own_B, apart_B = torch.zeros_like(far_B), far_B
    for order, one in enumerate(module.convolutions, start=1):
        more_B = Sums(one, meant=kernel / order)(term, term, apart_B)
        # What surely is as far from z's term, where the input was moved along the largest eigenvector.
        apart_B = apart_B * float(values.abs().amax()) / order
        term = convolve(term, kernel / order, None, "zeros") + more_B[:, None, None, None] * lost
        total, own_B = total + term, own_B + more_B
    erred_B = (total - (step.module(z.clone()) - module.bias.double()[:, None, None])).flatten(1).norm(dim=1)
    torch.testing.assert_close(erred_B, own_B)
    assert bool((erred_B <= found).all())
    assert bool((found <= 1.5 * erred_B).all())


def test_a_series_carries_on_what_its_terms_err_by():
    step, module, z, found = charged("soc", 0.0)
    charge, none_B = SeriesCharge(step, module), torch.zeros(len(z), dtype=torch.float64)
    assert charge.carried_on == carried_on_bounds(charge.norm, 12)
    charge.carried_on = tuple(100 * bound for bound in charge.carried_on)
    assert bool((charge(z, step.module(z.clone()), none_B) >= 50 * found).all())


def test_a_series_that_is_not_skew_is_refused():
    step, module, _, _ = charged("soc", 0.0)
    skeleton_weights = step.module.weights
    step.module.weights = lambda: (skeleton_weights()[0] + 1e-9,)
    with pytest.raises(UnsoundError, match="SOCConv2d rounds is not known: its kernel is not skew"):
        SeriesCharge(step, module)


def test_around_nothing_only_the_way_there_is_charged():
    conv = BlockedConv2d(torch.rand(4, 4, 3, 3), None, padding="zeros", block=2)
    z, far_B = torch.zeros(1, 4, 6, 6, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    assert float(Sums(conv)(z, z, far_B)) >= float32.gamma(conv.roundings) * absolute_norm(conv.kernel) * 0.99


def test_a_diagonal_that_is_flushed_is_charged_as_it_was_meant():
    torch.manual_seed(0)
    layer = METHODS["sll"].conv2d(4, 4, 3)
    certifier = Certifier(layer, (4, 5, 5), arithmetic="executed")
    (step,), module = certifier.steps, certifier.program.model
    before = ResidualCharge(step, module).back.departs
    module.back.kernel0.zero_()
    assert ResidualCharge(step, module).back.departs > 1e3 * before


@pytest.mark.parametrize("weight", [4e38, -1e37, 1e300])
def test_weights_that_float32_does_not_hold_are_refused(weight):
    model = nn.Sequential(Sum(nn.Identity(), weights=(weight,)), nn.Hardtanh(-1.0, 1.0), nn.Linear(1, 2))
    with pytest.raises(UnsoundError, match="cannot hold the weights"):
        Certifier(model, (1,), arithmetic="executed")


def test_a_sum_of_nothing_but_its_input_rounds_too():
    """It has no module that is charged, and two products and a sum that are."""
    torch.manual_seed(0)
    halves = nn.Sequential(Sum(nn.Sequential(), nn.Sequential(), weights=(0.5, -1 / 3)))
    found = errors_and_bounds(halves, (7,), block=None, far=0.1)
    assert 1e-2 < float(found.amax()) <= 1


def test_who_certifies_in_float64_leaves_other_programs_alone():
    """On CUDA cuDNN would be on again under a program that another thread runs."""
    with sums_of_products(CPU):
        Certifier(nn.Linear(3, 2), (3,)).logits(torch.zeros(1, 3))
        assert not torch.backends.cudnn.enabled
        assert not torch._C._get_nnpack_enabled()


@pytest.mark.parametrize("module", [Sum(nn.Identity(), weights=(1e30,)), Normalize([1e-30])])
def test_what_is_flushed_before_it_is_multiplied_is_charged(module):
    """Without it, inputs of 1e-38 had radii inside which they are flushed to a tie."""
    model = nn.Sequential(module, nn.Flatten())
    x = torch.tensor([1.6 * 2.0**-126, 0.0]).view(1, 1, 1, 2)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush denormal numbers")
    try:
        radius = float(onelip.certified_radius(model, x, torch.tensor([0]), arithmetic="executed"))
        assert radius < 2.0**-126
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("options", [{"stride": 2}, {"padding": 0}, {"dilation": 2}, {"groups": 3}])
def test_convolutions_that_no_layer_is_are_refused_and_not_replaced(options):
    conv = nn.Conv2d(3, 3, 3, **{"padding": 1} | options)
    with pytest.raises(UnsoundError, match="no proved bound is known for this Conv2d"):
        certified_program(nn.Sequential(conv, nn.Flatten()), (3, 8, 8))


def test_modules_of_unknown_rounding_and_programs_are_refused():
    with pytest.raises(UnsoundError, match="Tanh rounds is not known"):
        certified_program(nn.Sequential(nn.Linear(3, 2), nn.Tanh()), (3,))
    with pytest.raises(UnsoundError, match="Program rounds is not known"):
        certified_program(certified_program(nn.Linear(3, 2), (3,)), (3,))


def test_modules_that_are_used_twice_stay_one():
    torch.manual_seed(0)
    linear, pool = nn.Linear(6, 6), nn.AvgPool2d(1)
    twice = nn.Sequential(linear, nn.ReLU(), linear)
    assert float(errors_and_bounds(twice, (6,), block=2, far=0.1).amax()) <= 1
    program = certified_program(twice, (6,))
    assert program.model[0] is program.model[2]
    images = nn.Sequential(pool, nn.Conv2d(3, 3, 1), pool, nn.Flatten())
    assert float(errors_and_bounds(images, (3, 4, 4), block=2, far=0.1).amax()) <= 1


def test_compiling_leaves_a_program_as_it_is():
    torch.manual_seed(0)
    program, graphs = certified_program(onelip.ConvNet("cayley", size=8, classes=10, image=(1, 8, 8))), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    x = torch.rand(2, 1, 8, 8)
    compiled = torch.compile(program, backend=backend)
    assert torch.equal(compiled(x), program(x))
    assert torch.equal(torch.compile(nn.Sequential(program), backend=backend)(x), program(x))
    assert not graphs
    from torch.fx.experimental.proxy_tensor import make_fx

    with pytest.raises(UnsoundError, match="tracing"):
        make_fx(program)(x)
    torch._dynamo.reset()


def test_settings_are_off_until_the_last_thread_is_done():
    inside, leave, seen = threading.Event(), threading.Event(), []

    def other():
        with sums_of_products(CPU):
            inside.set()
            leave.wait(30)
            seen.append(torch._C._get_nnpack_enabled())

    thread = threading.Thread(target=other)
    with sums_of_products(CPU):
        thread.start()
        assert inside.wait(30)
    assert not torch._C._get_nnpack_enabled(), "the other thread still computes"
    leave.set()
    thread.join(30)
    assert seen == [False]
    assert torch._C._get_nnpack_enabled()
    assert torch.backends.cudnn.enabled


INHERITED = """
import torch
from onelip import certified_program
certified_program(torch.nn.Linear(3, 2), (3,))(torch.zeros(1, 3))
torch.backends.fp32_precision = "ieee"
parts = torch.backends.cudnn.conv, torch.backends.cuda.matmul, torch.backends.mkldnn.conv, torch.backends.mkldnn.matmul
assert [part.fp32_precision for part in parts] == ["ieee"] * 4, [part.fp32_precision for part in parts]
"""


@pytest.mark.skipif(not NAMED, reason="this torch has no precisions by name")
def test_a_precision_that_is_inherited_is_inherited_again():
    """In a process of its own, of which nothing was told yet."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", INHERITED], check=True, timeout=120)


def test_another_default_type_makes_no_difference():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten())
    torch.set_default_dtype(torch.float64)
    try:
        assert isinstance(Certifier(model, (3, 6, 6), arithmetic="executed").program, Program)
    finally:
        torch.set_default_dtype(torch.float32)


def test_margins_without_a_bound_of_rounding_are_looked_at_too():
    model, x, y = nn.Linear(2, 2, bias=False), torch.tensor([[2e37, 1e37]]), torch.tensor([0])
    model.weight.data.copy_(torch.eye(2))
    certificate = onelip.issue_certificate(model, x, y, arithmetic="executed")
    assert certificate.inputs[0].radius == 0
    onelip.verify_certificate(certificate, model, x, y)
    wrong = certificate.inputs[0].model_copy(update={"margin": -123.0})
    claims = certificate.model_dump(exclude={"digest"}) | {"inputs": (wrong.model_dump(),)}
    with pytest.raises(CertificateError, match="claims the margin"):
        onelip.verify_certificate(certificate.signed_off(**claims), model, x, y)


def test_logits_that_are_no_numbers_are_no_program_of_a_certificate():
    from onelip.certify.along import State
    from onelip.certify.radius import check_program

    none = torch.zeros(1, dtype=torch.float64)
    state = State(x=torch.zeros(1, 2, dtype=torch.float64), error=none, around=none + 1, reach=none)
    with pytest.raises(UnsoundError, match="errs by nan"):
        check_program(torch.tensor([[math.nan, 0.0]], dtype=torch.float64), state, torch.zeros(1, 2))
