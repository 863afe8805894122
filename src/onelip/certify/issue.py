"""Certificates of models on inputs, made as files say them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import UnsoundError
from ..nn.blocked import BLOCK
from .certificate import MEANINGS, Certificate, InputClaim, LayerClaim
from .digests import inputs_digest, weights_digest
from .plain import check_inputs
from .radius import ROOM, Certifier, leads
from .rounding import Step, flattened


@torch.no_grad()
def issue_certificate(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    arithmetic: Literal["float64", "executed"] = "float64",
    block: int | None = BLOCK,
    batch_size: int = 256,
    note: Callable[[str], None] = lambda _: None,
) -> Certificate:
    """Certifies a model on inputs, as a file says it.

    Args:
        model: As for `onelip.certified_radius`.
        x: Inputs, shape (B, C, H, W), finite.
        y: True classes, shape (B,).
        arithmetic: What the radii speak of.
        block: For "executed" the same as of `onelip.certified_program`.
        batch_size: Inputs that are evaluated at a time.
        note: Is told how far it is.

    Raises:
        UnsoundError: There is no input, or one is not finite, or the model has no certificate.
        ValueError: Shapes or labels do not fit, or the block is no positive integer, and not None.
    """
    check_inputs(x)
    certifier = Certifier(model, tuple(x.shape[1:]), arithmetic=arithmetic, block=block)
    logits, radii = [], []
    for part, labels in zip(x.split(batch_size), y.split(batch_size), strict=True):
        logits.append(certifier.logits(part))
        radii.append(certifier.radii_of(logits[-1], part, labels))
        note(f"{sum(map(len, logits))} of {len(x)} inputs evaluated")
    return certificate_of(model, certifier, x, y, answers=(torch.cat(logits), torch.cat(radii)))


def certificate_of(
    model: nn.Module, certifier: Certifier, x: Tensor, y: Tensor, *, answers: tuple[Tensor, Tensor]
) -> Certificate:
    """The certificate of a model whose answers, logits (B, classes) and radii (B,), are known.

    Raises:
        UnsoundError: The radii speak of real arithmetic, there is no input, or one is not finite.
    """
    if certifier.arithmetic == "real":
        raise UnsoundError("radii in real arithmetic are not sound for any program: no certificate is made of them")
    check_inputs(x)
    logits_NK, radii_N = answers
    error_at_zero, error_per_norm = certifier.error_coefficients
    if not math.isfinite(error_at_zero + error_per_norm):
        raise UnsoundError("no certificate: evaluating the model in float64 could overflow")
    return Certificate.signed_off(
        onelip=_version(),
        arithmetic=certifier.arithmetic,
        meaning=MEANINGS[certifier.arithmetic],
        block=None if certifier.program is None else certifier.program.block,
        weights=weights_digest(model),
        data=inputs_digest(x, y),
        image=tuple(x.shape[1:]),
        classes=logits_NK.shape[1],
        lipschitz=float(certifier.bound),
        error_at_zero=error_at_zero * ROOM,
        error_per_norm=error_per_norm * ROOM,
        layers=tuple(_layer_claims(certifier.steps)),
        inputs=tuple(_input_claims(logits_NK, y, radii_N)),
    )


def _layer_claims(steps: Sequence[Step]) -> Iterator[LayerClaim]:
    for step in flattened(steps):
        yield LayerClaim(name=step.name, kind=step.kind, bound=float(step.bound), why=step.bound.why)


def _input_claims(logits_NK: Tensor, y: Tensor, radii_N: Tensor) -> Iterator[InputClaim]:
    margins = torch.nan_to_num(leads(logits_NK, y).amin(1)).tolist()
    columns = y.tolist(), logits_NK.argmax(1).tolist(), margins, radii_N.tolist()
    for label, prediction, margin, radius in zip(*columns, strict=True):
        yield InputClaim(label=label, prediction=prediction, margin=margin, radius=radius)


def _version() -> str:
    try:
        return version("onelip")
    except PackageNotFoundError:
        return "unknown"
