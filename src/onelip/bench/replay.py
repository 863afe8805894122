"""A finished run trained again by its own plans: what depended on the clock then is fixed now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from onelip.bench.cell import run_cell
from onelip.bench.compare import Show
from onelip.bench.costing import Say
from onelip.bench.folder import held
from onelip.bench.records import TrainRecord
from onelip.bench.results import RECORD_NAME
from onelip.bench.saved import WEIGHTS_NAME, read_run, read_weights
from onelip.bench.shared import claimed_above
from onelip.bench.single import find_run_images, find_run_method
from onelip.bench.train.plan import Replay
from onelip.errors import RecordError


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Two trainings by the same plans.

    Attributes:
        same_weights: Whether the weights are the same, to the bit; None where those of the first were not kept.
    """

    then: TrainRecord
    now: TrainRecord
    same_weights: bool | None

    @property
    def differences(self) -> tuple[str, ...]:
        """In what the two differ, times aside."""
        then, now = _timeless(self.then), _timeless(self.now)
        return (*["weights"] * (self.same_weights is False), *(name for name in then if then[name] != now[name]))

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """What of the machine and the program is not as it was, and may be why the two differ."""
        names = ("processor", "device_name", "threads", "system", "python", "torch", "onelip", "commit")
        there, here = self.then.machine, self.now.machine
        facts = [(name.replace("_", " "), getattr(there, name), getattr(here, name)) for name in names]
        facts += [("source of the method", self.then.method.source, self.now.method.source)]
        facts += [("harness revision", self.then.harness, self.now.harness)]
        return tuple(f"{name} {old or 'none'} then, {new or 'none'} now" for name, old, new in facts if old != new)


def replay_run(
    folder: Path,
    out: Path,
    *,
    method: str | None,
    data: str | None,
    data_dir: Path | None,
    device: torch.device,
    say: Say,
    show: Show,
) -> Replayed:
    """Trains a run again by its plans; an interrupted replay is gone on with.

    Args:
        folder: Of the run.
        out: Of the new one.
        method: "package.module:NAME" of a method that is not registered.
        data: Where the pictures of the run are now; None: where its record says.
        data_dir: Where the files of a named data set lie.
        device: Where to train.
        say: Is told, line by line, what happens.
        show: Opens the progress display.

    Raises:
        RecordError: The run has no plans, or a folder is not what it should be.
        DataError: The images of the run are not there, or are others.
    """
    then = read_run(folder)
    if not then.plans:
        raise RecordError(f"{folder} was trained before plans were kept, and cannot be trained again by them")
    if out.resolve() == folder.resolve():
        raise RecordError(f"--out {out} is the run itself; name another folder")
    found, images = find_run_method(then.cell, method), find_run_images(then, data, data_dir)
    weights = read_weights(folder / WEIGHTS_NAME)[1] if (folder / WEIGHTS_NAME).exists() else None
    with held(out), claimed_above(out):
        if (out / RECORD_NAME).exists():
            raise RecordError(f"{out} holds a finished run; name another --out")
        say(f"{then.steps} steps by {len(then.plans)} plans of {folder}")
        with show(f"{then.method.title} {then.cell.size} on {then.data.title}, again") as progress:
            now = run_cell(
                then.cell,
                found,
                images,
                out,
                device=device,
                progress=progress,
                resume=True,
                replay=Replay(plans=then.plans, steps=then.steps),
            )
    return Replayed(then=then, now=now, same_weights=None if weights is None else _holds(out, weights))


def _holds(folder: Path, weights: Mapping[str, Tensor]) -> bool:
    if not (folder / WEIGHTS_NAME).exists():
        return False
    _, found = read_weights(folder / WEIGHTS_NAME)
    return found.keys() == weights.keys() and all(torch.equal(found[name], weights[name]) for name in weights)


def _timeless(run: TrainRecord) -> dict[str, object]:
    """What a run came to, without anything that a clock said."""
    epochs = [epoch.model_dump(exclude={"seconds", "images_per_second"}) for epoch in run.history]
    result = run.evaluation.model_dump(exclude={"seconds"}) if run.evaluation else {}
    return {"status": run.status, "steps": run.steps, "history": epochs} | result
