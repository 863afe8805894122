"""`onelip compare` from end to end, on the digits: what it leaves, what it skips, and what survives a kill."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from onelip.bench.choice import best_run
from onelip.bench.records import TrainRecord
from onelip.bench.results import RECORD_NAME, RUN_NAME, load_records, read_record
from onelip.bench.shared import LOCKS
from onelip.cli import app

QUICK = ("--sizes", "4", "--budget", "1epoch", "--no-costs")

OWN = """
import time
from dataclasses import replace
from pathlib import Path

import torch

from onelip.methods.aol import AOL, AOLConv2d
from onelip.nn.linear import PointwiseLinear


def made_of(name, layer):
    linear = type("Linear", (PointwiseLinear, layer), {})
    return replace(AOL, name=name, title=name.title(), conv2d=layer, linear=linear)


class SlowConv2d(AOLConv2d):
    def kernel(self, raw):
        while not Path("go").exists():
            time.sleep(0.05)
        return super().kernel(raw)


class BrokenConv2d(AOLConv2d):
    def kernel(self, raw):
        raise ArithmeticError("the kernel\\nis broken")


class HungryConv2d(AOLConv2d):
    def kernel(self, raw):
        raise torch.OutOfMemoryError("no 9 GB left")


class LostConv2d(AOLConv2d):
    def kernel(self, raw):
        return super().kernel(raw) * float("nan")


