"""A run with a budget of time, trained again by its plans: the same to the bit, whatever the clock says."""

import re

import pytest
from typer.testing import CliRunner

from onelip.bench.results import RECORD_NAME, load_records, read_record
from onelip.cli import app

TRAIN = ("train", "--size", "4", "--budget", "2s", "--learning-rate", "0.5")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def onelip(*arguments):
    return CliRunner().invoke(app, list(arguments))


def changed(folder, **changes):
    path = folder / RECORD_NAME
    path.write_text(read_record(path).model_copy(update=changes).model_dump_json())


@pytest.mark.parametrize("method", ["cpl", "soc", "bcop"])
def test_the_same_weights_come_out(method, here):
    assert onelip(*TRAIN, "--method", method, "--out", "run").exit_code == 0
    then = read_record(here / "run" / RECORD_NAME)
    assert then.plans[0].taken == 0
    assert then.plans[-1].plan.steps == then.planned_steps
    assert not then.replayed
    again = onelip("replay", "run", "--out", "again")
    assert again.exit_code == 0, again.output
    assert "The same came out: weights, history" in again.stdout
    now = read_record(here / "again" / RECORD_NAME)
    assert now.replayed
    assert (now.cell, now.steps, now.plans) == (then.cell, then.steps, then.plans)
    weights = [(here / name / "model.safetensors").read_bytes() for name in ("run", "again")]
    assert weights[0] == weights[1]


def test_what_comes_out_otherwise_is_said(here):
    assert onelip(*TRAIN, "--method", "aol", "--out", "run").exit_code == 0
    record = read_record(here / "run" / RECORD_NAME)
    changed(
        here / "run",
        evaluation=record.evaluation.model_copy(update={"loss": record.evaluation.loss + 1e-9}),
        machine=record.machine.model_copy(update={"threads": record.machine.threads + 1}),
    )
    again = onelip("replay", "run", "--out", "again")
    assert again.exit_code == 1
    assert "Something else came out: loss." in again.stdout
    assert re.search(r"threads \d+ then, \d+ now\.", again.stdout)


def test_weights_are_compared_and_the_program_is_named(here):
    assert onelip(*TRAIN, "--method", "aol", "--out", "run").exit_code == 0
    assert onelip("replay", "run", "--out", "again").exit_code == 0
    path = here / "run" / "model.safetensors"
    whole = path.read_bytes()
    path.unlink()
    assert "to the bit; the weights were not kept" in onelip("replay", "run", "--out", "without").stdout
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    other = onelip("replay", "run", "--out", "other")
    assert other.exit_code == 1
    assert "Something else came out: weights." in other.stdout
    assert "The machine and the program are the same." in other.stdout
    record = read_record(here / "run" / RECORD_NAME)
    changed(here / "run", machine=record.machine.model_copy(update={"onelip": "0.0.1", "commit": None}))
    older = onelip("replay", "run", "--out", "older")
    assert older.exit_code == 1
    assert "onelip 0.0.1 then" in older.stdout


def test_a_run_that_was_trained_again_stands_for_nothing(here):
    command = ("compare", "--methods", "aol", "--sizes", "4", "--budget", "1s", "--no-costs", "--out", "out")
    assert onelip(*command).exit_code == 0
    (run,) = (here / "out").glob("aol-*")
    assert onelip("replay", str(run), "--out", "out/again").exit_code == 0
    records = load_records(here / "out")
    assert [record.replayed for record in records.train] == [False]
    assert [one.path for one in records.stale] == ["again/record.json"]
    run.rename(here / "original")
    (here / "out" / "again").rename(run)
    refused = onelip(*command)
    assert refused.exit_code == 2
    assert "is another run trained again" in refused.stderr


def test_an_interrupted_training_of_another_kind_is_not_gone_on_with(here, monkeypatch):
    """Neither a replay with what the clock began, nor a training with what was replayed."""
    import onelip.bench.cell as cell_module

    assert onelip(*TRAIN, "--method", "aol", "--out", "run").exit_code == 0
    train = cell_module.train

    def stopped(*arguments, progress, **options):
        def report(snapshot):
            progress(snapshot)
            if snapshot.complete and snapshot.epoch.epoch == 2:
                raise KeyboardInterrupt

        return train(*arguments, progress=report, checkpoint_seconds=0.0, **options)

    monkeypatch.setattr(cell_module, "train", stopped)
    assert onelip(*TRAIN, "--method", "aol", "--out", "begun").exit_code == 130
    assert onelip("replay", "run", "--out", "again").exit_code == 130
    monkeypatch.undo()
    monkeypatch.chdir(here)
    for command in (("replay", "run", "--out", "begun"), (*TRAIN, "--method", "aol", "--out", "again", "--resume")):
        refused = onelip(*command)
        assert refused.exit_code == 2, refused.output
        assert "belongs to another training: replay is" in refused.stderr
    assert onelip("replay", "run", "--out", "again").exit_code == 0


def test_what_cannot_be_replayed_is_refused(here):
    assert onelip(*TRAIN, "--method", "aol", "--out", "run").exit_code == 0
    for arguments, message in (
        (("run", "--out", "run"), "is the run itself"),
        (("nothing", "--out", "again"), "there is no such folder"),
    ):
        refused = onelip("replay", *arguments)
        assert refused.exit_code == 2
        assert message in refused.stderr
    changed(here / "run", plans=())
    refused = onelip("replay", "run", "--out", "again")
    assert refused.exit_code == 2
    assert "before plans were kept" in refused.stderr
    assert not (here / "again").exists()
