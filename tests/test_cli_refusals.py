"""Every request that cannot be carried out: one line that names what is wrong and what is allowed, and exit code 2."""

import sys

import pytest
import torch
from typer.testing import CliRunner

from onelip.bench.results import RECORD_NAME
from onelip.cli import app

QUICK = ("--no-costs", "--budget", "1epoch", "--sizes", "4")


def onelip(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ONELIP_DATA", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture
def never_trains(monkeypatch):
    """Whatever is refused must be refused before the first training step."""

    def refuse(*_, **__):
        raise AssertionError("a network was trained")

    monkeypatch.setattr("onelip.bench.cell.train", refuse)
    monkeypatch.setattr("onelip.bench.costing.measure_costs", refuse)


CASES = {
    "unknown method": (("--methods", "aol,cplx"), ("'cplx'", "bcop", "did you mean cpl")),
    "unknown own method": (("--method", "nowhere:MINE"), ("nowhere", "package.module:NAME")),
    "no method": (("--methods", ","), ("--methods", "onelip methods")),
    "unknown data": (("--data", "digit"), ("'digit'", "cifar10", "did you mean digits")),
    "missing folder": (("--data", "./pictures"), ("pictures", "no such folder", "train/CLASS")),
    "data without a folder": (("--data", "cifar10"), ("--data-dir", "ONELIP_DATA")),
    "no data": (("--data", ","), ("--data", "digits")),
    "one of two data sets": (("--data", "digits,digit"), ("did you mean digits",)),
    "resized digits": (("--resize", "16"), ("resize", "digits")),
    "unknown size": (("--sizes", "XXL"), ("'XXL'", "XS, S, M, L")),
    "odd width": (("--sizes", "5"), ("width 5", "even")),
    "width of nothing": (("--sizes", "4,0"), ("'0'", "positive width")),
    "no size": (("--sizes", ","), ("--sizes", "XS")),
    "budget of nothing": (("--budget", "0s"), ("'0s'", "20s", "12epochs")),
    "negative budget": (("--budget=-3s",), ("'-3s'", "more than zero")),
    "foreign budget": (("--budget", "5 parsec"), ("'5 parsec'", "20s")),
    "no seed": (("--seeds", ""), ("--seeds", "whole numbers")),
    "negative seed": (("--seeds=0,-1",), ("--seeds", "from 0 to 2^63 - 1")),
    "unknown padding": (("--padding", "zero"), ("'zero'", "circular", "did you mean zeros")),
    "unknown device": (("--device", "gpu"), ("'gpu'", "cuda")),
    "negative learning rate": (("--learning-rate", "-1"), ("--learning-rate", "greater than 0")),
    "infinite learning rate": (("--learning-rate", "inf"), ("--learning-rate", "finite")),
    "negative weight decay": (("--weight-decay", "-1"), ("--weight-decay", "greater than or equal to 0")),
    "scan without budget": (("--scan", "0.1"), ("--scan-budget",)),
    "budget without scan": (("--scan-budget", "1s"), ("--scan",)),
    "scan of words": (("--scan", "0.1,fast", "--scan-budget", "1s"), ("--scan", "0.01,0.1")),
    "scan of a negative": (("--scan", "0.1,-1", "--scan-budget", "1s"), ("--scan '0.1,-1'", "positive")),
    "scan of no number": (("--scan", "nan", "--scan-budget", "1s"), ("--scan 'nan'", "positive")),
    "seed of 70 bits": (("--seeds", "999999999999999999999"), ("--seeds", "2^63 - 1")),
    "scan with no time": (("--scan", "0.1", "--scan-budget", "0s"), ("'0s'",)),
    "unknown option": (("--datas", "digits"), ("--datas",)),
    "batch of none": (("--batch-size", "0"), ("--batch-size",)),
}


@pytest.mark.parametrize("name", CASES)
def test_compare_refuses(name, never_trains, here):
    options, words = CASES[name]
    result = onelip("compare", "--out", "out", *QUICK, *options)
    assert result.exit_code == 2
    assert all(word in result.stderr for word in words), result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert not (here / "out").exists()


def test_a_refusal_is_one_line():
    result = onelip("compare", "--methods", "cplx")
    assert result.stderr.startswith("onelip: method 'cplx'")
    assert result.stderr.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="speaks of machines without a GPU")
