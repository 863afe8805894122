"""What a grid takes before anything of it runs: trainings, hours, disk; and which of its networks cannot run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

import torch

from onelip.bench.comparison import Comparison
from onelip.bench.data import DATASETS, ImageData, find_sized
from onelip.bench.grid import Final, Grid, Setting, budget_of, tasks
from onelip.bench.measure.machine import memory_of
from onelip.bench.records import Recipe
from onelip.bench.subject import Workload, planned_network
from onelip.bench.train.budget import Budget
from onelip.errors import DataError, UnsupportedShapeError
from onelip.method import Method
from onelip.models import ConvNet

NUMBER = 4
"""Bytes of a weight."""

RECORD = 20_000
"""Bytes of the files of a run beside its weights, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """What is known of a data set, be its files here or not."""

    name: str
    title: str
    image: tuple[int, int, int]
    classes: int

    @classmethod
    def of(cls, data: ImageData) -> Images:
        """Of images that were read."""
        return cls(name=data.name, title=data.title, image=data.image, classes=data.classes)

    @classmethod
    def published(cls, name: str) -> Images:
        """Of a data set as it is distributed, or at the side that follows an "@" in its name."""
        source, side = find_sized(name)
        channels, height, width = source.content.image
        image = (channels, side, side) if side else (channels, height, width)
        return cls(name=name, title=source.title, image=image, classes=source.content.classes)


class Networks:
    """The networks of a grid, built without memory for their weights.

    Args:
        grid: Gives the batch size.
        methods: By name.
        images: By name of the data set.
        device: Where they are to run.
    """

    def __init__(self, grid: Grid, methods: Iterable[Method], images: Iterable[Images], device: torch.device) -> None:
        self._batch = grid.recipe.batch_size
        self._methods = {method.name: method for method in methods}
        self._images = {one.name: one for one in images}
        self._device = device
        self._known: dict[tuple[object, ...], ConvNet | UnsupportedShapeError | None] = {}

    def refusal(self, setting: Setting) -> str:
        """Why a network cannot be built, here or anywhere; empty where it can, as far as one can tell."""
        found = self._found(setting)
        return str(found.__cause__ or found) if isinstance(found, UnsupportedShapeError) else ""

    def shortage(self, setting: Setting) -> str:
        """Why a network cannot be trained on the device; empty where it can, as far as one can tell."""
        found = self._found(setting)
        if not isinstance(found, ConvNet):
            return ""
        needed, there = least_bytes(found, self._batch), memory_of(self._device)
        if needed <= there:
            return ""
        return (
            f"training takes at least {needed / 1e9:,.1f} GB of memory at batch {self._batch}, and {self._device} has "
            f"{there / 1e9:,.1f} GB"
        )

    def parameters(self, setting: Setting) -> int:
        """Number of parameters; 0 where it is not known."""
        found = self._found(setting)
        return sum(one.numel() for one in found.parameters()) if isinstance(found, ConvNet) else 0

    def _found(self, setting: Setting) -> ConvNet | UnsupportedShapeError | None:
        method, images = self._methods[setting.method], self._images[setting.data]
        key = (setting.method, setting.size, images.image, images.classes, setting.kernel_size, setting.padding)
        if key not in self._known:
            workload = Workload(
                size=setting.size,
                image=images.image,
                classes=images.classes,
                batch_size=self._batch,
                device=self._device,
                kernel_size=setting.kernel_size,
            )
            padding = method.padding if setting.padding == "paper" else setting.padding
            try:
                self._known[key] = planned_network(method, padding, workload)
            except UnsupportedShapeError as error:
                self._known[key] = error
        return self._known[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What one kind of network takes, all methods together.

    Attributes:
        setting: Of the first method.
        methods: Their number.
        trials: Trainings to choose by.
        finals: Trainings for the test images.
        seconds: Of all trainings; None where a budget is in epochs.
        disk: Bytes that remain when all is done, about.
    """

    setting: Setting
    methods: int
    trials: int
    finals: int
    seconds: float | None
    disk: int


def forecast(grid: Grid, settings: Iterable[Setting], networks: Networks) -> tuple[Forecast, ...]:
    """What a grid takes, network by network; measuring costs takes some minutes per network besides."""
    rows = []
    for _, group in groupby(settings, key=lambda setting: setting[1:]):
        alike = tuple(group)
        todo = tasks(grid, alike)
        finals = [task for task in todo if isinstance(task, Final)]
        seconds = [Budget.parse(budget_of(grid, task)).seconds for task in todo]
        weights = sum(NUMBER * networks.parameters(task.setting) for task in finals)
        rows.append(
            Forecast(
                setting=alike[0],
                methods=len(alike),
                trials=len(todo) - len(finals),
                finals=len(finals),
                seconds=None if None in seconds else sum(filter(None, seconds)),
                disk=weights + RECORD * len(todo),
            )
        )
    return tuple(rows)


def least_bytes(network: ConvNet, batch: int) -> int:
    """Memory that a training step takes in any case: weights, gradients, momentum, and every layer's input."""
    weights = sum(parameter.numel() for parameter in network.parameters())
    images = sum(batch * shape.in_channels * shape.height * shape.width for shape in network.conv_shapes(batch))
    return NUMBER * (3 * weights + images)


def refusals(asked: Comparison) -> dict[Setting, str]:
    """The networks of a comparison that cannot be built, or not be trained on its device, and why."""
    networks = Networks(asked.grid, asked.methods, map(Images.of, asked.data), asked.device)
    never, here = impossible(asked.settings, networks, unaugmented(asked.data, asked.grid.recipe))
    resized = "; pictures can be resized: --resize 32"
    return here | {
        one: f"data {one.data}: {why}{'' if one.data in DATASETS else resized}" for one, why in never.items()
    }


def unaugmented(data: Iterable[ImageData], recipe: Recipe) -> dict[str, str]:
    """The data sets whose images cannot be augmented as the recipe asks, and why."""
    found = {}
    for one in data:
        if recipe.augment and one.augmentation is not None:
            try:
                one.augmentation.check(one.image, one.pixel_max)
            except DataError as error:
                found[one.name] = str(error)
    return found


def impossible(
    settings: Iterable[Setting], networks: Networks, useless: Mapping[str, str]
) -> tuple[dict[Setting, str], dict[Setting, str]]:
    """What cannot be trained, and why.

    Args:
        settings: What is asked for.
        networks: The same.
        useless: Why a data set is of no use here: its files are absent, or its images cannot be augmented.

    Returns:
        What can be built nowhere, and what cannot be trained here.
    """
    settings = tuple(settings)
    never = {one: why for one in settings if (why := networks.refusal(one))}
    here = {
        one: why
        for one in settings
        if one not in never and (why := useless.get(one.data, "") or networks.shortage(one))
    }
    return never, here
