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
        curves = self.curves if _is_logged(result) else ()
        return next((curve for curve in curves if (curve.method, curve.size) == _network(result)), None)

    def curves_speak_of(self, result: Accuracy) -> bool:
        """Whether four radii were published of such runs, if perhaps not of this one."""
        return _is_logged(result)

    def wall_hours(self, result: Accuracy) -> float | None:
        """How long the run of a result really took; None where its log was not published."""
        return self._logged_hours(result) if _is_logged(result) else None

    def overrun(self, result: Accuracy) -> float | None:
        """How many times its budget the 24 h run of the same network on CIFAR-10 took; None where that has no log.

        An epoch of CIFAR-100 is as long as one of CIFAR-10.
        """
        hours = self._logged_hours(result) if result.kernel == 3 and result.data in ("cifar10", "cifar100") else None
        return None if hours is None else hours / 24

    def collapses(self, result: Accuracy) -> int:
        """How many logged runs of a result collapsed, besides the one that was printed."""
        runs = self.logs if _is_logged(result) else ()
        return sum(run.status.startswith("collapsed") for run in runs if _network(run) == _network(result))

    def step(self, result: Accuracy) -> EpochBudget | None:
        """The row that says how long its training steps take; None where none is published, as of 1x1 kernels."""
        rows = self.steps(result.data, result.size) if result.kernel == 3 else ()
        return next((row for row in rows if row.method == result.method), None)

    def steps(self, data: str, size: str) -> tuple[EpochBudget, ...]:
        """The published training steps of a size."""
        return tuple(row for row in self.budgets if row.size == size and data in row.data and row.ms_per_batch)

    def _logged_hours(self, result: Accuracy) -> float | None:
        """What the 24 h run of a network on CIFAR-10 took."""
        runs = (run for run in self.logs if _network(run) == _network(result) and run.status == "matches paper")
        run = next(runs, None)
        return None if run is None else run.wall_hours

    def epochs(self, result: Accuracy) -> int | None:
        """How many epochs a result was trained; None where it is not published, as of networks of 1x1 kernels."""
        if result.kernel != 3:
            return None
        key = (result.method, result.size)
        rows = (row for row in self.budgets if (row.method, row.size) == key and result.data in row.data)
        row = next(rows, None)
        return {2: row.epochs_2h, 10: row.epochs_10h, 24: row.epochs_24h}[result.hours] if row else None


def _network(row: Accuracy | LoggedRun) -> tuple[str, str]:
    return row.method, row.size


def _is_logged(result: Accuracy) -> bool:
    """Whether a result is one of the runs that logs were published of."""
    return (result.data, result.hours, result.kernel) == ("cifar10", 24, 3)
