"""What every module of a trained network does to a batch, as a record beside that of the run. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from onelip.bench.beside import BesideRun, Kind
from onelip.bench.origin import Model, NonNegative
from onelip.bench.records import SCHEMA

DEPTH_NAME = "diagnosis.json"
DEPTH_FIGURE_NAME = "diagnosis.svg"

MaybeNumber = NonNegative | None
"""None where a number is not finite, or not known."""


class ModuleRecord(Model):
    """One module; see `onelip.diagnose`."""

    name: str
    kind: str
    shape: tuple[PositiveInt, ...]
    parametrised: bool
    variance: MaybeNumber
    growth: MaybeNumber
    bound: MaybeNumber
    preservation: MaybeNumber
    gradient: MaybeNumber
    broken: bool


class DepthRecord(BesideRun):
    """The diagnosis of a run's network on its first test images.

    Attributes:
        images: How many were looked at.
        modules: In the order in which they act.
    """

    kind: Literal["diagnosis"] = "diagnosis"
    schema_version: Literal[2] = SCHEMA
    images: PositiveInt
    modules: Annotated[tuple[ModuleRecord, ...], Field(min_length=1)]


DEPTHS = Kind(name=DEPTH_NAME, model=DepthRecord, title="diagnosis", command="onelip diagnose RUN")
