"""A budget in time is kept, and used, whatever the steps do; the schedule is finished inside it."""

import itertools
import logging
import math
import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from onelip.bench.data.base import ImageData
from onelip.bench.records import Recipe
from onelip.bench.train.batches import Batches
from onelip.bench.train.budget import Budget
from onelip.bench.train.calibration import TIMED_STEPS, seconds_per_step
from onelip.bench.train.descent import Descent
from onelip.bench.train.loop import train
from onelip.bench.train.pace import Pacer, fitted_plan
from onelip.bench.train.plan import Planned, Replay
from onelip.bench.train.stopwatch import Stopwatch
from onelip.bench.train.training import TrainOutcome

BATCH = 4


class Clock:
    """Stands still but for what the network adds to it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class SlowNet(nn.Module):
    """A linear network whose forward pass takes a given time, which may depend on the time spent so far."""

    def __init__(self, clock: Clock, seconds: Callable[[float], float]) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.clock = clock
        self.seconds = seconds

    def forward(self, images: Tensor) -> Tensor:
        self.clock.now += self.seconds(self.clock.now)
        return self.linear(images.flatten(1))


def images(batches: int) -> ImageData:
    labels = torch.arange(batches * BATCH) % 2
    pixels = (labels * 200).to(torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2).contiguous()
    return ImageData(
        name="two",
        title="Two classes",
        train_images=pixels,
        train_labels=labels,
        test_images=pixels,
        test_labels=labels,
        class_names=("dark", "light"),
    )


def run(seconds: Callable[[float], float], *, budget: float, start: float = 0.0) -> TrainOutcome:
    clock = Clock()
    clock.now = start
    return train(
        SlowNet(clock, lambda now: seconds(now - start)),
        images(batches=10),
        Recipe(batch_size=BATCH),
        Budget(seconds=budget),
        seed=0,
        device=torch.device("cpu"),
        clock=clock,
    )


def steady(now: float) -> float:
    return 1.0


def noisy(now: float) -> float:
    return random.Random(now).uniform(0.7, 1.3)


def with_stalls(now: float) -> float:
    return 5.0 if random.Random(now).random() < 0.02 else 1.0


SPEEDS = {
    "steady": steady,
    "slow start": lambda now: 20.0 if now == 0 else 1.0,
    "noisy": noisy,
    "stalls": with_stalls,
    "3x slower after a third": lambda now: 1.0 if now < 100 else 3.0,
    "3x faster after a third": lambda now: 1.0 if now < 100 else 1 / 3,
    "3x slower at three quarters": lambda now: 1.0 if now < 225 else 3.0,
    "3x slower near the end": lambda now: 1.0 if now < 285 else 3.0,
    "3x faster near the end": lambda now: 1.0 if now < 270 else 1 / 3,
    "10x slower halfway": lambda now: 1.0 if now < 150 else 10.0,
    "steadily slower": lambda now: 0.5 + now / 200,
    "back and forth": lambda now: 1.0 if now % 100 < 50 else 2.0,
}


def simulate(seconds: Callable[[float], float], *, limit: float, stride: int = 1) -> tuple[Pacer, list[float]]:
    """Steps of given lengths under a pacer that first timed one; it looks at the clock every few steps only.

    Returns the pacer at the end, and the progress of every step.
    """
    now = first = seconds(0.0)
    plans = [Planned(taken=0, seconds=first, plan=fitted_plan(limit=limit, seconds=first, pace=first))]
    return walk(Pacer(plans, limit=limit, taken=0, seconds=first, pace=first), seconds, now=now, stride=stride)


def walk(pacer: Pacer, seconds: Callable[[float], float], *, now: float, stride: int) -> tuple[Pacer, list[float]]:
    progress = []
    while count := min(pacer.allowance, stride):
        for step in range(pacer.taken, pacer.taken + count):
            progress.append(pacer.plan.progress(step))
            now += seconds(now)
        pacer.observe(pacer.taken + count, now)
    return pacer, progress


@pytest.mark.parametrize(("stride", "other"), [(1, 4), (4, 1), (4, 7)])
@pytest.mark.parametrize("name", ["steady", "noisy", "stalls", "3x slower near the end", "10x slower halfway"])
def test_plans_that_are_followed_again_give_the_same_schedule_at_another_pace(
    name: str, stride: int, other: int
) -> None:
    first, progress = simulate(SPEEDS[name], limit=300, stride=stride)
    replay = Replay(plans=tuple(first.plans), steps=first.taken)
    again = Pacer(replay.plans[:1], limit=None, taken=0, seconds=0.0, pace=None, replay=replay)
    again, repeated = walk(again, lambda now: 0.1 + now % 7, now=0.0, stride=other)
    assert repeated == progress
    assert again.plans == first.plans
    # Interrupted after some steps, and gone on with from what a checkpoint has.
    halfway = first.taken // 2
    made = [one for one in first.plans if one.taken <= halfway]
    resumed = Pacer(made, limit=None, taken=halfway, seconds=1.0, pace=None, replay=replay)
    assert walk(resumed, steady, now=1.0, stride=other)[1] == progress[halfway:]


@pytest.mark.parametrize("name", ["steady", "noisy", "3x slower after a third", "3x faster near the end"])
def test_a_plan_is_made_anew_only_where_the_end_leaves_95_to_100_percent_and_is_logged(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="onelip"):
        pacer, _ = simulate(SPEEDS[name], limit=300)
    assert len(caplog.records) == len(pacer.plans) - 1
    assert [one.taken for one in pacer.plans] == sorted({one.taken for one in pacer.plans})
    assert (name in ("steady",)) == (len(pacer.plans) == 1)
    assert len(pacer.plans) < 30


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("name", SPEEDS)
def test_ends_inside_the_limit_with_the_schedule_finished(name: str, stride: int) -> None:
    pacer, progress = simulate(SPEEDS[name], limit=300, stride=stride)
    assert 0.9 * 300 <= pacer.seconds <= 300
    assert progress[-1] >= 0.97


@pytest.mark.parametrize("steps", [5, 10, 20, 40])
@pytest.mark.parametrize("shift", range(10))
def test_few_long_steps_end_inside_the_limit_too(steps: int, shift: int) -> None:
    pacer, _ = simulate(lambda now: noisy(now + shift) * 300 / steps, limit=300)
    assert pacer.seconds <= 300
    assert pacer.taken >= pacer.plan.steps - 1


@pytest.mark.parametrize("name", ["steady", "3x slower after a third", "3x faster after a third"])
def test_a_training_ends_inside_its_budget_with_the_schedule_finished(name: str) -> None:
    outcome = run(lambda now: 3 * SPEEDS[name](now), budget=300)
    assert outcome.status == "ok"
    assert 0.9 * 300 <= outcome.seconds <= 300
    assert outcome.schedule_progress >= 0.97
    assert outcome.steps <= outcome.planned_steps


@pytest.mark.parametrize("name", ["noisy", "3x slower after a third", "3x faster after a third", "back and forth"])
def test_progress_does_not_jump_when_the_plan_is_refitted(name: str) -> None:
    """At a third of the speed, steps are three times as large a share of the training; noise makes it up to four."""
    _, progress = simulate(SPEEDS[name], limit=300)
    changes = [later - earlier for earlier, later in itertools.pairwise(progress)]
    assert min(changes) > 0
    assert max(changes) < 4 / 300


@pytest.mark.parametrize("stride", [1, 4])
def test_a_sudden_standstill_is_cut_off(stride: int) -> None:
    pacer, _ = simulate(lambda now: 1.0 if now < 100 else 60.0 / stride, limit=300, stride=stride)
    assert 200 <= pacer.seconds <= 300


def test_no_step_is_begun_that_would_end_too_late() -> None:
    pacer, _ = simulate(lambda now: 1.0 if now < 290 else 4.0, limit=300)
    assert 290 <= pacer.seconds <= 300


@pytest.mark.parametrize(("step", "spent"), [(4.0, 4.0), (50.0, 50.0)])
def test_a_budget_without_room_for_a_step_is_a_timeout_that_says_so(step: float, spent: float) -> None:
    outcome = run(lambda _: step, budget=5)
    assert (outcome.status, outcome.steps, outcome.history) == ("timeout", 0, ())
    assert "the budget of 5 s has no room for a step" in outcome.message
    assert f"about {step:.2g} s" in outcome.message
    assert outcome.seconds == spent


def test_trial_steps_count_in_the_budget_and_take_a_small_part_of_it() -> None:
    outcome = run(steady, budget=300)
    trial = outcome.seconds - outcome.steps
    assert 1 <= trial <= 0.05 * 300


def test_the_time_begins_with_the_call() -> None:
    assert run(steady, budget=60, start=1e6).seconds == pytest.approx(run(steady, budget=60).seconds)


def test_history_ends_with_the_epoch_in_which_the_time_was_up() -> None:
    outcome = run(steady, budget=47)
    assert [epoch.epoch for epoch in outcome.history] == list(range(1, math.ceil(outcome.steps / 10) + 1))
    assert outcome.history[-1].step == outcome.steps
    assert outcome.steps % 10 != 0


def test_trial_steps_leave_no_trace() -> None:
    class Restless(SlowNet):
        """Changes a buffer and draws from the global generator in every forward pass."""

        def __init__(self, clock: Clock, seconds: Callable[[float], float]) -> None:
            super().__init__(clock, seconds)
            self.register_buffer("passes", torch.zeros(()), persistent=False)

        def forward(self, images: Tensor) -> Tensor:
            self.passes += 1
            return super().forward(images) + torch.rand(2)

    clock = Clock()
    net = Restless(clock, lambda now: 30.0 if now == 0 else 2.0)
    device = torch.device("cpu")
    descent = Descent(net, nn.functional.cross_entropy, Recipe(batch_size=BATCH))
    batches = Batches(images(batches=2), Recipe(batch_size=BATCH), seed=0, device=device)
    before = [tensor.clone() for tensor in (*net.parameters(), *net.buffers(), torch.get_rng_state())]

    assert seconds_per_step(descent, batches, Stopwatch(clock, device), limit=1000.0) == 2.0

    after = (*net.parameters(), *net.buffers(), torch.get_rng_state())
    assert all(torch.equal(then, now) for then, now in zip(before, after, strict=True))
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not descent.optimizer.state
    assert clock.now == 30 + TIMED_STEPS * 2


def test_the_first_trial_step_counts_only_where_there_is_no_other() -> None:
    clock = Clock()
    device = torch.device("cpu")
    descent = Descent(SlowNet(clock, lambda now: 10.0 - now / 5), nn.functional.cross_entropy, Recipe())
    batches = Batches(images(batches=2), Recipe(batch_size=BATCH), seed=0, device=device)
    assert seconds_per_step(descent, batches, Stopwatch(clock, device), limit=300.0) == 8.0
    clock.now = 0.0
    assert seconds_per_step(descent, batches, Stopwatch(clock, device), limit=100.0) == 10.0
