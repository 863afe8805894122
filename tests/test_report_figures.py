"""What the figures draw."""

import pytest

from onelip.bench.report import figures
from onelip.bench.report.bars import cost_bars
from onelip.bench.report.groups import comparisons
from onelip.bench.report.trade_off import accuracy_against_costs
from onelip.bench.results import Records


@pytest.mark.parametrize("lengths", [(1, 1), (1, 3)])
def test_a_run_of_one_entry_is_drawn_as_a_marker(sample_records, lengths):
    """A line through one point is invisible; where no run has two there is no figure at all."""
    runs = [
        sample_records.train_record(name, record_history=sample_records.history(length, 0.9, 1.0))
        for name, length in zip(("aol", "cpl"), lengths, strict=True)
    ]
    groups = comparisons(Records(train=tuple(runs)))
    drawings = figures.learning(groups[0], figures.group_styles(groups), "name")
    assert len(drawings) == (2 if max(lengths) > 1 else 0)
    assert all(drawing.svg.count("<use ") == 1 for drawing in drawings), "AOL's single entry"


def test_learning_is_told_by_its_last_values(sample_records):
    runs = [
        sample_records.train_record(name, seed=seed, record_history=sample_records.history(3, accuracy, 19.0))
        for name, seeds in {"aol": (0.9, 0.8), "cpl": (0.7,)}.items()
        for seed, accuracy in enumerate(seeds)
    ]
    groups = comparisons(Records(train=tuple(runs)))
    loss, accuracy = figures.learning(groups[0], figures.group_styles(groups), "name")
    assert "In the end: " in loss.svg
    assert "AOL 0.0537 and 0.0887" in loss.svg
    assert "CPL 0.124" in loss.svg
    assert "AOL 89.8 % and 79.8 %" in accuracy.svg
    assert "CPL 69.8 %" in accuracy.svg


def test_accuracy_stands_against_the_milliseconds_that_bold_ranks(sample_records):
    """Not against ratios to two different networks; each of these is named with its time."""
    runs = tuple(sample_records.train_record(name) for name in ("aol", "cpl"))
    groups = comparisons(Records(train=runs, cost=(sample_records.cost_record(("aol", "cpl")),)))
    drawn, memory = accuracy_against_costs(groups[0], figures.group_styles(groups), "name")
    assert "training step, ms" in drawn.svg
    assert "AOL 28.0 ms, 87.2 %" in drawn.svg
    assert "Grey: Unconstrained, circular (21.4 ms) and Unconstrained, zeros (18.4 ms)." in drawn.caption
    assert "training memory, MB" in memory.svg
    assert (drawn.name, memory.name) == ("name-1", "name-2")


def test_bars_reach_as_far_as_the_seeds(sample_records):
    """Seeds that differ by more than the test images leave open are not hidden behind their interval."""
    runs = [
        sample_records.train_record("aol", seed=seed, result=sample_records.evaluation(accuracy, 200.0, images=10_000))
        for seed, accuracy in enumerate((0.5, 0.9))
    ]
    groups = comparisons(Records(train=tuple(runs), cost=(sample_records.cost_record(("aol",)),)))
    drawn, _ = accuracy_against_costs(groups[0], figures.group_styles(groups), "name")
    _, _, (bar,) = drawn.figure.axes[0].containers[0].lines
    low, high = (end for _, end in bar.get_segments()[0])
    assert [low, high] == pytest.approx([100 * run.evaluation.certified[36] / 10_000 for run in runs])


def test_time_and_memory_are_bars_of_all_networks(sample_records):
    runs = tuple(sample_records.train_record(name) for name in ("aol", "cpl"))
    (group,) = comparisons(Records(train=runs, cost=(sample_records.cost_record(("aol", "cpl")),)))
    bars = cost_bars(group, figures.group_styles([group]), "name")
    for row in group.rows:
        assert row.label in bars.svg
    assert "Training step, ms" in bars.svg
    assert "Inference memory, MB" in bars.svg
    (bare,) = comparisons(Records(train=runs))
    assert cost_bars(bare, figures.group_styles([bare]), "name") is None
