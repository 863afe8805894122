"""A program whose weights are not those of the chain that speaks of it: the difference is charged, or refused."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

import onelip
from onelip import METHODS, certified_program
from onelip.certify import executed
from onelip.certify.along import ErrorsAlong
from onelip.certify.program import Program
from onelip.certify.rounding import Plan, register_rounding, steps
from onelip.certify.verify import _as_float64
from onelip.errors import CertificateError, UnsoundError
from onelip.nn.reshape import Center

IMAGE = (4, 6, 6)
IMAGES = {
    "zeros": lambda: nn.Conv2d(4, 4, 3, padding=1),
    "circular": lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
    "kernel": lambda: METHODS["aol"].conv2d(4, 4, 3),
    "strided": lambda: METHODS["bcop"].conv2d(4, 8, 3, stride=2),
    "residual": lambda: METHODS["sll"].conv2d(4, 4, 3),
    "series": lambda: METHODS["soc"].conv2d(4, 4, 3),
    "pointwise": lambda: METHODS["cayley"].conv2d(4, 4, 1),
    "pointwise series": lambda: METHODS["soc"].conv2d(4, 4, 1),
}
VECTORS = {
    "linear": lambda: nn.Linear(20, 4),
    "kernel": lambda: METHODS["aol"].linear(20, 4),
    "residual": lambda: METHODS["cpl"].linear(20, 20),
    "rows": lambda: nn.Linear(20, 4),
}
SHAPES = {"rows": (3, 20)}
CASES = [(make, IMAGE) for make in IMAGES.values()] + [
    (make, SHAPES.get(name, (20,))) for name, make in VECTORS.items()
]


@torch.no_grad()
def ratios(program: Program, model: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """Measured errors over those that a chain charges which constructs the layers of a model anew, at inputs."""
    chain = steps(model, shape, Plan(_as_float64))
    x = torch.rand(8, *shape, generator=torch.Generator().manual_seed(1))
    state = ErrorsAlong(chain, program.model).at(x.double(), torch.zeros(8, dtype=torch.float64))
    return (program(x).double() - state.x).flatten(1).norm(dim=1) / (state.around + state.error)


@pytest.mark.parametrize(("make", "shape"), CASES, ids=[*IMAGES, *VECTORS])
def test_other_weights_are_charged(make, shape) -> None:
    """One tensor after the other: what is charged lies close above what they make of it, however large they are."""
    torch.manual_seed(0)
    model = make()
    program = certified_program(model, shape, block=None)
    assert 1e-4 < float(ratios(program, model, shape).amax()) <= 1
    for name, tensor in program.model.named_buffers():
        before = tensor.clone()
        tensor.add_(0.1 * torch.randn(tensor.shape))
        assert 2e-3 < float(ratios(program, model, shape).amax()) <= 1, name
        tensor.copy_(before)


@pytest.mark.parametrize("make", [IMAGES["zeros"], IMAGES["residual"], IMAGES["series"]])
def test_a_bias_that_is_missing_is_charged(make) -> None:
    torch.manual_seed(0)
    model = make()
    with torch.no_grad():
        model.bias.normal_()
    other = copy.deepcopy(model)
    other.bias = None
    for one, another in ((model, other), (other, model)):
        found = ratios(certified_program(one, IMAGE), another, IMAGE)
        assert 0.02 < float(found.amax()) <= 1


def test_the_same_weights_cost_nothing() -> None:
    """Bit by bit: what is charged of a program by its own chain is what rounding takes."""
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 4, 3, padding=1)
    (step,) = steps(conv.double(), IMAGE)
    own = certified_program(nn.Sequential(conv.float()), IMAGE, block=None).model[0]
    charge = executed.charge_of(step, own, (0.0, 0.0))
    assert (charge.departs, charge.shift) == (0.0, 0.0)


@pytest.mark.parametrize("make", [METHODS["cayley"].conv2d, METHODS["lot"].conv2d])
def test_what_is_evaluated_in_float64_has_the_weights_of_the_chain(make) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Center([0.1] * 4), make(4, 4, 3))
    for name in ("0.mean", "1.module.weight0", "1.module.skeleton.bias"):
        program = certified_program(model, IMAGE)
        assert float(ratios(program, model, IMAGE).amax()) <= 1
        tensor = {**dict(program.model.named_buffers()), **dict(program.model.named_parameters())}[name]
        tensor.view(-1)[0] += 1e-6
        with pytest.raises(UnsoundError, match=f"other weights than {name[0]}"):
            ratios(program, model, IMAGE)


class Half(nn.Module):
    """With a state that is no tensor, and one that is no number."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("unused", torch.tensor([math.nan, 1.0]))

    def get_extra_state(self) -> dict[str, int]:
        return {"version": 1}

    def set_extra_state(self, state: dict[str, int]) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        return x * 0.5


def test_states_that_are_no_tensors_or_no_numbers_are_no_other_weights() -> None:
    """A module of one's own that is evaluated in float64; other numbers beside a NaN, or in its place, are others."""
    onelip.register_bound(Half)(lambda module, shape: (onelip.Bound(0.5, "half"), shape))
    register_rounding(Half)(lambda module, shape, x, norm: x.linear(norm=norm, rounding=2.0**-53))
    torch.manual_seed(0)
    model, x = nn.Sequential(Half(), nn.Linear(6, 3)), torch.rand(4, 6)
    assert bool((onelip.certified_radius(model, x, model(x).argmax(1), arithmetic="executed") > 0).any())
    for place in (0, 1):
        program = certified_program(model, (6,))
        assert float(ratios(program, model, (6,)).amax()) <= 1
        program.model[0].module.unused[place] = 2
        with pytest.raises(UnsoundError, match="other weights than 0"):
            ratios(program, model, (6,))


def test_a_layer_whose_kernel_is_not_known_is_refused() -> None:
    """It is frozen to a convolution, and applied in a way of its own."""

    class Own(METHODS["aol"].conv2d):  # type: ignore[misc]
        def apply_weights(self, x, weights):
            return super().apply_weights(x, weights)

        def realised_bound(self, weights, image, *, enough=0.0):
            return super().realised_bound(weights, image, enough=enough)

        def rounding(self, x, weights, image, norm):
            return super().rounding(x, weights, image, norm)

        def frozen(self, image):
            return super().frozen(image)

    model = Own(4, 4, 3)
    with pytest.raises(UnsoundError, match="register_executed"):
        ratios(certified_program(model, IMAGE), model, IMAGE)


def test_verification_pays_for_weights_that_were_constructed_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a device that does not repeat itself: a program of perturbed weights has smaller radii, or none."""
    torch.manual_seed(0)
    model, x = nn.Sequential(METHODS["aol"].conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 3)), torch.rand(4, 3, 6, 6)
    y = onelip.freeze(model, (3, 6, 6))(x).argmax(1)
    certificate = onelip.issue_certificate(model, x, y, arithmetic="executed")
    onelip.verify_certificate(certificate, model, x, y)

    def perturbed(*arguments, **options):
        program = certified_program(*arguments, **options)
        program.model[0].kernel0.mul_(1 + 1e-5)
        return program

    monkeypatch.setattr("onelip.certify.verify.certified_program", perturbed)
    with pytest.raises(CertificateError, match="which is more than can be proved"):
        onelip.verify_certificate(certificate, model, x, y)
