"""One cell of ours beside the published one, as `onelip reproduce --json` prints it."""

from __future__ import annotations

from typing import Literal

from onelip.bench.origin import Model

Verdict = Literal[
    "reproduced",
    "above",
    "below",
    "above and below",
    "not comparable",
    "no result",
    "nothing published",
    "no record",
]


class Number(Model):
    """One share beside the published one.

    Attributes:
        metric: Key of the metric.
        ours: Mean over the seeds, in percent.
        low: Lower end of the spread, in percent; `high` is the upper one.
        published: In percent.
        difference: Ours less the published one, in percentage points.
    """

    metric: str
    ours: float | None = None
    low: float | None = None
    high: float | None = None
    published: float
    difference: float | None = None


class Difference(Model):
    """One thing that was not as published.

    Attributes:
        decisive: Whether it keeps the numbers from being compared.
    """

    what: str
    ours: str
    published: str
    decisive: bool

    @property
    def text(self) -> str:
        """In words."""
        return f"{self.what} {self.ours} beside {self.published}"


class Ours(Model):
    """The runs of one network over its seeds.

    Attributes:
        comparison: Title of the table of `onelip report` that they stand in.
        title: The method's in that table.
        budget: As it was given.
        padding: What the layers used.
        seeds: Of all runs, failed ones included.
    """

    comparison: str
    title: str
    budget: str
    padding: Literal["circular", "zeros"]
    seeds: tuple[int, ...]
    learning_rate: float
    weight_decay: float


class Published(Model):
    """The published run.

    Attributes:
        hours: The budget.
        epochs: What it was in epochs.
        source: Where it is printed.
    """

    hours: int
    epochs: int | None
    learning_rate: float
    weight_decay: float
    source: str


class Reproduction(Model):
    """One cell: a network of ours over its seeds beside the published one, or one of them alone.

    Attributes:
        method: Its key.
        data: Key of the data set.
        numbers: All that were published of the cell.
        differences: What was not as published, the decisive ones first.
        reason: What the verdict rests on, in words.
    """

    method: str
    size: str
    data: str
    kernel_size: int = 3
    ours: Ours | None = None
    published: Published | None = None
    numbers: tuple[Number, ...] = ()
    differences: tuple[Difference, ...] = ()
    verdict: Verdict
    reason: str = ""
