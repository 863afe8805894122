"""The float32 program: what its modules err by is bounded, what would compute otherwise is noticed or refused."""

from __future__ import annotations

import functools
import math
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

import onelip
from onelip import METHODS, Certifier, Sum, certified_program, certified_radius, freeze, issue_certificate
from onelip.certify import executed
from onelip.certify.along import ErrorsAlong
from onelip.certify.program import Program, check_sums
from onelip.certify.radius import check_program
from onelip.certify.rounding import steps
from onelip.errors import ProgramError, UnsoundError, UnsupportedShapeError
from onelip.linalg import float32
from onelip.linalg.precision import sums_of_products
from onelip.nn.blocked import BlockedConv2d, BlockedResidual, BlockedSeries, added_pairwise
from onelip.nn.executed import Widened
from onelip.nn.freeze import FrozenLayer
from onelip.nn.reshape import Center, Normalize

CONSTRAINED = [name for name, method in METHODS.items() if method.traits.constrained]


def errors_and_bounds(model: nn.Module, shape: tuple[int, ...], *, block: int | None, far: float) -> torch.Tensor:
    """Measured errors of a program over their bounds, shape (4, B): at inputs, and at others that far from them."""
    program = certified_program(model, shape, block=block)
    exact = freeze(model, shape).double()
    errors = ErrorsAlong(steps(exact, shape), program.model)
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(16, *shape, generator=generator)
    state = errors.at(x.double(), torch.full((16,), far, dtype=torch.float64))
    found = []
    for number in range(4):
        offset = torch.randn(x.shape, generator=generator) if number else torch.zeros_like(x)
        length = offset.flatten(1).norm(dim=1).clamp(min=1e-9).view(-1, *[1] * len(shape))
        there = x + (0.999 * far / length) * offset
        apart = (program(there).double() - exact(there.double())).flatten(1).norm(dim=1)
        found.append(apart / state.around)
    return torch.stack(found)


@pytest.mark.parametrize("block", [None, 1, 3, 16])
@pytest.mark.parametrize("padding", ["circular", "zeros"])
@pytest.mark.parametrize("name", CONSTRAINED)
def test_no_layer_errs_by_more_than_its_bound(name: str, padding: str, block: int | None) -> None:
    torch.manual_seed(0)
    layers = METHODS[name].conv2d(5, 6, 3, padding_mode=padding), METHODS[name].conv2d(6, 4, 3, padding_mode=padding)
    strided = METHODS[name].conv2d(4, 8, 3, stride=2, padding_mode=padding)
    model = nn.Sequential(Center([0.3] * 5), *layers, onelip.MaxMin(), strided, nn.Flatten(), nn.Linear(72, 3))
    found = errors_and_bounds(model, (5, 6, 6), block=block, far=0.5)
    assert float(found.amax()) <= 1
    assert float(found.amax()) > 1e-4, "a bound so far above every error says little"


@pytest.mark.parametrize("name", CONSTRAINED)
def test_neither_does_a_linear_layer(name: str) -> None:
    torch.manual_seed(0)
    layer = METHODS[name].linear(40, 30)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    found = errors_and_bounds(layer, (40,), block=16, far=0.1)
    assert 1e-4 < float(found.amax()) <= 1


