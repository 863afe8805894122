"""`benchmarks/loop.py`: what the training loop costs beside its bare steps."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from onelip.bench import overhead
from onelip.bench.comparison import Comparison
from onelip.bench.data import load
from onelip.bench.grid import Grid
from onelip.bench.overhead import OverheadRecord, markdown, measure_overhead
from onelip.methods import METHODS

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "loop.py"
CPU = torch.device("cpu")


def jobs(*methods, budget):
    grid = Grid(methods=tuple(method.name for method in methods), data=("digits",), sizes=("2",), budgets=(budget,))
    asked = Comparison(grid=grid, methods=methods, data=(load("digits", None),), device=CPU)
    return [asked.job(task, asked.unsearched) for task in asked.tasks]


@contextmanager
def unseen(title):
    yield lambda snapshot: None


def test_the_command_writes_samples_and_table(tmp_path):
    command = [sys.executable, str(SCRIPT), "--methods", "aol,soc", "--size", "2", "--budget", "2s", "--out", "here"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env=os.environ | {"COLUMNS": "120"}
    )
    assert done.returncode == 0, done.stderr
    record = OverheadRecord.model_validate_json((tmp_path / "here" / "loop.json").read_text(encoding="utf-8"))
    assert [one.method.name for one in record.overheads] == ["aol", "soc"]
    assert all(len(one.loop) == len(one.bare) >= 2 for one in record.overheads)
    table = (tmp_path / "here" / "loop.md").read_text(encoding="utf-8")
    assert table == markdown(record)
    assert "| AOL |" in table
    again = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert again.returncode == 2
    assert "replace it with --force" in " ".join(again.stderr.split())


def test_bare_steps_take_nothing_from_the_budget(monkeypatch):
    """Bare steps that sleep: the training goes on for its own time besides, and its samples stay short."""
    monkeypatch.setattr(overhead.Trained, "train_step", lambda self: time.sleep(0.5))
    began = time.perf_counter()
    (one,) = measure_overhead(jobs(METHODS["aol"], budget="1s"), CPU, show=unseen).overheads
    assert min(one.bare) >= 0.5
    assert sum(one.loop) / len(one.loop) < 0.5
    assert time.perf_counter() - began > 2


def test_what_the_display_takes_counts():
    @contextmanager
    def slow(title):
        yield lambda snapshot: time.sleep(0.3)

    (one,) = measure_overhead(jobs(METHODS["aol"], budget="2s"), CPU, show=slow).overheads
    assert min(one.loop) >= 0.3  # a report after every step, as the time between two is up


def test_a_network_that_fails_is_a_line(monkeypatch):
    class Broken(METHODS["aol"].conv2d):
        def construct(self, raw, image):
            raise RuntimeError("on purpose")

    broken = replace(METHODS["aol"], name="broken", title="Broken", conv2d=Broken)
    record = measure_overhead(jobs(broken, METHODS["standard"], budget="3s"), CPU, show=unseen)
    assert [bool(one.loop) for one in record.overheads] == [False, True]
    assert "- Broken: RuntimeError: on purpose" in markdown(record)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--methods", "aoll"), "did you mean aol?"),
        (("--budget", "soon"), "budget 'soon' is not allowed"),
        (("--data", "cifar10"), "the folder of this data set was not named"),
    ],
)
def test_wrong_use_is_refused(tmp_path, asked, said):
    environment = {name: value for name, value in os.environ.items() if name != "ONELIP_DATA"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *asked],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert not list(tmp_path.iterdir())
