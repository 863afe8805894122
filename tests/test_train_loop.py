"""Training: the same seed gives the same bits, the books are right, divergence is seen at once."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from onelip.bench.data import CropAndFlip, ImageData
from onelip.bench.records import Recipe
from onelip.bench.train import training
from onelip.bench.train.budget import Budget
from onelip.bench.train.checkpoint import FILE_NAME
from onelip.bench.train.loop import train
from onelip.bench.train.pace import Pacer
from onelip.bench.train.progress import Snapshot
from onelip.bench.train.training import TrainOutcome
from onelip.nn.loss import MarginCrossEntropy

RECIPE = Recipe(batch_size=16, learning_rate=0.5)
STEPS_PER_EPOCH = 4


def images() -> ImageData:
    """70 images of two classes, bright at the top or at the bottom."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (70,), generator=generator)
    pixels = torch.randint(0, 60, (70, 1, 4, 4), generator=generator)
    pixels[labels == 0, :, :2] += 150
    pixels[labels == 1, :, 2:] += 150
    pixels = pixels.to(torch.uint8)
    return ImageData(
        name="two",
        title="Two classes",
        train_images=pixels,
        train_labels=labels,
        test_images=pixels,
        test_labels=labels,
        class_names=("top", "bottom"),
        augmentation=CropAndFlip(1),
    )


def trained(
    model: nn.Module | None = None, *, epochs: int = 3, seed: int = 0, recipe: Recipe = RECIPE, **options: Any
) -> tuple[nn.Module, TrainOutcome]:
    torch.manual_seed(0)
    if model is None:
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(16, 2))
    device = torch.device("cpu")
    return model, train(model, images(), recipe, Budget(epochs=epochs), seed=seed, device=device, **options)


def without_times(outcome: TrainOutcome) -> list[dict[str, float]]:
    return [epoch.model_dump(exclude={"seconds", "images_per_second"}) for epoch in outcome.history]


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(left, right) for left, right in pairs)


def test_learns_and_keeps_the_books() -> None:
    _, outcome = trained(epochs=15)
    first, last = outcome.history[0], outcome.history[-1]
    assert (outcome.status, outcome.message, outcome.schedule_progress) == ("ok", "", 1)
    assert (outcome.steps, outcome.planned_steps) == (60, 60)
    assert [epoch.epoch for epoch in outcome.history] == list(range(1, 16))
    assert [epoch.step for epoch in outcome.history] == list(range(4, 61, 4))
    assert last.loss < 0.5 * first.loss
    assert last.accuracy > 0.8 > first.accuracy
    assert last.learning_rate == pytest.approx(RECIPE.learning_rate / 25 / 1e4)
    assert 0 < first.seconds < last.seconds <= outcome.seconds
    assert last.images_per_second > 0


def test_the_same_seed_gives_the_same_bits() -> None:
    one, first = trained()
    other, second = trained()
    assert same_weights(one, other)
    assert without_times(first) == without_times(second)


def test_another_seed_gives_another_training() -> None:
    assert not same_weights(trained(seed=0)[0], trained(seed=1)[0])


def test_the_time_that_steps_take_changes_nothing_but_times() -> None:
    ticks = iter(range(10**6))
    one, first = trained(clock=lambda: float(next(ticks)))
    other, second = trained(clock=lambda: 0.0)
    assert same_weights(one, other)
    assert without_times(first) == without_times(second)


