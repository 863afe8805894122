"""`benchmarks/gpu.py` runs, small, on the CPU; what fails is a line, and a finished file is not measured again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from onelip.bench.speed import SpeedRecord

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"
SMALL = ("--device", "cpu", "--sizes", "4", "--batch-sizes", "3", "--image", "3x8x8", "--rounds", "1")


def run(*arguments, folder):
    environment = os.environ | {"COLUMNS": "120", "NO_COLOR": "1"}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)


def test_all_methods_and_both_precisions(tmp_path):
    done = run(*SMALL, "--out", "records", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "records").iterdir()
    record = SpeedRecord.model_validate_json(path.read_text(encoding="utf-8"))
    methods = [speed for speed in record.speeds if speed.kind == "method"]
    assert len(methods) == 2 * 9
    assert {speed.way for speed in methods} == {"float32", "bf16"}
    assert {speed.status for speed in methods} == {"ok"}
    for speed in methods:
        assert len(speed.train) == len(speed.inference) == len(speed.yardstick_train) == 1
        assert 0 < speed.roofline < speed.train[0] * 10
        assert speed.train_bytes > 0
        assert speed.title in done.stdout
    again = run(*SMALL, "--out", "records", folder=tmp_path)
    assert again.stdout in done.stdout
    assert len(again.stdout) > 1000


BROKEN = """
from dataclasses import replace
from onelip.methods.aol import AOL, AOLConv2d

class Broken(AOLConv2d):
    def construct(self, raw, image):
        raise RuntimeError("on purpose")

MINE = replace(AOL, name="mine", title="Mine", conv2d=Broken)
"""


def test_a_failure_is_a_line(tmp_path):
    (tmp_path / "mine.py").write_text(BROKEN)
    done = run(*SMALL, "--methods", "mine:MINE,aol", "--ways", "float32", "--no-peers", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Mine, circular, float32: error: RuntimeError: on purpose" in done.stdout
    assert "AOL, circular, float32: error" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ways", "bf16-graph"), "needs a CUDA device"),
        (("--ways", "fp8"), "is not one of float32"),
        (("--image", "3x8"), "give channels x height x width"),
        (("--batch-sizes", "0"), "give numbers of images"),
        (("--sizes", "XXL"), "is not one of XS"),
        (("--methods", "aoll"), "did you mean aol"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_runs(arguments, said, tmp_path):
    done = run("--device", "cpu", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []
