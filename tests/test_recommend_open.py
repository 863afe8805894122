"""What is open does not decide: unknown numbers, near misses, few samples, one method, records that cannot be used."""

import json
import shlex
from dataclasses import replace

import pytest
from tests.test_recommend import CRA, PAPER, at_revision, choice, known, limit, of_paper
from typer.testing import CliRunner

from onelip import METHODS
from onelip.bench import published
from onelip.bench.candidates import candidates, evidence
from onelip.bench.recommend import words
from onelip.bench.recommend.answer import answer
from onelip.bench.recommend.facts import kernel_fact
from onelip.bench.recommend.judging import Constraint, Orthogonal
from onelip.bench.recommend.options import Known, Missing, told_apart
from onelip.bench.recommend.quantities import QUANTITIES
from onelip.bench.recommend.ranking import ranking_table
from onelip.bench.recommend.weighing import Question
from onelip.bench.records import Started
from onelip.bench.results import load_records
from onelip.cli import app

DARK = Missing(reason="not measured")
FAST = limit("latency", 0.01)
SMALL = limit("train_memory", 1e9)


def asked(*constraints, objective=CRA):
    return Question(objective=objective, constraints=constraints)


def onelip(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


def near(value, reach):
    return Known(value=value, low=value - reach, high=value + reach, basis="theory", evidence="a test")


def test_what_misses_a_limit_within_its_spread_and_would_be_first_undoes_the_choice():
    best = choice("best", cra36=0.6, latency=0.005)
    missing = choice("near", cra36=0.8, latency=near(0.011, 0.002))
    said = answer(asked(FAST), [best, missing])
    assert [one.choice.method for one in said.rivals] == ["near"]
    assert not said.decided
    assert "would come before it, if its inference time turned out to fit" in words.headline(said)
    surely = answer(asked(FAST), [best, choice("far", cra36=0.8, latency=near(0.02, 0.002))])
    assert (surely.decided, surely.rivals) == (True, ())
    worse = answer(asked(FAST), [best, choice("near", cra36=0.5, latency=near(0.011, 0.002))])
    assert worse.decided


def test_each_method_that_would_be_first_is_named_once_the_best_before():
    best = choice("best", cra36=0.5, latency=0.005)
    dark = [choice("dark", size=size, cra36=share, latency=DARK) for size, share in (("XS", 0.6), ("S", 0.7))]
    said = answer(asked(FAST), [best, *dark, choice("other", cra36=0.65, latency=DARK)])
    assert [one.choice.label for one in said.rivals] == ["DARK S, 2h", "OTHER XS, 2h"]
    assert "; DARK S, 2h (CRA 36 70.0 %, measured) would come before it" in words.headline(said)
    (line,) = (line for line in words.details(said) if line.startswith("Likewise "))
    assert line == (
        "Likewise OTHER XS, 2h (CRA 36 65.0 %, measured) would come before BEST XS, 2h, if its inference time turned "
        "out to fit."
    )


def test_what_would_be_tied_if_it_fitted_undoes_the_choice_too():
    best, dark = choice("best", cra36=known(0.6, 0.02), latency=0.005), choice("dark", cra36=0.59, latency=DARK)
    said = answer(asked(FAST), [best, dark])
    assert (said.decided, [one.choice.method for one in said.rivals]) == (False, ["dark"])
    assert "would not be told apart from it, if its inference time turned out to fit" in words.headline(said)
    own = answer(asked(FAST), [best, replace(dark, method="best"), choice("far", cra36=0.1, latency=0.001)])
    assert own.decided, "of the same method it would be no other answer"


def test_a_method_of_which_nothing_is_known_undoes_the_choice():
    said = answer(asked(), [choice("one", cra36=0.6), choice("two", cra36=0.1), choice("dark", cra36=DARK)])
    assert (said.decided, [one.method for one in said.unsought]) == (False, ["dark"])
    assert words.headline(said).endswith("comes first of what is known; the CRA 36 of DARK is not known.")
    nothing = Missing(reason="no more is certified than of a constant answer", settled=True)
    settled = answer(asked(), [choice("one", cra36=0.6), choice("two", cra36=0.1), choice("flat", cra36=nothing)])
    assert settled.decided
    assert settled.ranking[-1].status == "fails"


def test_what_is_out_says_nothing_of_what_is_not_known():
    """Neither is it missed, nor does it speak for another network of its method."""
    seconds, share = QUANTITIES["latency"], limit("cra36", 0.5)
    others = [choice("one", cra36=0.6, latency=0.005), choice("two", cra36=0.6, latency=0.05)]
    out = choice("dark", cra36=0.1, latency=DARK)
    assert answer(asked(share, objective=seconds), [*others, out]).decided
    spoken_for = choice("dark", size="S", cra36=0.7, latency=DARK)
    told = choice("dark", cra36=0.1, latency=0.001)
    assert not answer(asked(share, objective=seconds), [*others, told, spoken_for]).decided


def test_what_certifies_nothing_misses_every_limit_of_that():
    nothing = Missing(reason="no more is certified than of a constant answer", settled=True)
    flat = choice("flat", accuracy=0.99, cra36=nothing)
    accuracy = QUANTITIES["accuracy"]
    good, weak = choice("good", accuracy=0.5, cra36=0.4), choice("weak", accuracy=0.1, cra36=0.4)
    said = answer(asked(limit("cra36", 0.3), objective=accuracy), [flat, good, weak])
    assert (said.rivals, said.decided) == ((), True)
    bare = answer(asked(limit("cra36", 0.3), objective=accuracy), [flat])
    assert words.headline(bare) == "No network certifies more than a constant answer."


def test_times_and_bytes_are_told_apart_where_their_spreads_do_not_meet():
    """Room that formulas leave is no chance, and quartiles of eight samples are no interval of the median."""
    small = QUANTITIES["train_memory"]
    one, other = choice("one", train_memory=near(4e8, 1e8)), choice("other", train_memory=near(5.5e8, 1e8))
    assert not answer(asked(objective=small), [one, other]).decided
    far = choice("other", train_memory=near(7e8, 1e8))
    assert answer(asked(objective=small), [one, far]).decided


def test_other_networks_of_the_best_method_that_are_as_good_are_named():
    best = choice("one", cra36=known(0.6, 0.02))
    said = answer(asked(), [best, choice("one", size="S", cra36=0.59), choice("two", cra36=0.1)])
    assert said.decided
    assert "Of ONE itself the data do not tell ONE XS, 2h apart from ONE S, 2h." in list(words.details(said))


def test_what_only_some_networks_of_a_method_lack_is_said_so():
    networks = [choice("one", cra36=0.6, latency=0.01), choice("one", size="S", cra36=0.5, latency=DARK)]
    said = answer(asked(FAST), [*networks, choice("two", cra36=0.1, latency=DARK)])
    (line,) = (line for line in words.details(said) if line.startswith("No inference time"))
    assert line == "No inference time of TWO and some networks of ONE: not measured."


def test_what_misses_one_limit_within_its_spread_and_is_not_known_of_another_may_fit():
    one = choice("one", cra36=0.6, train_memory=near(1.1e9, 2e8), latency=DARK)
    said = answer(asked(SMALL, FAST), [one, choice("far", cra36=0.7, train_memory=9e9, latency=0.001)])
    assert said.possible is not None
    assert words.headline(said) == (
        "Nothing surely meets everything; ONE XS, 2h may (training memory 1.10 GB, 900 MB to 1.30 GB, by theory and "
        "inference time not known)."
    )
    other = choice("other", cra36=0.5, train_memory=near(1.1e9, 2e8), latency=0.001)
    assert answer(asked(SMALL, FAST), [one, other]).possible.choice is other, "of it all is known"


def test_there_is_nothing_to_choose_of_one_method():
    alone = answer(asked(), [choice("one", cra36=0.6), choice("one", size="S", cra36=0.2)])
    assert not alone.decided
    assert "ONE XS, 2h (CRA 36 60.0 %, measured) comes first, and no other method is there" in words.headline(alone)
    assert any("Only ONE is among the choices" in line for line in words.details(alone))
    failed = replace(choice("two", cra36=DARK), seeds=0, failed=1)
    assert not answer(asked(), [choice("one", cra36=0.6), failed]).decided, "what failed is no other method"


def test_few_samples_decide_nothing():
    quick, slow = (replace(known(value, 0.0001), few=True) for value in (0.001, 0.009))
    seconds = QUANTITIES["latency"]
    said = answer(asked(objective=seconds), [choice("quick", latency=quick), choice("slow", latency=slow)])
    assert (said.decided, len(said.tied)) == (False, 2)
    many = [choice(name, latency=replace(time, few=False)) for name, time in (("quick", quick), ("slow", slow))]
    assert answer(asked(objective=seconds), many).decided
    limited = answer(asked(FAST), [choice("quick", cra36=0.6, latency=quick), choice("slow", cra36=0.1, latency=0.001)])
    assert not limited.decided
    assert "Its inference time meets the limit, but it is of too few samples." in list(words.details(limited))
    assert "of too few samples" in ranking_table(limited).lines[0].cells[1].note


def test_a_network_whose_training_failed_is_no_choice_however_fast_it_is():
    failed = replace(choice("failed", latency=0.001, cra36=DARK), seeds=0, failed=1)
    said = answer(asked(objective=QUANTITIES["latency"]), [failed, choice("good", cra36=0.4, latency=0.002)])
    assert said.fitting[0].choice.method == "good"
    assert [line.cells[-2].text for line in ranking_table(said).lines] == ["meets all", "training failed"]
    assert (said.rivals, said.possible) == ((), None)
    assert words.headline(answer(asked(), [failed])) == "No training came to its end."
    within = answer(asked(limit("latency", 0.0009), objective=QUANTITIES["latency"]), [failed])
    assert within.possible is None


def test_what_failed_is_in_no_count_on_no_front_and_below_what_misses_a_limit():
    failed = [
        replace(choice("one", size=size, cra36=DARK, latency=DARK, orthogonal=False), seeds=0, failed=1)
        for size in ("S", "M")
    ]
    slow, dark = choice("one", cra36=0.5, latency=0.5), choice("other", cra36=0.4, latency=DARK)
    said = answer(asked(FAST, Orthogonal()), [*failed, slow, dark])
    assert all(blame.ruled_out <= 2 for blame in said.blames)
    assert not any(one.on_front for one in said.ranking if not one.choice.seeds)
    assert said.per_method[1].choice is slow
    assert [one.choice.seeds for one in said.ranking] == [1, 1, 0, 0]


def test_costs_of_what_failed_are_not_filled_in_again(sample_records, tmp_path):
    """The failed one would be the fastest."""
    runs = [sample_records.train_record("aol", status="diverged", message="the loss is not finite")]
    runs += [sample_records.train_record(name) for name in ("bcop", "cpl")]
    sample_records.write(tmp_path, *runs, sample_records.cost_record())
    for options in (("--minimise", "latency"), ("--minimise", "latency", "--max-latency", "0.1ms")):
        found = json.loads(onelip("recommend", tmp_path, "--records", "measured", "--json", *options).stdout)
        (failed,) = (row for row in found["ranking"] if row["method"] == "aol")
        assert failed["objective"]["value"] is None
        assert not any("AOL" in line for line in (found["answer"], *map(str, found["rivals"])))


def test_to_take_something_is_to_have_decided():
    best, other = choice("best", cra36=0.6, latency=near(0.009, 0.002)), choice("other", cra36=0.1, latency=0.001)
    said = answer(asked(FAST), [best, other])
    assert not said.decided
    assert words.headline(said).endswith("comes first; its inference time may not meet the limit.")
    sure = answer(asked(FAST), [choice("best", cra36=0.6, latency=0.005), other])
    assert (sure.decided, words.headline(sure)[:10]) == (True, "Take BEST ")


def test_nothing_is_on_a_front_of_nothing():
    bare = [choice(name, cra36=DARK, train_time=DARK, latency=DARK) for name in ("one", "two")]
    assert not any(one.on_front for one in answer(asked(objective=QUANTITIES["latency"]), bare).ranking)


def test_the_front_compares_numbers_that_carry_the_places_where_they_were_measured():
    dear = choice("dear", cra36=0.5, train_time=9.0, train_memory=replace(known(5e8), place="there"))
    cheap = choice("cheap", cra36=0.6, train_time=8.0, train_memory=replace(known(4e8), place="elsewhere"))
    front = [one.choice.method for one in answer(asked(SMALL), [dear, cheap]).ranking if one.on_front]
    assert front == ["cheap"]
    elsewhere = replace(dear, place="elsewhere")
    assert len([one for one in answer(asked(SMALL), [elsewhere, cheap]).ranking if one.on_front]) == 2, "times"


def test_the_front_is_of_what_is_known_of_any():
    bare = [choice(name, cra36=share, train_time=DARK) for name, share in (("one", 0.5), ("two", 0.6))]
    said = answer(asked(), bare)
    assert [one.choice.method for one in said.ranking if one.on_front] == ["two"]
    assert said.weighed == ("CRA 36",)


def test_what_fails_with_another_limit_is_told_from_what_is_not_known():
    both = choice("both", cra36=0.5, train_memory=9e9, latency=0.5)
    dark = choice("dark", cra36=0.5, train_memory=9e9, latency=DARK)
    line = next(words.details(answer(asked(SMALL, FAST), [both, dark])))
    assert "rules out 2 of 2 networks, 1 of them together with another limit; of the others not all else" in line
    (line, _) = list(words.details(answer(asked(SMALL, FAST), [both])))[:2]
    assert "rules out 1 of 1 networks, all of them together with another limit." in line


@pytest.mark.parametrize(
    ("key", "given", "shown"),
    [
        ("train_time", "2h", "training time \u2264 2.00 h"),
        ("train_time", "119m59s", "training time \u2264 119m59s"),
        ("accuracy", "76.95%", "accuracy \u2265 76.95%"),
        ("accuracy", "0.7", "accuracy \u2265 70.0 %"),
        ("train_memory", "8GiB", "training memory \u2264 8GiB"),
        ("latency_ratio", "1.05", "relative inference time \u2264 \u00d71.05"),
        ("latency_ratio", "0.004", "relative inference time \u2264 0.004"),
        ("latency", "12us", "inference time \u2264 12.0 \u00b5s"),
    ],
)
def test_a_limit_is_said_as_it_was_given_where_its_digits_do_not_show_it(key, given, shown):
    quantity = QUANTITIES[key]
    assert Constraint(quantity=quantity, limit=quantity.read(given), given=given).text == shown


def test_labels_tell_choices_apart():
    one = choice("one", cra36=0.5)
    alike = [one, replace(one, padding="zeros"), replace(one, place="there"), replace(one, records=("other",))]
    labels = [found.label for found in told_apart(alike)]
    assert len(set(labels)) == 4
    assert [found.label for found in told_apart([one])] == ["ONE XS, 2h"]


def test_pairs_of_kernels_that_collapsed_are_counted():
    results = [one for one in PAPER.accuracy if one.data == "cifar10"]
    guideline = next(one for one in published.guidelines() if one.key == "kernels")
    fact = kernel_fact(guideline, results)
    there = {(one.method, one.size, one.hours, one.kernel): one.collapsed for one in results}
    pairs = [there[key] or there[(*key[:3], 3)] for key in there if key[3] == 1 and (*key[:3], 3) in there]
    assert any(pairs)
    assert f"Of {pairs.count(False)} networks" in fact.sentence
    assert f"({sum(pairs)} pairs with a network that collapsed left out)" in fact.sentence


def test_published_collapses_are_no_choices_and_said():
    said = answer(asked(), [one for one in of_paper() if (one.data, one.method) == ("cifar100", "cpl")])
    assert all(one.choice.seeds for one in said.fitting)
    (line,) = (line for line in words.details(said) if line.startswith("Seeds that failed"))
    assert "CPL S, 10h (1 of 1, collapsed)" in line
    assert "CPL S, 24h (1 of 1, collapsed)" in line


LARGE = {"image": (1, 64, 64), "width": 8}
"""What a session of size XS says of itself on larger images."""


class TestRecords:
    """Files that lie in a folder and do not count."""

    @pytest.fixture
    def folder(self, sample_records, tmp_path):
        runs = [sample_records.train_record(name) for name in ("aol", "cpl")]
        sample_records.write(tmp_path / "mine", *runs, sample_records.cost_record())
        return tmp_path / "mine"

    def recommend(self, folder, *options):
        found = onelip("recommend", folder, "--records", "measured", "--json", *options)
        assert found.exit_code in {0, 1}, found.stderr
        return json.loads(found.stdout)

    def test_a_cut_record_is_named(self, folder):
        assert not any("Not used" in line for line in self.recommend(folder)["details"])
        (best,) = folder.glob("cpl-*/record.json")
        best.write_text(best.read_text()[:200])
        found = self.recommend(folder)
        assert {row["method"] for row in found["ranking"]} == {"aol"}
        assert found["details"][0].startswith(f"Not used, 1 file of {folder}: cpl-")
        assert f"onelip report {folder} lists them" in found["details"][0]

    def test_a_folder_of_cut_records_is_not_called_empty(self, folder):
        for path in folder.rglob("*.json"):
            path.write_text("{")
        refused = onelip("recommend", folder, "--records", "measured")
        assert refused.exit_code == 2
        assert "no trained network" in refused.stderr
        assert "Not used, 3 files of " in " ".join(refused.stderr.split())

    def test_a_run_that_was_begun_is_named(self, folder, sample_records):
        begun = sample_records.train_record("lot")
        facts = {name: getattr(begun, name) for name in ("cell", "method", "machine", "started")}
        (folder / begun.cell.id).mkdir()
        (folder / begun.cell.id / "run.json").write_text(Started(**facts).model_dump_json())
        (first, *_) = self.recommend(folder)["details"]
        assert first == f"Not finished, 1 run in {folder}, of which {begun.cell.id} is one."

    def test_a_session_of_another_revision_does_not_count_for_published_networks(self, sample_records, tmp_path):
        session = sample_records.cost_record().model_copy(update={"image": (3, 32, 32)})
        sample_records.write(tmp_path, at_revision(session, 9))
        found = onelip("recommend", tmp_path, "--max-latency", "1s", "--json")
        rows = json.loads(found.stdout)
        assert all(row["judgements"]["latency"]["value"] is None for row in rows["ranking"])
        assert any("measured other revisions of AOL" in line for line in rows["details"])

    def test_a_session_of_the_revision_of_the_runs_counts_for_them(self, folder):
        """Though this onelip has another revision by now."""
        found = self.recommend(folder, "--max-latency", "1s")
        assert {run.method.revision for run in load_records(folder).train} == {1}
        assert {row["judgements"]["latency"]["basis"] for row in found["ranking"]} == {"measured"}
        assert not any("other revisions" in line and "CPL" in line for line in found["details"])

    def test_one_run_is_no_measure_of_how_long_trainings_take(self, sample_records, tmp_path):
        for folder, seeds in (("one", 1), ("two", 2)):
            runs = [
                sample_records.train_record(name, budget="5epochs", seed=seed, record_seconds=seconds + seed / 10)
                for name, seconds in (("aol", 20.0), ("cpl", 20.2))
                for seed in range(seeds)
            ]
            sample_records.write(tmp_path / folder, *runs)
            assert not self.recommend(tmp_path / folder, "--minimise", "train-time")["decided"]

    def test_a_constant_answer_is_settled_only_by_what_does_not_exceed_it(self, sample_records, tmp_path):
        """Of 360 images 36 are of the largest class: 40 are more, and by less than their spread."""
        results = {"aol": sample_records.exactly(40), "cpl": sample_records.exactly(20)}
        sample_records.write(
            tmp_path, *(sample_records.train_record(name, result=result) for name, result in results.items())
        )
        rows = {row["method"]: row for row in self.recommend(tmp_path, "--min-cra36", "11%")["ranking"]}
        assert {name: (row["status"], row["objective"]["settled"]) for name, row in rows.items()} == {
            "aol": ("unknown", False),
            "cpl": ("fails", True),
        }

    def test_evidence_names_no_run_that_failed(self, sample_records, tmp_path):
        runs = [sample_records.train_record("aol"), sample_records.train_record("cpl")]
        lost = sample_records.train_record("aol", seed=1, status="diverged", message="the loss is not finite")
        sample_records.write(tmp_path, *runs, lost)
        (row,) = (row for row in self.recommend(tmp_path)["ranking"] if row["method"] == "aol")
        assert (row["records"], row["seeds"], row["failed_seeds"]) == ([runs[0].cell.id], 1, 1)

    def test_sessions_elsewhere_count_where_the_images_are_the_same(self, sample_records, tmp_path):
        sample_records.write(tmp_path / "runs", *(sample_records.train_record(name) for name in ("aol", "cpl")))
        sample_records.write(tmp_path / "session", sample_records.cost_record())
        where = ("recommend", tmp_path / "runs", tmp_path / "session", "--records", "measured", "--max-latency", "1s")
        plain, sized = (json.loads(onelip(*where, "--json", *options).stdout) for options in ((), ("--image", "8")))
        assert [row["status"] for row in plain["ranking"]] == ["meets", "meets"]
        assert plain["ranking"] == sized["ranking"]

    def test_what_is_named_twice_is_said_once(self, folder, sample_records):
        (path,) = folder.glob("aol-*/record.json")
        path.write_text("{")
        begun = sample_records.train_record("lot")
        facts = {name: getattr(begun, name) for name in ("cell", "method", "machine", "started")}
        (folder / begun.cell.id).mkdir()
        (folder / begun.cell.id / "run.json").write_text(Started(**facts).model_dump_json())
        details = json.loads(onelip("recommend", folder.parent, folder, "--records", "measured", "--json").stdout)[
            "details"
        ]
        assert [sum(word in line for line in details) for word in ("Not used", "Not finished")] == [1, 1]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                ("--methods", "soc", "--sizes", "XS"),
                "on digits; onelip compare --methods soc --data digits",
            ),
            (("--data", "foo"), "no network was trained on 'foo'; there are digits"),
        ],
    )
    def test_a_command_that_trains_is_named_where_there_is_one(self, options, message, folder):
        refused = onelip("recommend", folder, "--records", "measured", *options)
        assert refused.exit_code == 2
        assert message in refused.stderr
        assert ("onelip compare" in refused.stderr) == ("soc" in options)

    def test_costs_of_other_images_have_a_remedy(self, folder):
        asked_for = ("--image", "64", "--max-latency", "1s")
        (line,) = (
            line for line in self.recommend(folder, *asked_for)["details"] if line.startswith("No inference time")
        )
        assert "onelip measure" in line
        assert "--image 1x64x64" in line

    def test_a_method_of_several_settings_that_no_scan_chose_is_named(self, sample_records, tmp_path):
        rates = [sample_records.Recipe(learning_rate=rate) for rate in (0.1, 0.2)]
        runs = [sample_records.train_record("aol", recipe=recipe) for recipe in rates]
        sample_records.write(tmp_path, *runs, *(sample_records.train_record(name) for name in ("cpl", "lot")))
        found = self.recommend(tmp_path)
        statuses = {row["method"]: (row["label"], row["status"]) for row in found["ranking"]}
        assert statuses["aol"] == ("AOL XS, 20s", "unknown")
        assert any(line.startswith("No CRA 36 of AOL: it was run with several settings") for line in found["details"])

    def test_sessions_of_other_images_say_nothing_of_what_no_scan_chose_either(self, sample_records, tmp_path):
        rates = [sample_records.Recipe(learning_rate=rate) for rate in (0.1, 0.2)]
        runs = [sample_records.train_record("aol", recipe=recipe) for recipe in rates]
        sessions = [sample_records.cost_record(), sample_records.cost_record().model_copy(update=LARGE)]
        sample_records.write(tmp_path, *runs, sample_records.train_record("cpl"), *sessions)
        for options in ((), ("--image", "64")):
            rows = self.recommend(tmp_path, "--max-latency", "10s", *options)["ranking"]
            said = {row["method"]: row["judgements"]["latency"] for row in rows}
            assert said["cpl"]["basis"] == "measured"
            assert said["aol"]["value"] is None
            assert "several settings" in said["aol"]["reason"]

    @pytest.mark.parametrize("name", ["mine", "bnb"])
    def test_commands_name_a_method_of_ones_own_by_where_it_is(self, name, sample_records, tmp_path):
        """Also one that was published and is not in onelip; the others keep their names."""
        mine = replace(METHODS["aol"], name=name, title="Mine")
        runs = [sample_records.train_record(name, method=sample_records.method(name))]
        sample_records.write(tmp_path, *runs, sample_records.train_record("cpl"))
        everyone = [*METHODS.values(), mine]
        found = candidates(evidence([tmp_path], "both"), everyone, batch=7, image=None)
        said = {one.source: one.number("latency").remedy for one in found if one.method == name and one.seeds}
        assert set(said) == {"measured"} | ({"published"} if name == "bnb" else set())
        for remedy in said.values():
            command, reading = remedy.split(" measures it here, and ")
            assert command.startswith("onelip measure --method package.module:NAME --sizes ")
            assert reading == "onelip recommend --method package.module:NAME FOLDER reads that"
        others = {one.number("latency").remedy for one in found if one.method == "cpl" and one.seeds}
        assert all(remedy.startswith("onelip measure --methods cpl --sizes ") for remedy in others)
        assert all(remedy.endswith("and onelip recommend FOLDER reads that") for remedy in others)

    def test_a_remedy_for_a_measured_network_is_one(self, tmp_path, monkeypatch):
        """What the answer says would measure it is done, and then it is known: also at another batch."""
        monkeypatch.chdir(tmp_path)
        for name in ("aol", "bcop"):
            train = ("train", "--method", name, "--size", 4, "--budget", "1epoch", "--padding", "zeros")
            assert onelip(*train, "--out", tmp_path / "runs" / name).exit_code == 0
        for batch in ("1", "4"):
            question = ("--max-latency", "10s", "--batch", batch, "--methods", "aol")
            (line,) = (line for line in self.recommend("runs", *question)["details"] if "onelip measure" in line)
            command, reading = line[line.index("onelip measure") :].split(" measures it here, and ")
            assert reading.startswith("onelip recommend FOLDER reads that")
            words_of = shlex.split(command.replace("FOLDER", f"session{batch}"))[1:]
            done = onelip(*words_of, "--rounds", "8", "--limit", "1s")
            assert done.exit_code == 0, done.stderr
            found = onelip("recommend", "runs", f"session{batch}", "--records", "measured", "--json", *question)
            (row,) = json.loads(found.stdout)["ranking"]
            judged = row["judgements"]["latency"]
            assert (judged["status"], judged["basis"]) == ("meets", "measured")
