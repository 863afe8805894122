"""Grids: what their cells may differ in, in which order they are begun, and what they take."""

from collections import Counter
from dataclasses import replace
from itertools import product

import pytest
import torch

from onelip.bench.comparison import Comparison
from onelip.bench.data import DATASETS, Augmentation, load
from onelip.bench.data.base import ImageData
from onelip.bench.forecast import Images, Networks, forecast, impossible, least_bytes, refusals
from onelip.bench.grid import Choice, Final, Grid, Scan, Search, Trial, budget_of, settings, tasks
from onelip.bench.grids import GRIDS, cpu, demo, find_grid, kernel1x1, padding, paper
from onelip.bench.measure import machine
from onelip.bench.records import Recipe
from onelip.errors import DataError, UnknownNameError
from onelip.methods import METHODS
from onelip.models import ConvNet

CPU = torch.device("cpu")
CHOICE = Choice(learning_rate=0.25, weight_decay=0.0)
AXES = {
    "method": "methods",
    "data": "data",
    "size": "sizes",
    "budget": "budgets",
    "padding": "paddings",
    "kernel_size": "kernel_sizes",
    "seed": "seeds",
}
"""What may differ between the cells of a grid, and the axis that says so."""


def pictures(name):
    """A few black pictures in the shape of a data set."""
    content = DATASETS[name].content
    images, labels = torch.zeros(20, *content.image, dtype=torch.uint8), torch.zeros(20, dtype=torch.int64)
    return ImageData(
        name=name,
        title=DATASETS[name].title,
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
        class_names=tuple(map(str, range(content.classes))),
    )


def comparison(grid, **changes):
    methods = tuple(METHODS[name] for name in grid.methods)
    data = tuple(pictures(name) for name in grid.data)
    return Comparison(**{"grid": grid, "methods": methods, "data": data, "device": CPU} | changes)


def networks(grid, device=CPU):
    methods = [METHODS[name] for name in grid.methods]
    return Networks(grid, methods, [Images.published(name) for name in grid.data], device)


@pytest.fixture(params=list(GRIDS))
def grid(request):
    return find_grid(request.param)


def test_cells_differ_only_in_what_the_axes_say(grid):
    asked = comparison(grid)
    finals = [asked.job(task, CHOICE).cell for task in asked.tasks if isinstance(task, Final)]
    differ = {
        name for name in type(finals[0]).model_fields if len({repr(getattr(cell, name)) for cell in finals}) > 1
    } - {"revision", "width"}
    assert differ <= AXES.keys(), "a recipe, a model or what is evaluated differs"
    assert {name for name in differ if len(getattr(grid, AXES[name])) == 1} == set()
    trials = [asked.job(task, CHOICE).cell for task in asked.tasks if isinstance(task, Trial)]
    assert {(cell.recipe, cell.seed, cell.budget) for cell in trials} == {(finals[0].recipe, 0, grid.search.budget)}
    assert {cell.evaluate_on for cell in finals} == {"test"}
    assert {cell.evaluate_on for cell in trials} == {"validation"}


def test_every_method_has_the_same_cells(grid):
    asked = comparison(grid)
    cells = [asked.job(task, CHOICE).cell for task in asked.tasks]
    found = {
        name: Counter(cell.model_dump_json(exclude={"method", "revision"}) for cell in cells if cell.method == name)
        for name in grid.methods
    }
    assert set(found) == {name for name, method in METHODS.items() if method.traits.constrained}
    first = next(iter(found.values()))
    assert all(counts == first for counts in found.values())
    axes = (grid.data, grid.sizes, grid.paddings, grid.kernel_sizes)
    trained = grid.search.draws + len(grid.budgets) * len(grid.seeds)
    assert first.total() == len(list(product(*axes))) * trained


def test_trials_and_finals_never_share_a_folder(grid):
    """With different choices for the trials, no two cells have the same name."""
    asked = comparison(grid)
    cells = [
        asked.job(task, Choice(learning_rate=1.0 + getattr(task, "number", 0), weight_decay=0.0)).cell
        for task in asked.tasks
    ]
    assert len({cell.id for cell in cells}) == len(cells)


