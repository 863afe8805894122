"""What each module of a model does to a batch: where distances grow, and where values stop being finite.

The variance of the activations over a batch shows what a proof of the layer on paper does not: Prach, Brau, Buttazzo &
Lampert, CVPR 2024, arXiv 2311.16833, found by it that a released implementation was not 1-Lipschitz.

Shapes: B images; activations are (B, ...), labels (B,).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..errors import OnelipError, UnsoundError, UnsupportedShapeError
from ..linalg.autocast import without_autocast
from ..linalg.precision import refuse_emulation
from ..nn.base import LipschitzModule
from ..nn.freeze import ImageModel, applied_layer
from ..nn.loss import MarginCrossEntropy
from ..nn.refusals import children, refuse_hooks, refuse_other_path
from .lipschitz import lipschitz_bound
from .plain import check_labels

SLACK = 1e-6
"""How far a module may stretch beyond what it is allowed: methods are granted as much for constructing in float32."""
ROUNDING = 1e-12
"""What evaluating one module in float64 may err by, over the norms of its input and output: 9000 roundings of 2^-53."""
STEP = 1e-3
"""Length of the steps that norm preservation is measured with, over the norms of input and output: far above rounding,
and so short that few pieces of a piecewise linear module are left."""

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDiagnosis:
    """What one module does to a batch a_1 .. a_B of activations.

    The total variance is half the mean squared distance of all pairs,

        mean_i ||a_i - mean_j a_j||^2 = mean_ij ||a_i - a_j||^2 / 2,

    so that a module with Lipschitz constant L multiplies it by at most L^2, and one with L <= 1 cannot raise it.

    Attributes:
        name: Dotted path in the model, such as "7" or "body.3"; "model" where the model is one module.
        kind: Name of its class.
        shape: Of its output, without the batch.
        parametrised: Whether it holds tensors.
        variance: Total variance of its output over the batch.
        growth: Variance of the output over variance of the input; NaN where the input has none or is not finite,
            infinite where only the output is not finite.
        bound: Proved bound of its Lipschitz constant, at this size of input; None where none is known.
        preservation: Norm preservation, sqrt(mean_i ||f(a_i + v_i) - f(a_i)||^2 / ||v_i||^2) with steps v_i in random
            directions, each a thousandth as long as activations are: up to a few kinks the root mean square of the
            singular values of the Jacobian. 1 for an isometry, sqrt(1 / 2) for one that drops half of the values.
        gradient: Gradient norm, sqrt(mean_i ||g_i||^2) with g_i the gradient of image i's loss at the output.
        rounding: How far rounding may lift the square root of `growth`.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parametrised: bool
    variance: float
    growth: float
    bound: float | None
    preservation: float
    gradient: float
    rounding: float

    @property
    def finite(self) -> bool:
        """Whether the output is finite on the whole batch."""
        return math.isfinite(self.variance)

    @property
    def broken(self) -> bool:
        """Whether it stretches what a 1-Lipschitz module of its bound cannot, or makes values that are not finite.

        A module that is not broken may stretch elsewhere: a batch shows an expansion and never proves that none is.
        """
        return self.exceeds(1.0 if self.bound is None else min(1.0, self.bound))

    def exceeds(self, limit: float) -> bool:
        """Whether it stretches distances by more than a limit, beyond what rounding can explain."""
        allowed = limit * (1 + SLACK)
        grown = math.isinf(self.growth) or math.sqrt(self.growth) > allowed + self.rounding
        return grown or self.preservation > allowed + ROUNDING / STEP


@dataclass(frozen=True, slots=True)
class _Unit:
    """A module that is diagnosed as a whole."""

    name: str
    kind: str
    module: nn.Module

    def __call__(self, x: Tensor) -> Tensor:
        # A copy: a module that works in place would change what is kept for later.
        y = self.module(x.clone())
        if not isinstance(y, Tensor) or not y.is_floating_point() or y.shape[:1] != x.shape[:1]:
            found = f"{y.dtype} {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
            raise UnsupportedShapeError(
                f"module {self.name} must give numbers (B, ...) for inputs (B, ...), not {found}"
            )
        return y.to(torch.float64)


