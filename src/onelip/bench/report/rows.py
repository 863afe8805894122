"""What a table is made of: rows of one method each, and the group that holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from onelip.bench.choice import learned
from onelip.bench.origin import DataInfo, MethodInfo
from onelip.bench.records import Cell, CostEntry, CostRecord, Evaluation, Recipe, TrainRecord
from onelip.bench.report.wording import failure, joined

Setting = tuple[float, float]
"""A learning rate and a weight decay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method with one learning rate and weight decay: its runs over the seeds, and its costs.

    Attributes:
        title: The method's, unique in the folder.
        detail: What tells several rows of one method apart: the padding, or learning rate and weight decay.
        padding: What its layers use.
        recipe: None where nothing was run.
        runs: Sorted by seed; failures included.
        absence: Why there is no run.
        cost: The method's entry of the session, with the row's padding.
        yardstick: The unconstrained network's entry of the same session and padding.
        cost_absence: Why there is no cost.
    """

    method: MethodInfo
    title: str
    detail: str = ""
    padding: Literal["circular", "zeros"]
    recipe: Recipe | None = None
    runs: tuple[TrainRecord, ...] = ()
    absence: str = "not run"
    cost: CostEntry | None = None
    yardstick: CostEntry | None = None
    cost_absence: str = "not measured"

    @property
    def label(self) -> str:
        """Title and detail."""
        return self.title + self.detail

    @property
    def setting(self) -> Setting | None:
        """Its learning rate and weight decay; None where nothing was run."""
        return setting_of(self.runs[0]) if self.runs else None

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """The evaluations of the runs that succeeded."""
        return tuple(run.evaluation for run in self.runs if run.status == "ok" and run.evaluation is not None)

    @property
    def learned(self) -> bool:
        """Whether the run of some seed certifies more than a constant answer would."""
        return any(map(learned, self.evaluations))

    @property
    def failed(self) -> int:
        """Number of seeds whose run failed."""
        return sum(run.status != "ok" for run in self.runs)

    @property
    def failures(self) -> str:
        """What became of the runs that failed, each kind once."""
        return joined(dict.fromkeys(failure(run) for run in self.runs if run.status != "ok"))

    @property
    def reason(self) -> str:
        """Why there is no result."""
        return self.failures or self.absence


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The rows of one table.

    Attributes:
        title: The facts that all rows share, different from the title of every other group.
        cell: One cell of the group; only method, seed, learning rate and weight decay differ in the others. None where
            only costs were measured.
        rows: The constrained methods from the highest certified accuracy down, those that learned nothing and then
            those without a result after them; last the unconstrained network, once per padding in use.
        trials: The learning-rate scan of the same networks on held-out training images.
        session: The measuring session that the costs come from.
    """

    title: str
    cell: Cell | None = None
    data: DataInfo | None = None
    rows: tuple[Row, ...]
    trials: tuple[TrainRecord, ...] = ()
    session: CostRecord | None

    @property
    def runs(self) -> tuple[TrainRecord, ...]:
        """All runs, row by row."""
        return tuple(run for row in self.rows for run in row.runs)

    @property
    def constrained(self) -> tuple[Row, ...]:
        """The rows that are compared; the unconstrained network is only their yardstick."""
        return tuple(row for row in self.rows if row.method.constrained)


def setting_of(run: TrainRecord) -> Setting:
    """The learning rate and the weight decay of a run."""
    return run.cell.recipe.learning_rate, run.cell.recipe.weight_decay
