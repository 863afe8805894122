import pytest

from onelip.bench.report.groups import comparisons
from onelip.bench.report.verdict import group_verdict, verdict
from onelip.bench.results import Records


def _records(samples, certified, costs=(), **failed):
    """Records in which each method certifies the given number of 1000 images, over one or several seeds."""
    data = samples.DIGITS.model_copy(update={"test": 1000})
    runs = [
        samples.train_record(name, result=samples.exactly(count, 1000), seed=seed, data=data)
        for name, counts in certified.items()
        for seed, count in enumerate(counts)
    ]
    runs += [samples.train_record(name, status=status, seed=8, data=data) for name, status in failed.items()]
    cost = (samples.cost_record(costs, data=data),) if costs else ()
    return Records(train=tuple(runs), cost=cost)


def test_a_clear_lead_decides(sample_records):
    text = verdict(_records(sample_records, {"aol": [400], "cpl": [600], "standard": [0]}, ("aol", "cpl")))
    assert text.startswith("Take CPL: it certifies 60.0 % of the test images at radius 36/255")
    assert "AOL 40.0 %" in text
    assert "2.02\u00d7 in training" in text


def test_overlapping_intervals_do_not_decide(sample_records):
    certified = {"aol": [580], "cpl": [600], "soc": [300]}
    text = verdict(_records(sample_records, certified, ("aol", "cpl", "soc")))
    assert text.startswith("The data do not decide between CPL and AOL:")
    assert "SOC" not in text, "what is clearly lower is not among the undecided"
    assert "AOL (1.31\u00d7) trains cheapest; AOL (1.01\u00d7) infers cheapest" in text


def test_the_verdict_changes_at_the_overlap(sample_records):
    """600 of 1000 gives 56.9 to 63.0 %; 538 reaches up to 56.87, 539 to 56.97."""
    decided = {count: verdict(_records(sample_records, {"cpl": [600], "aol": [count]})) for count in (538, 539)}
    assert decided[538].startswith("Take CPL")
    assert decided[539].startswith("The data do not decide")


def test_seeds_are_averaged_and_the_test_images_counted_once(sample_records):
    """Five seeds see the same images: they shrink no interval, else 60 and 57 % would be told apart."""
    text = verdict(_records(sample_records, {"cpl": [590, 600, 610, 600, 600], "aol": [570] * 5}))
    assert text.startswith("The data do not decide")
    assert "CPL 60.0 % (56.9\u201363.0)" in text
    assert "1000 test images, mean of 5 seeds" in text


def test_the_unconstrained_network_never_wins(sample_records):
    text = verdict(_records(sample_records, {"standard": [900], "aol": [500], "cpl": [100]}))
    assert text.startswith("Take AOL")


def test_one_method_alone_is_not_recommended(sample_records):
    text = verdict(_records(sample_records, {"aol": [500], "standard": [0]}, cpl="oom"))
    assert text.startswith("Only AOL has a result")
    assert "CPL (out of memory)" in text


def test_all_failed(sample_records):
    text = verdict(_records(sample_records, {"standard": [0]}, aol="diverged", cpl="timeout"))
    assert text.startswith("No verdict: no constrained method has a finished run.")
    assert "AOL (diverged at step 17)" in text
    assert "CPL (timed out)" in text


def test_nothing_certified(sample_records):
    text = verdict(_records(sample_records, {"aol": [0], "cpl": [0]}))
    assert "no method certifies a single test image" in text


def test_nothing_trained(sample_records):
    assert verdict(Records()) == "No verdict: there is no finished run on test images."
    assert "only costs were measured" in verdict(Records(cost=(sample_records.cost_record(),)))


def test_a_failed_seed_is_mentioned(sample_records):
    text = verdict(_records(sample_records, {"aol": [400], "cpl": [600, 600]}, cpl="diverged"))
    assert "CPL (1 of 3: diverged at step 17)" in text


def test_unmeasured_costs_are_said(sample_records):
    assert "Their costs were not measured." in verdict(_records(sample_records, {"aol": [500], "cpl": [500]}))


def test_overlapping_quartiles_share_the_place_of_the_cheapest(sample_records):
    """AOL and BCOP infer at 1.01 and 1.02 with quartiles of 2 %; SLL at 1.98 is not among them."""
    names = ("aol", "bcop", "sll")
    text = verdict(_records(sample_records, {name: [500] for name in names}, names))
    assert "AOL (1.01\u00d7) and BCOP (1.02\u00d7) infer cheapest" in text


def test_validation_runs_are_not_part_of_it(sample_records):
    records = _records(sample_records, {"aol": [400], "cpl": [600]})
    scan = sample_records.train_record(
        "soc", result=sample_records.exactly(999, 1000), data=records.train[0].data, evaluate_on="validation"
    )
    both = Records(train=(*records.train, scan))
    assert verdict(both).startswith("Take CPL")
    assert "SOC 99.9" not in verdict(both)


@pytest.mark.parametrize("change", [{"padding": "zeros"}, {"budget": "12epochs"}, {"size": "S", "width": 32}])
def test_different_comparisons_get_verdicts_of_their_own(sample_records, change):
    runs = [sample_records.train_record(name, **extra) for name in ("aol", "cpl") for extra in ({}, change)]
    groups = comparisons(Records(train=tuple(runs)))
    assert [len(group.rows) for group in groups] == [2, 2]
    assert all(group_verdict(group).headline.startswith("The data do not decide") for group in groups)
    assert verdict(Records(train=tuple(runs))).count("\n") == 1
