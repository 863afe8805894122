"""What each promise costs a trained network, as a record beside that of the run. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from onelip.bench.beside import BesideRun, Kind
from onelip.bench.origin import Machine, Model, NonNegative, Positive
from onelip.bench.records import SCHEMA, Evaluation

ARITHMETICS_NAME = "arithmetics.json"


class RoundingRecord(Model):
    """One module of the float32 program; see `onelip.certify.tightness.ModuleRounding`. No bound: it is infinite."""

    name: str
    kind: str
    measured: NonNegative
    bound: NonNegative | None
    passed_on: NonNegative


class ArithmeticsRecord(BesideRun):
    """A network certified in real arithmetic, in float64, and as a float32 program on one machine.

    Attributes:
        block: Input channels that the program sums over at a time; None for all.
        evaluations: On the same images, in `real`, `float64` and `executed` arithmetic.
        plain: Seconds of inference of a batch by the plain frozen network in float32, round by round.
        program: The same of the program, in the same rounds.
        plain_single: As `plain`, of one image.
        program_single: As `program`, of one image.
        images: How many images the errors below are of, the first ones.
        measured: The largest norm, over these, of what the program's logits err by.
        bound: The median of what is charged for that, around each of them; None where it is infinite.
        modules: In the order in which they act.
    """

    kind: Literal["arithmetics"] = "arithmetics"
    schema_version: Literal[2] = SCHEMA
    machine: Machine
    block: PositiveInt | None
    evaluations: Annotated[tuple[Evaluation, ...], Field(min_length=3, max_length=3)]
    plain: Annotated[tuple[Positive, ...], Field(min_length=1)]
    program: Annotated[tuple[Positive, ...], Field(min_length=1)]
    plain_single: Annotated[tuple[Positive, ...], Field(min_length=1)]
    program_single: Annotated[tuple[Positive, ...], Field(min_length=1)]
    images: PositiveInt
    measured: NonNegative
    bound: NonNegative | None
    modules: tuple[RoundingRecord, ...]


ARITHMETICS = Kind(
    name=ARITHMETICS_NAME,
    model=ArithmeticsRecord,
    title="comparison of arithmetics",
    command="onelip certify --arithmetic executed",
)