@pytest.mark.parametrize(
    "command", [("compare",), ("train", "--method", "aol", "--out", "run"), ("measure",)], ids=lambda c: c[0]
)
def test_a_gpu_that_is_not_there(command, never_trains):
    result = onelip(*command, "--device", "cuda")
    assert result.exit_code == 2
    assert "'cuda'" in result.stderr
    assert "use 'cpu'" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("compare", *QUICK),
        ("train", "--method", "aol", "--size", "4"),
        ("measure", "--sizes", "4", "--image", "1x8x8", "--methods", "aol"),
    ],
    ids=lambda c: c[0],
)
@pytest.mark.parametrize("out", ["file", "file/below"])
def test_an_output_that_cannot_be_written(command, out, here, never_trains):
    (here / "file").write_text("in the way")
    result = onelip(*command, "--out", out)
    assert result.exit_code == 2
    assert f"--out {out} cannot be written" in result.stderr
    assert (here / "file").read_text() == "in the way"


def test_pictures_of_a_side_that_the_network_cannot_take(here, never_trains):
    from PIL import Image

    for split in ("train", "test"):
        for name in ("cat", "dog"):
            folder = here / "pets" / split / name
            folder.mkdir(parents=True)
            Image.new("L", (20, 20)).save(folder / "1.png")
    result = onelip("compare", "--data", "./pets", *QUICK)
    assert result.exit_code == 2
    assert all(words in result.stderr for words in ("pets", "8, 16, 32", "not 20", "--resize 32")), result.stderr


@pytest.mark.parametrize(
    ("image", "words"), [("3x20x20", ("8, 16, 32", "not 20")), ("3x8x16", ("square",)), ("32x32", ("3x32x32",))]
)
def test_measure_refuses_images(image, words):
    result = onelip("measure", "--image", image)
    assert result.exit_code == 2
    assert all(word in result.stderr for word in words), result.stderr


@pytest.mark.parametrize("limit", ["3epochs", "0s", "soon"])
def test_measure_refuses_a_limit_that_is_no_time(limit):
    result = onelip("measure", "--limit", limit)
    assert result.exit_code == 2
    assert repr(limit) in result.stderr


@pytest.mark.parametrize("command", ["certify", "diagnose", "report"])
def test_a_folder_that_is_not_there(command):
    result = onelip(command, "nowhere")
    assert result.exit_code == 2
    assert "nowhere" in result.stderr


@pytest.mark.parametrize("command", ["certify", "diagnose", "report"])
def test_a_folder_of_something_else(command, here):
    (here / "photos").mkdir()
    result = onelip(command, "photos")
    assert result.exit_code == 2
    assert RECORD_NAME in result.stderr


OWN = """
from dataclasses import replace
from onelip.methods.aol import AOL
SAME_NAME = replace(AOL, title="Another")
NO_FILE_NAME = replace(AOL, name="a/b")
MINE = replace(AOL, name="mine")
TWIN = replace(AOL, name="mine", title="Twin")
NUMBER = 3
"""


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("refused:MIEN", ("SAME_NAME", "did you mean MINE")),
        ("refused:NUMBER", ("no Method of that name",)),
        ("refused:SAME_NAME", ("'aol' is taken",)),
        ("refused:NO_FILE_NAME", ("'a/b'", "letters")),
        ("refused.py:MINE", ("package.module:NAME",)),
        ("broken:MINE", ("SyntaxError",)),
    ],
)
def test_own_methods_that_cannot_take_part(spec, words, here, never_trains):
    (here / "refused.py").write_text(OWN)
    (here / "broken.py").write_text("MINE = (")
    result = onelip("compare", "--method", spec)
    assert result.exit_code == 2
    assert all(word in result.stderr for word in words), result.stderr


def test_an_own_method_does_not_train_under_a_registered_name(here, never_trains):
    (here / "refused_alone.py").write_text(OWN)
    result = onelip("train", "--method", "refused_alone:SAME_NAME", "--out", "run")
    assert result.exit_code == 2
    assert "'aol' is taken by the registered method" in result.stderr


def test_two_methods_of_one_name(here, never_trains):
    (here / "twins.py").write_text(OWN)
    result = onelip("compare", "--method", "twins:MINE", "--method", "twins:TWIN")
    assert result.exit_code == 2
    assert "'mine' is taken" in result.stderr
