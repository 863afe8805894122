"""Records that commands put beside that of a finished run: diagnoses, and what each arithmetic certifies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import PositiveInt, ValidationError

from onelip.bench.origin import Model
from onelip.bench.records import Cell, TrainRecord


class BesideRun(Model):
    """Base of such records.

    Attributes:
        cell: Of the run.
        started: When the training of the run began: another training of the cell has other weights.
        revision: Of what was computed; see `Kind`.
    """

    cell: Cell
    started: str = ""
    revision: PositiveInt = 1


R = TypeVar("R", bound=BesideRun)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[R]):
    """A kind of such records.

    Attributes:
        name: Of the file.
        model: What it holds.
        title: In sentences.
        command: What makes another one.
        revision: Of what the command computes; records of another one are stale.
    """

    name: str
    model: type[R]
    title: str
    command: str
    revision: int = 1


@dataclass(slots=True)
class Beside(Generic[R]):
    """What was found.

    Attributes:
        found: Records of the runs that they lie beside.
        stale: Files of another training of the same cell, or of another revision, each with the reason.
        corrupt: Files that are cut, or of another run.
    """

    found: list[R] = field(default_factory=list)
    stale: list[tuple[Path, str]] = field(default_factory=list)
    corrupt: list[tuple[Path, str]] = field(default_factory=list)


def beside(kind: Kind[R], runs: Iterable[tuple[Path, TrainRecord]]) -> Beside[R]:
    """Reads the records of a kind beside those of runs, which are given with their paths."""
    read: Beside[R] = Beside()
    for place, run in runs:
        path = place.parent / kind.name
        if not path.exists():
            continue
        try:
            record = kind.model.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            read.corrupt.append((path, f"not a {kind.title} of this version of onelip"))
            continue
        if record.cell != run.cell:
            read.corrupt.append((path, f"the {kind.title} of another run, {record.cell.id}"))
        elif record.started != run.started:
            read.stale.append((path, f"the {kind.title} of an earlier training; {kind.command} makes another"))
        elif record.revision != kind.revision:
            revisions = f"at revision {record.revision}; this onelip is at {kind.revision}"
            read.stale.append((path, f"a {kind.title} {revisions}, and {kind.command} makes another"))
        else:
            read.found.append(record)
    return read