def test_the_papers_grid_is_the_papers():
    grid = paper()
    assert len(grid.methods) == 7
    assert grid.budgets == ("10m", "2h", "10h", "24h")
    widths = {
        data: [comparison(grid).job(Final(setting, "2h", 0), CHOICE).cell.width for setting in alike]
        for data in grid.data
        for alike in [[one for one in comparison(grid).settings if (one.data, one.method) == (data, "aol")]]
    }
    assert widths["cifar10"] == widths["cifar100"] == [16, 32, 64, 128]
    assert widths["tiny_imagenet"] == [8, 16, 32, 64]
    assert widths["imagenette"] == [2, 4, 8, 16]
    assert (grid.search.draws, grid.search.budget) == (16, "2h")
    low, high = grid.search.learning_rate
    assert low <= 1e-4
    assert high > 0.1, "the range that cut off a quarter of the published choices is wider"


def test_grids_differ_from_the_papers_in_what_they_are_for():
    def differing(grid):
        return {name for name in Grid.model_fields if getattr(grid, name) != getattr(paper(), name)}

    assert differing(kernel1x1()) == {"data", "kernel_sizes"}
    assert differing(padding()) == {"data", "sizes", "budgets", "paddings"}
    assert differing(cpu()) == {"data", "sizes", "budgets", "seeds", "search"}
    assert differing(demo()) == {"data", "sizes", "budgets", "search"}
    assert set(kernel1x1().kernel_sizes) == {1, 3}
    assert set(padding().paddings) == {"circular", "zeros"}


def test_an_unknown_grid_is_named():
    with pytest.raises(UnknownNameError, match=r"'papr' is not one of demo, .*; did you mean paper\?"):
        find_grid("papr")


def test_what_is_left_out_is_not_measured_either():
    grid = Grid(methods=("aol", "cpl"), data=("digits",), sizes=("4", "8"), budgets=("1epoch",))
    every = settings(grid, grid.methods, grid.data)
    asked = comparison(grid, without=frozenset(one for one in every if (one.method, one.size) == ("cpl", "8")))
    measured = {workload.size: {method.name for method, _ in cases} for workload, cases in asked.measurements()}
    assert measured == {"4": {"aol", "cpl", "standard"}, "8": {"aol", "standard"}}


def test_a_resized_data_set_is_costed_at_its_side():
    assert Images.published("tiny_imagenet@32").image == (3, 32, 32)
    for name, message in (("digits@4", "have one size"), ("imagenette@0", "1 to 4096 pixels, not 0")):
        with pytest.raises(DataError, match=message):
            Images.published(name)
    with pytest.raises(UnknownNameError, match="'imagenette@big' is no data set"):
        Images.published("imagenette@big")


def test_the_order_of_trainings():
    grid = Grid(
        methods=("aol", "cpl"),
        data=("digits",),
        sizes=("4", "8"),
        budgets=("1epoch", "2epochs"),
        seeds=(5, 6),
        search=Scan(rates=(0.1, 1.0), budget="1epoch"),
    )
    every = settings(grid, grid.methods, grid.data)
    order = tasks(grid, every)
    assert len(set(order)) == len(order) == 4 * (2 + 4)
    assert [task.setting.size for task in order] == ["4"] * 12 + ["8"] * 12
    assert [task.setting.method for task in order] == ["aol", "cpl"] * 12
    assert all(isinstance(task, Trial) for task in order[:4])
    assert [task.number for task in order[:4]] == [0, 0, 1, 1]
    assert [(task.budget, task.seed) for task in order[4:12:2]] == [
        ("1epoch", 5),
        ("1epoch", 6),
        ("2epochs", 5),
        ("2epochs", 6),
    ]
    assert {budget_of(grid, task) for task in order[:4]} == {"1epoch"}


def test_a_choice_is_used_and_trials_see_no_test_image():
    grid = Grid(methods=("aol",), data=("digits",), sizes=("4",), budgets=("1epoch",), seeds=(3,))
    grid = grid.model_copy(update={"search": Search(budget="2epochs")})
    asked = Comparison(grid=grid, methods=(METHODS["aol"],), data=(load("digits"),), device=CPU)
    (setting,) = asked.settings
    trial, final = (asked.job(task, CHOICE) for task in (Trial(setting, 0), Final(setting, "1epoch", 3)))
    for job in (trial, final):
        assert (job.cell.recipe.learning_rate, job.cell.recipe.weight_decay) == (0.25, 0.0)
    images = {bytes(image.numpy()) for image in asked.data[0].train_images}
    assert all(bytes(image.numpy()) in images for image in trial.data.test_images)
    assert (trial.cell.evaluate_on, trial.cell.budget, trial.cell.seed) == ("validation", "2epochs", 0)
    assert "learning rate 0.25, weight decay 0" in trial.title
    assert final.title == "AOL 4 on Digits, seed 3"


