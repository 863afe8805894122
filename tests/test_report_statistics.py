import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from onelip.bench.statistics import Z95, quartiles, wilson


@pytest.mark.parametrize("counts", [(0, 10), (8, 10), (10, 10), (1, 360), (50, 100), (9999, 10000)])
def test_it_agrees_with_scipy(counts):
    expected = stats.binomtest(*counts).proportion_ci(0.95, method="wilson")
    assert wilson(*counts) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.floats(0, n), st.just(n))))
def test_the_ends_are_z_standard_errors_from_the_share(counts):
    """The definition: at either end p, |share - p| = z sqrt(p (1 - p) / n)."""
    successes, trials = counts
    share = successes / trials
    low, high = wilson(successes, trials)
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        assert abs(share - end) == pytest.approx(Z95 * math.sqrt(end * (1 - end) / trials), abs=1e-6)


@pytest.mark.parametrize("trials", [30, 100, 360])
def test_it_covers_the_truth_about_95_times_in_100(trials):
    """Exact coverage: the probability, under a true share, of the counts whose interval contains it."""
    intervals = [wilson(k, trials) for k in range(trials + 1)]
    truths = [t / 200 for t in range(10, 191)]
    coverages = [
        sum(
            math.comb(trials, k) * truth**k * (1 - truth) ** (trials - k)
            for k, (low, high) in enumerate(intervals)
            if low <= truth <= high
        )
        for truth in truths
    ]
    assert sum(coverages) / len(coverages) == pytest.approx(0.95, abs=0.01)
    assert min(coverages) > 0.90


@pytest.mark.parametrize("counts", [(-1, 10), (11, 10), (0, 0), (math.nan, 10)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError, match="successes"):
        wilson(*counts)


def test_quartiles_of_one_sample():
    assert quartiles([2.0]) == (2.0, 2.0, 2.0)
