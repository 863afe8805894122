"""A training that was interrupted continues to the same bits; a checkpoint that does not fit is refused."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from onelip.bench.data import CropAndFlip, ImageData
from onelip.bench.records import Recipe
from onelip.bench.train.budget import Budget
from onelip.bench.train.checkpoint import FILE_NAME, Checkpoint, remove_checkpoint
from onelip.bench.train.loop import train
from onelip.bench.train.training import TrainOutcome
from onelip.errors import RecordError

RECIPE = Recipe(batch_size=8, learning_rate=0.3)
STEPS_PER_EPOCH = 5


def images(seed: int = 0) -> ImageData:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (42, 1, 4, 4), generator=generator).to(torch.uint8)
    labels = torch.randint(2, (42,), generator=generator)
    return ImageData(
        name="noise",
        title="Noise",
        train_images=pixels,
        train_labels=labels,
        test_images=pixels,
        test_labels=labels,
        class_names=("one", "other"),
        augmentation=CropAndFlip(1, flip=True),
    )


class Network(nn.Module):
    """Has weights, a buffer outside the state_dict that changes, and a dropout that draws from the global generator."""

    def __init__(self, *, hidden: int = 6, interrupt_at: int = 0, on_step: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16, hidden), nn.Dropout(0.2), nn.Linear(hidden, 2))
        self.register_buffer("mean", torch.zeros(16), persistent=False)
        self.interrupt_at, self.on_step, self.passes = interrupt_at, on_step, 0

    def forward(self, images: Tensor) -> Tensor:
        self.passes += 1
        self.on_step()
        if self.passes == self.interrupt_at:
            raise KeyboardInterrupt
        self.mean.lerp_(images.mean(0).flatten(), 0.1)
        return self.layers(images - self.mean.view(1, 4, 4))


class Lookalike(Network):
    """The same tensors, another network."""


def training(model: nn.Module, folder: Path, **changes: Any) -> TrainOutcome:
    options = {"recipe": RECIPE, "budget": Budget(epochs=4), "data": images(), "seed": 3, "resume": True} | changes
    return train(model, device=torch.device("cpu"), folder=folder, **({"checkpoint_seconds": 0.0} | options))


def interrupted(folder: Path, **changes: Any) -> None:
    torch.manual_seed(0)
    with pytest.raises(KeyboardInterrupt):
        training(Network(interrupt_at=2 * STEPS_PER_EPOCH + 3), folder, **changes)


def without_times(outcome: TrainOutcome) -> list[dict[str, float]]:
    return [epoch.model_dump(exclude={"seconds", "images_per_second"}) for epoch in outcome.history]


def test_a_resumed_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    straight = Network()
    expected = training(straight, tmp_path / "none", checkpoint_seconds=1e9)
    interrupted(tmp_path)
    torch.manual_seed(1)
    resumed = Network()
    found = training(resumed, tmp_path)

    assert resumed.passes == 2 * STEPS_PER_EPOCH
    assert without_times(found) == without_times(expected)
    assert (found.status, found.steps, found.planned_steps) == ("ok", 20, 20)
    expected_tensors = (*straight.parameters(), *straight.buffers())
    found_tensors = (*resumed.parameters(), *resumed.buffers())
    assert all(torch.equal(one, other) for one, other in zip(found_tensors, expected_tensors, strict=True))


def test_a_finished_training_resumes_to_its_end_without_a_step(tmp_path: Path) -> None:
    first, second = Network(), Network()
    expected, found = training(first, tmp_path), training(second, tmp_path)
    assert second.passes == 0
    assert found.history == expected.history
    assert torch.equal(first.layers[1].weight, second.layers[1].weight)


def test_time_spent_before_the_checkpoint_counts(tmp_path: Path) -> None:
    """100 s for steps of 1 s, interrupted after about half of it: the rest is planned for what is left."""
    now = [0.0]

    def tick() -> None:
        now[0] += 1.0

    options = {"budget": Budget(seconds=100.0), "clock": lambda: now[0]}
    first = Network(interrupt_at=55, on_step=tick)
    with pytest.raises(KeyboardInterrupt):
        training(first, tmp_path, **options)
    now[0] += 1000.0
    second = Network(on_step=tick)
    outcome = training(second, tmp_path, **options)
    assert 95 <= outcome.seconds <= 100
    assert outcome.schedule_progress == 1
    assert second.passes < 60
    assert [epoch.epoch for epoch in outcome.history] == list(range(1, len(outcome.history) + 1))
    seconds = [epoch.seconds for epoch in outcome.history]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize(
    ("budget", "every", "expected"),
    [
        (Budget(epochs=10), 12.0, [15, 30, 45]),
        (Budget(epochs=10), 0.0, [5, 10, 15, 20, 25, 30, 35, 40, 45, 50]),
        (Budget(epochs=10), 1e9, []),
        (Budget(seconds=50.0), 12.0, [15, 30, 46]),
        (Budget(seconds=50.0), 30.0, [46]),
    ],
)
def test_checkpoints_keep_their_distance_from_each_other_and_none_is_written_shortly_before_the_end(
    budget: Budget, every: float, expected: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, saved = [0.0], []

    def tick() -> None:
        now[0] += 1.0

    monkeypatch.setattr(Checkpoint, "save", lambda _, position: saved.append(position.taken))
    training(Network(on_step=tick), tmp_path, budget=budget, clock=lambda: now[0], checkpoint_seconds=every)
    assert saved == expected


def test_a_part_of_an_epoch_is_no_checkpoint_but_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, saved = [0.0], []

    def tick() -> None:
        now[0] += 1.0

    monkeypatch.setattr(Checkpoint, "save", lambda _, position: saved.append(position.taken))
    outcome = training(Network(on_step=tick), tmp_path, budget=Budget(seconds=40.0), clock=lambda: now[0])
    assert outcome.steps % STEPS_PER_EPOCH != 0
    assert saved == [*range(STEPS_PER_EPOCH, outcome.steps, STEPS_PER_EPOCH), outcome.steps]


def test_one_that_ended_for_want_of_time_for_a_slow_step_is_not_trained_on_by_a_mean_one(tmp_path: Path) -> None:
    """Of a resumed training the slowest step is forgotten."""
    now, taken = [0.0], [0]

    def tick() -> None:
        taken[0] += 1
        now[0] += 9.0 if taken[0] == 8 else 1.0

    options = {"budget": Budget(seconds=60.0), "clock": lambda: now[0], "checkpoint_seconds": 15.0}
    first, second = Network(on_step=tick), Network(on_step=tick)
    expected, found = training(first, tmp_path, **options), training(second, tmp_path, **options)
    assert second.passes == 0
    assert (found.steps, found.history) == (expected.steps, expected.history)


def test_a_training_by_the_clock_that_ended_is_not_trained_on(tmp_path: Path) -> None:
    """Whatever it was interrupted in afterwards."""
    now = [0.0]

    def tick() -> None:
        now[0] += 1.0

    options = {"budget": Budget(seconds=40.0), "clock": lambda: now[0], "checkpoint_seconds": 15.0}
    first, second = Network(on_step=tick), Network(on_step=tick)
    expected, found = training(first, tmp_path, **options), training(second, tmp_path, **options)
    assert expected.steps % STEPS_PER_EPOCH != 0
    assert second.passes == 0
    assert (found.steps, found.history, found.plans) == (expected.steps, expected.history, expected.plans)
    assert torch.equal(first.layers[1].weight, second.layers[1].weight)


def test_an_interruption_while_saving_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(tmp_path)
    before = (tmp_path / FILE_NAME).read_bytes()

    def killed(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        training(Network(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_checkpoint_is_not_passed_over_silently(tmp_path: Path) -> None:
    interrupted(tmp_path)
    with pytest.raises(RecordError, match="resume it, or delete the file") as refusal:
        training(Network(), tmp_path, resume=False)
    assert str(tmp_path / FILE_NAME) in str(refusal.value)
    remove_checkpoint(tmp_path)
    remove_checkpoint(tmp_path)
    assert training(Network(), tmp_path, resume=False).steps == 20


CHANGES = {
    "learning_rate is 0.3 there and 0.2 here": {"recipe": RECIPE.model_copy(update={"learning_rate": 0.2})},
    "budget is 4epochs there and 5epochs here": {"budget": Budget(epochs=5)},
    "seed is 3 there and 4 here": {"seed": 4},
    "data is ": {"data": images(seed=1)},
}


@pytest.mark.parametrize("difference", CHANGES)
def test_the_checkpoint_of_another_training_is_refused(difference: str, tmp_path: Path) -> None:
    interrupted(tmp_path)
    refuse(tmp_path, Network(), difference, **CHANGES[difference])


@pytest.mark.parametrize(
    ("model", "difference"),
    [(Lookalike(), "network is "), (Network(hidden=7), "model.layers.1.weight has another shape or type")],
)
def test_the_checkpoint_of_another_network_is_refused(model: nn.Module, difference: str, tmp_path: Path) -> None:
    interrupted(tmp_path)
    refuse(tmp_path, model, difference)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99])
def test_a_cut_checkpoint_is_refused(share: float, tmp_path: Path) -> None:
    interrupted(tmp_path)
    content = (tmp_path / FILE_NAME).read_bytes()
    (tmp_path / FILE_NAME).write_bytes(content[: int(share * len(content))])
    refuse(tmp_path, Network(), "is cut, or is not a checkpoint")


@pytest.mark.parametrize("metadata", [None, {"onelip": "{}"}, {"format": "pt"}])
def test_a_file_of_another_program_is_refused(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / FILE_NAME, metadata=metadata)
    refuse(tmp_path, Network(), "is cut, or is not a checkpoint")


def refuse(folder: Path, model: nn.Module, difference: str, **changes: Any) -> None:
    """Nothing may have changed when a checkpoint is refused: not the file, not the model."""
    before = [parameter.clone() for parameter in model.parameters()]
    content = (folder / FILE_NAME).read_bytes()
    with pytest.raises(RecordError) as refusal:
        training(model, folder, **changes)
    assert str(folder / FILE_NAME) in str(refusal.value)
    assert difference in str(refusal.value)
    assert "delete it to train from the beginning" in str(refusal.value)
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))
    assert (folder / FILE_NAME).read_bytes() == content
