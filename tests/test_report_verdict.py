import pytest

from onelip.bench.measure.timing import MIN_ROUNDS
from onelip.bench.recommend.answer import answer
from onelip.bench.recommend.measured import measured_choices
from onelip.bench.recommend.quantities import QUANTITIES
from onelip.bench.recommend.weighing import Question
from onelip.bench.report.groups import comparisons
from onelip.bench.report.metrics import METRICS
from onelip.bench.report.verdict import group_verdict, verdict
from onelip.bench.results import Records
from onelip.bench.statistics import DECISIVE_SAMPLES


def _records(samples, certified, costs=(), images=1000, **failed):
    """Records in which each method certifies the given number of images, over one or several seeds."""
    data = samples.DIGITS.model_copy(update={"test": images})
    runs = [
        samples.train_record(name, result=samples.exactly(count, images), seed=seed, data=data)
        for name, counts in certified.items()
        for seed, count in enumerate(counts)
    ]
    runs += [samples.train_record(name, status=status, seed=8, data=data) for name, status in failed.items()]
    cost = (samples.cost_record(costs, data=data),) if costs else ()
    return Records(train=tuple(runs), cost=cost)


def test_a_clear_lead_decides(sample_records):
    text = verdict(_records(sample_records, {"aol": [400], "cpl": [600], "standard": [0]}, ("aol", "cpl")))
    assert text.startswith(
        "Take CPL, as far as one seed tells: it certifies 60.0 % of the test images at radius 36/255, more than every "
        "other method."
    )
    assert "AOL 40.0 %" in text
    assert "A step of CPL takes 2.02\u00d7 (training) and 1.97\u00d7 (inference) the time of the unconstrained" in text


def test_overlapping_intervals_do_not_decide(sample_records):
    certified = {"aol": [580], "cpl": [600], "soc": [300]}
    text = verdict(_records(sample_records, certified, ("aol", "cpl", "soc")))
    assert text.startswith("The data do not decide between CPL and AOL:")
    assert "SOC" not in text, "what is clearly lower is not among the undecided"
    assert "Among them AOL (28.0 ms) trains cheapest; AOL (6.21 ms) infers cheapest, per step of 256 images." in text


def test_the_verdict_changes_at_the_overlap(sample_records):
    """600 of 1000 gives 56.93 to 62.99 %; of 556 and 557 the upper ends, 3.05 points above, leave 4.3 of difference."""
    decided = {count: verdict(_records(sample_records, {"cpl": [600], "aol": [count]})) for count in (556, 557)}
    assert decided[556].startswith("Take CPL")
    assert decided[557].startswith("The data do not decide")


def test_seeds_are_averaged_and_the_test_images_counted_once(sample_records):
    """Five seeds see the same images: they shrink no interval, else 60 and 57 % would be told apart."""
    text = verdict(_records(sample_records, {"cpl": [590, 600, 610, 600, 600], "aol": [570] * 5}))
    assert text.startswith("The data do not decide")
    assert "CPL 60.0 % (56.9\u201363.0; seeds 59.0\u201361.0)" in text
    assert "1000 test images, mean of 5 seeds" in text


def test_the_unconstrained_network_never_wins(sample_records):
    text = verdict(_records(sample_records, {"standard": [900], "aol": [500], "cpl": [300]}))
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
    assert text.startswith("The data do not decide: no method certifies more of the test images")
    assert "constant answer" in text


def test_nothing_trained(sample_records):
    assert verdict(Records()) == "No verdict: there is no finished run on test images."
    assert "only costs were measured" in verdict(Records(cost=(sample_records.cost_record(),)))


def test_a_failed_seed_is_mentioned(sample_records):
    text = verdict(_records(sample_records, {"aol": [400], "cpl": [600, 600]}, cpl="diverged"))
    assert text.startswith("Take CPL, as far as one seed tells, although 1 of its 3 seeds failed: it certifies")
    assert "CPL (1 of 3: diverged at step 17)" in text


def test_unmeasured_costs_are_said(sample_records):
    assert "Their costs were not measured." in verdict(_records(sample_records, {"aol": [500], "cpl": [500]}))


def test_overlapping_quartiles_share_the_place_of_the_cheapest(sample_records):
    """AOL and BCOP infer at 1.01 and 1.02 with quartiles of 2 %; SLL at 1.98 is not among them."""
    names = ("aol", "bcop", "sll")
    text = verdict(_records(sample_records, {name: [500] for name in names}, names))
    assert "AOL (6.21 ms) and BCOP (6.27 ms) infer cheapest" in text


def test_seeds_that_reach_into_one_another_do_not_decide(sample_records):
    """The Wilson intervals (57 to 63 and 47 to 53 %) are apart both times; the seeds only once."""
    wide = verdict(_records(sample_records, {"cpl": [510, 690], "aol": [480, 520]}))
    assert wide.startswith("The data do not decide between CPL and AOL")
    assert "leave to chance, or their seeds meet." in wide
    apart = verdict(_records(sample_records, {"cpl": [590, 610], "aol": [480, 520]}))
    assert apart.startswith("Take CPL: it certifies 60.0 %"), "two seeds need no reservation"
    assert "leave to chance, and no seeds meet: CPL" in apart


@pytest.mark.parametrize(
    ("cpl", "decided"),
    [
        ([2700, 2800, 2900], True),
        ([2650, 2800, 2950], True),  # its seeds end at 29.5 %, those of SLL begin at 29.9 %
        ([2820, 2830, 2840], True),  # the intervals touch at 29.2 %, but 1.7 points are more than their root sum square
        ([2880, 2890, 2900], False),
        ([2700, 2800, 2995], False),  # seeds meet
    ],
)
def test_the_verdict_and_the_recommender_agree(sample_records, cpl, decided):
    """An interval that reaches among the seeds of another method does not stand apart from it, for either of them."""
    records = _records(sample_records, {"sll": [2990, 3000, 3010], "cpl": cpl}, images=10000)
    said = answer(Question(objective=QUANTITIES["cra36"]), measured_choices(records, batch=1, book=None))
    assert verdict(records).startswith("Take SLL") is decided
    assert (len(said.tied) == 1) is decided


def test_a_constant_answer_is_no_candidate(sample_records):
    """A tenth of the images is one class: certified at any radius by a network that learned nothing."""
    text = verdict(_records(sample_records, {"aol": [100], "cpl": [115], "soc": [400], "sll": [300]}))
    assert text.startswith("Take SOC")
    assert "Certified is no more than of a constant answer: CPL (11.5 %), AOL (10.0 %)." in text
    assert verdict(_records(sample_records, {"aol": [100], "cpl": [60]})).startswith(
        "The data do not decide: no method"
    )
    only = verdict(_records(sample_records, {"aol": [200], "cpl": [100]}))
    assert only.startswith(
        "Only AOL certifies more than a constant answer would: 20.0 % of the test images at radius 36/255, as far as "
        "one seed tells."
    )


def test_every_other_method_has_a_result_or_the_headline_says_so(sample_records):
    certified = {"aol": [300, 300], "cpl": [600, 600]}
    assert "more than every other method." in verdict(_records(sample_records, certified))
    assert "more than every other method with a result." in verdict(_records(sample_records, certified, soc="oom"))


def _with_rates(samples, trials):
    """AOL at two learning rates, of which the second does better on the test images; CPL far below; and a scan."""
    records = _records(samples, {"cpl": [200, 200]})
    data = records.train[0].data
    tried = [
        samples.train_record(
            "aol", result=samples.exactly(count, 1000), seed=seed, data=data, recipe=samples.Recipe(learning_rate=rate)
        )
        for rate, count in ((0.01, 500), (0.1, 700))
        for seed in (0, 1)
    ]
    scan = [
        samples.train_record(
            "aol",
            result=samples.exactly(count, 1000),
            data=data,
            recipe=samples.Recipe(learning_rate=rate),
            evaluate_on="validation",
            budget="2s",
        )
        for rate, count in trials.items()
    ]
    return Records(train=(*records.train, *tried, *scan))


