"""What would make a program, or its certifier, compute otherwise than is certified is refused; derivatives are not."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.autograd.functional import jacobian

import onelip
from onelip import METHODS, Certifier, certified_program, certified_radius
from onelip.errors import UnsoundError
from onelip.linalg import spectral

IMAGE = (4, 6, 6)


class Bare(Tensor):
    """Does nothing of its own, and is not known to."""


class Lowered(Tensor):
    """Convolves in bfloat16."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.nn.functional.conv2d:
            with torch._C.DisableTorchFunctionSubclass():
                args = [one.bfloat16() if isinstance(one, Tensor) else one for one in args]
                return function(*args, **(kwargs or {})).float().as_subclass(Lowered)
        return super().__torch_function__(function, types, args, kwargs or {})


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(0)
    model = nn.Sequential(METHODS["cayley"].conv2d(4, 4, 3), nn.Flatten(), nn.Linear(144, 3))
    x = torch.rand(2, *IMAGE)
    return model, x, onelip.freeze(model, IMAGE)(x).argmax(1)


@pytest.fixture
def transforms(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the library's transforms, of whose rounding nothing is known, are called."""
    calls: list[int] = []
    by_library = spectral.apply_by_library
    monkeypatch.setattr(spectral, "apply_by_library", lambda *a, **b: calls.append(1) or by_library(*a, **b))
    return calls


@pytest.mark.parametrize("kind", [Bare, Lowered])
@pytest.mark.parametrize("arithmetic", ["float64", "executed", "real"])
def test_tensors_with_operations_of_their_own_are_refused(case, kind: type[Tensor], arithmetic) -> None:
    model, x, y = case
    own, certifier = x.as_subclass(kind), Certifier(model, IMAGE, arithmetic=arithmetic)
    with pytest.raises(UnsoundError, match=f"input is a {kind.__name__}"):
        certified_radius(model, own, y, arithmetic=arithmetic)
    for call in (certifier.logits, certifier.evaluated, lambda x: certifier.errors(x, torch.ones(2).double())):
        with pytest.raises(UnsoundError, match=f"input is a {kind.__name__}"):
            call(own)
    with pytest.raises(UnsoundError, match="labels is a Bare"):
        certifier.radii(x, y.as_subclass(Bare))


def test_so_they_are_by_programs_certificates_and_verification(case) -> None:
    model, x, y = case
    program = certified_program(model, IMAGE)
    for kind in (Bare, Lowered):
        with pytest.raises(UnsoundError, match=f"input is a {kind.__name__}"):
            program(x.as_subclass(kind))
    certificate = onelip.issue_certificate(model, x, y, arithmetic="executed")
    for call in (onelip.issue_certificate, lambda *those: onelip.verify_certificate(certificate, *those)):
        with pytest.raises(UnsoundError, match="input is a Bare"):
            call(model, x.as_subclass(Bare), y)
    assert torch.equal(program(nn.Parameter(x)), program(x))


@pytest.mark.filterwarnings("ignore:`torch.jit.* is deprecated")
@pytest.mark.parametrize("arithmetic", ["float64", "executed"])
def test_derivatives_along_tangents_are_refused(case, arithmetic, transforms: list[int]) -> None:
    """Cayley and LOT take the library's transforms there."""
    model, x, y = case
    certifier = Certifier(model, IMAGE, arithmetic=arithmetic)
    logits, transforms[:] = certifier.evaluated, []
    ways: tuple[Callable[[], object], ...] = (
        lambda: torch.func.jvp(logits, (x,), (x,)),
        lambda: jacobian(lambda x: logits(x).sum(0), x, vectorize=True, strategy="forward-mode"),
        lambda: torch._vmap_internals._vmap(lambda one: logits(one[None])[0])(x),
    )
    for way in ways:
        with pytest.raises(UnsoundError, match="reverse mode"):
            way()
    with forward_ad.dual_level():
        for way in (
            lambda: logits(x),
            lambda: certifier.radii(x, y),
            lambda: certifier.radii_of(torch.ones(2, 3).double(), x, y) if certifier.program else logits(x),
        ):
            with pytest.raises(UnsoundError, match="reverse mode"):
                way()
    assert not transforms


@pytest.mark.filterwarnings("ignore:`torch.jit.* is deprecated")
def test_a_program_refuses_them_too(case, transforms: list[int]) -> None:
    model, x, _ = case
    program, transforms[:] = certified_program(model, IMAGE), []
    with pytest.raises(UnsoundError, match="reverse mode"):
        torch.func.jvp(program, (x,), (x,))
    with forward_ad.dual_level(), pytest.raises(UnsoundError, match="reverse mode"):
        program(x)
    assert not transforms


@pytest.mark.parametrize("arithmetic", ["float64", "executed"])
def test_gradients_are_taken_of_what_is_certified(case, arithmetic, transforms: list[int]) -> None:
    """As attacks do: logits are the same to the bit, and gradients those of the model."""
    model, x, _ = case
    certifier = Certifier(model, IMAGE, arithmetic=arithmetic)
    expected, found = certifier.logits(x), []
    transforms.clear()

    def loss(x: Tensor) -> Tensor:
        found.append(certifier.evaluated(x))
        return found[-1][:, 0].sum()

    leaf = x.clone().requires_grad_()
    (by_torch,) = torch.autograd.grad(loss(leaf), leaf)
    assert torch.equal(found[0].detach(), expected)
    assert not transforms
    (real,) = torch.autograd.grad(onelip.freeze(model, IMAGE)(leaf)[:, 0].sum(), leaf)
    for gradient in (by_torch, torch.func.grad(loss)(x), jacobian(loss, x)):
        assert torch.allclose(gradient, real, atol=1e-5)


def hooked(module: nn.Module, *, before: bool) -> None:
    if before:
        module.register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))
    else:
        module.register_forward_hook(lambda module, inputs, output: 2 * output)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("path", ["", "model", "model.0", "model.0.module.skeleton", "model.2.module"])
