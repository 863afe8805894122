"""Records on disk: written atomically, never overwritten silently, read back with every bad file named. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from onelip.bench.arithmetics import ARITHMETICS, ArithmeticsRecord
from onelip.bench.beside import Kind, R, beside
from onelip.bench.depth import DEPTHS, DepthRecord
from onelip.bench.origin import Machine
from onelip.bench.records import (
    HARNESS_REVISION,
    SCHEMA,
    Cell,
    CostRecord,
    Record,
    Started,
    TrainRecord,
    impossible_counts,
)
from onelip.errors import RecordError
from onelip.files import write_text

RECORD_NAME = "record.json"
RUN_NAME = "run.json"
COST_PATTERN = "cost-*.json"

_ADAPTER: TypeAdapter[TrainRecord | CostRecord] = TypeAdapter(Record)
_NUMBERS = re.compile(r"\[\n\s+([-+\d.eE,\s]+?)\n\s*\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A file that was found and not used.

    Attributes:
        path: Relative to the folder that was read, with forward slashes.
        reason: What is wrong with it.
    """

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What a folder holds.

    Attributes:
        train: Results of training runs, failures included, in the order of their paths.
        cost: Measuring sessions.
        unfinished: Cells that were started (`run.json`) and have no usable record.
        stale: Readable files that must not be mixed with the others: another schema, another revision, a second
            record of the same cell, the diagnosis of an earlier training.
        corrupt: Files that are cut, foreign or contradict themselves.
        depths: Diagnoses of the networks of `train`.
        arithmetics: What each arithmetic certifies of them.
    """

    train: tuple[TrainRecord, ...] = ()
    cost: tuple[CostRecord, ...] = ()
    unfinished: tuple[Cell, ...] = ()
    stale: tuple[Rejected, ...] = ()
    corrupt: tuple[Rejected, ...] = ()
    depths: tuple[DepthRecord, ...] = ()
    arithmetics: tuple[ArithmeticsRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class _Refusal:
    reason: str
    stale: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    path: Path
    record: TrainRecord | CostRecord


def write_record(record: TrainRecord | CostRecord, path: Path, force: bool = False) -> None:
    """Write a record atomically.

    Args:
        record: What to write.
        path: The file; its folder is made if it does not exist.
        force: Whether an existing file may be replaced.

    Raises:
        RecordError: The file exists and `force` is false, or it cannot be written.
    """
    if path.exists() and not force:
        raise RecordError(f"{path} exists and is not overwritten; delete it, or force it")
    text = record.model_dump_json(indent=2)
    # A curve of 513 counts is one line, not 513: a person reads the file, and version control shows its changes.
    write_text(path, _NUMBERS.sub(lambda match: f"[{' '.join(match[1].split())}]", text) + "\n")


def read_record(path: Path) -> TrainRecord | CostRecord:
    """Read one record.

    Raises:
        RecordError: The file is missing, cut, foreign, of another schema, or contradicts itself.
    """
    outcome = _examine(path)
    if isinstance(outcome, _Refusal):
        raise RecordError(f"{path}: {outcome.reason}")
    return outcome


def load_records(folder: Path) -> Records:
    """Read every record below a folder; a bad file is listed, and hides no other.

    Raises:
        RecordError: The folder does not exist, or holds nothing that could be a record.
    """
    if not folder.is_dir():
        what = f"{folder} is no folder" if folder.exists() else f"folder {folder} does not exist"
        raise RecordError(f"{what}; name one that `onelip compare` or `onelip train` wrote")
    found: list[_Found] = []
    stale: list[Rejected] = []
    corrupt: list[Rejected] = []
    for path in _candidates(folder):
        outcome = _examine(path)
        if isinstance(outcome, _Refusal):
            (stale if outcome.stale else corrupt).append(_rejected(path, folder, outcome.reason))
        else:
            found.append(_Found(path, outcome))
    kept = _current(found, folder, stale)
    depths = _beside(DEPTHS, kept, folder, stale, corrupt)
    arithmetics = _beside(ARITHMETICS, kept, folder, stale, corrupt)
    unfinished = _unfinished(folder, {item.path.parent for item in kept}, corrupt)
    if not (kept or unfinished or stale or corrupt):
        raise RecordError(f"folder {folder} holds no {RECORD_NAME} and no {COST_PATTERN}, at any depth")
    return Records(
        train=tuple(item.record for item in kept if isinstance(item.record, TrainRecord)),
        cost=tuple(item.record for item in kept if isinstance(item.record, CostRecord)),
        unfinished=unfinished,
        stale=tuple(stale),
        corrupt=tuple(corrupt),
        depths=depths,
        arithmetics=arithmetics,
    )


def holds_records(folder: Path) -> bool:
    """Whether anything below a folder could be a record."""
    return bool(_candidates(folder))


def place(record: TrainRecord) -> tuple[str, ...]:
    """What a result depends on besides its cell: the kind of device, and for clock budgets also the machine."""
    return machine_place(record.machine, by_clock=record.budget_seconds is not None)


def machine_place(machine: Machine, *, by_clock: bool) -> tuple[str, ...]:
    """What tells results of two machines apart, for clock budgets and for others."""
    if not by_clock:
        return (machine.device,)
    return (machine.device, machine.device_name, machine.processor, str(machine.threads))


def _candidates(folder: Path) -> list[Path]:
    return sorted(path for pattern in (RECORD_NAME, COST_PATTERN) for path in folder.rglob(pattern))


def _rejected(path: Path, folder: Path, reason: str) -> Rejected:
    return Rejected(path=path.relative_to(folder).as_posix(), reason=reason)


def _examine(path: Path) -> TrainRecord | CostRecord | _Refusal:
    """The record in a file, or why there is none."""
    try:
        content = from_json(path.read_bytes())
    except OSError as error:
        return _Refusal(f"cannot be read: {error.strerror or error}")
    except ValueError as error:
        return _Refusal(f"not a whole JSON file: {error}")
    if not isinstance(content, dict) or content.get("kind") not in ("train", "cost"):
        return _Refusal('not a record of onelip: "kind" must be "train" or "cost"')
    if content.get("schema_version") != SCHEMA:
        return _Refusal(f"schema version {content.get('schema_version')}; this onelip reads {SCHEMA}", stale=True)
    try:
        record = _ADAPTER.validate_python(content)
    except ValidationError as error:
        return _Refusal(_summary(error))
    contradiction = next(_contradictions(record), "")
    return _Refusal(contradiction) if contradiction else record


def _summary(error: ValidationError) -> str:
    first, *others = error.errors(include_url=False, include_input=False)
    where = ".".join(str(part) for part in first["loc"][1:])
    return f"{where or 'record'}: {first['msg']}" + (f" (and {len(others)} more)" if others else "")


def _contradictions(record: TrainRecord | CostRecord) -> Iterator[str]:
    if isinstance(record, CostRecord):
        return
    if (record.cell.method, record.cell.revision) != (record.method.name, record.method.revision):
        yield "cell and method name different methods or revisions"
    if record.status == "ok" and record.evaluation is None:
        yield 'status "ok" without an evaluation'
    if record.evaluation is not None:
        yield from impossible_counts(record.evaluation)


def _current(found: Iterable[_Found], folder: Path, stale: list[Rejected]) -> list[_Found]:
    """Sort out what must not be mixed: another harness, an older revision of a method, a second record of a cell."""
    # A run comes before those that trained it again.
    items = sorted(found, key=lambda item: isinstance(item.record, TrainRecord) and item.record.replayed)
    newest: dict[str, int] = {}
    for item in items:
        for method in _methods(item.record):
            newest[method[0]] = max(newest.get(method[0], 0), method[1])
    kept: list[_Found] = []
    seen: dict[tuple[str, ...], Path] = {}
    for item in items:
        reason = _stale_reason(item.record, newest) or _repeated(item, folder, seen)
        if reason:
            stale.append(_rejected(item.path, folder, reason))
        else:
            kept.append(item)
    return sorted(kept, key=lambda item: item.path)


def _methods(record: TrainRecord | CostRecord) -> list[tuple[str, int]]:
    if isinstance(record, TrainRecord):
        return [(record.method.name, record.method.revision)]
    return [(entry.method.name, entry.method.revision) for entry in record.entries]


def _stale_reason(record: TrainRecord | CostRecord, newest: dict[str, int]) -> str:
    if record.harness != HARNESS_REVISION:
        return f"harness revision {record.harness}; this onelip is at {HARNESS_REVISION}"
    if isinstance(record, CostRecord):
        return ""
    method = record.method
    older = method.revision < newest[method.name]
    return f"revision {method.revision} of {method.name}; the newest here is {newest[method.name]}" if older else ""


def _repeated(item: _Found, folder: Path, seen: dict[tuple[str, ...], Path]) -> str:
    if isinstance(item.record, CostRecord):
        return ""
    # By the content of the images: one folder of pictures has many spellings.
    cell = item.record.cell.model_copy(update={"data": item.record.data.digest})
    if item.record.replayed:  # the time that it took says nothing: it stands for its run on no machine
        there = next((path for key, path in seen.items() if key[0] == cell.id), None)
        if there is not None:
            return f"the same cell as {there.relative_to(folder).as_posix()}, trained again"
    first = seen.setdefault((cell.id, *place(item.record)), item.path)
    return "" if first == item.path else f"the same cell as {first.relative_to(folder).as_posix()}"


def _beside(
    kind: Kind[R], kept: Iterable[_Found], folder: Path, stale: list[Rejected], corrupt: list[Rejected]
) -> tuple[R, ...]:
    """The records of a kind beside those of runs; one of another network is foreign there, of other weights too old."""
    read = beside(kind, ((item.path, item.record) for item in kept if isinstance(item.record, TrainRecord)))
    stale += [_rejected(path, folder, reason) for path, reason in read.stale]
    corrupt += [_rejected(path, folder, reason) for path, reason in read.corrupt]
    return tuple(read.found)


def _unfinished(folder: Path, finished: set[Path], corrupt: list[Rejected]) -> tuple[Cell, ...]:
    cells: list[Cell] = []
    for path in sorted(folder.rglob(RUN_NAME)):
        if path.parent in finished:
            continue
        try:
            cells.append(Started.model_validate_json(path.read_bytes()).cell)
        except (OSError, ValidationError):
            corrupt.append(_rejected(path, folder, "not the cell of a started run"))
    return tuple(cells)
