"""Trained networks on disk: the weights of a run folder, written atomically and read back strictly."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from onelip.bench.data.base import ImageData
from onelip.bench.records import Cell, TrainRecord
from onelip.bench.results import RECORD_NAME, RUN_NAME, read_record
from onelip.bench.tensors import HEADER, write_tensors
from onelip.errors import RecordError
from onelip.method import Method
from onelip.models import ConvNet

WEIGHTS_NAME = "model.safetensors"
CERTIFICATE_NAME = "certificate.json"
EXECUTED_CERTIFICATE_NAME = "certificate-executed.json"
"""That of the float32 program."""


def build_network(cell: Cell, method: Method, data: ImageData) -> ConvNet:
    """The untrained network of a cell; its first module subtracts the mean of the training images."""
    return ConvNet(
        method,
        size=cell.width,
        classes=data.classes,
        image=data.image,
        kernel_size=cell.kernel_size,
        padding=cell.padding,
        mean=data.mean,
    )


def save_network(model: ConvNet, cell: Cell, folder: Path) -> None:
    """Writes the weights, with the cell in the file's metadata; a reader sees the old file or the new one.

    Raises:
        RecordError: The file cannot be written.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_tensors(weights, folder / WEIGHTS_NAME, header=cell.model_dump_json())


def load_network(record: TrainRecord, method: Method, data: ImageData, folder: Path) -> ConvNet:
    """The trained network of a run folder, in eval mode.

    Raises:
        RecordError: The file is missing, cut, foreign, or belongs to another cell or network.
    """
    path = folder / WEIGHTS_NAME
    cell, weights = read_weights(path)
    if cell != record.cell:
        raise RecordError(f"{path} holds the weights of another run, {cell.id}, not of {record.cell.id}")
    return filled_network(cell, method, data, weights, path)


def filled_network(cell: Cell, method: Method, data: ImageData, weights: dict[str, Tensor], path: Path) -> ConvNet:
    """The network of a cell with weights from a file, in eval mode.

    Raises:
        RecordError: They do not fit.
    """
    model = build_network(cell, method, data)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise RecordError(f"{path}: the weights do not fit the network: {reason}") from error
    return model.eval()


def read_run(folder: Path) -> TrainRecord:
    """The record of a run folder whose training succeeded.

    Raises:
        RecordError: The folder is no run, or its training did not succeed.
    """
    path = folder / RECORD_NAME
    if not path.is_file():
        raise RecordError(f"{folder} is not a finished run: {_advice(folder)}")
    record = read_record(path)
    if not isinstance(record, TrainRecord):
        raise RecordError(f"{path} is the record of a measuring session, not of a training run")
    if record.status != "ok":
        raise RecordError(f"{folder}: this run has no network, its status is {record.status!r}: {record.message}")
    return record


def _advice(folder: Path) -> str:
    if not folder.is_dir():
        return "there is no such folder"
    if (folder / RUN_NAME).is_file():
        return "its training was interrupted; onelip train --resume or the same onelip compare goes on"
    inner = sorted(path.parent.relative_to(folder).as_posix() for path in folder.glob(f"*/{RECORD_NAME}"))
    if inner:
        return f"it holds {len(inner)} of them; name one, such as {folder / inner[0]}"
    return f"it has no {RECORD_NAME}; name a folder that onelip train or onelip compare wrote"


def read_weights(path: Path) -> tuple[Cell, dict[str, Tensor]]:
    """The weights in a file, and the cell that they belong to.

    Raises:
        RecordError: The file is missing, cut or foreign, or holds NaN or infinity.
    """
    try:
        with safe_open(path, framework="pt") as file:
            found = Cell.model_validate_json((file.metadata() or {}).get(HEADER, ""))
            weights: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise RecordError(f"{path} is missing: this run's weights were not kept") from error
    except (OSError, SafetensorError, ValidationError) as error:
        raise RecordError(f"{path} is cut, or is not a network of onelip; train it again with --force") from error
    if not all(bool(torch.isfinite(tensor).all()) for tensor in weights.values()):
        raise RecordError(f"{path} holds weights that are not finite")
    return found, weights