def test_hooks_of_a_finished_program_are_refused(case, path: str, before: bool) -> None:
    model, x, y = case
    certifier = Certifier(model, IMAGE, arithmetic="executed")
    program = certifier.program
    assert program is not None
    hooked(program.get_submodule(path), before=before)
    for call in (lambda: program(x), lambda: certifier.radii(x, y)):
        with pytest.raises(UnsoundError, match="forward hooks"):
            call()


@pytest.mark.parametrize("kind", ["hook", "pre_hook"])
def test_so_are_hooks_of_all_modules(case, kind: str) -> None:
    program, x = certified_program(case[0], IMAGE), case[1]
    register = getattr(nn.modules.module, f"register_module_forward_{kind}")
    handle = register(lambda *arguments: None)
    try:
        with pytest.raises(UnsoundError, match="forward hooks for all modules"):
            program(x)
    finally:
        handle.remove()
    program(x)


def test_other_modules_forwards_and_tensors_are_refused(case) -> None:
    x = case[1]

    def expect(change: Callable[[nn.Module], object]) -> None:
        program = certified_program(case[0], IMAGE)
        program(x)
        change(program)
        with pytest.raises(UnsoundError, match="the modules, options and types it was made with"):
            program(x)

    expect(lambda program: setattr(program.model[1], "forward", lambda x: 2 * x.flatten(1)))
    expect(lambda program: program.model.append(nn.ReLU()))
    expect(lambda program: program.model.__setitem__(1, nn.Softmax(1).eval()))
    expect(lambda program: program.model.__setitem__(1, nn.Flatten(1).train()))
    expect(lambda program: program.model.compile(backend="eager"))
    expect(lambda program: program.model[2].module._buffers.update(bias=torch.zeros(3).as_subclass(Bare)))


def test_other_options_are_refused() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(144, 3))
    x = torch.rand(2, *IMAGE)
    for path, option, value in (
        ("1.module", "negative_slope", 5.0),
        ("0", "padding", "circular"),
        ("2", "start_dim", 0),
    ):
        program = certified_program(model, IMAGE)
        program(x)
        before = getattr(module := program.model.get_submodule(path), option)
        setattr(module, option, value)
        with pytest.raises(UnsoundError, match="options and types it was made with"):
            program(x)
        setattr(module, option, before)
        program(x)


def test_copies_of_a_program_are_programs(case) -> None:
    program, x = certified_program(case[0], IMAGE), case[1]
    expected = program(x)
    for other in (copy.deepcopy(program), pickle.loads(pickle.dumps(program))):
        assert torch.equal(other(x), expected)
    program.compile(backend="eager")
    assert torch.equal(program(x), expected), "torch.compile leaves it as it is"
    torch._dynamo.reset()
