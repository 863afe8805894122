"""What every record says of where it comes from: images, method and machine. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Model(BaseModel):
    """Base of all records: frozen, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataInfo(Model):
    """Which images: the data set's name, the digest of its content, and its sizes.

    Attributes:
        augmentation: What a recipe that augments does to them, in a few words; empty: nothing, or not yet written down.
    """

    name: str
    title: str
    digest: str
    image: tuple[PositiveInt, PositiveInt, PositiveInt]
    classes: PositiveInt
    train: PositiveInt
    test: PositiveInt
    augmentation: str = ""


class MethodInfo(Model):
    """What a report needs to know of a method, so that it does not import it.

    Attributes:
        orthogonal: Whether its layers keep norms with circular padding.
        orthogonal_zeros: Whether they do with zero padding too; None in records of earlier versions.
        source: Digest of the files of a method that is not part of onelip; empty for the others, whose results are
            told apart by their revision.
    """

    name: str
    title: str
    cite: str
    revision: PositiveInt
    slack: NonNegative
    constrained: bool
    orthogonal: bool
    orthogonal_zeros: bool | None = None
    padding: Literal["circular", "zeros"]
    source: str = ""


class Machine(Model):
    """Where a record comes from: processor, device, threads and versions."""

    processor: str
    cores: PositiveInt
    threads: PositiveInt
    memory_bytes: PositiveInt
    device: str
    device_name: str
    system: str
    python: str
    torch: str
    onelip: str
    commit: str | None = None
