"""The recommender: how constraints are read and judged, what is ranked first, and what it says where nothing fits."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from onelip import METHODS
from onelip.bench import published
from onelip.bench.recommend import words
from onelip.bench.recommend.answer import answer
from onelip.bench.recommend.costs import Network
from onelip.bench.recommend.from_paper import published_choices
from onelip.bench.recommend.from_sessions import with_sessions
from onelip.bench.recommend.judging import Constraint, Orthogonal
from onelip.bench.recommend.options import Choice, Known, Missing, keeps_norms
from onelip.bench.recommend.quantities import QUANTITIES, quantity_named
from onelip.bench.recommend.scripted import facts
from onelip.bench.recommend.weighing import ALWAYS_WEIGHED, Question
from onelip.bench.theory_costs import Formulas, method_facts
from onelip.cli import app
from onelip.errors import OnelipError, UnknownNameError


def onelip(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("train_time", "2h", 7200),
        ("train_time", "1.5 d", 129_600),
        ("train_time", "2h30m", 9000),
        ("train_time", "1 hour 30 seconds", 3630),
        ("train_time", "2hours", 7200),
        ("latency", "5ms", 0.005),
        ("latency", "90 s", 90),
        ("train_memory", "8GB", 8e9),
        ("train_memory", "8GiB", 8 * 2**30),
        ("inference_memory", "200mb", 2e8),
        ("accuracy", "0.7", 0.7),
        ("cra36", "66.3%", 0.663),
        ("latency_ratio", "1.05", 1.05),
        ("latency_ratio", "2x", 2.0),
    ],
)
def test_limits_are_read_with_their_units(key, text, value):
    assert QUANTITIES[key].read(text) == pytest.approx(value)


def test_every_published_share_keeps_to_itself_as_a_limit():
    for one in trained(of_paper()):
        for key in ("accuracy", "cra36"):
            value = one.number(key).value
            text = f"{100 * value:.1f}%"
            assert limit(key, QUANTITIES[key].read(text)).judge(one).status == "meets", (one.label, key, text)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("latency", "5 parsec", "--max-latency '5 parsec' is not allowed; give a time such as 5ms"),
        ("latency", "5", "give a time"),
        ("train_memory", "8h", "give a size such as 200MB"),
        ("train_memory", "8GB 200MB", "give a size such as 200MB"),
        ("train_time", "2h30", "give a time such as"),
        ("train_time", "2x30m", "give a time such as"),
        ("accuracy", "70", "did you mean 70%?"),
        ("accuracy", "170%", "give a share"),
        ("cra36", "-1%", "give a share"),
        ("train_time", "0s", "rules out everything"),
        ("train_time", "1e400h", "give a time"),
        ("latency_ratio", "nan", "give a multiple"),
        ("train_memory", "", "give a size"),
    ],
)
def test_what_is_no_limit_is_refused(key, text, message):
    with pytest.raises(OnelipError, match=message.replace("(", r"\(").replace("?", r"\?")):
        QUANTITIES[key].read(text)


def test_quantities_are_found_as_people_write_them():
    assert quantity_named("CRA-36") is quantity_named("cra_36") is QUANTITIES["cra36"]
    assert quantity_named("train-time") is QUANTITIES["train_time"]
    with pytest.raises(UnknownNameError, match="did you mean accuracy"):
        quantity_named("acuracy")


def known(value, spread=0.0):
    return Known(value=value, low=value - spread, high=value + spread, basis="measured", evidence="a test")


def choice(method, *, size="XS", orthogonal=False, budget="2h", **numbers):
    found = {key: number if isinstance(number, Known | Missing) else known(number) for key, number in numbers.items()}
    facts = {"kernel_size": 3, "padding": "circular", "data": "digits", "place": "here", "source": "measured"}
    facts |= {"image": (1, 8, 8), "cost_image": (1, 8, 8), "classes": 10, "batch": 256}
    return Choice(
        method=method,
        title=method.upper(),
        size=size,
        orthogonal=orthogonal,
        budget=budget,
        images=100,
        seeds=1,
        records=("record",),
        numbers=found,
        **facts,
    )


def limit(key, value):
    return Constraint(quantity=QUANTITIES[key], limit=value)


CRA = QUANTITIES["cra36"]


def test_what_meets_everything_comes_first_then_what_is_not_known_then_what_fails():
    slow = choice("slow", cra36=0.9, latency=0.02)
    dark = choice("dark", cra36=0.8, latency=Missing(reason="not measured", remedy="onelip measure"))
    good = choice("good", cra36=0.5, latency=0.01)
    better = choice("better", cra36=0.6, latency=0.009)
    said = answer(Question(objective=CRA, constraints=(limit("latency", 0.01),)), [slow, dark, good, better])
    assert [one.choice.method for one in said.ranking] == ["better", "good", "dark", "slow"]
    assert [one.status for one in said.ranking] == ["meets", "meets", "unknown", "fails"]
    margins = {one.choice.method: one.judgements[0].margin for one in said.ranking}
    assert margins == {
        "better": pytest.approx(0.1),
        "good": pytest.approx(0.0),
        "dark": None,
        "slow": pytest.approx(-1.0),
    }
    assert not said.decided
    assert words.headline(said) == (
        "BETTER XS, 2h (CRA 36 60.0 %, measured) comes first of what is known to fit; DARK XS, 2h (CRA 36 80.0 %, "
        "measured) would come before it, if its inference time turned out to fit."
    )
    assert any("No inference time of DARK: not measured; onelip measure." in line for line in words.details(said))


def test_a_lower_limit_is_kept_from_above():
    said = answer(
        Question(objective=QUANTITIES["latency"], constraints=(limit("accuracy", 0.7),)),
        [choice("low", accuracy=0.69, latency=1.0), choice("high", accuracy=0.77, latency=2.0)],
    )
    assert [one.choice.method for one in said.ranking] == ["high", "low"]
    assert said.ranking[0].judgements[0].margin == pytest.approx(0.07), "shares differ by points"


def test_a_spread_beyond_the_limit_is_said():
    said = answer(
        Question(objective=CRA, constraints=(limit("latency", 1.0),)),
        [choice("near", cra36=0.5, latency=known(0.9, 0.2)), choice("far", cra36=0.4, latency=known(0.5, 0.2))],
    )
    assert [one.judgements[0].sure for one in said.ranking] == [False, True]
    assert any("the spread reaches beyond" in line for line in words.details(said))


def test_what_meets_a_limit_by_luck_is_not_decided():
    doubtful = [choice("near", cra36=0.5, latency=known(0.9, 0.2)), choice("far", cra36=0.4, latency=known(0.5, 0.2))]
    said = answer(Question(objective=CRA, constraints=(limit("latency", 1.0),)), doubtful)
    assert [one.choice.method for one in said.tied] == ["near"]
    assert not said.decided
    assert not facts(said)["decided"]
    assert words.headline(said).endswith("; its inference time may not meet the limit.")
    assert words.headline(answer(Question(objective=CRA), doubtful)).startswith("Take NEAR XS, 2h (CRA 36 50.0 %")


def test_what_misses_a_limit_within_its_spread_is_named():
    near, far = choice("near", cra36=0.4, latency=known(1.1, 0.2)), choice("far", cra36=0.5, latency=known(1.9, 0.2))
    said = answer(Question(objective=CRA, constraints=(limit("latency", 1.0),)), [near, far])
    assert words.headline(said) == (
        "Nothing surely meets everything; NEAR XS, 2h may (inference time 1.10 s, 900 ms to 1.30 s, measured)."
    )
    nothing = answer(Question(objective=CRA, constraints=(limit("latency", 1.0),)), [far])
    assert words.headline(nothing) == "Nothing meets everything."


def test_of_equals_none_comes_before_one_that_beats_it():
    equal = [
        choice("a", cra36=0.5, train_time=60.0),
        choice("b", cra36=0.6, train_time=60.0),
        choice("c", cra36=Missing(reason="not known"), train_time=60.0),
    ]
    said = answer(Question(objective=QUANTITIES["train_time"]), equal)
    assert [one.choice.method for one in said.ranking] == ["b", "a", "c"]
    limited = answer(Question(objective=QUANTITIES["train_time"], constraints=(limit("train_time", 50.0),)), equal[:2])
    assert limited.blames[0].without.choice.method == "b"


def test_of_the_published_networks_of_two_hours_the_better_one_is_taken():
    """CPL L certifies less than CPL M in the same two hours."""
    at_least = limit("cra36", 0.58)
    said = answer(
        Question(objective=QUANTITIES["train_time"], constraints=(at_least,)),
        [one for one in of_paper() if one.data == "cifar10"],
    )
    assert (said.fitting[0].choice.label, said.fitting[0].on_front) == ("CPL M, 2h", True)


def test_spreads_are_weighed_together():
    tied = answer(Question(objective=CRA), [choice("a", cra36=known(0.5, 0.02)), choice("b", cra36=known(0.475, 0.02))])
    assert [one.choice.method for one in tied.tied] == ["a", "b"]
    assert "do not tell it apart from B" in words.headline(tied)
    touching = choice("b", cra36=known(0.47, 0.02))
    apart = answer(Question(objective=CRA), [choice("a", cra36=known(0.5, 0.02)), touching])
    assert [one.choice.method for one in apart.tied] == ["a"], "by the interval of the difference"
    assert facts(apart)["decided"]
    for other, tied in ((0.47, ["b", "a"]), (0.45, ["b"])):
        quick = [choice("a", latency=known(0.5, 0.02)), choice("b", latency=known(other, 0.02))]
        said = answer(Question(objective=QUANTITIES["latency"]), quick)
        assert [one.choice.method for one in said.tied] == tied, "times where their spreads do not meet"


def test_gradient_norms_are_a_matter_of_the_method():
    unknown = replace(choice("c", cra36=0.9), orthogonal=None)
    said = answer(
        Question(objective=CRA, constraints=(Orthogonal(),)),
        [choice("a", cra36=0.6), choice("b", cra36=0.5, orthogonal=True), unknown],
    )
    assert [(one.choice.method, one.status) for one in said.ranking] == [
        ("b", "meets"),
        ("c", "unknown"),
        ("a", "fails"),
    ]


@pytest.mark.parametrize(
    ("promised", "padding", "kernel_size", "kept"),
    [
        ((True, False), "circular", 3, True),
        ((True, False), "zeros", 3, None),
        ((True, False), "zeros", 1, True),
        ((True, True), "zeros", 3, True),
        ((False, False), "circular", 3, False),
        ((False, False), "zeros", 1, False),
    ],
)
def test_norms_are_known_to_be_kept_where_the_padding_allows_it(promised, padding, kernel_size, kept):
    facts = replace(
        method_facts(METHODS.values())["lot"], orthogonal=promised[0], orthogonal_zeros=promised[1], padding=padding
    )
    assert keeps_norms(facts, padding, kernel_size) is kept


def test_networks_padded_with_zeros_keep_norms_where_their_method_says_so():
    orthogonal = Question(objective=CRA, constraints=(Orthogonal(),))
    of = {one.choice.method: one for one in answer(orthogonal, of_paper()).per_method}
    assert {name: one.status for name, one in of.items() if one.choice.kernel_size == 3} == {
        "soc": "meets",
        "bcop": "meets",
        "cayley": "meets",
        "aol": "fails",
        "cpl": "fails",
        "sll": "fails",
    }
    (padded,) = (
        one
        for one in answer(orthogonal, of_paper()).ranking
        if one.choice.label == "LOT S, 24h" and one.choice.data == "cifar10"
    )
    assert padded.status == "unknown"
    assert "this network has zero padding" in padded.judgements[0].number.reason


@pytest.mark.parametrize(
    ("margin", "kind", "said"),
    [
        (0.0, "time", "meets it exactly"),
        (0.004, "time", "meets by less than 1%"),
        (0.41, "time", "meets by 41%"),
        (-0.5, "time", "fails by 50%"),
        (-10.43, "time", "fails, 11.4 times the limit"),
        (0.0004, "share", "meets by less than 0.1 points"),
        (-0.0312, "share", "fails by 3.1 points"),
    ],
)
def test_margins_are_told_in_words(margin, kind, said):
    key, limit_ = ("latency", 0.01) if kind == "time" else ("accuracy", 0.5)
    value = limit_ * (1 - margin) if kind == "time" else limit_ + margin
    judged = limit(key, limit_).judge(choice("a", **{key: value}))
    assert words.margin_text(replace(judged, margin=margin)) == said


def test_contradictory_limits_say_which_one_rules_out_what():
    said = answer(
        Question(objective=CRA, constraints=(limit("latency", 0.01), limit("accuracy", 0.75))),
        [
            choice("fast", cra36=0.5, latency=0.005, accuracy=0.7),
            choice("good", cra36=0.6, latency=0.02, accuracy=0.8),
            choice("best", cra36=0.7, latency=0.03, accuracy=0.8),
            choice("poor", cra36=0.2, latency=0.03, accuracy=0.5),
        ],
    )
    assert words.headline(said) == "Nothing meets everything."
    by_latency, by_accuracy = said.blames
    assert (by_latency.ruled_out, by_latency.alone, by_latency.without.choice.method) == (3, 2, "best")
    assert (by_accuracy.ruled_out, by_accuracy.alone, by_accuracy.without.choice.method) == (2, 1, "fast")
    assert by_latency.nearest.choice.method == "good", "it misses the limit by least"
    said = " ".join(words.details(said))
    assert "3 of 4 networks, 2 of which keep to all else; the best of those is BEST XS" in said
    assert "the nearest GOOD XS, 2h (CRA 36 60.0 %, measured), which fails by 100%" in said


def test_limits_that_only_together_rule_everything_out_say_so():
    both = [limit("latency", 0.01), limit("accuracy", 0.75)]
    said = answer(Question(objective=CRA, constraints=tuple(both)), [choice("a", cra36=0.5, latency=1.0, accuracy=0.1)])
    assert sum("together with another limit" in line for line in words.details(said)) == 2


def test_times_of_different_places_are_not_weighed_against_each_other():
    here = choice("here", cra36=0.3, train_time=600.0)
    there = replace(choice("there", cra36=0.6, train_time=500.0), place="elsewhere")
    said = answer(Question(objective=CRA, constraints=(limit("train_time", 1000.0),)), [here, there])
    assert all(one.on_front for one in said.ranking)
    assert any("an hour of one is not an hour of the other" in line for line in words.details(said))


def test_failed_seeds_are_said():
    said = answer(Question(objective=CRA), [replace(choice("a", cra36=0.5), failed=2)])
    assert "Seeds that failed: A XS, 2h (2 of 3)." in list(words.details(said))


numbers = st.floats(0.01, 1.0) | st.sampled_from((0.1, 0.2))  # equal ones too


@given(
    st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=12),
    st.tuples(numbers, numbers),
)
def test_rankings_and_fronts_keep_their_laws(points, limits):
    choices = [
        choice(f"m{index}", cra36=cra, train_time=time, train_memory=memory)
        for index, (cra, time, memory) in enumerate(points)
    ]
    constraints = (limit("train_time", limits[0]), limit("train_memory", limits[1]))
    said = answer(Question(objective=CRA, constraints=constraints), choices)
    assert {one.choice.method for one in said.ranking} == {one.method for one in choices}
    statuses = [one.status for one in said.ranking]
    assert statuses == sorted(statuses, key=["meets", "unknown", "fails"].index)
    values = [one.objective.value for one in said.fitting]
    assert values == sorted(values, reverse=True)
    assert all(one.on_front for one in said.fitting[:1])
    for one in said.ranking:
        assert (one.status == "meets") == all(judged.margin >= 0 for judged in one.judgements)
    keys = {*ALWAYS_WEIGHED, "train_memory"}
    signs = {key: 1 if QUANTITIES[key].higher_is_better else -1 for key in keys}

    def merits(one):
        return [signs[key] * one.choice.number(key).value for key in sorted(keys)]

    front = [merits(one) for one in said.ranking if one.on_front]
    assert front
    for one in said.ranking:
        beaten = any(
            other != merits(one) and all(a >= b for a, b in zip(other, merits(one), strict=True)) for other in front
        )
        assert one.on_front != beaten


PAPER = published.paper()


BOOK = Formulas(tuple(METHODS.values()))
TITLES = {method.name: method.title for method in METHODS.values()}


def network_of(one):
    """What formulas are asked of."""
    return Network(
        method=one.method,
        padding=one.padding,
        size=one.size,
        image=one.cost_image,
        classes=one.classes,
        kernel_size=one.kernel_size,
    )


def of_paper(paper=PAPER, *, batch=1, book=BOOK, image=None):
    return published_choices(paper, method_facts(METHODS.values()), batch=batch, image=image, book=book)


def trained(choices):
    return [one for one in choices if one.seeds]


def first(*constraints, data="cifar10", objective=CRA, paper=PAPER, **options):
    said = answer(
        Question(objective=objective, constraints=constraints),
        [one for one in of_paper(paper, **options) if one.data == data],
    )
    return said.fitting[0].choice


def with_changed(**changes):
    """The paper's tables with other certified accuracies: method and size, and by how many points."""

    def changed(row):
        points = changes.get(f"{row.method}_{row.size}", 0)
        return row.model_copy(update={"cra36": row.cra36 + points})

    return replace(PAPER, accuracy=tuple(map(changed, PAPER.accuracy)))