def diagnose(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    loss: Loss | None = None,
    seed: int = 0,
    note: Callable[[str], None] = lambda _: None,
) -> tuple[LayerDiagnosis, ...]:
    """Measures, module by module, what a model does to a batch, in eval mode and in float64.

    A copy is measured, with the weights that its layers construct in their own type; the model stays as it is.
    `nn.Sequential` and `ConvNet` are taken apart, any other module is one; modules without a known bound are measured
    too. All activations of the batch are kept: with fewer images less memory is needed.

    Args:
        model: Maps x to logits (B, classes).
        x: Inputs, shape (B, ...), two or more.
        y: True classes, shape (B,), integers.
        loss: Maps logits and labels to the mean loss; `MarginCrossEntropy()` by default.
        seed: Of the random directions.
        note: Is told what is being done.

    Returns:
        One entry per module, in the order in which they act.

    Raises:
        ValueError: If inputs, labels and logits do not fit, or an input is not finite.
        UnsoundError: If the environment has float64 emulated.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> _ = nn.init.eye_(model[1].weight)
    >>> x = torch.tensor([[1.0, 2.0, 3.0, 4.0], [3.0, 2.0, 3.0, 8.0]])
    >>> [(layer.name, layer.variance, layer.growth) for layer in diagnose(model, x, torch.tensor([0, 2]))]
    [('0', 5.0, 1.0), ('1', 1.0, 0.2)]
    """
    refuse_emulation()
    _check(model, x, y)
    with torch.inference_mode(False), without_autocast(x.device):
        found_units = tuple(_units("", model))
        if not found_units:
            raise OnelipError("the model has no modules")
        note(f"{len(x)} inputs through {len(found_units)} modules")
        # Copies: tensors of inference mode take no part in derivatives.
        units, values = _values(found_units, x.detach().to(torch.float64, copy=True))
        gradients = _gradients(units, values, y.to(torch.int64, copy=True), loss or MarginCrossEntropy())
        generator = torch.Generator().manual_seed(seed)
        found = []
        for unit, before, after, gradient in zip(units, values[:-1], values[1:], gradients, strict=True):
            note(f"module {unit.name}")
            found.append(_diagnosis(unit, before, after, gradient, generator))
    return tuple(found)


def total_variance(a: Tensor) -> float:
    """Mean squared distance of activations (B, ...) from their mean."""
    rows = a.reshape(len(a), -1)
    return float((rows - rows.mean(0)).square().sum(1).mean())


def root_mean_square(a: Tensor) -> float:
    """Root of the mean over B of the squared norms of activations (B, ...)."""
    return float(a.reshape(len(a), -1).square().sum(1).mean().sqrt())


def _check(model: nn.Module, x: Tensor, y: Tensor) -> None:
    if x.dim() < 2 or len(x) < 2 or not x.numel():
        raise UnsupportedShapeError(
            f"the variance over a batch needs two or more inputs (B, ...), not {tuple(x.shape)}"
        )
    if isinstance(model, ImageModel) and tuple(x.shape[1:]) != tuple(model.image):
        raise UnsupportedShapeError(f"the model takes images of shape {model.image}, not {tuple(x.shape[1:])}")
    check_labels(x, y)
    if not bool(torch.isfinite(x).all()):
        raise OnelipError("x holds NaN or inf; only finite inputs can be diagnosed")


def _units(name: str, module: nn.Module) -> Iterator[_Unit]:
    # A hook on a model could change what its modules pass on to each other.
    hooked = bool(module._forward_hooks or module._forward_pre_hooks)
    inner = module.plain() if isinstance(module, ImageModel) else module
    if hooked or not isinstance(inner, nn.Sequential) or type(inner).forward is not nn.Sequential.forward:
        yield _Unit(name or "model", type(module).__name__, module)
        return
    for path, child in children(inner, name):
        yield from _units(path, child)


