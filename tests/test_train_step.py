"""The batches of an epoch, and one step on a batch."""

import math

import pytest
import torch
from torch import Tensor, nn

from onelip.bench.data import Augmentation, CropAndFlip, ImageData, RandAugment
from onelip.bench.records import Recipe
from onelip.bench.train.batches import Batches
from onelip.bench.train.descent import Descent, Measured
from onelip.bench.train.schedule import one_cycle

CPU = torch.device("cpu")


def images(count: int, *, augmentation: Augmentation | None = None) -> ImageData:
    """Images whose pixels all say which one it is; the label says whether the number is odd."""
    pixels = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 3, 3).contiguous()
    labels = torch.arange(count) % 2
    return ImageData(
        name="numbers",
        title="Numbers",
        train_images=pixels,
        train_labels=labels,
        test_images=pixels,
        test_labels=labels,
        class_names=("even", "odd"),
        augmentation=augmentation,
    )


def batches(data: ImageData, *, size: int = 8, seed: int = 0, augment: bool = True) -> Batches:
    return Batches(data, Recipe(batch_size=size, augment=augment), seed=seed, device=CPU)


def numbers(found: Batches, epoch: int) -> list[list[int]]:
    return [(images_BCHW[:, 0, 0, 0] * 255).round().int().tolist() for images_BCHW, _ in found.epoch(epoch)]


def test_an_epoch_shows_images_once_in_full_batches() -> None:
    found = batches(images(30))
    shown = numbers(found, 0)
    assert [len(batch) for batch in shown] == [8, 8, 8]
    assert (found.size, found.per_epoch) == (8, 3)
    assert len({number for batch in shown for number in batch}) == 24


def test_images_come_with_their_labels_and_in_the_unit_of_radii() -> None:
    for images_BCHW, labels_B in batches(images(30)).epoch(0):
        assert images_BCHW.dtype == torch.float32
        assert torch.equal((images_BCHW[:, 0, 0, 0] * 255).round().long() % 2, labels_B)


def test_images_left_out_differ_from_epoch_to_epoch() -> None:
    found = batches(images(30))
    assert {number for epoch in range(10) for batch in numbers(found, epoch) for number in batch} == set(range(30))


def test_less_than_a_batch_is_one_batch() -> None:
    found = batches(images(5))
    assert found.per_epoch == 1
    assert [sorted(batch) for batch in numbers(found, 3)] == [list(range(5))]


@pytest.mark.parametrize("augmentation", [CropAndFlip(1, flip=True), RandAugment()])
def test_an_epoch_depends_on_seed_and_number_alone(augmentation: Augmentation) -> None:
    data = images(30, augmentation=augmentation)
    found = batches(data)
    expected = list(found.epoch(4))
    list(found.epoch(0))
    torch.manual_seed(99)
    for (left, left_labels), (right, right_labels) in zip(expected, found.epoch(4), strict=True):
        assert torch.equal(left, right)
        assert torch.equal(left_labels, right_labels)
    assert numbers(batches(data), 4) != numbers(batches(data), 5)
    assert numbers(batches(data, seed=1), 4) != numbers(batches(data), 4)


def test_seed_and_epoch_do_not_mix() -> None:
    assert numbers(batches(images(30), seed=1), 11) != numbers(batches(images(30), seed=11), 1)


@pytest.mark.parametrize(("augment", "changed"), [(True, True), (False, False)])
def test_augmentation_is_the_data_sets_own_and_can_be_left_out(augment: bool, changed: bool) -> None:
    found = batches(images(64, augmentation=CropAndFlip(1)), size=64, augment=augment)
    ((images_BCHW, _),) = found.epoch(0)
    uniform = (images_BCHW == images_BCHW[:, :, 1:2, 1:2]).flatten(1).all(1)
    assert bool((~uniform).any()) == changed


def test_steps_are_those_of_gradient_descent_with_momentum_and_decay_on_every_parameter() -> None:
    recipe = Recipe(learning_rate=0.3, weight_decay=0.1, momentum=(0.5, 0.9))
    torch.manual_seed(0)
    inputs, labels = torch.rand(6, 9), torch.tensor([0, 1, 2, 0, 1, 2])
    model = nn.Linear(9, 3)
    weights = [parameter.detach().clone() for parameter in model.parameters()]
    velocities = [torch.zeros_like(weight) for weight in weights]
    descent = Descent(model, nn.functional.cross_entropy, recipe)
    for progress in (0.0, 0.2, 0.5, 1.0):
        descent.step(inputs, labels, progress)

        rate, momentum = one_cycle(progress, recipe)
        probabilities = torch.softmax(inputs @ weights[0].T + weights[1], 1)
        errors = (probabilities - torch.eye(3)[labels]) / 6
        gradients = [errors.T @ inputs, errors.sum(0)]
        for weight, velocity, gradient in zip(weights, velocities, gradients, strict=True):
            velocity.mul_(momentum).add_(gradient + recipe.weight_decay * weight)
            weight.sub_(rate * velocity)
        assert descent.learning_rate == rate
        torch.testing.assert_close(list(model.parameters()), [nn.Parameter(weight) for weight in weights])


class Given(nn.Module):
    """Gives the logits that it was built with."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images: Tensor) -> Tensor:
        return self.logits


def test_a_step_measures_loss_accuracy_and_nominal_robustness_before_it_changes_the_weights() -> None:
    certified = math.sqrt(2) * 36 / 255
    leads = torch.tensor([certified + 1e-3, certified - 1e-3, 1e-3, 0.0, -1.0])
    logits = torch.stack([leads, torch.zeros(5), torch.full((5,), -3.0)], 1)
    labels = torch.zeros(5, dtype=torch.long)
    descent = Descent(Given(logits.clone()), nn.functional.cross_entropy, Recipe(learning_rate=10.0))
    measured = Measured(*descent.step(torch.zeros(5, 1), labels, progress=0.3).tolist())
    assert measured.loss == pytest.approx(nn.functional.cross_entropy(logits, labels).item())
    assert measured.accuracy == pytest.approx(3 / 5)
    assert measured.nominal_cra36 == pytest.approx(1 / 5)
