"""Verification of a certificate, by another way than the one it was made by.

The layers are not frozen and no kept weights are read: each layer constructs its weights anew and applies them itself.
That a layer's constant does not exceed what is claimed is proved at the claim, not searched for. Rounding errors are
bounded along the activations of each input instead of from the norm of the input alone. docs/certification.md, sections
6 and 8, has the inequalities.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from ..bound import Bound
from ..errors import CertificateError, ProgramError, UnsoundError
from ..linalg.rounding import UP, norms
from ..nn.base import LipschitzModule
from ..nn.freeze import FrozenLayer, applied_layer
from ..nn.kernel import KernelConv2d
from ..nn.linear import PointwiseLinear
from ..nn.refusals import in_eval_mode
from ..nn.reshape import FitChannels
from .along import ErrorsAlong, State
from .certificate import Certificate, InputClaim, LayerClaim
from .digests import inputs_digest, weights_digest
from .lipschitz import Shape
from .plain import check_inputs, check_labels
from .program import Program, certified_program
from .radius import DOWN, SMALLEST_RADIUS, SMALLEST_SLOPE, check_program, leads
from .rounding import Plan, Step, flattened, steps

NEAR = 1e-3
"""How far, over the norm of the logits, margins may lie from claims where rounding has no bound, and radii are 0."""


@torch.no_grad()
def verify_certificate(
    certificate: Certificate,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    batch_size: int = 256,
    note: Callable[[str], None] = lambda _: None,
) -> None:
    """Finds out whether a certificate holds for a model and inputs; returns if all of it does.

    Args:
        certificate: What is claimed.
        model: The model, not frozen.
        x: The inputs, shape (B, C, H, W).
        y: Their true classes, shape (B,).
        batch_size: Inputs that are evaluated at a time.
        note: Is told how far it is.

    Raises:
        CertificateError: Names the first claim that does not hold.
        UnsoundError: The model cannot be certified at all.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be 1 or more")
    check_labels(x, y)
    _check_subject(certificate, model, x, y)
    y = y.to(torch.int64)
    note("bounding the layers")
    chain = steps(model, tuple(x.shape[1:]), Plan(_as_float64, _claims(certificate)))
    _check_layers(certificate, chain)
    judge = _Judge(chain, certificate, _program(certificate, model, tuple(x.shape[1:])))
    for start in range(0, len(x), batch_size):
        stop = min(start + batch_size, len(x))
        judge.check(x[start:stop], y[start:stop], certificate.inputs[start:stop], start)
        note(f"{stop} of {len(x)} inputs verified")


def _check_subject(certificate: Certificate, model: nn.Module, x: Tensor, y: Tensor) -> None:
    if certificate.digest != certificate.expected_digest():
        raise CertificateError("digest: the certificate was edited, its digest is not that of its content")
    if certificate.weights != (found := weights_digest(model)):
        raise CertificateError(f"weights: it speaks of {certificate.weights[:16]}, the model's are {found[:16]}")
    check_inputs(x)
    if certificate.data != (found := inputs_digest(x, y)):
        raise CertificateError(f"data: it speaks of {certificate.data[:16]}, these inputs and labels are {found[:16]}")
    if certificate.image != tuple(x.shape[1:]) or len(certificate.inputs) != len(x):
        there = f"{len(certificate.inputs)} inputs of shape {certificate.image}"
        raise CertificateError(f"inputs: it speaks of {there}, there are {len(x)} of shape {tuple(x.shape[1:])}")


def _as_float64(module: nn.Module, shape: Shape) -> nn.Module:
    """The module in eval mode and float64; a layer with the weights that it constructs in its own type."""
    if isinstance(module, LipschitzModule):
        return applied_layer(module, shape).eval().double()
    if not isinstance(module, FrozenLayer) and any(isinstance(inner, LipschitzModule) for inner in module.modules()):
        raise UnsoundError(f"{type(module).__name__} has layers inside that verification cannot see into")
    return in_eval_mode(copy.deepcopy(module)).double()


