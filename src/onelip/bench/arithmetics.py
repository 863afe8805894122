"""What each promise costs a trained network, as a record beside that of the run. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from onelip.bench.beside import BesideRun, Kind
from onelip.bench.origin import Machine, Model, NonNegative, Positive
from onelip.bench.records import SCHEMA, Evaluation, impossible_counts

ARITHMETICS_NAME = "arithmetics.json"
REVISION = 2
"""Of what is charged for rounding; a change of the charges, or of how programs sum, makes another."""
ORDER = ("real", "float64", "executed")
"""In which a record has the arithmetics."""


class RoundingRecord(Model):
    """One module of the float32 program; see `onelip.certify.tightness.ModuleRounding`. None: it is not finite."""

    name: str
    kind: str
    measured: NonNegative | None
    bound: NonNegative | None
    passed_on: NonNegative | None


class ArithmeticsRecord(BesideRun):
    """A network certified in real arithmetic, in float64, and as a float32 program on one machine.

    Attributes:
        block: That of the program, see `onelip.certified_program`; None for all channels at once.
        evaluations: On the same images, in the arithmetics of `ORDER`.
        timed: How many images the batches below have; None in earlier records, whose batches are those of the recipe
            or all test images, if these are fewer.
        plain: Seconds of inference of a batch by the plain frozen network in float32, round by round.
        program: The same of the program, in the same rounds.
        plain_single: As `plain`, of one image.
        program_single: As `program`, of one image.
        images: How many images the errors below are of, the first ones.
        measured: The largest norm, over these, of what the program's logits err by; None where it is not finite.
        bound: The median of what is charged for that, around each of them; None where it is infinite.
        modules: In the order in which they act.
    """

    kind: Literal["arithmetics"] = "arithmetics"
    schema_version: Literal[2] = SCHEMA
    machine: Machine
    block: PositiveInt | None
    evaluations: Annotated[tuple[Evaluation, ...], Field(min_length=3, max_length=3)]
    timed: PositiveInt | None = None
    plain: Annotated[tuple[Positive, ...], Field(min_length=1)]
    program: Annotated[tuple[Positive, ...], Field(min_length=1)]
    plain_single: Annotated[tuple[Positive, ...], Field(min_length=1)]
    program_single: Annotated[tuple[Positive, ...], Field(min_length=1)]
    images: PositiveInt
    measured: NonNegative | None
    bound: NonNegative | None
    modules: tuple[RoundingRecord, ...]

    @model_validator(mode="after")
    def _does_not_contradict_itself(self) -> ArithmeticsRecord:
        if tuple(one.arithmetic for one in self.evaluations) != ORDER:
            raise ValueError(f"evaluations must be in {', '.join(ORDER)} arithmetic, in this order")
        if len({one.images for one in self.evaluations}) != 1:
            raise ValueError("evaluations must be of the same images")
        for reason in (reason for one in self.evaluations for reason in impossible_counts(one)):
            raise ValueError(reason)
        if len(self.plain) != len(self.program) or len(self.plain_single) != len(self.program_single):
            raise ValueError("plain and program must be timed in the same rounds")
        return self

    @property
    def batch(self) -> int:
        """How many images the batches have that were timed."""
        return self.timed or min(self.cell.recipe.batch_size, self.evaluations[0].images)


ARITHMETICS = Kind(
    name=ARITHMETICS_NAME,
    model=ArithmeticsRecord,
    title="comparison of arithmetics",
    command="onelip certify RUN --arithmetic executed",
    revision=REVISION,
)
