"""The paper's results, found by what a run was. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from onelip.bench.published.rows import Accuracy, Curve, EpochBudget, LoggedRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """The tables that training runs are laid beside.

    Attributes:
        accuracy: Accuracy and certified accuracy at 36/255 of all data sets, methods, sizes, kernels and budgets.
        curves: Certified accuracy at four radii, CIFAR-10 and 24 h.
        budgets: What the budgets are in epochs.
        logs: What the logs of the 24 h runs on CIFAR-10 say.
    """

    accuracy: tuple[Accuracy, ...]
    curves: tuple[Curve, ...]
    budgets: tuple[EpochBudget, ...]
    logs: tuple[LoggedRun, ...] = ()

    def results(self, method: str, size: str, data: str, kernel_size: int) -> tuple[Accuracy, ...]:
        """The results of a network, one per budget."""
        key = (method, size, data, kernel_size)
        return tuple(row for row in self.accuracy if (row.method, row.size, row.data, row.kernel) == key)

    def curve(self, result: Accuracy) -> Curve | None:
        """The same run at four radii, where they were published."""
        if (result.data, result.hours, result.kernel) != ("cifar10", 24, 3):
            return None
        key = (result.method, result.size)
        return next((curve for curve in self.curves if (curve.method, curve.size) == key), None)

    def wall_hours(self, result: Accuracy) -> float | None:
        """How long the run of a result really took; None where its log was not published."""
        if (result.data, result.hours, result.kernel) != ("cifar10", 24, 3):
            return None
        key = (result.method, result.size)
        found = (run for run in self.logs if (run.method, run.size) == key and run.status == "matches paper")
        run = next(found, None)
        return None if run is None else run.wall_hours

    def epochs(self, result: Accuracy) -> int | None:
        """How many epochs a result was trained; None where it is not published, as of networks of 1x1 kernels."""
        if result.kernel != 3:
            return None
        key = (result.method, result.size)
        rows = (row for row in self.budgets if (row.method, row.size) == key and result.data in row.data)
        row = next(rows, None)
        return {2: row.epochs_2h, 10: row.epochs_10h, 24: row.epochs_24h}[result.hours] if row else None
