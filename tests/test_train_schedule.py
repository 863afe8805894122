"""The one-cycle curve is torch's, and a refitted plan continues it without a jump."""

import itertools

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from onelip.bench.records import Recipe
from onelip.bench.train.plan import Plan
from onelip.bench.train.schedule import one_cycle

RECIPE = Recipe(learning_rate=0.3, momentum=(0.8, 0.93), warmup=0.3)


def torchs_curve(recipe: Recipe, steps: int, pct_start: float) -> list[tuple[float, float]]:
    """Learning rate and momentum of every step, by `OneCycleLR` stepped after every step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], momentum=0.9)
    low, high = recipe.momentum
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=steps, pct_start=pct_start, base_momentum=low, max_momentum=high
    )
    curve = []
    for step in range(steps):
        curve.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        if step < steps - 1:
            scheduler.step()
    return curve


@pytest.mark.parametrize("steps", [2, 11, 101, 1000])
@pytest.mark.parametrize("warmup", [0.3, 0.55])
def test_equals_torch_with_the_peak_at_the_same_step(steps: int, warmup: float) -> None:
    recipe = RECIPE.model_copy(update={"warmup": warmup})
    peak_step = warmup * (steps - 1)
    expected = torchs_curve(recipe, steps, pct_start=(peak_step + 1) / steps)
    found = [one_cycle(step / (steps - 1), recipe) for step in range(steps)]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)


def test_differs_from_torch_with_the_same_warmup_by_less_than_one_step() -> None:
    expected = torch.tensor(torchs_curve(RECIPE, 1000, pct_start=RECIPE.warmup))
    found = torch.tensor([one_cycle(step / 999, RECIPE) for step in range(1000)])
    largest_change_per_step = found.diff(dim=0).abs().amax(0)
    assert ((found - expected).abs().amax(0) < largest_change_per_step).all()


@pytest.mark.parametrize("progress", [-0.01, 1.01])
def test_progress_outside_the_training_is_a_mistake(progress: float) -> None:
    with pytest.raises(AssertionError):
        one_cycle(progress, RECIPE)


def test_a_plan_goes_from_0_to_1_in_equal_steps() -> None:
    plan = Plan(steps=11)
    assert [plan.progress(step) for step in range(11)] == pytest.approx([step / 10 for step in range(11)])
    assert (plan.progress(0), plan.progress(10)) == (0, 1)


def test_a_plan_of_one_step_is_at_its_end() -> None:
    assert Plan(steps=1).progress(0) == 1


@example(steps=5, changes=[(0, 3), (2, 1)])
@given(
    steps=st.integers(1, 300),
    changes=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 300)), max_size=4),
)
def test_progress_rises_to_1_however_often_the_plan_is_refitted(steps: int, changes: list[tuple[int, int]]) -> None:
    plan, progress = Plan(steps=steps), []
    pending = sorted(changes)
    while len(progress) < plan.steps:
        while pending and pending[0][0] <= len(progress):
            taken = len(progress)
            plan = plan.refitted(taken=taken, steps=taken + pending.pop(0)[1])
            if taken:
                assert plan.progress(taken - 1) == pytest.approx(progress[-1])
        progress.append(plan.progress(len(progress)))
    assert progress[-1] == 1
    assert progress[0] >= 0
    assert all(earlier < later for earlier, later in itertools.pairwise(progress))
