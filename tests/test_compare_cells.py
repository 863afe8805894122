"""The evaluation of one network, the choice of a learning rate, and the statuses of failures."""

import dataclasses
import math

import pytest
import torch
from torch import nn

import onelip
from onelip.bench.choice import at_border, best_run
from onelip.bench.comparison import Comparison, Scan
from onelip.bench.data import Augmentation, load
from onelip.bench.evaluate import certified_counts, evaluate
from onelip.bench.failure import failure
from onelip.bench.records import CURVE_STEPS, Recipe
from onelip.bench.train.budget import Budget
from onelip.errors import DataError, UnsoundError
from onelip.methods import METHODS

CPU = torch.device("cpu")


def pictures(logits, labels):
    """Test images whose pixels are the logits of a network that only flattens them."""
    digits = load("digits")
    images = torch.tensor(logits, dtype=torch.uint8)[:, None, None, :]
    return dataclasses.replace(
        digits,
        train_images=images,
        train_labels=torch.tensor(labels),
        test_images=images,
        test_labels=torch.tensor(labels),
        pixel_max=255,
        class_names=tuple("abc"),
    )


def test_counts_by_hand():
    """A margin of 51/255, a tie and a wrong answer, under the constant 1: radii 51/255/sqrt(2) = 36.06/255, 0, 0."""
    data = pictures([[151, 100, 0], [80, 80, 0], [10, 20, 0]], [0, 0, 0])
    result = evaluate(nn.Flatten(), data, Recipe(batch_size=2), device=CPU)
    assert (result.images, result.correct, result.lipschitz) == (3, 1, 1.0)
    assert result.certified == (1,) * 37 + (0,) * (CURVE_STEPS - 36)
    assert result.arithmetic == "real"
    assert result.largest_class == 3


def test_the_loss_is_the_recipes_over_all_images():
    data = pictures([[151, 100, 0], [80, 80, 0], [10, 20, 0]], [0, 0, 1])
    recipe = Recipe(batch_size=2, margin=0.1, temperature=0.5)
    logits = data.test_images.flatten(1).double() / 255
    expected = onelip.MarginCrossEntropy(0.1, 0.5)(logits, data.test_labels)
    assert math.isclose(evaluate(nn.Flatten(), data, recipe, device=CPU).loss, float(expected), rel_tol=1e-6)


def test_a_larger_constant_means_smaller_radii():
    data = pictures([[151, 100, 0]], [0])
    linear = nn.Linear(3, 3, bias=False)
    nn.init.eye_(linear.weight)
    linear.weight.data[2, 2] = 2.0
    result = evaluate(nn.Sequential(nn.Flatten(), linear, nn.Identity()), data, Recipe(batch_size=8), device=CPU)
    assert result.lipschitz >= 2.0
    assert sum(result.certified) == 19


def test_behind_a_linear_layer_only_the_rows_of_both_classes_count():
    """As before, but the layer is the last one: rows 0 and 1 lie sqrt(2) apart, as if the constant were 1."""
    data = pictures([[151, 100, 0]], [0])
    linear = nn.Linear(3, 3, bias=False)
    nn.init.eye_(linear.weight)
    linear.weight.data[2, 2] = 2.0
    model, recipe = nn.Sequential(nn.Flatten(), linear), Recipe(batch_size=8)
    assert sum(evaluate(model, data, recipe, device=CPU, arithmetic="float64").certified) == 37
    assert sum(evaluate(model, data, recipe, device=CPU, arithmetic="real").certified) == 19, "as papers do it"


class Poisoned(nn.Flatten):
    """NaN for the first image of a batch, in the wrong class only."""

    def forward(self, x):
        logits = super().forward(x).clone()
        logits[0, 2] = math.nan
        return logits


def test_nan_is_neither_correct_nor_robust(monkeypatch):
    from onelip.certify import lipschitz

    monkeypatch.setitem(lipschitz._RULES, Poisoned, lipschitz._RULES[nn.Flatten])
    data = pictures([[255, 0, 0], [255, 0, 0]], [0, 0])
    result = evaluate(Poisoned(), data, Recipe(batch_size=2), device=CPU)
    assert result.correct == 1
    assert max(result.certified) == 1
    assert result.loss == 1e300


def test_a_network_without_a_bound_is_not_evaluated():
    with pytest.raises(UnsoundError, match="Softmax"):
        evaluate(
            nn.Sequential(nn.Flatten(), nn.Softmax(1)), pictures([[1, 0, 0]], [0]), Recipe(batch_size=1), device=CPU
        )


def test_a_radius_on_the_threshold_is_not_above_it():
    k = torch.arange(CURVE_STEPS + 1, dtype=torch.float64)
    assert certified_counts(k / 255) == list(range(CURVE_STEPS, -1, -1))
    above = torch.nextafter(k / 255, torch.tensor(math.inf, dtype=torch.float64))
    assert certified_counts(above) == list(range(CURVE_STEPS + 1, 0, -1))
    assert certified_counts(torch.zeros(5)) == [0] * (CURVE_STEPS + 1)


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "oom", "CUDA"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"), "oom", "9 bytes"),
        (MemoryError(), "oom", "out of memory"),
        (RuntimeError("shapes\n differ"), "error", "RuntimeError: shapes differ"),
        (KeyError(), "error", "KeyError"),
    ],
)
def test_what_a_failure_is(error, status, word):
    found, message = failure(error)
    assert found == status
    assert word in message