def test_neither_do_sums_scaling_and_vectors_in_rows() -> None:
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.AvgPool2d(1))
    images = nn.Sequential(Normalize([0.3, 0.2, 0.5]), Sum(nn.Identity(), inner, weights=(0.5, -1 / 3)), nn.Flatten())
    assert 1e-3 < float(errors_and_bounds(images, (3, 5, 5), block=2, far=0.2).amax()) <= 1
    rows = nn.Sequential(nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 5), nn.Flatten())
    assert 1e-3 < float(errors_and_bounds(rows, (7, 20), block=4, far=0.2).amax()) <= 1


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e-12, 1e12])
def test_neither_do_layers_of_tiny_and_of_huge_numbers(scale: float) -> None:
    """Squares of the first ones are no normal numbers; with flushing to zero, all of them are lost."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Flatten())
    with torch.no_grad():
        model[0].weight.mul_(scale)
        model[0].bias.mul_(scale)
    assert float(errors_and_bounds(model, (4, 5, 5), block=2, far=0.1).amax()) <= 1
    if torch.set_flush_denormal(True):
        try:
            assert float(errors_and_bounds(model, (4, 5, 5), block=2, far=0.1).amax()) <= 1
        finally:
            torch.set_flush_denormal(False)


def single(scale: float = 1.0) -> nn.Module:
    """One product, one bias: as tight as a bound can be."""
    linear = nn.Linear(1, 1)
    linear.weight.data.fill_(scale / 3)
    linear.bias.data.fill_(1 / 7)
    return linear


def test_the_bound_of_a_single_product_is_within_a_few_of_the_error() -> None:
    torch.manual_seed(0)
    assert float(errors_and_bounds(single(), (1,), block=None, far=1e-6).amax()) > 0.15


def test_a_bound_of_half_a_rounding_is_seen_to_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executed, "gamma", lambda terms: float32.UNIT_ROUNDOFF / 2)
    assert float(errors_and_bounds(single(), (1,), block=None, far=1e-6).amax()) > 1


def test_what_could_overflow_has_no_bound() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Flatten())
    with torch.no_grad():
        model[0].weight.mul_(1e37)
    program, exact = certified_program(model, (4, 5, 5)), freeze(model, (4, 5, 5)).double()
    state = ErrorsAlong(steps(exact, (4, 5, 5)), program.model).at(torch.ones(1, 4, 5, 5).double(), torch.ones(1))
    assert math.isinf(float(state.around))


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 8, 13])
def test_pairwise_sums_pass_through_as_few_sums_as_are_charged(count: int) -> None:
    """Each part is 1, each sum adds a thousandth of the depth: the deepest part shows how many sums there were."""

    class Counted(float):
        depth = 0

        def add_(self, other: Counted) -> Counted:
            total = Counted(self + other)
            total.depth = max(self.depth, other.depth) + 1
            return total

    total = added_pairwise(Counted(1) for _ in range(count))  # type: ignore[misc]
    assert float(total) == count
    assert total.depth == math.ceil(math.log2(count))  # type: ignore[attr-defined]


def test_a_program_computes_what_the_model_does() -> None:
    torch.manual_seed(0)
    for name in CONSTRAINED:
        net = onelip.ConvNet(name, size=8, classes=10, image=(1, 8, 8))
        x = torch.rand(8, 1, 8, 8)
        program = certified_program(net)
        assert torch.allclose(program(x), freeze(net)(x), atol=1e-5), name
        assert program(x[:0]).shape == (0, 10)


def test_what_kind_of_module_evaluates_what() -> None:
    kinds = {"cpl": BlockedResidual, "sll": BlockedResidual, "soc": BlockedSeries, "cayley": Widened, "lot": Widened}
    for name in CONSTRAINED:
        program = certified_program(METHODS[name].conv2d(4, 4, 3), (4, 6, 6))
        assert type(program.model) is kinds.get(name, BlockedConv2d)


@pytest.mark.parametrize(
    ("block", "expected"),
    [(16, [4, 8, 16, 20, 20]), (1, [1, 1, 1, 2, 4]), (None, [20] * 5), (40, [10, 20, 20, 20, 20])],
)
def test_the_smaller_a_term_of_a_series_the_more_channels_it_sums_over(block: int | None, expected: list[int]) -> None:
    module = certified_program(METHODS["soc"].conv2d(20, 20, 3), (20, 4, 4), block=block).model
    assert isinstance(module, BlockedSeries)
    assert [one.block for one in module.convolutions][:5] == expected
    assert len(module.convolutions) == 12


class Doubled(METHODS["sll"].conv2d):  # type: ignore[misc]
    """Applies its weights in a way of its own, of which the family's module knows nothing."""

    def apply_weights(self, x, weights):
        return super().apply_weights(x, weights) / 2

    def realised_bound(self, weights, image, *, enough=0.0):
        return super().realised_bound(weights, image, enough=enough)

    def rounding(self, x, weights, image, norm):
        found = super().rounding(x, weights, image, norm)
        return found.plus(found)


def test_a_layer_with_a_way_of_its_own_is_evaluated_in_float64() -> None:
    program = certified_program(Doubled(4, 4, 3), (4, 6, 6))
    assert isinstance(program.model, Widened)
    assert isinstance(program.model.module, FrozenLayer)


NOTICED = BlockedConv2d(torch.randn(32, 32, 3, 3), None, padding="zeros", block=16)
SHAPE = (32, 32, 8, 8)


@contextmanager
def without_onednn() -> Iterator[None]:
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)


def test_sums_of_products_pass() -> None:
    with sums_of_products(torch.device("cpu")):
        check_sums(NOTICED, SHAPE)


def test_reduced_precision_is_noticed() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(UnsoundError, match="not evaluated as sums"):
        check_sums(NOTICED, SHAPE)


def test_winograd_is_noticed() -> None:
    """As NNPACK does it, where it is built in and oneDNN does not come first."""
    if not torch.backends.nnpack.is_available():
        pytest.skip("this build of torch has no NNPACK")
    with without_onednn():
        with pytest.raises(UnsoundError, match="not evaluated as sums"):
            check_sums(NOTICED, SHAPE)
        with sums_of_products(torch.device("cpu")):
            check_sums(NOTICED, SHAPE)


