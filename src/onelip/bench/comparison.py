"""A grid with everything that it names: methods, images and a device, and the cells that they make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch

from onelip.bench.costs import Case, cases_of
from onelip.bench.data import ImageData
from onelip.bench.grid import Choice, Final, Grid, Setting, Task, Trial, budget_of, settings, tasks
from onelip.bench.records import Cell, KernelSize
from onelip.bench.report.wording import PADDINGS, kernels
from onelip.bench.selection import method_info
from onelip.bench.subject import Workload
from onelip.method import Method
from onelip.models.sizes import width_of

TRIAL_SEED = 0
"""Of every trial, whatever the seeds of the comparison: what is chosen does not depend on how they are shared out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A cell with what it needs.

    Attributes:
        data: The images that the cell is trained and evaluated on.
        title: The cell in a few words.
    """

    cell: Cell
    method: Method
    data: ImageData
    title: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is compared. Everything but the layers, learning rates and weight decays is shared by all methods.

    Attributes:
        grid: The axes; its names of methods and data sets are those of the next two.
        methods: The methods.
        data: The images.
        device: Where everything happens.
        without: What is left out.
    """

    grid: Grid
    methods: tuple[Method, ...]
    data: tuple[ImageData, ...]
    device: torch.device
    without: frozenset[Setting] = frozenset()

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """All networks."""
        every = settings(self.grid, (method.name for method in self.methods), (data.name for data in self.data))
        return tuple(setting for setting in every if setting not in self.without)

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """All trainings, in the order in which they are begun."""
        return tasks(self.grid, self.settings)

    @property
    def unsearched(self) -> Choice:
        """What is used where nothing was chosen."""
        recipe = self.grid.recipe
        return Choice(learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay)

    def job(self, task: Task, choice: Choice) -> Job:
        """A training with what was chosen for it."""
        method, data = self._method(task.setting), self._data(task.setting)
        if isinstance(task, Trial):
            data = self._held_out[data.name]
        recipe = self.grid.recipe.model_copy(update=choice.model_dump())
        setting = task.setting
        cell = Cell(
            method=method.name,
            revision=method.revision,
            size=setting.size,
            width=width_of(setting.size, data.image[1]),
            kernel_size=setting.kernel_size,
            data=data.name,
            padding=setting.padding,
            budget=budget_of(self.grid, task),
            recipe=recipe,
            seed=task.seed if isinstance(task, Final) else TRIAL_SEED,
            evaluate_on="test" if isinstance(task, Final) else "validation",
        )
        return Job(cell=cell, method=method, data=data, title=f"{self.title(setting)}, {self._detail(task, choice)}")

    def title(self, setting: Setting) -> str:
        """A network in a few words, with those facts in which others differ."""
        title = f"{self._method(setting).title} {setting.size} on {self._data(setting).title}"
        padding = f", {PADDINGS[setting.padding]}" if len(self.grid.paddings) > 1 else ""
        return title + padding + kernels(setting.kernel_size)

    def measurements(self) -> tuple[tuple[Workload, tuple[Case, ...]], ...]:
        """The networks whose costs are measured, shape by shape, and what a session of each has to contain."""
        shapes: dict[tuple[str, tuple[int, int, int], int, KernelSize], list[Setting]] = {}
        for setting in self.settings:
            data = self._data(setting)
            shapes.setdefault((setting.size, data.image, data.classes, setting.kernel_size), []).append(setting)
        return tuple(
            (
                Workload(
                    size=size,
                    image=image,
                    classes=classes,
                    batch_size=self.grid.recipe.batch_size,
                    device=self.device,
                    kernel_size=kernel_size,
                ),
                self._cases(settings),
            )
            for (size, image, classes, kernel_size), settings in shapes.items()
        )

    def experiment(self, setting: Setting) -> str:
        """What tells results of a network from those of an older one of the same name."""
        method, data = method_info(self._method(setting)), self._data(setting).info()
        return f"{method.revision} {method.source} {data.digest} {data.augmentation}"

    def _cases(self, settings: Iterable[Setting]) -> tuple[Case, ...]:
        used = [(setting.padding, self._method(setting)) for setting in settings]
        by_padding = {padding: [method for one, method in used if one == padding] for padding, _ in used}
        return tuple(
            dict.fromkeys(case for padding, methods in by_padding.items() for case in cases_of(methods, padding))
        )

    @cached_property
    def _held_out(self) -> dict[str, ImageData]:
        return {data.name: data.validation_split() for data in self.data}

    def _method(self, setting: Setting) -> Method:
        return next(method for method in self.methods if method.name == setting.method)

    def _data(self, setting: Setting) -> ImageData:
        return next(data for data in self.data if data.name == setting.data)

    def _detail(self, task: Task, choice: Choice) -> str:
        if isinstance(task, Final):
            budget = f"{task.budget}, " if len(self.grid.budgets) > 1 else ""
            return f"{budget}seed {task.seed}"
        decay = (
            f", weight decay {choice.weight_decay:.2g}" if choice.weight_decay != self.grid.recipe.weight_decay else ""
        )
        return f"learning rate {choice.learning_rate:.3g}{decay}"
