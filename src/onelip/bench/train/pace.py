"""Keeping a training inside its time: the measured pace, and the plan that is refitted to it."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable

from onelip.bench.train.plan import Plan, Planned, Replay

AIM = 0.98
"""A plan is fitted to end at this share of the time."""

TOLERATED = (0.95, 1.0)
"""A plan is refitted when its projected end, as a share of the time, leaves this range."""

_MEMORY_SHARE = 0.05
_MEMORY_WITHOUT_LIMIT = 10.0
_MEMORY_STEPS = 8
_SHORTEST_STEP = 1e-6
_log = logging.getLogger(__name__)


class Pace:
    """Seconds per step, with everything that happens between the steps; older ones are gradually forgotten.

    Args:
        estimate: Seconds per step as measured before, which counts until observations replace it; None if unknown.
        memory: Time in seconds after which an observation has lost most of its weight, but not before 8 steps.

    Attributes:
        slowest: Seconds of the slowest recent step.
    """

    def __init__(self, *, estimate: float | None, memory: float) -> None:
        self._memory = memory
        self.slowest = max(estimate or 0.0, _SHORTEST_STEP)
        self._steps = max(memory / self.slowest, _MEMORY_STEPS) if estimate else 0.0
        self._seconds = self._steps * self.slowest

    @property
    def mean(self) -> float:
        """Mean seconds per recent step; next to nothing while nothing is known."""
        return max(self._seconds / self._steps, _SHORTEST_STEP) if self._steps else _SHORTEST_STEP

    def observe(self, steps: int, seconds: float) -> None:
        """Notes that a number of steps took some time."""
        kept = math.exp(-min(seconds / self._memory, steps / _MEMORY_STEPS))
        self._steps = kept * self._steps + steps
        self._seconds = kept * self._seconds + seconds
        self.slowest = max(seconds / steps, kept * self.slowest, self.mean)


class Pacer:
    """Says how many steps may be taken now; where the budget is a time, keeps the plan fitted to it.

    The plan ends inside the limit even if its last step is as slow as the slowest recent one, and no step is
    allowed that would end after the limit at that speed.

    Args:
        plans: The plans so far, one at least; the last one is gone on with.
        limit: The time in seconds, counted from the beginning of the training; None for plans that no clock changes.
        taken: Number of steps already taken.
        seconds: Time already spent.
        pace: Seconds per step as measured before; None if unknown.
        replay: What is followed instead; None for nothing.

    Attributes:
        taken: Number of steps taken at the last observation.
        seconds: Time spent at the last observation.
        pace: The recent speed.
        plans: The plans so far; each was logged when it was made.
    """

    def __init__(
        self,
        plans: Iterable[Planned],
        *,
        limit: float | None,
        taken: int,
        seconds: float,
        pace: float | None,
        replay: Replay | None = None,
    ) -> None:
        self._limit, self._replay = limit, replay
        self.taken = taken
        self.seconds = seconds
        self.pace = Pace(estimate=pace, memory=_MEMORY_SHARE * limit if limit else _MEMORY_WITHOUT_LIMIT)
        self.plans = list(plans)

    @property
    def plan(self) -> Plan:
        """The plan as it stands."""
        return self.plans[-1].plan

    @property
    def allowance(self) -> int:
        """How many steps may be taken before the next observation; 0 when the training is over."""
        planned = self.plan.steps - self.taken
        if self._replay is not None:
            ends = [self._replay.steps, *(later.taken for later in self._replay.plans[len(self.plans) :])]
            return min(ends) - self.taken
        if self._limit is None:
            return planned
        return min(planned, _whole((self._limit - self.seconds) / self.pace.slowest))

    @property
    def seconds_left(self) -> float:
        """The projected time of the steps that are still planned."""
        return (self.plan.steps - self.taken) * self.pace.mean

    def observe(self, taken: int, seconds: float) -> None:
        """Notes the time spent after a number of steps, more than at the last observation, and refits the plan."""
        self.pace.observe(taken - self.taken, seconds - self.seconds)
        self.taken, self.seconds = taken, seconds
        if self._replay is not None:
            self.plans += [one for one in self._replay.plans[len(self.plans) :] if one.taken <= taken]
        elif self._limit is not None and taken < self.plan.steps:
            self._refit(self._limit)

    def _refit(self, limit: float) -> None:
        end = self.seconds + self.seconds_left + self._reserve
        if TOLERATED[0] * limit <= end <= TOLERATED[1] * limit:
            return
        steps = self.taken + _steps_that_fit(AIM * limit - self.seconds - self._reserve, self.pace.mean)
        if steps != self.plan.steps:
            _log.info("after %.1f s, %d steps fit the time, not %d", self.seconds, steps, self.plan.steps)
            plan = self.plan.refitted(taken=self.taken, steps=steps)
            self.plans.append(Planned(taken=self.taken, seconds=self.seconds, plan=plan))

    @property
    def _reserve(self) -> float:
        return self.pace.slowest - self.pace.mean


def fitted_plan(*, limit: float, seconds: float, pace: float) -> Plan:
    """The plan for a training that has to end at `limit`, where some seconds are spent and a step takes `pace`."""
    return Plan(steps=_steps_that_fit(AIM * limit - seconds, pace))


def _steps_that_fit(seconds: float, pace: float) -> int:
    return max(1, _whole(seconds / pace))


def _whole(steps: float) -> int:
    return max(0, math.floor(steps))