def _program(certificate: Certificate, model: nn.Module, image: Shape) -> Program | None:
    """The float32 program that a certificate speaks of, whose sums are seen to be sums on this machine."""
    if certificate.arithmetic != "executed":
        return None
    program = certified_program(model, image, block=certificate.block)
    program.check_sums()
    return program


def _claims(certificate: Certificate) -> Callable[[str], float]:
    """The claimed bound of a module by its name; where it was frozen to several, that of the last."""

    def claim(name: str) -> float:
        inside = [one.bound for one in certificate.layers if _within(one.name, name)]
        return inside[-1] if inside else 0.0

    return claim


def _check_layers(certificate: Certificate, chain: tuple[Step, ...]) -> None:
    """Takes claims and steps side by side, in their order; each step has one claim, or several if it was frozen so."""
    claims = list(certificate.layers)
    for step in flattened(chain):
        where = f"layers: {step.name or 'the model'}, {step.kind},"
        own = list(_leading(claims, step))
        if not own:
            raise CertificateError(f"{where} is not in the certificate")
        del claims[: len(own)]
        # What a strided layer was frozen to: a reordering of pixels comes first.
        claimed = [1.0] * (len(own) - 1) + [float(step.bound)]
        for one, bound in zip(own, claimed, strict=True):
            if bound > one.bound or (one is not own[-1] and one.bound != 1):
                raise CertificateError(f"{where} claims the bound {one.bound!r}; no less than {bound!r} is proved")
        if any(one.kind != "PixelUnshuffle" for one in own[:-1]):
            strange = next((one for one in own if one.name != step.name), own[0])
            raise CertificateError(
                f"layers: it speaks of {strange.name}, {strange.kind}, which the model does not have"
            )
    if claims:
        raise CertificateError(
            f"layers: it speaks of {claims[0].name}, {claims[0].kind}, which the model does not have"
        )
    whole = Bound.product(step.bound for step in chain)
    if float(whole) > certificate.lipschitz:
        raise CertificateError(f"lipschitz: it claims {certificate.lipschitz!r}; the layers prove {float(whole)!r}")


def _leading(claims: list[LayerClaim], step: Step) -> Iterator[LayerClaim]:
    """The first claims, as long as they belong to a step; of a sum, whose branches come before it, only its own."""
    for index, one in enumerate(claims):
        mine = one.name == step.name if step.branches else _within(one.name, step.name)
        if not mine or (step.branches and index):
            return
        yield one


def _within(name: str, outer: str) -> bool:
    """Whether a path is another one or leads into it."""
    return not outer or name == outer or name.startswith(f"{outer}.")