PLAIN = made_of("plain", AOLConv2d)
SLOW = made_of("slow", SlowConv2d)
BROKEN = made_of("broken", BrokenConv2d)
HUNGRY = made_of("hungry", HungryConv2d)
LOST = made_of("lost", LostConv2d)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A stranger's folder with a module of methods, never seen before by this process."""
    module = re.sub(r"\W", "_", tmp_path.name)
    (tmp_path / f"own_{module}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path, f"own_{module}"


def onelip(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@contextlib.contextmanager
def started(*arguments, folder):
    """The program in a process of its own, which does not outlive the test."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "onelip", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # A job in the background of a shell is born deaf to Ctrl-C.
    hears = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes, **hears) as process:
        try:
            yield process
        finally:
            process.kill()


def until(condition):
    """Waits; the limit is for machines that do many other things."""
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def files(folder):
    """Content and time of every file that is not part of the report, nor says who works here."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("report"))
    paths = (path for path in paths if LOCKS not in path.parts)
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def test_from_nothing_to_a_report_and_again(here):
    command = ("compare", "--methods", "aol,standard", "--seeds", "0,1", *QUICK, "--out", "out")
    first = onelip(*command)
    assert first.exit_code == 0, first.stderr
    assert "Report: out/report.html" in first.stdout
    assert "[4/4] Standard 4 on Digits, seed 1: accuracy" in first.stdout
    assert "CRA 36" in first.stdout
    folder = here[0] / "out"
    records = load_records(folder)
    assert {(run.cell.method, run.cell.seed) for run in records.train} == {
        (name, seed) for name in ("aol", "standard") for seed in (0, 1)
    }
    assert all(run.status == "ok" and run.cell.width == 4 for run in records.train)
    assert not records.unfinished
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")
    assert (folder / "report.md").exists()
    for run in records.train:
        left = {path.name for path in (folder / run.cell.id).iterdir()}
        assert left == {RECORD_NAME, RUN_NAME, "model.safetensors"}

    before, page = files(folder), (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    second = onelip(*command)
    assert second.exit_code == 0
    assert second.stdout.count("(done before)") == 4
    assert files(folder) == before
    assert (folder / "report.html").read_bytes() == page

    third = onelip(*command, "--force")
    assert third.exit_code == 0
    assert "(done before)" not in third.stdout
    after = files(folder)
    assert after.keys() == before.keys()
    records = [path for path in before if path.name == RECORD_NAME]
    assert all(after[path][1] > before[path][1] for path in records)


def test_all_methods_of_one_seed_come_before_the_next_seed(here):
    result = onelip("compare", "--methods", "aol,cpl", "--seeds", "1,0", *QUICK)
    titles = re.findall(r"\] (\w+) 4 on Digits, (seed \d)", result.stdout)
    assert titles == [("AOL", "seed 1"), ("CPL", "seed 1"), ("AOL", "seed 0"), ("CPL", "seed 0")]


def test_methods_that_fail_are_results(here):
    folder, module = here
    names = ("broken", "hungry", "lost", "plain")
    options = [part for name in names for part in ("--method", f"{module}:{name.upper()}")]
    result = onelip("compare", "--methods", "cpl", *options, *QUICK, "--out", "out")
    assert result.exit_code == 0, result.stderr
    runs = {run.cell.method: run for run in load_records(folder / "out").train}
    statuses = {name: run.status for name, run in runs.items()}
    assert statuses == {"cpl": "ok", "broken": "error", "hungry": "oom", "lost": "diverged", "plain": "ok"}
    assert runs["broken"].message == "ArithmeticError: the kernel is broken"
    assert runs["hungry"].message == "no 9 GB left"
    assert runs["lost"].steps == 1
    assert "nan" in runs["lost"].message
    assert all(message in result.stdout for message in ("the kernel is broken", "no 9 GB left", "diverged"))
    assert runs["plain"].evaluation is not None
    assert "the kernel is broken" in (folder / "out" / "report.html").read_text(encoding="utf-8")
    again = onelip("compare", "--methods", "cpl", *options, *QUICK, "--out", "out")
    assert again.exit_code == 0
    assert again.stdout.count("(done before") == 5
    assert again.stdout.count("to try again)") == 2


def test_when_every_method_fails(here):
    _, module = here
    result = onelip("compare", "--methods", f"{module}:BROKEN,{module}:LOST", *QUICK)
    assert result.exit_code == 1
    assert "No verdict" in result.stdout


def test_an_own_method_goes_beside_all_registered_ones_unless_others_are_named(here):
    from onelip import METHODS
    from onelip.cli.options import method_names

    assert method_names(None, ["mine:MINE"]) == ("all", "mine:MINE")
    assert method_names(None, None) == ("all",)
    assert method_names(None, ["aol"]) == ("aol",)
    assert method_names("aol, cpl", ["mine:MINE"]) == ("aol", "cpl", "mine:MINE")
    listed = json.loads(onelip("methods", "--json", "--method", f"{here[1]}:PLAIN").stdout)
    assert [entry["name"] for entry in listed] == [*METHODS, "plain"]


@pytest.mark.parametrize(("kind", "code"), [("SIGKILL", -9), ("SIGINT", 130)])
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_stop_loses_only_the_run_in_flight(kind, code, here):
    folder, module = here
    out = folder / "out"
    command = ("compare", "--methods", f"cpl,{module}:SLOW,aol", *QUICK, "--out", "out")
    with started(*command, folder=folder) as process:
        until(lambda: list(out.glob(f"slow-*/{RUN_NAME}")) or process.poll() is not None)
        time.sleep(0.3)
        process.send_signal(getattr(signal, kind))
        _, stderr = process.communicate(timeout=300)
    assert process.returncode == code, stderr
    if kind == "SIGINT":
        assert "onelip: stopped. 1 finished run is in out; the same command goes on" in stderr
        assert "Traceback" not in stderr
    records = load_records(out)
    assert [run.cell.method for run in records.train] == ["cpl"]
    assert [cell.method for cell in records.unfinished] == ["slow"]
    kept = next(out.glob(f"cpl-*/{RECORD_NAME}"))
    before = kept.read_bytes()
    assert onelip("report", "out").exit_code == 0

    (folder / "go").touch()
    again = onelip(*command)
    assert again.exit_code == 0, again.stderr
    assert again.stdout.count("(done before)") == 1
    records = load_records(out)
    assert {run.cell.method: run.status for run in records.train} == {"cpl": "ok", "slow": "ok", "aol": "ok"}
    assert not records.unfinished
    assert kept.read_bytes() == before


def test_a_scan_chooses_the_learning_rate_on_held_out_training_images(here):
    folder, _ = here
    command = ("compare", "--methods", "cpl", *QUICK, "--scan", "1e-6,0.2,0.1", "--scan-budget", "2epochs")
    result = onelip(*command, "--out", "out")
    assert result.exit_code == 0, result.stderr
    runs = load_records(folder / "out").train
    trials = [run for run in runs if run.cell.evaluate_on == "validation"]
    (final,) = [run for run in runs if run.cell.evaluate_on == "test"]
    assert sorted(run.cell.recipe.learning_rate for run in trials) == [1e-6, 0.1, 0.2]
    assert {run.cell.budget for run in trials} == {"2epochs"}
    assert final.cell.budget == "1epoch"
    assert all(run.evaluation.images == run.data.test < final.data.train / 5 for run in trials)
    assert all(run.data.train + run.data.test == final.data.train for run in trials)
    assert final.cell.recipe.learning_rate == best_run(trials).cell.recipe.learning_rate != 1e-6
    assert f"learning rate {final.cell.recipe.learning_rate:g} chosen" in result.stdout
    again = onelip(*command, "--out", "out")
    assert again.stdout.count("(done before)") == 4
    assert "runs to do" not in again.stdout


def changed(path, **changes):
    record = read_record(path)
    text = record.model_copy(update=changes).model_dump_json()
    path.write_text(text)
    return TrainRecord.model_validate_json(text)


@pytest.fixture
def finished(here):
    command = ("compare", "--methods", "aol", *QUICK, "--out", "out")
    assert onelip(*command).exit_code == 0
    (path,) = (here[0] / "out").glob(f"*/{RECORD_NAME}")
    return command, path


def test_a_cut_record_is_not_trained_over_silently(finished):
    command, path = finished
    path.write_text(path.read_text()[:200])
    result = onelip(*command)
    assert result.exit_code == 2
    assert str(path.parent.name) in result.stderr
    assert "--force" in result.stderr
    assert onelip(*command, "--force").exit_code == 0
    assert read_record(path).status == "ok"


def test_a_result_of_other_images_is_not_taken(finished):
    command, path = finished
    data = read_record(path).data
    changed(path, data=data.model_copy(update={"digest": "0" * 64}))
    result = onelip(*command)
    assert result.exit_code == 2
    assert "other images of digits" in result.stderr


def test_a_result_of_another_augmentation_is_not_taken(finished):
    command, path = finished
    data = read_record(path).data
    changed(path, data=data.model_copy(update={"augmentation": "mirror"}))
    result = onelip(*command)
    assert result.exit_code == 2
    assert "another augmentation of digits" in result.stderr


def test_a_result_of_another_harness_is_not_taken(finished):
    command, path = finished
    changed(path, harness=99)
    result = onelip(*command)
    assert result.exit_code == 2
    assert "harness revision 99" in result.stderr


def test_a_result_of_another_kind_of_device_is_kept_beside(finished):
    command, path = finished
    there = changed(path, machine=read_record(path).machine.model_copy(update={"device": "cuda"}))
    result = onelip(*command)
    assert result.exit_code == 0
    assert "(done before)" not in result.stdout
    runs = load_records(path.parent.parent).train
    assert sorted(run.machine.device for run in runs) == ["cpu", "cuda"]
    assert read_record(path) == there
    assert "(done before)" in onelip(*command).stdout
