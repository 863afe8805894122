"""Scaling to the user's own machine: what is multiplied by what, and with which uncertainty."""

import json

import pytest
from typer.testing import CliRunner

from onelip import METHODS
from onelip.bench import published
from onelip.bench.recommend.calibrated import calibrated, factors, published_steps, recorded_steps
from onelip.bench.recommend.from_paper import published_choices
from onelip.bench.recommend.options import Known, Missing
from onelip.bench.results import Records
from onelip.bench.theory_costs import Formulas, method_facts
from onelip.cli import app

FACTS = method_facts(METHODS.values())
CIFAR = {"image": (3, 32, 32), "batch_size": 256, "size": "XS", "width": 16}


@pytest.fixture
def session(sample_records):
    """Of CIFAR-10's images: CPL's step takes 1 s here, AOL's 2 s."""

    def entry(name, seconds):
        found = sample_records.cost_entry(name)
        return found.model_copy(update={"train_step": (seconds,) * 9, "train_bytes": 400_000_000})

    names = {"cpl": 1.0, "aol": 2.0, "standard": 0.5}
    record = sample_records.cost_record(tuple(names), entries=tuple(entry(*one) for one in names.items()))
    return record.model_copy(update=CIFAR)


def choices(batch=1, book=None):
    found = published_choices(published.paper(), published.complexity(), FACTS, batch=batch, image=None, book=book)
    return [one for one in found if (one.data, one.kernel_size) == ("cifar10", 3)]


def test_training_times_are_multiplied_and_their_range_is_that_of_all_methods(session):
    steps = published_steps(session, published.epoch_budgets(), FACTS, "cifar10")
    assert steps["cpl", "zeros"] == pytest.approx(0.04394)
    slower = factors(session, steps)
    assert slower["cpl", "zeros"].value == pytest.approx(1 / 0.04394)
    assert slower["cpl", "zeros"].high == slower["aol", "circular"].value == pytest.approx(2 / 0.04389)
    found = {
        (one.method, one.size, one.budget): one for one in calibrated(choices(), session, slower, batch=1, book=None)
    }
    cpl = found["cpl", "M", "2h"].number("train_time")
    assert cpl.value == pytest.approx(7200 / 0.04394)
    assert cpl.high == pytest.approx(7200 * 2 / 0.04389)
    assert cpl.basis == "calibrated"
    other = found["lot", "XS", "2h"].number("train_time")
    assert cpl.low < other.value < cpl.high, "the median of those that were measured"
    assert {one.place for one in found.values()} == {session.machine.device_name}


def test_memory_by_formula_is_corrected_by_what_was_measured(session):
    book = Formulas(tuple(METHODS.values()))
    before = {(one.method, one.size, one.budget): one for one in choices(book=book)}
    slower = factors(session, published_steps(session, published.epoch_budgets(), FACTS, "cifar10"))
    after = {
        (one.method, one.size, one.budget): one
        for one in calibrated(list(before.values()), session, slower, batch=1, book=book)
    }
    small = after["cpl", "XS", "2h"].number("train_memory")
    assert (small.value, small.basis) == (400_000_000, "measured")
    ratio = 400_000_000 / before["cpl", "XS", "2h"].number("train_memory").value
    large = after["cpl", "M", "2h"].number("train_memory")
    assert large.value == pytest.approx(ratio * before["cpl", "M", "2h"].number("train_memory").value)
    assert large.basis == "calibrated"
    assert after["lot", "M", "2h"].number("train_memory") == before["lot", "M", "2h"].number("train_memory")


def test_our_own_records_are_scaled_by_their_own_session(session, sample_records):
    there = session.model_copy(
        update={"entries": tuple(entry.model_copy(update={"train_step": (0.25,) * 9}) for entry in session.entries)}
    )
    slower = factors(session, recorded_steps(session, Records(cost=(there,))))
    assert slower["aol", "circular"].value == pytest.approx(8)
    other = session.model_copy(update={"image": (1, 8, 8)})
    assert recorded_steps(session, Records(cost=(other,))) == {}


def test_without_a_common_network_times_are_not_known(session):
    found = calibrated(choices(), session, {}, batch=1, book=None)
    assert all(isinstance(one.number("train_time"), Missing) for one in found)
    assert isinstance(found[0].number("cra36"), Known), "accuracy does not depend on the machine"


def test_the_command_measures_this_machine(tmp_path, monkeypatch, session):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("onelip.bench.calibrate.measure_costs", lambda *_, **__: session)
    found = CliRunner().invoke(
        app, ["recommend", "--records", "published", "--calibrate", "--max-train-time", "48h", "--json"]
    )
    assert found.exit_code == 0, found.stderr
    best = json.loads(found.stdout)["ranking"][0]
    assert best["judgements"]["train_time"]["basis"] == "calibrated"
    assert best["place"] == session.machine.device_name
