"""What a comparison is asked to do: methods on data sets, sizes and seeds, as cells in the order in which they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from onelip.bench.costs import Case, cases_of
from onelip.bench.data import DATASETS, ImageData
from onelip.bench.records import Cell, PaddingChoice, Recipe
from onelip.bench.subject import Workload, check_network
from onelip.bench.train.budget import Budget
from onelip.errors import UnsupportedShapeError
from onelip.method import Method
from onelip.models.sizes import width_of

Setting = tuple[str, str, str]
"""Names of method, data set and size: what a learning rate is chosen for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A cell with what it needs.

    Attributes:
        data: The images that the cell is trained and evaluated on.
    """

    cell: Cell
    method: Method
    data: ImageData

    @property
    def setting(self) -> Setting:
        """What the cell's learning rate was or will be chosen for."""
        return self.cell.method, self.cell.data, self.cell.size

    @property
    def title(self) -> str:
        """The cell in a few words."""
        cell = self.cell
        what = f"seed {cell.seed}" if cell.evaluate_on == "test" else f"learning rate {cell.recipe.learning_rate:g}"
        return f"{self.method.title} {cell.size} on {self.data.title}, {what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The choice of a learning rate per method, on held-out training images.

    Attributes:
        rates: What is tried.
        budget: Of each trial.
    """

    rates: tuple[float, ...]
    budget: Budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What is compared. Everything but the layers and the learning rates is shared by all cells.

    Attributes:
        recipe: Its learning rate is used where none is chosen by a scan.
        scan: None for no scan.
    """

    methods: tuple[Method, ...]
    data: tuple[ImageData, ...]
    sizes: tuple[str, ...]
    seeds: tuple[int, ...]
    budget: Budget
    padding: PaddingChoice
    recipe: Recipe
    device: torch.device
    scan: Scan | None = None

    def finals(self, rates: Mapping[Setting, float]) -> tuple[Job, ...]:
        """The cells of the comparison: all methods next to each other, and all of them before the next seed.

        Args:
            rates: The chosen learning rates; the recipe's stands in where there is none.
        """
        jobs = (
            self._job(method, data, size, seed)
            for seed in self.seeds
            for size in self.sizes
            for data in self.data
            for method in self.methods
        )
        return tuple(_with_rate(job, rates.get(job.setting, self.recipe.learning_rate)) for job in jobs)

    def trials(self) -> tuple[Job, ...]:
        """The cells of the scan, with the first seed."""
        if self.scan is None:
            return ()
        scan = replace(self, data=tuple(data.validation_split() for data in self.data), budget=self.scan.budget)
        jobs = [
            scan._job(method, data, size, self.seeds[0])
            for size in self.sizes
            for data in scan.data
            for method in self.methods
        ]
        return tuple(_as_trial(_with_rate(job, rate)) for job in jobs for rate in self.scan.rates)

    def workloads(self) -> tuple[Workload, ...]:
        """The networks whose costs are measured, without the method: each shape once."""
        shapes = dict.fromkeys((size, data.image, data.classes) for size in self.sizes for data in self.data)
        return tuple(
            Workload(size=size, image=image, classes=classes, batch_size=self.recipe.batch_size, device=self.device)
            for size, image, classes in shapes
        )

    def cases(self) -> tuple[Case, ...]:
        """What a measuring session has to contain."""
        return cases_of(self.methods, self.padding)

    def check(self) -> None:
        """Refuses networks that cannot be built and images that cannot be augmented, before anything is trained.

        Raises:
            OnelipError: Names the data set, the method and the size.
        """
        for data in self.data:
            if self.recipe.augment and data.augmentation is not None:
                data.augmentation.check(data.image, data.pixel_max)
            try:
                for workload in replace(self, data=(data,)).workloads():
                    for case in self.cases():
                        check_network(*case, workload)
            except UnsupportedShapeError as error:
                advice = "" if data.name in DATASETS else "; pictures can be resized: --resize 32"
                raise UnsupportedShapeError(f"data {data.name}: {error}{advice}") from error

    def _job(self, method: Method, data: ImageData, size: str, seed: int) -> Job:
        cell = Cell(
            method=method.name,
            revision=method.revision,
            size=size,
            width=width_of(size, data.image[1]),
            data=data.name,
            padding=self.padding,
            budget=str(self.budget),
            recipe=self.recipe,
            seed=seed,
        )
        return Job(cell=cell, method=method, data=data)


def _with_rate(job: Job, rate: float) -> Job:
    recipe = job.cell.recipe.model_copy(update={"learning_rate": rate})
    return replace(job, cell=job.cell.model_copy(update={"recipe": recipe}))


def _as_trial(job: Job) -> Job:
    return replace(job, cell=job.cell.model_copy(update={"evaluate_on": "validation"}))
