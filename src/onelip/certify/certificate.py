"""Certificates as files: what is claimed of a network and of each input, for others to verify.

A digest over the content tells an edited file from a whole one. It is not a signature: who edits a certificate can
compute its digest anew. That a certificate is true is what `onelip.certify.verify` finds out, whoever wrote it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)
from torch import Tensor, nn

from ..errors import CertificateError, RecordError, UnsoundError
from ..files import write_text
from ..linalg.rounding import norms
from ..nn.blocked import BLOCK
from .digests import inputs_digest, weights_digest
from .plain import LARGEST, refuse_other_numbers
from .radius import ROOM, Certifier, leads
from .rounding import Step, flattened

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "float64": "For every array of floating-point numbers whose L2 distance from an input is below its radius, in "
        "units of the pixels, the network, frozen and evaluated in float64, gives the input's label the single largest "
        "logit.",
        "executed": "For every array of float32 numbers whose L2 distance from an input is below its radius, in units "
        "of the pixels, the network's certified program of float32, made with the block that stands here, or with none "
        "where none does, gives the input's label the single largest logit.",
    }
)
"""What a certificate means, by its arithmetic; with other words, certificates of before are refused."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class LayerClaim(_Frozen):
    """What is claimed of one module.

    Attributes:
        name: Its path in the frozen model.
        kind: Its class.
        bound: Of its Lipschitz constant.
        why: What the bound rests on.
    """

    name: str
    kind: str
    bound: NonNegative
    why: str


class InputClaim(_Frozen):
    """What is claimed of one input.

    Attributes:
        label: Its class.
        prediction: The class of the largest logit.
        margin: Logit of the label minus the largest other one.
        radius: No perturbed input nearer than this is classified otherwise; 0 where nothing is claimed.
    """

    label: NonNegativeInt
    prediction: NonNegativeInt
    margin: FiniteFloat
    radius: NonNegative


class Certificate(_Frozen):
    """A network, inputs, and the radii that are claimed for them.

    Attributes:
        onelip: The version that wrote it; like `kind` and `why` of a layer for information, and not verified.
        arithmetic: What the radii speak of.
        meaning: The same as a sentence, one of `MEANINGS`.
        block: For "executed" the input channels that the program sums over at a time; None for all of them.
        weights: SHA-256 of the network's state, see `weights_digest`.
        data: SHA-256 of inputs and labels, see `InputsDigest`.
        image: Shape of one input.
        classes: Number of logits.
        lipschitz: Bound of the network's Lipschitz constant.
        error_at_zero: With `error_per_norm` a bound of the rounding error of the logits in float64, in the L2 norm:
            this plus that times the norm of the (perturbed) input. What float32 adds is bounded at each input.
        layers: One claim per module, in the order of the forward pass; branches of a sum come before it.
        inputs: One claim per input.
        digest: SHA-256 of all the rest.
    """

    kind: Literal["onelip certificate"] = "onelip certificate"
    schema_version: Literal[1] = 1
    onelip: str
    arithmetic: Literal["float64", "executed"]
    meaning: str
    block: PositiveInt | None = None
    weights: Digest
    data: Digest
    image: tuple[PositiveInt, ...]
    classes: PositiveInt
    lipschitz: NonNegative
    error_at_zero: NonNegative
    error_per_norm: NonNegative
    layers: tuple[LayerClaim, ...]
    inputs: tuple[InputClaim, ...]
    digest: Digest

    @model_validator(mode="after")
    def _means_what_it_says(self) -> Certificate:
        if self.meaning != MEANINGS[self.arithmetic]:
            raise ValueError(
                f"its meaning is not that of radii in {self.arithmetic} arithmetic here: it was edited, or written by "
                f"another version (it says {self.onelip}); certify again"
            )
        return self

    @classmethod
    def signed_off(cls, **claims: Any) -> Certificate:
        """A certificate of these claims, with its digest."""
        whole = cls(**claims, digest="0" * 64)
        return whole.model_copy(update={"digest": whole.expected_digest()})

    def expected_digest(self) -> str:
        """The digest of the content as it is now: of its JSON with sorted keys and without spaces."""
        content = self.model_dump(mode="json", exclude={"digest"}, exclude_none=True)
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Writes it atomically as JSON, a line per layer and per input.

        Raises:
            RecordError: The file cannot be written.
        """
        write_text(path, "{\n" + ",\n".join(_entries(self.model_dump(mode="json", exclude_none=True))) + "\n}\n")

    @classmethod
    def read(cls, path: Path) -> Certificate:
        """Reads a certificate whose digest is that of its content.

        Raises:
            CertificateError: The file is cut or foreign, or was edited.
            RecordError: It cannot be read.
        """
        try:
            text = path.read_bytes()
            # Only keys are looked at: Python refuses to read integers of thousands of digits.
            json.loads(text, object_pairs_hook=_without_repetition, parse_int=str)
            found = cls.model_validate_json(text)
        except OSError as error:
            raise RecordError(f"{path} cannot be read: {error.strerror or error}") from error
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CertificateError(f"it is no certificate: not a whole JSON file: {error}") from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise CertificateError(f"it is no certificate: {where or 'the file'}: {first['msg']}") from error
        if found.digest != found.expected_digest():
            raise CertificateError("it was edited: its digest is not that of its content")
        return found


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


def check_inputs(x: Tensor) -> None:
    """Raises where there is nothing to certify.

    Raises:
        UnsoundError: There is no input, or one is not finite or too large, or they are complex.
    """
    refuse_other_numbers(x)
    if not len(x):
        raise UnsoundError("there is no input to certify")
    if not bool((finite_N := torch.isfinite(x.flatten(1)).all(1)).all()):
        raise UnsoundError(f"no certificate: input {int((~finite_N).nonzero()[0])} holds NaN or inf")
    if not bool((norms(x.flatten(1)) < LARGEST / 2).all()):
        raise UnsoundError(f"no certificate: an input has a norm of {LARGEST / 2} or more")


def _layer_claims(steps: Sequence[Step]) -> Iterator[LayerClaim]:
    for step in flattened(steps):
        yield LayerClaim(name=step.name, kind=step.kind, bound=float(step.bound), why=step.bound.why)


def _input_claims(logits_NK: Tensor, y: Tensor, radii_N: Tensor) -> Iterator[InputClaim]:
    margins = torch.nan_to_num(leads(logits_NK, y).amin(1)).tolist()
    columns = y.tolist(), logits_NK.argmax(1).tolist(), margins, radii_N.tolist()
    for label, prediction, margin, radius in zip(*columns, strict=True):
        yield InputClaim(label=label, prediction=prediction, margin=margin, radius=radius)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON whose keys differ: of repeated ones readers take different values.

    Raises:
        CertificateError: A key is repeated.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        raise CertificateError("it is no certificate: a key is repeated")
    return found


def _entries(content: dict[str, Any]) -> Iterator[str]:
    for key, value in content.items():
        if key in ("layers", "inputs"):
            rows = ",\n".join(f"    {json.dumps(row)}" for row in value)
            yield f"  {json.dumps(key)}: [\n{rows}\n  ]"
        else:
            yield f"  {json.dumps(key)}: {json.dumps(value)}"


def _version() -> str:
    try:
        return version("onelip")
    except PackageNotFoundError:
        return "unknown"
