import pytest
from hypothesis import given
from hypothesis import strategies as st

from onelip.bench.report.groups import comparisons
from onelip.bench.report.placement import Box, place
from onelip.bench.report.radar import radar, scored
from onelip.bench.results import Records

SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=8)
RATIOS = st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=8)


def _orders_like(scores, values):
    return all(
        (scores[i] >= scores[j]) or (values[i] < values[j]) for i in range(len(values)) for j in range(len(values))
    )


@given(SHARES)
def test_a_higher_share_never_scores_lower(values):
    scores = scored(values, higher_is_better=True)
    assert _orders_like(scores, values)
    assert all(1 <= score <= 5 for score in scores)
    assert scores[values.index(max(values))] == 5


@given(RATIOS)
def test_a_higher_cost_never_scores_higher(values):
    scores = scored(values, higher_is_better=False)
    assert _orders_like(scores, [-value for value in values])
    assert all(1 <= score <= 5 for score in scores)
    assert scores[values.index(min(values))] == 5


@given(st.floats(1e-3, 1e3), st.floats(1.1, 100))
def test_costs_are_scored_by_their_logarithm(lowest, factor):
    """Equal factors are equal steps, so that another unit changes no score."""
    scores = scored([lowest, lowest * factor, lowest * factor**2], higher_is_better=False)
    assert scores == pytest.approx([5, 3, 1])


def test_the_worst_scores_one_and_a_gap_stays_a_gap():
    assert scored([0.5, None, 0.7, 0.6], higher_is_better=True)[::2] == [1.0, 5.0]
    assert scored([0.5, None], higher_is_better=True) == [5.0, None]
    assert scored([None], higher_is_better=True) == [None]


def test_incomplete_methods_are_left_out_by_name_and_the_yardstick_is_not_scored(sample_records):
    runs = [sample_records.train_record(name) for name in ("standard", "aol", "cpl", "lot")]
    runs.append(sample_records.train_record("soc", status="diverged"))
    scores = radar(
        comparisons(Records(train=tuple(runs), cost=(sample_records.cost_record(("aol", "cpl", "soc")),)))[0]
    )
    assert [row.label for row, _ in scores.scores] == ["CPL", "AOL"]
    assert scores.left_out == (("LOT", "not measured"), ("SOC", "diverged at step 17"))
    assert [len(of_row) for _, of_row in scores.scores] == [6, 6]


def test_spreads_lie_around_the_scores_and_inside_the_scale(sample_records):
    runs = [sample_records.train_record(name, seed=seed) for name in ("aol", "cpl", "lot") for seed in (0, 1)]
    scores = radar(
        comparisons(Records(train=tuple(runs), cost=(sample_records.cost_record(("aol", "cpl", "lot")),)))[0]
    )
    for (_, of_row), spreads in zip(scores.scores, scores.spreads, strict=True):
        for score, (low, high) in zip(of_row, spreads, strict=True):
            assert 1 <= low <= score <= high <= 5
    assert any(low < high for spreads in scores.spreads for low, high in spreads)


@given(st.lists(st.tuples(st.floats(20, 280), st.floats(20, 180)), min_size=1, max_size=8))
def test_labels_stay_inside_and_off_one_another(points):
    boxes = place(points, [(40.0, 9.0)] * len(points), [], Box(0, 0, 300, 200))
    for index, box in enumerate(boxes):
        assert box.outside(Box(0, 0, 300, 200)) < 1e-6
        assert all(box.overlap(other) == 0 for other in boxes[:index])
