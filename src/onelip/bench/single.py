"""One run by itself: begun, gone on with, or begun anew; and a finished run certified again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from onelip.bench.cell import clear_run, read_started, run_cell
from onelip.bench.compare import Show
from onelip.bench.comparison import Job
from onelip.bench.costing import Say
from onelip.bench.data import DATASETS, ImageData, load
from onelip.bench.evaluate import Answers, answers_of, evaluate, evaluation_of
from onelip.bench.folder import held
from onelip.bench.records import Cell, Evaluation, TrainRecord
from onelip.bench.results import RECORD_NAME, read_record
from onelip.bench.saved import WEIGHTS_NAME, filled_network, load_network, read_run, read_weights
from onelip.bench.selection import find_method
from onelip.bench.shared import claimed_above
from onelip.certify import Arithmetic
from onelip.certify.certificate import Certificate
from onelip.certify.issue import certificate_of
from onelip.certify.verify import verify_certificate
from onelip.errors import DataError, OnelipError, RecordError, UnknownNameError
from onelip.method import Method
from onelip.models.convnet import method_named
from onelip.nn.blocked import BLOCK


def run_alone(
    job: Job, folder: Path, *, device: torch.device, resume: bool, force: bool, say: Say, show: Show
) -> TrainRecord:
    """Trains and records one cell in a folder.

    Args:
        job: What to do.
        folder: Of the run.
        device: Where.
        resume: Go on with what the folder holds; a finished run is returned as it is.
        force: Delete what the folder holds.
        say: Is told, line by line, what happens.
        show: Opens the progress display.

    Raises:
        RecordError: The folder holds a run and neither was asked for, or it holds another run than asked for.
        OnelipError: Both were asked for.
    """
    if resume and force:
        raise OnelipError("--resume and --force exclude each other: one goes on, the other begins anew")
    with held(folder), claimed_above(folder):
        if force:
            clear_run(folder)
        record = _there(job.cell, folder, resume=resume, say=say)
        if record is not None:
            return record
        with show(job.title) as progress:
            return run_cell(job.cell, job.method, job.data, folder, device=device, progress=progress, resume=resume)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recertified:
    """A finished run, and what its network achieves now.

    Attributes:
        record: As it was written after the training.
        evaluation: Of the weights as they lie in the folder, with a new bound.
        repeated: The same in the arithmetic of the record.
        answers: What the evaluation counts.
    """

    record: TrainRecord
    evaluation: Evaluation
    repeated: Evaluation
    answers: Answers

    @property
    def then(self) -> Evaluation:
        """What the record says."""
        assert self.record.evaluation is not None
        return self.record.evaluation

    @property
    def agrees(self) -> bool:
        """Whether the counts of images, in the arithmetic of the record, are those of the record."""
        return (self.then.correct, self.then.certified) == (self.repeated.correct, self.repeated.certified)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A finished run: its record, its network as it lies in the folder, and its images."""

    record: TrainRecord
    model: nn.Module
    data: ImageData


def open_run(folder: Path, *, method: str | None, data: str | None, data_dir: Path | None) -> Opened:
    """Loads the network of a run folder, and the images of the run.

    Args:
        folder: Of the run.
        method: "package.module:NAME" of a method that is not registered.
        data: Where the pictures of the run are now; None: where its record says.
        data_dir: Where the files of a named data set lie.

    Raises:
        RecordError: The folder, its record or its weights are not what they should be.
        DataError: The images of the run are not there, or are others.
    """
    record = read_run(folder)
    found = find_run_method(record.cell, method)
    images = find_run_images(record, data, data_dir)
    return Opened(record=record, model=load_network(record, found, images, folder), data=images)


def certify_again(
    run: Opened,
    *,
    device: torch.device,
    arithmetic: Arithmetic,
    block: int | None = BLOCK,
    note: Callable[[str], None] = lambda _: None,
) -> Recertified:
    """Bounds a network anew, and evaluates it on the images of its run.

    Args:
        run: See `open_run`.
        device: Where to evaluate.
        arithmetic: What the radii speak of.
        block: As of `onelip.certified_program`, for "executed".
        note: Is told how far it is.
    """
    record, recipe = run.record, run.record.cell.recipe
    answers = answers_of(
        run.model,
        run.data,
        batch_size=recipe.batch_size,
        device=device,
        arithmetic=arithmetic,
        block=block,
        note=note,
    )
    evaluation = repeated = evaluation_of(answers, run.data, recipe)
    if record.evaluation is not None and record.evaluation.arithmetic != arithmetic:
        repeated = evaluate_again(run, record.evaluation.arithmetic, device=device, note=note)
    return Recertified(record=record, evaluation=evaluation, repeated=repeated, answers=answers)


