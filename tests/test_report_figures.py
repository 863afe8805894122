"""What the figures draw."""

import pytest

from onelip.bench.report import figures
from onelip.bench.report.bars import cost_bars
from onelip.bench.report.depth_figure import depth_drawing
from onelip.bench.report.groups import comparisons
from onelip.bench.report.rounding_figure import rounding_drawing
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
    for drawing in drawings:
        (axes,), (key,) = drawing.figure.axes, drawing.figure.legends
        shown = {line.get_color() for line in axes.lines if line.get_marker() != "None" and line.get_marker()}
        told = {line.get_color() for line in key.get_lines() if line.get_marker() not in ("", "None")}
        assert len(shown) == (1 if max(lengths) > 1 else 2), "AOL's single entry"
        assert told == shown, "the legend has the marker of what is a marker alone"


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


def test_what_is_drawn_with_markers_has_them_in_the_legend(sample_records):
    """And each method's own dash: neither colour nor dash alone tells them apart."""
    runs = [sample_records.train_record(name) for name in ("aol", "cpl", "sll")]
    (group,) = comparisons(Records(train=tuple(runs)))
    look = figures.group_styles([group])
    depths = [sample_records.depth_record(run) for run in runs]
    for drawing in (
        depth_drawing(group, depths, look, "name"),
        rounding_drawing(group, [sample_records.arithmetics_record(run) for run in runs], look, "name"),
    ):
        (key,) = drawing.figure.legends
        told = {text.get_text(): line for text, line in zip(key.get_texts(), key.get_lines(), strict=True)}
        assert {label: (line.get_color(), line.get_marker()) for label, line in told.items()} == {
            row.label: (look[row.label].colour, look[row.label].marker) for row in group.rows
        }


def test_measured_errors_keep_their_methods_dash_and_are_told_by_marks(sample_records):
    """Dotted for all of them, two methods would differ in colour alone."""
    runs = [sample_records.train_record(name) for name in sample_records.TITLES if name != "standard"]
    (group,) = comparisons(Records(train=tuple(runs)))
    look = figures.group_styles([group])
    arithmetics = [sample_records.arithmetics_record(run) for run in runs]
    axes, logits = rounding_drawing(group, arithmetics, look, "name").figure.axes
    charged, measured = axes.lines[::2], axes.lines[1::2]
    ends = [tuple(line.get_ydata()) for line in logits.lines if len(line.get_ydata()) == 2]
    assert sorted(ends) == sorted((one.measured, one.bound) for one in arithmetics)
    assert len(charged) == len(measured) == 7
    assert {line.get_marker() for line in charged} <= {"", "None"}
    assert len({line.get_marker() for line in measured}) == 7
    for one, other in zip(charged, measured, strict=True):
        assert one.get_linewidth() > 1.5 * other.get_linewidth()
        (_, dash), (_, own) = (line._dash_pattern for line in (one, other))
        wide = one.get_linewidth() / other.get_linewidth()
        assert [*(dash or ())] == pytest.approx([wide * length for length in own or ()])


def test_one_method_alone_has_marks_on_its_axes(sample_records):
    """35.2 MB: neither 30 nor 50 lies near, and the unconstrained network was not measured."""
    entry = sample_records.cost_entry("aol").model_copy(update={"train_bytes": 35_200_000})
    records = Records(train=(sample_records.train_record("aol"),), cost=(sample_records.cost_record(entries=[entry]),))
    (group,) = comparisons(records)
    _, memory = accuracy_against_costs(group, figures.group_styles([group]), "name")
    (axes,) = memory.figure.axes
    low, high = axes.get_xlim()
    assert [mark for mark in axes.get_xticks() if low <= mark <= high] == [35, 40, 45]


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