def test_titles_name_the_axes_that_vary():
    asked = comparison(padding())
    titles = {asked.job(task, CHOICE).title for task in asked.tasks if isinstance(task, Final)}
    assert len(titles) == 7 * 2 * 2
    assert "AOL XS on CIFAR-10, zero padding, seed 0" in titles
    asked = comparison(kernel1x1())
    titles = {asked.job(task, CHOICE).title for task in asked.tasks if isinstance(task, Final)}
    assert "AOL XS on CIFAR-10, 1x1 kernels, 10m, seed 0" in titles
    assert "AOL XS on CIFAR-10, 10m, seed 0" in titles


class Refusing(Augmentation):
    """Knows no images."""

    def __call__(self, images_BCHW, *, generator):
        return images_BCHW

    def check(self, image, pixel_max):
        raise DataError(f"refuses {image} up to {pixel_max}")


def test_images_that_cannot_be_augmented_are_refused_before_anything_is_trained():
    grid = Grid(methods=("aol",), data=("digits",), sizes=("4",), budgets=("1epoch",))
    data = (replace(load("digits"), augmentation=Refusing()),)
    asked = comparison(grid, data=data)
    assert refusals(asked) == {asked.settings[0]: "refuses (1, 8, 8) up to 16"}
    plain = grid.model_copy(update={"recipe": Recipe(augment=False)})
    assert refusals(comparison(plain, data=data)) == {}


@pytest.mark.parametrize("text", ["3 apples", "0s", ""])
def test_a_grid_has_no_impossible_budget(text):
    with pytest.raises(ValueError, match="is not allowed"):
        Grid(methods=("aol",), data=("digits",), sizes=("4",), budgets=(text,))


def test_a_search_has_no_backward_range():
    with pytest.raises(ValueError, match="ends before it begins"):
        Search(budget="1s", learning_rate=(1.0, 0.1))


def test_hours_are_those_of_the_budgets():
    grid = paper().model_copy(update={"data": ("cifar10",), "sizes": ("XS",)})
    (row,) = forecast(grid, settings(grid, grid.methods, grid.data), networks(grid))
    assert (row.methods, row.trials, row.finals) == (7, 7 * 16, 7 * 4)
    assert row.seconds == 7 * (16 * 7200 + 600 + 36 * 3600)
    epochs = grid.model_copy(update={"budgets": ("12epochs",)})
    (row,) = forecast(epochs, settings(epochs, epochs.methods, epochs.data), networks(epochs))
    assert row.seconds is None


def test_the_disk_holds_the_weights_of_the_finals():
    grid = cpu()
    every = settings(grid, grid.methods, grid.data)
    (row,) = forecast(grid, every, networks(grid))
    weights = sum(
        4 * sum(one.numel() for one in ConvNet(name, size="XS", classes=10, image=(3, 32, 32)).parameters())
        for name in grid.methods
    )
    assert 3 * weights < row.disk < 3 * weights + 5e6


def test_what_can_be_built_nowhere_is_told_from_what_cannot_run_here(monkeypatch):
    grid = paper()
    every = settings(grid, grid.methods, grid.data)
    never, here = impossible(every, networks(grid), {"cifar100": "not here"})
    assert {(one.data, one.size) for one in never} == {("imagenette", "XS")}
    assert set(never.values()) == {
        "width 2 is too small for 3 image channels and 10 classes; the smallest size that works is S"
    }
    assert {one.data for one in here} == {"cifar100"}
    monkeypatch.setattr(machine, "_memory_bytes", lambda: 2 * 10**9)
    _, small = impossible(every, networks(grid), {})
    assert {one.size for one in small if one.data == "cifar10"} == {"L"}
    assert "at least" in next(iter(small.values()))


def test_the_least_memory_is_less_than_what_is_measured():
    from onelip.bench.entrants import MethodEntrant
    from onelip.bench.subject import Workload

    workload = Workload(size="8", image=(3, 16, 16), classes=10, batch_size=32, device=CPU)
    for name in ("aol", "cpl", "standard"):
        network = ConvNet(name, size="8", classes=10, image=(3, 16, 16))
        measured = MethodEntrant(METHODS[name], METHODS[name].padding).examined(workload).train_bytes
        assert measured / 3 < least_bytes(network, 32) < measured