class TestGuidelines:
    """What the paper concludes, from its tables alone; and where the tables say otherwise, otherwise."""

    def test_with_plentiful_compute_soc(self):
        best = first()
        assert (best.method, best.size, best.budget) == ("soc", "M", "24h")
        assert first(paper=with_changed(soc_M=-9, soc_L=-9)).method == "cpl"

    def test_within_two_hours_cpl(self):
        best = first(limit("train_time", 7200))
        assert (best.method, best.size) == ("cpl", "M")
        assert first(limit("train_time", 7200), paper=with_changed(aol_S=9)).method == "aol"

    def test_without_overhead_in_inference_aol_or_bcop(self):
        said = answer(
            Question(objective=CRA, constraints=(limit("latency_ratio", 1.05),)),
            [one for one in trained(of_paper()) if one.data == "cifar10"],
        )
        fitting = [one.choice for one in said.fitting]
        assert {one.method for one in fitting if one.kernel_size == 3} == {"aol", "bcop"}
        assert {one.method for one in fitting} == {"aol", "bcop", "cayley", "lot", "soc"}, "1x1 kernels are matrices"
        assert {one.choice.method for one in said.tied} == {"aol", "bcop"}, "by the test images they are the same"
        assert all(one.judgements[0].number.basis == "theory" for one in said.ranking if one.status != "unknown")
        assert {one.choice.method for one in said.ranking if one.status == "unknown"} == {"bnb", "cayley", "lot"}
        assert {one.choice.method for one in said.ranking if one.status == "fails"} == {"cpl", "sll", "soc"}
        assert all(one.judgements[0].sure for one in said.ranking if one.status == "fails")
        assert not any(one.judgements[0].sure for one in said.fitting), "what formulas say is not that exact"

    def test_the_formulas_decide_over_inference(self):
        swapped = {"aol": "cpl", "cpl": "aol"}

        def book(network, *, train_batch, batch):
            other = replace(network, method=swapped.get(network.method, network.method))
            return BOOK(other, train_batch=train_batch, batch=batch)

        assert first(limit("latency_ratio", 1.05), book=book).method == "cpl"

    def test_what_the_logs_say_of_budgets_is_part_of_the_spread(self):
        best = first()
        assert best.number("train_time").value == 24 * 3600
        assert best.number("train_time").high == pytest.approx(88.87 * 3600)
        said = answer(Question(objective=CRA), [one for one in of_paper() if one.data == "cifar10"])
        (line,) = (line for line in words.details(said) if " rests on " in line)
        assert "its log says 88.87 h" in line, "though no training time was asked for"

    def test_runs_without_a_log_are_not_surely_as_long_as_their_budget(self):
        times = {(one.data, one.label): one.number("train_time") for one in of_paper() if one.method == "soc"}
        short, alike, other = (
            times["cifar10", "SOC M, 2h"],
            times["cifar100", "SOC M, 2h"],
            times["cifar10", "SOC L, 2h"],
        )
        assert short.high == alike.high == pytest.approx(7200 * 88.87 / 24)
        assert "by that of 24 h on CIFAR-10 this network took 3.70 times its budget" in short.evidence
        assert other.high == other.value == 7200, "of size L no log was published"
        said = answer(Question(objective=CRA, constraints=(limit("train_time", 7200),)), of_paper())
        assert not said.decided
        assert "; the training time of CPL M, 2h may not meet the limit" in words.headline(said)

    def test_published_steps_decide_over_formulas(self):
        ratios = {(one.data, one.label): one.number("train_step_ratio") for one in of_paper()}
        slow, fast = ratios["cifar10", "Cayley S, 2h"], ratios["cifar10", "CPL S, 2h"]
        assert slow.value / fast.value == pytest.approx(171.66 / 46.09)
        assert (slow.basis, fast.basis) == ("published", "published")
        assert "the step of CPL, the fastest published at this size" in slow.evidence
        for size in ("XS", "S", "M", "L"):
            steps = {one.method: one.ms_per_batch for one in PAPER.steps("cifar10", size) if one.method in METHODS}
            found = {name: ratios["cifar10", f"{TITLES[name]} {size}, 2h"].value for name in steps}
            assert sorted(found, key=found.get) == sorted(steps, key=steps.get)

    def test_what_collapsed_is_said(self):
        failed = {one.label: one.failed for one in trained(of_paper()) if one.failed}
        assert failed == {"CPL S, 24h": 1, "SLL S, 24h": 2, "SLL M, 24h": 2}
        vain = {(one.data, one.label): one.failed for one in of_paper() if not one.seeds}
        assert vain["cifar100", "CPL S, 10h"] == 1
        assert len(vain) == sum(result.collapsed for result in PAPER.accuracy)
        said = list(words.details(answer(Question(objective=CRA), [one for one in of_paper() if one.failed])))
        assert any("SLL M, 24h (2 of 3)" in line for line in said)
        assert any("CPL S, 10h (1 of 1, collapsed)" in line for line in said)

    def test_a_curve_that_is_not_published_says_why(self):
        reasons = {
            one.label: number.reason
            for one in of_paper()
            if one.data == "cifar10" and isinstance(number := one.number("cra72"), Missing)
        }
        assert "not whole" in reasons["Cayley L, 24h"]
        assert "CIFAR-10 with 3x3 kernels only" in reasons["Cayley L, 10h"]

    def test_frozen_networks_take_less_memory_by_theory(self):
        for one in trained(of_paper()):
            if one.method in METHODS:
                kept, frozen = one.number("inference_memory"), one.number("frozen_memory")
                assert (frozen.basis, frozen.value <= kept.value) == ("theory", True), one.label
                expected = BOOK(network_of(one), train_batch=256, batch=1).frozen_bytes
                assert frozen.value == expected

    def test_where_gradients_must_keep_their_norm_soc(self):
        assert first(Orthogonal()).method == "soc"
        assert first(Orthogonal(), limit("train_time", 7200)).method == "soc"
        assert first(Orthogonal(), paper=with_changed(soc_M=-9, soc_L=-9, soc_S=-9, soc_XS=-9)).method == "bcop", (
            "LOT has zeros"
        )

    def test_two_hours_on_a_card_of_eight_gigabytes(self):
        best = first(limit("train_time", 7200), limit("train_memory", 8e9))
        assert best.method == "cpl"
        assert best.number("train_memory").basis == "theory"
        small = first(limit("train_time", 7200), limit("train_memory", 5e8))
        assert small.size == "XS"

    def test_kernels_of_one_pixel_never_come_first(self):
        for hours in (2, 10, 24):
            assert first(limit("train_time", 3600 * hours)).kernel_size == 3

    def test_for_other_images_training_times_are_not_known_and_costs_are_by_formula(self):
        found = [one for one in of_paper(image=(3, 128, 128)) if one.data == "tiny_imagenet"]
        assert {type(one.number("train_time")) for one in found} == {Missing}
        assert {one.number("train_step_ratio").basis for one in found} == {"theory"}