def evaluate_again(
    run: Opened, arithmetic: Arithmetic, *, device: torch.device, note: Callable[[str], None]
) -> Evaluation:
    """Evaluates a network on the images of its run in one more arithmetic; arguments as of `certify_again`."""

    def named(text: str) -> None:
        note(f"in {arithmetic} arithmetic: {text}")

    return evaluate(run.model, run.data, run.record.cell.recipe, device=device, arithmetic=arithmetic, note=named)


def write_certificate(run: Opened, result: Recertified, path: Path) -> None:
    """Writes the certificate of a network on the images of its run.

    Raises:
        UnsoundError: The radii speak of real arithmetic.
        RecordError: The file cannot be written.
    """
    x, y, answers = run.data.to_float(run.data.test_images), run.data.test_labels, result.answers
    certificate_of(run.model, answers.certifier, x, y, answers=(answers.logits, answers.radii)).write(path)


def verify_again(
    certificate: Certificate,
    model: Path,
    *,
    method: str | None,
    data: str | None,
    data_dir: Path | None,
    device: torch.device,
    note: Callable[[str], None],
) -> None:
    """Verifies a certificate with a network and images that are loaded anew.

    Args:
        certificate: What is claimed.
        model: A run folder, or a file of weights.
        method: As for `open_run`.
        data: As for `open_run`.
        data_dir: As for `open_run`.
        device: Where to evaluate.
        note: Is told how far it is.

    Raises:
        CertificateError: Names the first claim that does not hold.
        RecordError: The weights are not what they should be.
        DataError: The images are not there.
    """
    path = model / WEIGHTS_NAME if model.is_dir() else model
    cell, weights = read_weights(path)
    found, images = find_run_method(cell, method), _load_images(cell, data, data_dir)
    network = filled_network(cell, found, images, weights, path).to(device)
    x, y = images.to_float(images.test_images.to(device)), images.test_labels.to(device)
    verify_certificate(certificate, network, x, y, batch_size=cell.recipe.batch_size, note=note)


def _there(cell: Cell, folder: Path, *, resume: bool, say: Say) -> TrainRecord | None:
    """The finished run of a folder; refuses what is not to be gone on with."""
    if (folder / RECORD_NAME).exists():
        if not resume:
            raise RecordError(f"{folder} holds a finished run; replace it with --force, or name another --out")
        record = read_record(folder / RECORD_NAME)
        if not isinstance(record, TrainRecord):
            raise RecordError(f"{folder / RECORD_NAME} is the record of a measuring session, not of a training run")
        _check_same(record.cell, cell, folder)
        say(f"{folder} holds this run, finished")
        return record
    earlier = read_started(folder)
    if earlier is not None:
        if not resume:
            raise RecordError(f"{folder} holds an interrupted run; go on with --resume, or begin anew with --force")
        _check_same(earlier.cell, cell, folder)
    elif resume:
        say(f"{folder} holds nothing to go on with: beginning")
    return None


def _check_same(there: Cell, asked: Cell, folder: Path) -> None:
    old, new = _flat(there), _flat(asked)
    differing = [f"{name} {old[name]} there, {new[name]} now" for name in new if old[name] != new[name]]
    if differing:
        raise RecordError(f"{folder} holds another run ({'; '.join(differing)}); replace it with --force")


def _flat(cell: Cell) -> dict[str, object]:
    return cell.model_dump(exclude={"recipe"}) | cell.recipe.model_dump()


def find_run_method(cell: Cell, name: str | None) -> Method:
    """The method of a run's network; what a file names is never imported, only what the user names."""
    try:
        method = find_method(name) if name else method_named(cell.method)
    except UnknownNameError as error:
        if name:
            raise
        raise UnknownNameError(
            f"method {cell.method!r} of this run is not registered; say where it is with --method package.module:NAME"
        ) from error
    if (method.name, method.revision) != (cell.method, cell.revision):
        raise UnknownNameError(
            f"this run's method is {cell.method!r}, revision {cell.revision}; "
            f"{name or cell.method} is {method.name!r}, revision {method.revision}, and builds other networks"
        )
    return method


def _load_images(cell: Cell, name: str | None, data_dir: Path | None) -> ImageData:
    try:
        data = load(name or cell.data, data_dir)
    except (DataError, UnknownNameError) as error:
        if name is not None or cell.data in DATASETS:
            raise
        raise DataError(f"{error}; say with --data where the pictures of this run are now") from error
    return data.validation_split() if cell.evaluate_on == "validation" else data


def find_run_images(record: TrainRecord, name: str | None, data_dir: Path | None) -> ImageData:
    """The images of a run.

    Raises:
        DataError: They are not there.
        RecordError: They are others.
    """
    data = _load_images(record.cell, name, data_dir)
    if data.digest != record.data.digest:
        raise RecordError(
            f"the images of {data.name} are not those of this run: its record has {record.data.digest[:16]}"
        )
    return data
