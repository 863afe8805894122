"""A method written outside the package goes through comparison, search, grid and report; docs/adding.md checks it."""

import importlib
import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import onelip
from onelip.bench.choice import best_run
from onelip.bench.results import load_records
from onelip.cli import app

ROOT = Path(__file__).parent.parent


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("examples.block_reflector")


def test_the_block_reflector_is_the_papers_formula(example):
    frame = torch.randn(3, 6, 3, dtype=torch.complex128)
    projector = frame @ torch.linalg.inv(frame.mH @ frame) @ frame.mH
    expected = torch.eye(6, dtype=torch.complex128) - 2 * projector
    torch.testing.assert_close(example.block_reflector(frame), expected)


def test_it_is_not_one_of_ours(example):
    assert example.BRO.name not in onelip.METHODS


def test_it_goes_through_compare_and_report(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    command = ["compare", "--methods", "aol", "--method", "examples.block_reflector:BRO", "--sizes", "8", "--no-costs"]
    result = CliRunner().invoke(app, [*command, "--budget", "2epochs", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "BRO" in result.output
    assert "BRO" in (tmp_path / "out" / "report.html").read_text()
    rows = json.loads(CliRunner().invoke(app, ["report", str(tmp_path / "out"), "--json"]).stdout)
    assert any(row["method"] == "bro" for row in (rows if isinstance(rows, list) else rows["rows"]))


def test_it_goes_through_search_and_grid_too(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    own = ["--methods", "aol", "--method", "examples.block_reflector:BRO", "--data", "digits", "--sizes", "8"]
    few = ["--search", "2", "--search-budget", "1epoch", "--budget", "2epochs", "--seeds", "0,1", "--no-costs"]
    result = CliRunner().invoke(app, ["grid", "cpu", *own, *few, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    runs = [run for run in load_records(tmp_path).train if run.cell.method == "bro"]
    trials = [run for run in runs if run.cell.evaluate_on == "validation"]
    finals = [run for run in runs if run.cell.evaluate_on == "test"]
    assert (len(trials), len(finals)) == (2, 2)
    assert {run.cell.recipe for run in finals} == {best_run(trials).cell.recipe}
    assert len({run.method.source for run in runs} - {""}) == 1
    assert "BRO" in (tmp_path / "report.html").read_text()
    (cell,) = [
        cell
        for cell in json.loads(CliRunner().invoke(app, ["reproduce", str(tmp_path), "--json"]).stdout)
        if cell["method"] == "bro"
    ]
    assert cell["verdict"] == "nothing published"
