"""Exponents of growth: fitted as powers are, labelled by theory, and written as a table and a figure."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from onelip.bench.growth import BASE, SMALL, measure_growth, published_exponent, varied
from onelip.bench.report.growth import GrowthRecord, exponents, growth_drawing, markdown
from onelip.methods import METHODS

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "growth.py"


@pytest.fixture(scope="module")
def record():
    return measure_growth(METHODS.values(), torch.device("cpu"), ranges=SMALL, rounds=1)


def test_every_method_quantity_and_variable_is_measured(record):
    found = exponents(record)
    assert len(found) == 4 * (2 * (len(METHODS) - 1) + 1)  # nothing is constructed without a constraint
    assert {one.variable for one in found} == set(SMALL)
    assert all(one.lowest - 1e-9 <= one.measured <= one.highest + 1e-9 for one in found)


def test_methods_of_one_title_are_two(record):
    points = [
        point.model_copy(update={"method": point.method.model_copy(update={"title": "Twin"})})
        for point in record.points
        if point.method.name in ("aol", "bcop")
    ]
    found = exponents(record.model_copy(update={"points": tuple(points)}))
    assert len(found) == 2 * 2 * 4
    assert markdown(record.model_copy(update={"points": tuple(points)})).count("| Twin |") == 4


def test_a_method_that_fails_is_a_line_and_the_others_are_measured():
    class Broken(METHODS["aol"].conv2d):
        def construct(self, raw, image):
            raise RuntimeError("on purpose")

    broken = replace(METHODS["aol"], name="broken", title="Broken", conv2d=Broken)
    record = measure_growth([broken, METHODS["standard"]], torch.device("cpu"), ranges=SMALL, rounds=1)
    assert {point.method.name for point in record.points} == {"standard"}
    assert "- Broken: RuntimeError: on purpose" in markdown(record)


def test_powers_are_found(record):
    """Times of 3 value^e: the exponent, whatever the factor."""
    points = [
        point.model_copy(update={"seconds": (3e-3 * point.value**1.5,), "macs": point.value**2})
        for point in record.points
    ]
    for one in exponents(record.model_copy(update={"points": tuple(points)})):
        assert one.measured == pytest.approx(1.5)
        assert one.last == pytest.approx(1.5)
        assert one.counted == pytest.approx(2)


def test_the_middle_sample_counts(record):
    points = [
        point.model_copy(update={"seconds": (1e-9, 1e-3 * point.value, 1e9)}) for point in reversed(record.points)
    ]
    assert all(
        one.measured == pytest.approx(1) for one in exponents(record.model_copy(update={"points": tuple(points)}))
    )


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_forward_passes_of_large_layers_grow_as_theory_says(method):
    """Terms of lower order, as the transforms of images, are small then."""
    base = replace(BASE, height=256, width=256, in_channels=2048, out_channels=2048)
    large = {"batch": (64, 128), "side": (256, 512), "channels": (2048, 4096), "kernel": (3, 5)}
    for variable, (small, twice) in large.items():
        first, second = (method.cost(varied(base, variable, value)).training for value in (small, twice))
        counted = math.log(second / first) / math.log(twice / small)
        assert counted == pytest.approx(published_exponent(method, "forward", variable), abs=0.05)


def test_the_table_and_the_figure_name_all(record):
    table, drawn = markdown(record), growth_drawing(record).svg
    for method in METHODS.values():
        assert f"| {method.title} | **" in table
        assert method.title in drawn
    assert "-0.0" not in table
    assert GrowthRecord.model_validate_json(record.model_dump_json()) == record


def test_the_command_writes_and_rebuilds_its_files(tmp_path):
    def run(*arguments):
        command = [sys.executable, str(SCRIPT), *arguments, "--out", "there"]
        environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "120"}
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)

    missing = run("--again")
    assert missing.returncode == 2
    assert "measure first" in missing.stderr
    assert run("--methods", "aoll").returncode == 2
    done = run("--small", "--rounds", "1", "--methods", "aol")
    assert done.returncode == 0, done.stderr
    files = {path.name: path.read_bytes() for path in (tmp_path / "there").iterdir()}
    assert set(files) == {"growth.json", "growth.md", "growth.svg", "growth.pdf"}
    text = files["growth.json"]
    (tmp_path / "there" / "growth.json").write_bytes(text[:-50])
    cut = run("--again")
    assert cut.returncode == 2
    assert "is cut, or not what this command writes" in " ".join(cut.stderr.split())
    for arguments, said in ((("--small",), "--force measures anew"), (("--again", "--rounds", "3"), "no other option")):
        refused = run(*arguments)
        assert refused.returncode == 2
        assert said in " ".join(refused.stderr.split())
    (tmp_path / "there" / "growth.json").write_bytes(text)
    (tmp_path / "there" / "growth.svg").unlink()
    assert run("--again").returncode == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "there").iterdir()} == files