def test_the_command_answers_for_scripts():
    found = onelip("recommend", "--records", "published", "--max-train-time", "2h", "--json")
    assert found.exit_code == 0, found.stderr
    said = json.loads(found.stdout)
    best = said["ranking"][0]
    assert (best["method"], best["size"], best["status"]) == ("cpl", "M", "meets")
    assert best["meets"] == ["train_time"]
    assert best["fails"] == []
    assert best["judgements"]["train_time"]["margin"] == 0
    assert said["front"]
    last = [row for row in said["ranking"] if row["seeds"]][-1]
    assert last["fails"] == ["train_time"]


@pytest.mark.parametrize("how", [(), ("--markdown",), ("--all",)])
def test_the_command_answers_for_people(how):
    found = onelip("recommend", "--records", "published", "--max-latency-ratio", "1.05", *how)
    assert found.exit_code == 0, found.stderr
    plain = " ".join(found.stdout.replace("\\", "").split())
    assert "but the data do not tell it apart from" in plain
    assert "rules out" in plain
    assert "by theory" in plain
    assert "it acts per frequency, which took 1.9 to 3 times as long as its operations say" in plain


def test_what_is_not_known_of_a_published_network_is_known_after_its_remedy(here):
    asked = ("recommend", "--methods", "lot", "--sizes", "XS", "--batch", 4, "--max-latency-ratio", 100, "--json")
    unknown = json.loads(onelip(*asked, "--records", "published").stdout)["ranking"]
    wanted = next(row for row in unknown if row["kernel_size"] == 3)
    remedy = wanted["judgements"]["latency_ratio"]["remedy"]
    command, reading = re.fullmatch(
        r"onelip (.* --out FOLDER) measures it here, and onelip (.*) reads that", remedy
    ).groups()
    done = onelip(*command.replace("FOLDER", "mine").split(), "--rounds", 1)
    assert done.exit_code == 0, done.stderr
    assert reading == "recommend FOLDER"
    found = onelip(*asked, "mine")
    assert found.exit_code == 0, found.stderr
    (row,) = (
        row
        for row in json.loads(found.stdout)["ranking"]
        if (row["kernel_size"], row["budget"]) == (3, wanted["budget"])
    )
    judged = row["judgements"]["latency_ratio"]
    assert (judged["basis"], row["source"]) == ("measured", "published")
    assert judged["evidence"].startswith("cost-XS-3x32x32-b4-cpu on ")