@pytest.fixture
def run(sample_records):
    def run(rate, certified, loss):
        result = sample_records.exactly(certified, loss=loss)
        return sample_records.train_record("aol", result=result, recipe=Recipe(learning_rate=rate))

    return run


def test_the_best_learning_rate_certifies_most_and_then_has_the_lowest_loss(run, sample_records):
    failed = sample_records.train_record("aol", status="diverged")
    runs = [run(0.01, 200, 0.1), run(0.03, 201, 0.3), run(0.1, 201, 0.2), failed]
    assert best_run(runs).cell.recipe.learning_rate == 0.1
    assert best_run(reversed(runs)).cell.recipe.learning_rate == 0.1
    assert best_run([failed]) is None
    assert at_border(0.1, [0.01, 0.03, 0.1])
    assert at_border(0.01, [0.01, 0.03, 0.1])
    assert not at_border(0.03, [0.01, 0.03, 0.1])


def test_a_network_that_always_answers_the_same_does_not_win_the_scan(run):
    """A tenth of the images certified is what one class of ten gives at any radius."""
    images = run(0.1, 0, 0.5).evaluation.images
    assert best_run([run(0.01, 0, 0.1), run(0.1, images // 10, 0.5)]).cell.recipe.learning_rate == 0.01
    assert best_run([run(0.01, 0, 0.1), run(0.1, images // 5, 0.5)]).cell.recipe.learning_rate == 0.1


def test_with_unequal_classes_the_largest_one_is_what_has_to_be_exceeded(run):
    """Of 360 images 250 are of one class: a constant answer certifies them all, and is not taken for learning."""
    constant, honest = run(0.01, 250, 0.9), run(0.1, 240, 0.1)
    uneven = [
        record.model_copy(update={"evaluation": record.evaluation.model_copy(update={"largest_class": 250})})
        for record in (constant, honest)
    ]
    assert best_run([constant, honest]) is constant
    assert best_run(uneven).cell.recipe.learning_rate == 0.1


@pytest.fixture
def asked():
    return Comparison(
        methods=(METHODS["aol"], METHODS["cpl"]),
        data=(load("digits"),),
        sizes=("4", "8"),
        seeds=(3, 4),
        budget=Budget.parse("2epochs"),
        padding="paper",
        recipe=Recipe(learning_rate=0.5),
        device=CPU,
        scan=Scan(rates=(0.01, 0.1), budget=Budget.parse("1epoch")),
    )


def test_cells_differ_in_nothing_but_method_size_seed_and_learning_rate(asked):
    jobs = [*asked.trials(), *asked.finals({("cpl", "digits", "4"): 0.1})]
    varied = {"method", "revision", "size", "width", "seed"}
    for jobs_of_kind in (asked.trials(), asked.finals({})):
        dumps = [job.cell.model_dump(exclude=varied) | {"recipe": None} for job in jobs_of_kind]
        recipes = [job.cell.recipe.model_dump(exclude={"learning_rate"}) for job in jobs_of_kind]
        assert all(dump == dumps[0] for dump in dumps)
        assert all(recipe == recipes[0] for recipe in recipes)
    assert len({job.cell.id for job in jobs}) == len(jobs) == 8 + 8


def test_a_chosen_learning_rate_is_used_where_it_was_chosen(asked):
    finals = asked.finals({("cpl", "digits", "4"): 0.1})
    rates = {(job.cell.method, job.cell.size): job.cell.recipe.learning_rate for job in finals}
    assert rates == {("aol", "4"): 0.5, ("cpl", "4"): 0.1, ("aol", "8"): 0.5, ("cpl", "8"): 0.5}


def test_trials_see_no_test_image(asked):
    digits = asked.data[0]
    trial = asked.trials()[0]
    images = {bytes(image.numpy()) for image in digits.train_images}
    assert all(bytes(image.numpy()) in images for image in trial.data.test_images)
    assert trial.cell.evaluate_on == "validation"
    assert trial.cell.seed == 3


class Refusing(Augmentation):
    """Knows no images."""

    def __call__(self, images_BCHW, *, generator):
        return images_BCHW

    def check(self, image, pixel_max):
        raise DataError(f"refuses {image} up to {pixel_max}")


def test_images_that_cannot_be_augmented_are_refused_before_anything_is_trained(asked):
    data = (dataclasses.replace(asked.data[0], augmentation=Refusing()),)
    with pytest.raises(DataError, match=r"refuses \(1, 8, 8\) up to 16"):
        dataclasses.replace(asked, data=data).check()
    dataclasses.replace(asked, data=data, recipe=Recipe(augment=False)).check()