def test_among_several_learning_rates_the_scan_chooses_and_not_the_test_images(sample_records):
    text = verdict(_with_rates(sample_records, {0.001: 200, 0.01: 400, 0.1: 300}))
    assert text.startswith("Take AOL: it certifies 50.0 %")
    assert "Judged at the one of several learning rates that the scan chose: AOL 0.01." in text


@pytest.mark.parametrize("trials", [{}, {0.03: 400}])
def test_without_a_choice_among_several_learning_rates_there_is_no_verdict(sample_records, trials):
    text = verdict(_with_rates(sample_records, trials))
    assert text.startswith("Only CPL can be judged")
    assert "No verdict for those with several learning rates of which no scan chose one: AOL." in text
    assert "70.0 %" not in text


def test_who_cannot_be_judged_is_not_taken_for_a_constant_answer(sample_records):
    records = _with_rates(sample_records, {})
    constant = sample_records.train_record("soc", result=sample_records.exactly(100, 1000), data=records.train[0].data)
    text = verdict(Records(train=(*records.train, constant)))
    assert text.startswith("Of those that can be judged, only CPL certifies"), "AOL may certify more, too"


def test_few_time_samples_do_not_tell_who_is_cheapest(sample_records):
    def told(rounds):
        records = _records(sample_records, {"aol": [500], "cpl": [500]})
        entries = [
            sample_records.cost_entry(name, padding=padding)
            for name, padding in (("aol", None), ("cpl", None), ("standard", "circular"), ("standard", "zeros"))
        ]
        phases = ("train_step", "inference")
        entries = [entry.model_copy(update={key: getattr(entry, key)[:rounds] for key in phases}) for entry in entries]
        session = sample_records.cost_record(entries=entries, data=records.train[0].data)
        return verdict(Records(train=records.train, cost=(session,)))

    assert DECISIVE_SAMPLES == MIN_ROUNDS, "what a session takes in any case is enough"
    assert "AOL (28.0 ms) trains cheapest" in told(30)
    assert "trains cheapest" in told(8)
    assert "cheapest, per step" not in told(7)
    assert "Fewer than 8 time samples do not tell which of them is cheapest." in told(7)


def test_the_cheapest_has_the_fewest_milliseconds_whatever_its_ratio(sample_records):
    """With zeros the unconstrained network is faster, so that CPL's ratio is higher while its step is shorter."""
    records = _records(sample_records, {"aol": [500], "cpl": [500]})
    times = {"aol": 0.028, "cpl": 0.026}
    entries = [
        sample_records.cost_entry(name).model_copy(update={"train_step": sample_records.samples(time)})
        for name, time in times.items()
    ]
    entries += [sample_records.cost_entry("standard", padding=padding) for padding in ("circular", "zeros")]
    session = sample_records.cost_record(entries=entries, data=records.train[0].data)
    group = comparisons(Records(train=records.train, cost=(session,)))[0]
    ratios = {row.label: METRICS["train_step_ratio"].of(row).value for row in group.rows}
    assert ratios["CPL"] > ratios["AOL"]
    assert "CPL (26.1 ms) trains cheapest" in group_verdict(group).text


def test_a_scan_at_its_border_or_too_short_is_told(sample_records):
    records = _records(sample_records, {"aol": [500], "cpl": [600]})
    data = records.train[0].data

    def tried(name, rate, certified, loss):
        return sample_records.train_record(
            name,
            result=sample_records.exactly(certified, 1000, loss=loss),
            recipe=sample_records.Recipe(learning_rate=rate),
            data=data,
            evaluate_on="validation",
        )

    trials = [tried("aol", rate, count, 1.0) for rate, count in ((0.01, 200), (0.03, 300), (0.1, 400))]
    trials += [tried("cpl", rate, 100, loss) for rate, loss in ((0.01, 3.0), (0.03, 2.0), (0.1, 3.0))]
    text = verdict(Records(train=(*records.train, *trials)))
    assert "At the border of the learning rates tried, so that a better one may lie beyond: AOL (0.1)." in text
    assert "The scan was too short to decide by certified accuracy, and the loss decided: CPL." in text


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
