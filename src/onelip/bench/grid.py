"""What is compared, as data: the axes of a grid, and how learning rates are chosen. Imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import groupby, product
from typing import Annotated, Literal, NamedTuple, TypeVar, get_args

from pydantic import AfterValidator, Field, PositiveInt

from onelip.bench.origin import Model, NonNegative, Positive
from onelip.bench.records import KernelSize, PaddingChoice, Recipe
from onelip.bench.train.budget import Budget
from onelip.errors import OnelipError

T = TypeVar("T")

SamplerName = Literal["random", "tpe", "gp"]
PrunerName = Literal["none", "median", "halving", "hyperband"]
SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)
PRUNERS: tuple[PrunerName, ...] = get_args(PrunerName)


def _canonical(text: str) -> str:
    try:
        return str(Budget.parse(text))
    except OnelipError as error:
        raise ValueError(str(error)) from error


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError(f"the range {ends[0]:g} to {ends[1]:g} ends before it begins")
    return ends


BudgetText = Annotated[str, AfterValidator(_canonical)]
Range = Annotated[tuple[Positive, Positive], AfterValidator(_ascending)]
"""Where numbers are drawn from, their logarithm uniform; both ends alike for one that is not searched."""

Axis = Annotated[tuple[T, ...], Field(min_length=1)]


class Choice(Model):
    """What is tried: everything that may differ between the methods of a comparison besides their layers."""

    learning_rate: Positive
    weight_decay: NonNegative


class Scan(Model):
    """A few learning rates, each tried by every method.

    Attributes:
        budget: Of each trial.
    """

    rates: Axis[Positive]
    budget: BudgetText

    @property
    def draws(self) -> int:
        """How many trials each method has."""
        return len(self.rates)


class Search(Model):
    """A search for learning rate and weight decay; the same for all methods.

    Attributes:
        draws: Trials of each method.
        budget: Of each trial.
        learning_rate: Drawn from this range.
        weight_decay: Drawn from this range; None: the recipe's, not searched.
        sampler: How it is drawn: "random" gives every method the same draws; the others look at earlier results.
        pruner: How trials are given up early.
        seed: Of the draws.
    """

    draws: PositiveInt = 16
    budget: BudgetText
    learning_rate: Range = (1e-4, 10.0)
    weight_decay: Range | None = (10**-5.5, 10**-3.5)
    sampler: SamplerName = "random"
    pruner: PrunerName = "none"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @property
    def digest(self) -> str:
        """Tells apart searches whose draws are not of one study. More draws continue a study."""
        return hashlib.sha256(self.model_dump_json(exclude={"draws"}).encode()).hexdigest()[:8]


class Grid(Model):
    """Which networks are trained and how. Everything that is not an axis is shared by all of them.

    Attributes:
        methods: Names, or "package.module:NAME".
        data: Names of data sets.
        budgets: Of the networks that are evaluated on the test images.
        recipe: Its learning rate and weight decay are used where none were chosen.
        search: How they are chosen: per method, data set, size, padding and kernel, the same for all budgets and seeds.
    """

    methods: Axis[str]
    data: Axis[str]
    sizes: Axis[str]
    budgets: Axis[BudgetText]
    paddings: Axis[PaddingChoice] = ("paper",)
    kernel_sizes: Axis[KernelSize] = (3,)
    seeds: Axis[Annotated[int, Field(ge=0, lt=2**63)]] = (0,)
    recipe: Recipe = Recipe()
    search: Scan | Search | None = None


class Setting(NamedTuple):
    """A network on a data set: what learning rate and weight decay are chosen for."""

    method: str
    data: str
    size: str
    padding: PaddingChoice
    kernel_size: KernelSize


class Trial(NamedTuple):
    """A training on nine tenths of the training images, to choose by."""

    setting: Setting
    number: int


class Final(NamedTuple):
    """A training on all training images."""

    setting: Setting
    budget: str
    seed: int


Task = Trial | Final


def settings(grid: Grid, methods: Iterable[str], data: Iterable[str]) -> tuple[Setting, ...]:
    """All networks of a grid, the methods next to each other.

    Args:
        grid: The other axes.
        methods: Names of the methods themselves, not those by which they are found.
        data: Names of the data sets as they were loaded.
    """
    networks = product(data, grid.sizes, grid.paddings, grid.kernel_sizes)
    return tuple(
        Setting(method, name, size, padding, kernel_size)
        for (name, size, padding, kernel_size), method in product(networks, tuple(methods))
    )


def tasks(grid: Grid, settings: Iterable[Setting]) -> tuple[Task, ...]:
    """All trainings of a grid in the order in which they are begun.

    Network by network: first its trials, then budget by budget and seed by seed; all methods before the next trial or
    seed, so that what else the machine does meets them alike, and the first table is there early.
    """
    draws = 0 if grid.search is None else grid.search.draws
    found: list[Task] = []
    for _, group in groupby(settings, key=lambda setting: setting[1:]):
        alike = tuple(group)
        found += [Trial(setting, number) for number, setting in product(range(draws), alike)]
        found += [Final(setting, budget, seed) for budget, seed, setting in product(grid.budgets, grid.seeds, alike)]
    return tuple(found)


def budget_of(grid: Grid, task: Task) -> str:
    """How long a task trains."""
    if isinstance(task, Final):
        return task.budget
    assert grid.search is not None
    return grid.search.budget