@torch.no_grad()
def _values(units: tuple[_Unit, ...], x: Tensor) -> tuple[tuple[_Unit, ...], list[Tensor]]:
    """Copies of the modules in float64, and their inputs with the last output."""
    copies, values = [], [x]
    for unit in units:
        copies.append(_in_float64(unit, tuple(values[-1].shape[1:])))
        values.append(copies[-1](values[-1]))
    return tuple(copies), values


def _in_float64(unit: _Unit, shape: tuple[int, ...]) -> _Unit:
    """A copy in eval mode and float64; a layer with the weights that it constructs in its own type, if it is plain.

    Raises:
        UnsoundError: If a layer cannot construct its weights.
    """
    module = unit.module
    if isinstance(module, LipschitzModule) and _is_plain(module):
        try:
            module = applied_layer(module, shape)
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
            raise UnsoundError(f"module {unit.name}, {unit.kind}, cannot construct its weights: {error}") from error
    return replace(unit, module=copy.deepcopy(module).double().eval().requires_grad_(False))


def _is_plain(layer: LipschitzModule) -> bool:
    try:
        refuse_hooks(layer)
        refuse_other_path(layer)
    except UnsoundError:
        return False
    return True


@torch.enable_grad()
def _gradients(units: tuple[_Unit, ...], values: list[Tensor], y: Tensor, loss: Loss) -> list[Tensor]:
    """The gradients of each image's loss at the output of each module.

    Each module is evaluated once more for its own derivative, so that no graph of the whole model is kept.
    """
    logits = values[-1].detach().requires_grad_()
    if logits.dim() != 2:
        raise UnsupportedShapeError(f"the model must give logits of shape (B, classes), not {tuple(logits.shape)}")
    if bool((y < 0).any()) or bool((y >= logits.shape[1]).any()):
        raise OnelipError(f"labels must lie in [0, {logits.shape[1]}) for logits {tuple(logits.shape)}")
    # The mean loss times B: each image's own loss, however many there are.
    gradients = list(torch.autograd.grad(len(y) * loss(logits, y), logits))
    for unit, value in zip(units[:0:-1], values[-2:0:-1], strict=True):
        before = value.detach().requires_grad_()
        after = unit(before)
        connected = after.requires_grad
        gradients += torch.autograd.grad(after, before, gradients[-1]) if connected else [torch.zeros_like(before)]
    return gradients[::-1]


@torch.no_grad()
def _diagnosis(
    unit: _Unit, before: Tensor, after: Tensor, gradient: Tensor, generator: torch.Generator
) -> LayerDiagnosis:
    given, variance = total_variance(before), total_variance(after)
    size = root_mean_square(before) + root_mean_square(after)
    return LayerDiagnosis(
        name=unit.name,
        kind=unit.kind,
        shape=tuple(after.shape[1:]),
        parametrised=bool(unit.module.state_dict()),
        variance=variance,
        growth=_growth(given, variance),
        bound=_bound(unit.module, tuple(before.shape[1:])),
        preservation=_preservation(unit, before, after, size * STEP or STEP, generator),
        gradient=root_mean_square(gradient),
        rounding=ROUNDING * size / math.sqrt(given) if given > 0 else math.inf,
    )


def _growth(given: float, variance: float) -> float:
    if math.isfinite(given) and not math.isfinite(variance):
        return math.inf
    return variance / given if given > 0 else math.nan


def _preservation(unit: _Unit, before: Tensor, after: Tensor, step: float, generator: torch.Generator) -> float:
    noise = torch.randn(before.shape, generator=generator, dtype=torch.float64).to(before.device).flatten(1)
    moved = before + (noise * (step / torch.linalg.vector_norm(noise, dim=1, keepdim=True))).view_as(before)
    lengths_B, moved_B = (
        torch.linalg.vector_norm(difference.reshape(len(difference), -1), dim=1)
        for difference in (moved - before, unit(moved) - after)
    )
    return root_mean_square(moved_B / lengths_B)


def _bound(module: nn.Module, shape: tuple[int, ...]) -> float | None:
    """A module that nothing is proved of is diagnosed all the same: that is when one needs it."""
    try:
        return float(lipschitz_bound(module, shape))
    except OnelipError:
        return None
