"""Certificates as files: what is claimed of a network and of each input, for others to verify.

A digest over the content tells an edited file from a whole one. It is not a signature: who edits a certificate can
compute its digest anew. That a certificate is true is what `onelip.certify.verify` finds out, whoever wrote it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

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

from ..errors import CertificateError, RecordError
from ..files import write_text

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
        block: For "executed" that of the program, see `onelip.certified_program`; None for all channels at once.
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