def at_revision(session, revision):
    """A session as if it had measured other revisions."""
    entries = [
        one.model_copy(update={"method": one.method.model_copy(update={"revision": revision})})
        for one in session.entries
    ]
    return session.model_copy(update={"entries": tuple(entries)})


def test_a_session_of_another_network_says_nothing_of_a_published_one(sample_records):
    (one,) = (one for one in of_paper() if (one.data, one.label) == ("cifar10", "CPL XS, 24h"))
    session = at_revision(
        sample_records.cost_record().model_copy(update={"image": (3, 32, 32), "width": 16, "batch_size": 256}), 3
    )
    assert one.revision == 3
    found = with_sessions(one, [session], width=16, batch=1)
    place = session.machine.device_name
    assert {key for key in one.numbers if one.number(key) != found.number(key)} == {
        "latency",
        "latency_ratio",
        "train_memory",
        "train_step_ratio",
    }
    assert found.number("latency").place == place
    assert found.number("train_memory").evidence == f"{session.id} on {place}, batch 256"
    for changes in ({"width": 32}, {"kernel_size": 1}, {"image": (3, 64, 64)}):
        assert with_sessions(one, [session.model_copy(update=changes)], width=16, batch=1) == one
    assert with_sessions(one, [at_revision(session, 2)], width=16, batch=1) == one
    assert isinstance(with_sessions(one, [session], width=16, batch=7).number("latency"), Missing)
    said = answer(Question(objective=QUANTITIES["latency"], constraints=(limit("train_time", 1e6),)), [found])
    assert any(f"Times are of one A100-80GB and {place}" in line for line in words.details(said))


