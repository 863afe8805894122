"""What our own records offer to choose from: what is known of them, and what is no merit of a method."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from onelip import METHODS
from onelip.bench.recommend import words
from onelip.bench.recommend.answer import answer
from onelip.bench.recommend.judging import Constraint
from onelip.bench.recommend.measured import measured_choices
from onelip.bench.recommend.options import Missing
from onelip.bench.recommend.quantities import QUANTITIES
from onelip.bench.recommend.ranking import ranking_table
from onelip.bench.recommend.scripted import facts
from onelip.bench.recommend.weighing import Question
from onelip.bench.results import Records, load_records
from onelip.bench.theory_costs import Formulas
from onelip.cli import app


def test_our_records_are_choices_with_what_was_measured(sample_records):
    records = Records(
        train=tuple(sample_records.train_record(name, seed=seed) for name in ("aol", "cpl") for seed in (0, 1)),
        cost=(sample_records.cost_record(),),
    )
    found = {one.method: one for one in measured_choices(records, batch=1, book=None)}
    assert set(found) == {"aol", "cpl"}
    aol = found["aol"]
    assert (aol.seeds, aol.source, aol.data) == (2, "measured", "digits")
    assert aol.number("latency").basis == "measured"
    assert isinstance(aol.number("inference_memory"), Missing)
    assert "onelip measure" in aol.number("inference_memory").remedy
    cost = records.cost[0]
    whole = {one.method: one for one in measured_choices(records, batch=cost.batch_size, book=None)}
    assert whole["aol"].number("inference_memory").value > 0
    other = {one.method: one for one in measured_choices(records, batch=7, book=None)}
    assert "not of 7" in other["aol"].number("latency").reason
    by_formula = {one.method: one for one in measured_choices(records, batch=7, book=Formulas(tuple(METHODS.values())))}
    assert by_formula["aol"].number("inference_memory").basis == "theory"


def test_the_committed_records_know_which_methods_keep_norms():
    """Without the methods themselves, as the page knows them; LOT promises it with circular padding only."""
    records = load_records(Path(__file__).parents[1] / "results" / "cpu")
    kept = {one.method: one.orthogonal for one in measured_choices(records, batch=1, book=None)}
    assert kept == {"bcop": True, "cayley": True, "soc": True, "lot": None, "aol": False, "cpl": False, "sll": False}


def test_what_certifies_nothing_to_speak_of_is_said_where_that_was_not_asked_for(sample_records):
    result = sample_records.exactly(30)
    runs = (sample_records.train_record("aol"), sample_records.train_record("cayley", result=result))
    entries = [sample_records.cost_entry("aol"), sample_records.cost_entry("cayley", info=runs[1].method)]
    entries[1] = entries[1].model_copy(update={"latency": tuple(time / 9 for time in entries[1].latency)})
    records = Records(train=runs, cost=(sample_records.cost_record(entries=entries),))
    choices = measured_choices(records, batch=1, book=None)
    said = answer(Question(objective=QUANTITIES["latency"]), choices)
    assert words.headline(said).startswith("Take Cayley XS")
    assert "; certifies no more than a constant answer)" in words.headline(said)
    notes = {line.head: line.cells[-2].note for line in ranking_table(said).lines}
    assert notes == {"Cayley XS, 20s": "certifies no more than a constant answer", "AOL XS, 20s": ""}
    assert [row["certifies_more_than_constant"] for row in facts(said)["ranking"]] == [False, True]
    asked_for = answer(
        Question(objective=QUANTITIES["latency"], constraints=(Constraint(quantity=QUANTITIES["cra36"], limit=0.1),)),
        choices,
    )
    assert "certifies no more" not in "".join(map(str, words.sentences(asked_for))), "it is not known to meet the limit"


def test_what_runs_leave_of_a_budget_in_time_is_no_merit(sample_records):
    """Equal budgets are equal in the ranking and on the front, whatever runs took; epochs count as they were."""
    taken = {"aol": (17.0, 18.0), "cpl": (19.0, 21.5)}

    def choices(budget):
        runs = [
            sample_records.train_record(name, seed=seed, budget=budget, record_seconds=seconds)
            for name, both in taken.items()
            for seed, seconds in enumerate(both)
        ]
        return measured_choices(Records(train=tuple(runs)), batch=1, book=None)

    by_clock = {one.method: one.number("train_time") for one in choices("20s")}
    ends = {name: (one.low, one.value, one.high) for name, one in by_clock.items()}
    assert ends == {"aol": (17.0, 20.0, 20.0), "cpl": (19.0, 20.0, 21.5)}
    assert "which took 19.0 to 21.5 s of 20.0 s" in by_clock["cpl"].evidence
    said = answer(Question(objective=QUANTITIES["train_time"]), choices("20s"))
    assert {one.choice.method for one in said.tied} == {"aol", "cpl"}
    assert [one.choice.method for one in said.ranking if one.on_front] == ["cpl"], "it certifies more in the same time"
    by_epochs = {one.method: one.number("train_time") for one in choices("12epochs")}
    found = by_epochs["aol"]
    assert (found.low, found.value, found.high) == pytest.approx((17.0 / 1.1, 17.5, 18.0 * 1.1)), "there are two runs"
    guide = " ".join((Path(__file__).parents[1] / "docs" / "choosing.md").read_text(encoding="utf-8").split())
    for said in (found.evidence, guide):
        assert "a factor of 1.1 to either side" in said


def test_formulas_fill_in_what_was_not_measured_and_the_help_says_so(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    said = " ".join(CliRunner().invoke(app, ["recommend", "--help"]).stdout.replace("\u2502", " ").split())
    assert "Costs that are in neither are by formula" in said
