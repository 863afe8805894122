"""How the progress of the schedule is spread over the steps, and what is kept of it. Imports no torch."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from onelip.bench.origin import Model, NonNegative


class Plan(Model):
    """A number of steps, and the progress of each: a straight line from the plan's beginning to its end.

    Attributes:
        steps: Number of steps of the whole training; the last one has progress 1.
        since: The step at which the line begins: 0, or the last step taken before the plan was refitted.
        progress_then: The progress of that step.
    """

    steps: PositiveInt
    since: NonNegativeInt = 0
    progress_then: NonNegative = 0.0

    def progress(self, step: int) -> float:
        """The progress in [0, 1] of a step, counted from 0."""
        span = self.steps - 1 - self.since
        return 1 - (1 - self.progress_then) * (self.steps - 1 - step) / span if span else 1.0

    def refitted(self, *, taken: int, steps: int) -> Plan:
        """The plan that spreads the progress still to be made over another number of steps, without a jump.

        Args:
            taken: Number of steps already taken.
            steps: Number of steps of the whole training, more than `taken`.
        """
        if taken == 0:
            return Plan(steps=steps)
        return Plan(steps=steps, since=taken - 1, progress_then=self.progress(taken - 1))


class Planned(Model):
    """A plan, and when it was made.

    Attributes:
        taken: Number of steps taken by then.
        seconds: Time spent by then.
    """

    taken: NonNegativeInt
    seconds: NonNegative
    plan: Plan


class Replay(Model):
    """The plans of a training, to be followed by another one that looks at no clock.

    Attributes:
        plans: In their order, the first of them made before the first step.
        steps: Number of steps taken in the end; fewer than were planned where the time was up.
    """

    plans: Annotated[tuple[Planned, ...], Field(min_length=1)]
    steps: NonNegativeInt

    @property
    def digest(self) -> str:
        """Tells it from others."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]