def test_no_place_is_said_of_times_that_are_not_known():
    dark = replace(choice("dark", cra36=0.5, latency=Missing(reason="not measured")), place="elsewhere")
    said = answer(Question(objective=QUANTITIES["latency"]), [dark, choice("light", cra36=0.5, latency=0.1)])
    assert "Times are of here, and yours may be others." in list(words.details(said))
    assert not any("Times are of" in line for line in words.details(answer(said.question, [dark])))


def test_records_of_ones_own_are_read(sample_records, here):
    sample_records.write(here / "mine", *(sample_records.train_record(name) for name in ("aol", "cpl")))
    found = onelip("recommend", "mine", "--records", "measured", "--json")
    assert found.exit_code == 0, found.stderr
    assert {row["source"] for row in json.loads(found.stdout)["ranking"]} == {"measured"}
    limited = onelip("recommend", "mine", "--records", "measured", "--max-latency", "5ms")
    assert limited.exit_code == 1
    assert "Nothing is known to meet everything" in " ".join(limited.stdout.split())
    assert "onelip measure" in " ".join(limited.stdout.split())


def test_a_folder_is_read_once_and_may_stand_behind_records(sample_records, here):
    sample_records.write(here / "all" / "mine", *(sample_records.train_record(name) for name in ("aol", "cpl")))
    alone = onelip("recommend", "--records", "all/mine", "--json")
    assert alone.exit_code == 0, alone.stderr
    assert alone.stdout == onelip("recommend", "all/mine", "--records", "measured", "--json").stdout
    for folders in (("all/mine", "all/mine"), ("all", "all/mine"), ("all/mine", "all")):
        assert onelip("recommend", *folders, "--records", "measured", "--json").stdout == alone.stdout, folders


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-latency", "5 parsec"), "--max-latency '5 parsec' is not allowed"),
        (("--min-accuracy", "70"), "did you mean 70%?"),
        (("--maximise", "speed"), "'speed' is not one of accuracy"),
        (("--maximise", "latency"), "write --minimise latency"),
        (("--minimise", "cra36"), "write --maximise cra36"),
        (("--maximise", "cra36", "--minimise", "latency"), "exclude each other"),
        (("--records", "ours"), "records 'ours' is not one of both, measured, published"),
        (("--records", "ours"), "folders of records are named without an option"),
        (("--records", "measured"), "no folder was named, and there is no folder results; onelip compare"),
        (("nowhere",), "nowhere does not exist"),
        (("afile",), "afile is no folder; name one that"),
        (("--data", "CIFAR-10"), "did you mean cifar10?"),
        (("--sizes", "xs"), "; there are XS, S, M, L; did you mean XS?"),
        (("--data", "imagenette"), "no network was trained on 'imagenette'; there are cifar10"),
        (("--sizes", "XXL"), "no network of size XXL was trained by aol, bcop, "),
        (("--sizes", "7"), "no network of size 7"),
        (("--methods", "cplx"), "did you mean cpl"),
        (("--image", "big"), "--image 'big' is not allowed"),
        (("--image", "32x48"), "takes square images"),
        (("--image", "100"), "square images of side 8, 16"),
        (("--json", "--markdown"), "exclude each other"),
    ],
)
def test_wrong_questions_are_refused(arguments, message, here):
    (here / "afile").write_text("no record")
    refused = onelip("recommend", *arguments)
    assert refused.exit_code == 2, refused.stdout
    assert message in refused.stderr


def test_a_default_folder_of_costs_alone_is_named(tmp_path):
    shutil.copytree(Path(__file__).parents[1] / "results" / "speed", tmp_path / "results")
    refused = onelip("recommend", "--records", "measured")
    assert refused.exit_code == 2, refused.stdout
    assert "no trained network in results; onelip compare or onelip grid makes records" in refused.stderr


def test_nothing_fits_is_no_success():
    found = onelip("recommend", "--records", "published", "--min-accuracy", "0.9", "--max-train-time", "2h")
    assert found.exit_code == 1
    said = " ".join(found.stdout.split())
    assert "Nothing meets everything." in said
    assert '"accuracy \u2265 90.0 %" rules out' in said