@pytest.mark.parametrize("most", [3, 16])
def test_looking_less_often_as_on_a_gpu_changes_nothing(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    one, first = trained()
    monkeypatch.setitem(training.STEPS_BETWEEN_LOOKS, "cpu", most)
    monkeypatch.setattr(training, "SECONDS_BETWEEN_LOOKS", 1e9)
    observed: list[int] = []
    observe = Pacer.observe
    monkeypatch.setattr(
        Pacer, "observe", lambda pacer, taken, seconds: observed.append(taken) or observe(pacer, taken, seconds)
    )
    other, second = trained(clock=lambda: 0.0)
    assert max(later - earlier for earlier, later in pairwise([0, *observed])) == min(most, STEPS_PER_EPOCH)
    assert same_weights(one, other)
    assert without_times(first) == without_times(second)


def test_the_loss_is_the_recipes_unless_another_is_given() -> None:
    recipe = RECIPE.model_copy(update={"margin": 0.7, "temperature": 0.4})
    default, _ = trained(recipe=recipe)
    explicit, _ = trained(recipe=recipe, loss=MarginCrossEntropy(0.7, 0.4))
    another, _ = trained(recipe=recipe, loss=nn.functional.cross_entropy)
    assert same_weights(default, explicit)
    assert not same_weights(default, another)


def test_progress_is_told_of_every_epoch_and_of_the_time_left() -> None:
    ticks = iter(range(10**6))
    seen: list[Snapshot] = []
    _, outcome = trained(progress=seen.append, clock=lambda: float(next(ticks)))
    assert tuple(snapshot.epoch for snapshot in seen if snapshot.complete) == outcome.history
    assert [snapshot.epoch.step for snapshot in seen if not snapshot.complete] == list(range(1, 13))
    assert {snapshot.planned_steps for snapshot in seen} == {12}
    assert seen[0].seconds_left > seen[8].seconds_left > seen[-1].seconds_left == 0


class Breaks(nn.Module):
    """A linear network whose logits are multiplied by something from one step on."""

    def __init__(self, step: int, factor: float) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 2)
        self.step, self.factor, self.passes = step, factor, 0

    def forward(self, images: Tensor) -> Tensor:
        self.passes += 1
        return self.linear(images.flatten(1)) * (self.factor if self.passes >= self.step else 1.0)


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_training_at_that_step(factor: float, tmp_path: Any) -> None:
    model = Breaks(step=6, factor=factor)
    _, outcome = trained(model, folder=tmp_path, checkpoint_seconds=0)
    assert (outcome.status, outcome.steps, model.passes) == ("diverged", 6, 6)
    assert "the loss was nan at step 6 of 12" in outcome.message
    assert [epoch.epoch for epoch in outcome.history] == [1]
    assert outcome.schedule_progress == pytest.approx(5 / 11)


def test_a_learning_rate_that_is_far_too_large_diverges() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 64), nn.Linear(64, 64), nn.Linear(64, 2))
    _, outcome = trained(model, recipe=RECIPE.model_copy(update={"learning_rate": 1e12}))
    assert outcome.status == "diverged"


def test_weights_that_are_not_finite_are_no_checkpoint(tmp_path: Any) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    passes = iter(range(1, 100))
    model[1].weight.register_hook(lambda grad: grad * (math.inf if next(passes) == STEPS_PER_EPOCH else 1.0))
    _, outcome = trained(model, folder=tmp_path, checkpoint_seconds=0)
    assert (outcome.status, outcome.history) == ("diverged", ())
    assert "a weight was not finite after step 4 of 12" in outcome.message
    assert not (tmp_path / FILE_NAME).exists()


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("full"), RuntimeError("can't allocate memory"), KeyboardInterrupt()]
)
def test_other_errors_reach_the_caller(error: BaseException) -> None:
    class Fails(Breaks):
        def forward(self, images: Tensor) -> Tensor:
            if self.passes == 5:
                raise error
            return super().forward(images)

    with pytest.raises(type(error)):
        trained(Fails(step=100, factor=1.0))


def test_the_global_generator_is_left_alone() -> None:
    model = Breaks(step=100, factor=1.0)
    torch.manual_seed(0)
    expected = torch.rand(3)
    trained(model)
    assert torch.equal(torch.rand(3), expected)


def test_the_network_is_trained_in_training_mode() -> None:
    modes: list[bool] = []

    class Watched(Breaks):
        def forward(self, images: Tensor) -> Tensor:
            modes.append(self.training)
            return super().forward(images)

    trained(Watched(step=100, factor=1.0).eval())
    assert modes == [True] * 12