class _Judge:
    """The chain of a model, with all that decides whether the claim for an input holds."""

    def __init__(self, chain: tuple[Step, ...], certificate: Certificate, program: Program | None) -> None:
        self.chain, self.certificate, self.program = chain, certificate, program
        self.errors = ErrorsAlong(chain, None if program is None else program.model)
        self.lipschitz = float(Bound.product(step.bound for step in chain))
        for name, found in zip(("error_at_zero", "error_per_norm"), self.errors.coefficients, strict=True):
            if found > (claimed := getattr(certificate, name)):
                raise CertificateError(f"{name}: it claims {claimed!r}; no less than {found!r} is proved")

    def check(self, x: Tensor, y: Tensor, claims: tuple[InputClaim, ...], first: int) -> None:
        """Raises where a claim does not hold; `first` is the position of the first input.

        Raises:
            CertificateError: Names the input.
        """
        radii_B = torch.tensor([claim.radius for claim in claims], dtype=torch.float64, device=x.device)
        # A radius is claimed around the input as it is given.
        reach_B = (radii_B + norms((x.to(torch.float64) - self._seen(x)).flatten(1))) * UP
        state = self._evaluated(x, reach_B)
        if state.x.dim() != 2 or state.x.shape[1] != self.certificate.classes:
            raise CertificateError(
                f"classes: it speaks of {self.certificate.classes}, the model gives {tuple(state.x.shape[1:])}"
            )
        proved_B = (radii_B == 0) | ((radii_B > SMALLEST_RADIUS) & self._proved(state, reach_B, y))
        margins_B = torch.nan_to_num(leads(state.x, y).amin(1))
        # The margin that is claimed was computed too, by the program if there is one.
        other_B = state.error if self.program is None else state.around
        apart_B = math.sqrt(2) * (state.error + other_B) * UP
        # Where nothing is known of rounding, claims must still be near.
        apart_B = torch.where(torch.isfinite(apart_B), apart_B, NEAR * norms(state.x))
        for index, claim in enumerate(claims):
            verdict = _verdict(claim, int(y[index]), proved=bool(proved_B[index])) or _misread(
                claim, state.x[index], float(margins_B[index]), float(apart_B[index])
            )
            if verdict:
                raise CertificateError(f"inputs: input {first + index} {verdict}")

    def _evaluated(self, x: Tensor, reach_B: Tensor) -> State:
        """What is known of inputs, and of what lies within a reach around them; a program's own logits have to fit."""
        state = self.errors.at(self._seen(x), reach_B)
        if self.program is not None:
            try:
                check_program(self.program(x.to(torch.float32)).to(torch.float64), state, x)
            except ProgramError as error:
                raise CertificateError(f"inputs: {error.reason}") from error
        return state

    def _seen(self, x: Tensor) -> Tensor:
        """The inputs in the type that they are evaluated in, as float64 holds them."""
        return (x if self.program is None else x.to(torch.float32)).to(torch.float64)

    def _proved(self, state: State, reach_B: Tensor, y: Tensor) -> Tensor:
        """Whether by a reach, and by rounding, no lead is lost."""
        charge_B = math.sqrt(2) * (state.error + state.around) * UP
        lost_BK = reach_B[:, None] * self._slopes(y, state.x.shape[1]) * UP + charge_B[:, None]
        return torch.isfinite(charge_B) & (lost_BK < leads(state.x, y) * DOWN).all(1)

    def _slopes(self, y: Tensor, classes: int) -> Tensor:
        """Bounds of the Lipschitz constants of f_y - f_i, shape (B, classes)."""
        general = math.sqrt(2) * max(self.lipschitz, SMALLEST_SLOPE) * UP
        last = len(self.chain) - (2 if self.chain and type(self.chain[-1].module) is FitChannels else 1)
        rows_KN = _rows(self.chain[last].module) if last >= 0 else None
        if rows_KN is None or len(rows_KN) < classes:
            return torch.full((len(y), classes), general, dtype=torch.float64, device=y.device)
        before = float(Bound.product(step.bound for step in self.chain[:last]))
        present, index_B = y.unique(return_inverse=True)
        apart_PK = torch.stack([norms(rows_KN[label] - rows_KN[:classes]) for label in present]) * (before * UP * UP)
        return apart_PK[index_B].clamp(min=SMALLEST_SLOPE, max=general)


def _verdict(claim: InputClaim, label: int, *, proved: bool) -> str:
    """What is wrong with the label or the radius of a claim; nothing if they hold."""
    if claim.label != label:
        return f"has the label {label}, not {claim.label}"
    return "" if proved else f"claims the radius {claim.radius!r}, which is more than can be proved"


def _misread(claim: InputClaim, logits_K: Tensor, margin: float, apart: float) -> str:
    """What is wrong with the margin or the class of a claim, up to rounding; nothing if they hold."""
    if abs(claim.margin - margin) > apart:
        return f"claims the margin {claim.margin!r}; it is {margin!r}"
    if claim.prediction >= len(logits_K) or float(logits_K.amax() - logits_K[claim.prediction]) > apart:
        return f"claims the class {claim.prediction}; it is {int(logits_K.argmax())}"
    return ""


def _rows(module: nn.Module) -> Tensor | None:
    """The matrix of a linear layer, in float64; None where a module is none."""
    if type(module) is nn.Linear:
        return module.weight
    if not isinstance(module, FrozenLayer):
        return None
    layer = module.skeleton
    known = isinstance(layer, PointwiseLinear) and type(layer).apply_weights is KernelConv2d.apply_weights
    return module.weights()[0].flatten(1) if known else None
