"""The checkpoint of an unfinished training: one safetensors file with the weights, the optimiser and the position.

The position lies in the file's own metadata, so that weights and position always belong to one moment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, NonNegativeInt, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from onelip.bench.origin import Model, NonNegative, Positive
from onelip.bench.records import Epoch, Recipe
from onelip.bench.tensors import HEADER, write_tensors
from onelip.bench.train.plan import Planned
from onelip.errors import RecordError

FILE_NAME = "checkpoint.safetensors"

_RANDOM_CPU, _RANDOM_CUDA = "random.cpu", "random.cuda"
_REMEDY = "delete it to train from the beginning"


class Run(Model):
    """What a training must have in common with a checkpoint to continue from it.

    Attributes:
        budget: The canonical text of the budget.
        data: Digest of the data set.
        augmentation: What is done to its images, in words.
        replay: Digest of the plans that are followed; empty where the clock makes them.
        network: Digest of the names and classes of the network's modules.
    """

    recipe: Recipe
    budget: str
    seed: int
    data: str
    augmentation: str = ""
    replay: str = ""
    network: str


class Position(Model):
    """How far a training has come, at its beginning, at the end of an epoch, or at its end.

    Attributes:
        plans: The plans so far; the last one counts.
        taken: Number of steps taken.
        seconds: Time spent.
        pace: Recent seconds per step; None while unknown.
        history: The epochs up to here.
        ended: Whether nothing is left to train, whatever time is left.
    """

    plans: Annotated[tuple[Planned, ...], Field(min_length=1)]
    taken: NonNegativeInt = 0
    seconds: NonNegative = 0.0
    pace: Positive | None = None
    history: tuple[Epoch, ...] = ()
    ended: bool = False


class Header(Model):
    """What a checkpoint says besides its tensors."""

    version: Literal[2] = 2
    run: Run
    position: Position


class Checkpoint:
    """The checkpoint file of one training.

    Args:
        folder: Where it lies.
        run: The training.
        model: What is trained.
        optimizer: What trains it.
        interval: Least time in seconds between two saves; for whoever saves.
    """

    def __init__(
        self, folder: Path, run: Run, model: nn.Module, optimizer: torch.optim.Optimizer, *, interval: float
    ) -> None:
        self.path = folder / FILE_NAME
        self.interval = interval
        self._run = run
        self._model = model
        self._optimizer = optimizer

    def save(self, position: Position) -> None:
        """Writes the file; the one before stays until the new one is whole and on the disk.

        Raises:
            RecordError: The file cannot be written.
        """
        header = Header(run=self._run, position=position).model_dump_json()
        tensors = self._model_tensors() | self._momenta() | self._random_states()
        copies = {
            name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
        }
        write_tensors(copies, self.path, header=header)

    def load(self) -> Position:
        """Brings the model, the optimiser and the global random states to the moment of the file.

        Returns:
            The position of that moment.

        Raises:
            RecordError: If the file is cut, was not written by `save`, or belongs to another training.
        """
        header, tensors = _read(self.path)
        self._check(header.run, tensors)
        with torch.no_grad():
            for name, tensor in self._model_tensors().items():
                tensor.copy_(tensors[name])
        for name, parameter in self._model.named_parameters():
            if (momentum := tensors.get(f"momentum.{name}")) is not None:
                self._optimizer.state[parameter]["momentum_buffer"] = momentum.to(parameter.device, copy=True)
        self._restore_random_states(tensors)
        return header.position

    def _check(self, run: Run, tensors: Mapping[str, Tensor]) -> None:
        there, here = _facts(run), _facts(self._run)
        differing = [
            f"{name} is {there[name]} there and {here[name]} here" for name in here if there[name] != here[name]
        ]
        for name, tensor in self._model_tensors().items():
            if name not in tensors or (tensors[name].shape, tensors[name].dtype) != (tensor.shape, tensor.dtype):
                differing.append(f"{name} has another shape or type there, or is missing")
        if differing:
            raise RecordError(f"{self.path} belongs to another training: {'; '.join(differing)}; {_REMEDY}")

    def _model_tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers, also those that a state_dict leaves out."""
        tensors = (*self._model.named_parameters(), *self._model.named_buffers())
        return {f"model.{name}": tensor for name, tensor in tensors}

    def _momenta(self) -> dict[str, Tensor]:
        states = {name: self._optimizer.state[parameter] for name, parameter in self._model.named_parameters()}
        momenta = {f"momentum.{name}": state.get("momentum_buffer") for name, state in states.items()}
        return {name: momentum for name, momentum in momenta.items() if momentum is not None}

    def _random_states(self) -> dict[str, Tensor]:
        """The global generators, in case the network draws from them."""
        states = {_RANDOM_CPU: torch.get_rng_state()}
        if self._device.type == "cuda":
            states[_RANDOM_CUDA] = torch.cuda.get_rng_state(self._device)
        return states

    def _restore_random_states(self, tensors: Mapping[str, Tensor]) -> None:
        torch.set_rng_state(tensors[_RANDOM_CPU])
        if self._device.type == "cuda" and _RANDOM_CUDA in tensors:
            torch.cuda.set_rng_state(tensors[_RANDOM_CUDA], self._device)

    @property
    def _device(self) -> torch.device:
        return next(self._model.parameters()).device


def network_digest(model: nn.Module) -> str:
    """Tells apart networks whose tensors have the same names and shapes."""
    modules = [
        f"{name}: {type(module).__module__}.{type(module).__qualname__}" for name, module in model.named_modules()
    ]
    return hashlib.sha256("\n".join(modules).encode()).hexdigest()


def remove_checkpoint(folder: Path) -> None:
    """Deletes the folder's checkpoint, if there is one.

    Raises:
        RecordError: It cannot be deleted.
    """
    try:
        (folder / FILE_NAME).unlink(missing_ok=True)
    except OSError as error:
        raise RecordError(f"cannot delete {folder / FILE_NAME}: {error.strerror or error}") from error


def _read(path: Path) -> tuple[Header, dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = Header.model_validate_json((file.metadata() or {}).get(HEADER, ""))
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValidationError) as error:
        raise RecordError(f"{path} is cut, or is not a checkpoint of this version of onelip; {_REMEDY}") from error


def _facts(run: Run) -> dict[str, Any]:
    return run.recipe.model_dump() | run.model_dump(exclude={"recipe"})