def rounded_to(bits: int):
    """A convolution that rounds its factors to so many bits first, as TF32 does to eleven."""
    plain = torch.nn.functional.conv2d

    def shortened(x):
        larger = x * (2.0 ** (24 - bits) + 1)  # Veltkamp's splitting
        return larger - (larger - x)

    def convolution(x, kernel, *args, **kwargs):
        if x.dtype == torch.float32:
            x, kernel = shortened(x), shortened(kernel)
        return plain(x, kernel, *args, **kwargs)

    return convolution


@pytest.mark.parametrize(("bits", "is_noticed"), [(8, True), (11, True), (24, False)])
def test_tf32_would_be_noticed(bits: int, is_noticed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onelip.nn.blocked.F.conv2d", rounded_to(bits))
    if is_noticed:
        with pytest.raises(UnsoundError, match="not evaluated as sums"):
            check_sums(NOTICED, SHAPE)
    else:
        check_sums(NOTICED, SHAPE)


def test_a_certifier_looks_before_it_certifies(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten())
    Certifier(model, (3, 6, 6), arithmetic="executed")
    monkeypatch.setattr("onelip.nn.blocked.F.conv2d", rounded_to(11))
    with pytest.raises(UnsoundError, match="not evaluated as sums"):
        Certifier(model, (3, 6, 6), arithmetic="executed")


def test_what_is_switched_on_is_off_inside_and_on_again_afterwards() -> None:
    torch.manual_seed(0)
    program = certified_program(onelip.ConvNet("aol", size=8, classes=10, image=(1, 8, 8)))
    x = torch.rand(40, 1, 8, 8)
    expected = program(x)
    with without_onednn():
        without = program(x)
        assert torch._C._get_nnpack_enabled()
    assert float((without - expected).abs().amax()) < 1e-6
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(program(x), expected)
        assert torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(("name", "value"), [("NVIDIA_TF32_OVERRIDE", "1"), ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")])
def test_variables_that_lower_float32_are_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = certified_program(nn.Linear(3, 2), (3,))
    monkeypatch.setenv(name, value)
    with pytest.raises(UnsoundError, match=name):
        program(torch.zeros(1, 3))


@pytest.mark.parametrize("arithmetic", ["float64", "executed", "real"])
def test_so_are_those_that_emulate_float64(arithmetic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = torch.rand(2, 3), torch.tensor([0, 1])
    monkeypatch.setenv("CUBLAS_EMULATE_DOUBLE_PRECISION", "1")
    with pytest.raises(UnsoundError, match="CUBLAS_EMULATE_DOUBLE_PRECISION=1 has float64 emulated"):
        onelip.certified_radius(nn.Linear(3, 2), x, y, arithmetic=arithmetic)
    for layer, shape in ((nn.Linear(3, 2), (3,)), (nn.Conv2d(3, 2, 3, padding=1), (3, 4, 4))):
        with pytest.raises(UnsoundError, match="has float64 emulated; unset it"):
            onelip.lipschitz_bound(layer, shape)


@pytest.mark.parametrize("method", ["CPL", "SOC"])
def test_layers_that_bound_their_own_norm_are_evaluated_there(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is constructed promises nothing; bounds and certificates, which do, are refused."""
    torch.manual_seed(0)
    layer, x = getattr(onelip, f"{method}Conv2d")(4, 4, 3), torch.rand(1, 4, 6, 6)
    expected = layer.eval()(x)
    monkeypatch.setenv("CUBLAS_EMULATE_DOUBLE_PRECISION", "1")
    frozen = freeze(layer.train().eval(), (4, 6, 6))
    assert torch.equal(frozen(x), expected)
    for bounded in (
        lambda: onelip.lipschitz_bound(layer, (4, 6, 6)),
        lambda: layer.bound((6, 6)),
        lambda: frozen.bound((6, 6)),
        lambda: onelip.diagnose(nn.Sequential(layer, nn.Flatten()), torch.rand(2, 4, 6, 6), torch.tensor([0, 1])),
    ):
        with pytest.raises(UnsoundError, match="has float64 emulated"):
            bounded()


@pytest.mark.parametrize("arithmetic", ["float64", "executed"])
def test_nor_is_anything_evaluated_there(arithmetic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    certifier = Certifier(nn.Linear(3, 2), (3,), arithmetic=arithmetic)
    monkeypatch.setenv("CUBLAS_EMULATE_DOUBLE_PRECISION", "1")
    with pytest.raises(UnsoundError, match="has float64 emulated"):
        certifier.logits(torch.rand(2, 3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_types_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(UnsoundError, match="float32"):
        certified_program(nn.Linear(3, 2).to(dtype), (3,))
    with pytest.raises(UnsoundError, match="float"):
        Certifier(nn.Linear(3, 2).to(dtype), (3,), arithmetic="executed")
    program = certified_program(nn.Linear(3, 2), (3,))
    with pytest.raises(UnsoundError, match="takes inputs in float32"):
        program(torch.zeros(1, 3, dtype=dtype))
    x = torch.rand(4, 3)
    expected = program(x)
    for convert in (lambda: program.to(dtype), lambda: program.type(dtype)):
        with pytest.raises(UnsoundError, match=f"the types it was made with: torch.float32, not {dtype}"):
            convert()
    assert torch.equal(program.to("cpu").float()(x), expected), "it is what it was"
    program.model.to(dtype)
    with pytest.raises(UnsoundError, match="do not convert its modules"):
        program(x)


def test_so_are_other_shapes_training_mode_and_compilation() -> None:
    program = certified_program(nn.Linear(3, 2), (3,))
    with pytest.raises(UnsupportedShapeError, match=r"\(3,\)"):
        program(torch.zeros(1, 4))
    with pytest.raises(UnsoundError, match="tracing"):
        torch.export.export(program, (torch.zeros(1, 3),), strict=False)
    with pytest.raises(UnsoundError, match="eval mode"):
        program.train()(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="image"):
        certified_program(nn.Linear(3, 2))


@pytest.mark.parametrize("block", [0, -1, 2.5, 16.0, True, "16", (16, 8), [], float("nan")])
def test_a_block_is_a_positive_integer_or_none(block: object) -> None:
    """Whatever the arithmetic: one that is not used is no less of a mistake."""
    model, x, y = nn.Linear(3, 2), torch.rand(2, 3), torch.zeros(2, dtype=torch.int64)
    said = rf"^block={re.escape(repr(block))} must be a positive integer, or None for sums over all input channels"
    for made in (
        lambda: certified_program(model, (3,), block=block),
        lambda: Program(freeze(model, (3,)), (3,), block=block),
        lambda: BlockedConv2d(torch.rand(2, 3, 1, 1), None, padding="zeros", block=block),
        lambda: BlockedSeries(torch.rand(3, 3, 1, 1), 4, None, out_channels=3, padding="zeros", block=block),
        lambda: certified_radius(model, x, y, block=block),
        *(
            functools.partial(Certifier, model, (3,), arithmetic=arithmetic, block=block)
            for arithmetic in ("float64", "executed", "real")
        ),
    ):
        with pytest.raises(ValueError, match=said):
            made()


def test_a_block_may_be_of_another_library() -> None:
    model = nn.Linear(40, 2)
    for block in (np.int64(8), torch.tensor(8), 8):
        assert Certifier(model, (40,), arithmetic="executed", block=block).program.block == 8
        assert (
            issue_certificate(model, torch.rand(1, 40), torch.tensor([0]), arithmetic="executed", block=block).block
            == 8
        )


def test_a_program_that_errs_by_more_than_is_possible_is_no_program_of_the_certificate() -> None:
    torch.manual_seed(0)
    certifier = Certifier(nn.Linear(30, 4), (30,), arithmetic="executed")
    assert isinstance(certifier.program, Program)
    x = torch.rand(5, 30)
    certifier.radii(x, certifier.logits(x).argmax(1))
    state = ErrorsAlong(certifier.steps, certifier.program.model).at(x.double(), torch.zeros(5, dtype=torch.float64))
    logits = certifier.logits(x)
    check_program(logits, state, x)
    logits[2] *= 1 + 1e-4
    logits[3] *= 1 + 1e-2
    with pytest.raises(ProgramError, match="errs by") as raised:
        check_program(logits, state, x)
    for error in (raised.value, pickle.loads(pickle.dumps(raised.value))):
        assert torch.equal(error.inputs, x[2:4])
        assert torch.equal(error.labels, state.x[2:4].argmax(1))
        assert str(error) == str(raised.value)
    worst = float((logits - state.x)[3].norm())
    assert f"errs by {worst:.3g} at an input" in str(raised.value)
    logits[2] = math.nan
    with pytest.raises(ProgramError, match="errs by nan at an input"):
        check_program(logits, state, x)


@pytest.mark.parametrize("arithmetic", ["real", "float64", "executed"])
def test_nothing_is_said_of_no_inputs(arithmetic: str) -> None:
    certifier = Certifier(nn.Linear(3, 2), (3,), arithmetic=arithmetic)
    none = torch.zeros(0, 3)
    assert certifier.errors(none, torch.zeros(0, dtype=torch.float64)).shape == (0,)
    assert certifier.radii(none, torch.zeros(0, dtype=torch.int64)).shape == (0,)
