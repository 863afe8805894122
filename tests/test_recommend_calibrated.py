"""Scaling to the user's own machine: what is multiplied by what, and with which uncertainty."""

import json
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from onelip import METHODS
from onelip.bench import published
from onelip.bench.candidates import candidates, evidence, scaled_to_here
from onelip.bench.recommend.calibrated import Calibration, calibrated, factors, published_steps, recorded_steps
from onelip.bench.recommend.from_paper import PLACE, published_choices
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
    found = published_choices(published.paper(), FACTS, batch=batch, image=None, book=book)
    return [one for one in found if (one.data, one.kernel_size) == ("cifar10", 3)]


def published_here(session, *, book=None, sizes=False, batch=1):
    """This machine, compared with the published hardware."""
    budgets = published.epoch_budgets()

    def elsewhere(choice):
        return published_steps(budgets, FACTS, "cifar10", choice.size).get((choice.method, choice.padding))

    return Calibration(
        session=session,
        slower={PLACE: factors(session, published_steps(budgets, FACTS, "cifar10", "XS"))},
        elsewhere=elsewhere if sizes else lambda _: None,
        batch=batch,
        book=book,
    )


def by_name(found):
    return {(one.method, one.size, one.budget): one for one in found}


def test_training_times_are_multiplied_and_their_range_is_that_of_all_methods(session):
    known = published_here(session)
    slower = known.slower[PLACE]
    assert slower["cpl", "zeros"].value == pytest.approx(1 / 0.04394)
    assert slower["cpl", "zeros"].high == slower["aol", "circular"].value == pytest.approx(2 / 0.04389)
    found = by_name(calibrated(choices(), known))
    cpl = found["cpl", "XS", "2h"].number("train_time")
    assert cpl.value == pytest.approx(7200 / 0.04394)
    assert cpl.high == pytest.approx(7200 * 2 / 0.04389)
    assert cpl.basis == "calibrated"
    other = found["lot", "XS", "2h"].number("train_time")
    assert cpl.low < other.value < cpl.high, "the median of those that were measured"
    assert {one.place for one in found.values()} == {session.machine.device_name}


def test_other_sizes_are_between_the_measured_factor_and_that_of_operations(session):
    """On small networks the published hardware waits for itself; on large ones it computes."""
    known = published_here(session, book=Formulas(tuple(METHODS.values())), sizes=True)
    found = by_name(calibrated(choices(), known))
    small, large = (found["cpl", size, "2h"].number("train_time") for size in ("XS", "L"))
    assert small.value == pytest.approx(7200 / 0.04394)
    assert large.value > 1.5 * small.value, "64 times the operations, in 4 times the time there"
    assert large.high / large.low > small.high / small.low
    assert "by operations" in large.evidence


def test_memory_by_formula_is_corrected_by_what_was_measured(session):
    book = Formulas(tuple(METHODS.values()))
    before = by_name(choices(book=book))
    after = by_name(calibrated(list(before.values()), published_here(session, book=book)))
    small = after["cpl", "XS", "2h"].number("train_memory")
    assert (small.value, small.basis) == (400_000_000, "measured")
    ratio = 400_000_000 / before["cpl", "XS", "2h"].number("train_memory").value
    large = after["cpl", "M", "2h"].number("train_memory")
    assert large.value == pytest.approx(ratio * before["cpl", "M", "2h"].number("train_memory").value)
    assert large.basis == "calibrated"
    assert after["lot", "M", "2h"].number("train_memory") == before["lot", "M", "2h"].number("train_memory")


def test_inference_that_was_measured_elsewhere_is_not_known_here(session):
    slow = Known(value=1.0, low=1.0, high=1.0, basis="measured", evidence="elsewhere")
    there = [replace(one, numbers={**one.numbers, "latency": slow}) for one in choices()]
    found = by_name(calibrated(there, published_here(session)))
    assert isinstance(found["cpl", "M", "2h"].number("latency"), Missing)
    assert found["cpl", "XS", "2h"].number("latency").evidence == "measured here"
    remedy = found["cpl", "M", "2h"].number("latency").remedy
    assert remedy.startswith("onelip measure --methods cpl --sizes M --batch-size 1 --out FOLDER")
    measured = replace(slow, place=session.machine.device_name)
    followed = [replace(one, numbers={**one.numbers, "latency": measured}) for one in choices()]
    kept = by_name(calibrated(followed, published_here(session)))
    assert kept["cpl", "M", "2h"].number("latency") == measured, "measured here, though trained elsewhere"
    mine = [replace(one, place=session.machine.device_name) for one in there]
    kept = by_name(calibrated(mine, published_here(session)))
    assert kept["cpl", "M", "2h"].number("latency") == slow
    assert kept["cpl", "M", "2h"].number("train_time").value == 7200, "what was trained here took what it took"


def test_a_method_of_ones_own_is_measured_here_by_where_it_is(session, sample_records, tmp_path, monkeypatch):
    monkeypatch.setattr("onelip.bench.calibrate.measure_costs", lambda *_, **__: session)
    everyone = [*METHODS.values(), replace(METHODS["aol"], name="mine", title="Mine")]
    there = sample_records.MACHINE.model_copy(update={"device_name": "another machine"})
    info = sample_records.method("mine")
    sample_records.write(tmp_path, sample_records.train_record("mine", method=info, machine=there))
    read = evidence([tmp_path], "measured")
    found = candidates(read, everyone, batch=1, image=None)
    (one,) = scaled_to_here(found, read, everyone, batch=1, device=torch.device("cpu"), note=lambda *_: None)
    assert one.number("latency").reason == "not measured here at size XS"
    assert one.number("latency").remedy.startswith("onelip measure --method package.module:NAME --sizes XS ")


def test_our_own_records_are_scaled_by_sessions_of_their_own_place(session):
    entries = tuple(entry.model_copy(update={"train_step": (0.25,) * 9}) for entry in session.entries)
    there = session.model_copy(update={"entries": entries})
    place = session.machine.device_name
    slower = factors(session, recorded_steps(session, Records(cost=(there,)), place))
    assert slower["aol", "circular"].value == pytest.approx(8)
    assert recorded_steps(session, Records(cost=(there,)), "another") == {}
    other = session.model_copy(update={"image": (1, 8, 8)})
    assert recorded_steps(session, Records(cost=(other,)), place) == {}


def test_without_a_common_network_times_are_not_known(session):
    known = replace(published_here(session), slower={})
    found = calibrated(choices(), known)
    assert all(isinstance(one.number("train_time"), Missing) for one in found)
    assert isinstance(found[0].number("cra36"), Known), "accuracy does not depend on the machine"


def test_the_command_measures_this_machine(tmp_path, monkeypatch, session):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("onelip.bench.calibrate.measure_costs", lambda *_, **__: session)
    found = CliRunner().invoke(
        app, ["recommend", "--records", "published", "--calibrate", "--max-train-time", "100d", "--json"]
    )
    assert found.exit_code == 0, found.stderr
    best = json.loads(found.stdout)["ranking"][0]
    assert best["judgements"]["train_time"]["basis"] == "calibrated"
    assert best["place"] == session.machine.device_name
