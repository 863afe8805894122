"""`onelip diagnose`: the table, the figure, the exit codes, and what it refuses."""

import json
import re
import shutil
from xml.etree import ElementTree

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from onelip.cli import app


def onelip(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "80"})


def train(method, folder):
    result = onelip("train", "--method", method, "--size", "4", "--budget", "2epochs", "--out", folder)
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train("aol", tmp_path_factory.mktemp("diagnosed") / "run")


@pytest.fixture(scope="module")
def yardstick(tmp_path_factory):
    return train("standard", tmp_path_factory.mktemp("diagnosed") / "run")


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


class Lost(nn.Module):
    def forward(self, x):
        return x * torch.nan


@pytest.fixture
def plant(monkeypatch):
    """Puts a module into each network that is opened."""
    from onelip.bench import single

    open_run = single.open_run

    def into(place, module):
        def opened(*arguments, **options):
            found = open_run(*arguments, **options)
            found.model[place] = module
            return found

        monkeypatch.setattr(single, "open_run", opened)

    return into


def flat(text):
    return " ".join(text.split())


def texts(figure):
    """What the figure says, and that it is well-formed XML."""
    root = ElementTree.fromstring(figure.read_text())
    return [" ".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")], root


def test_a_sound_network_has_a_row_per_module_a_figure_and_exit_code_0(run):
    result = onelip("diagnose", run)
    assert result.exit_code == 0, result.stderr
    rows = re.findall(r"^(\d+) +(\w+) +\S+", result.stdout, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(43))
    assert [kind for _, kind in rows][:4] == ["Center", "FitChannels", "AOLConv2d", "MaxMin"]
    assert "AOL 4 on Digits, 256 images" in result.stdout
    assert "No module raises the variance of the activations" in flat(result.stdout)
    assert f"Figure: {run / 'diagnosis.svg'}" in flat(result.stdout).replace("\n", "")
    said, root = texts(run / "diagnosis.svg")
    assert "AOL 4 on Digits, 256 images" in said
    assert {"8\u00d78", "4\u00d74", "2\u00d72"} <= set(said)
    assert "Norm preservation, random directions" in said
    assert "No module raises the variance" in root.get("aria-label")


def test_a_broken_layer_is_named_in_table_sentence_and_figure(run, plant, tmp_path):
    plant(20, Doubled())
    result = onelip("diagnose", run, "--images", "64", "--out", tmp_path / "elsewhere" / "broken.svg")
    assert result.exit_code == 1
    assert "Broken: 20 (Doubled) raises the variance 4 times." in flat(result.stdout)
    (row,) = re.findall(r"^20 .*$", result.stdout, re.MULTILINE)
    assert row.split()[1] == "Doubled"
    assert row.split()[4:7] == ["4", "none", "2"]
    said, root = texts(tmp_path / "elsewhere" / "broken.svg")
    assert "20 (Doubled)" in said
    assert "20 (Doubled) raises the variance 4 times" in root.get("aria-label")
    assert not (run / "diagnosis.svg").exists()


def test_values_that_are_not_finite_are_said_and_shown(run, plant):
    plant(12, Lost())
    result = onelip("diagnose", run)
    assert result.exit_code == 1
    assert "Values are not finite from 12 (Lost) on." in flat(result.stdout)
    rows = re.findall(r"^(\d+) .*\bnan\b", result.stdout, re.MULTILINE)
    assert {str(number) for number in range(12, 43)} <= set(rows)
    said, _ = texts(run / "diagnosis.svg")
    assert "12 (Lost)" in said
    content = json.loads(onelip("diagnose", run, "--json").stdout)
    assert content["layers"][12]["variance"] == "nan"
    assert content["layers"][12]["growth"] == "inf"


def test_json_alone_and_the_numbers_of_the_library(run):
    from onelip import MarginCrossEntropy, diagnose
    from onelip.bench.single import open_run

    result = onelip("diagnose", run, "--images", "32", "--json")
    assert result.exit_code == 0, result.stderr
    content = json.loads(result.stdout)
    assert content["figure"] == str(run / "diagnosis.svg")
    opened = open_run(run, method=None, data=None, data_dir=None)
    x, y = opened.data.to_float(opened.data.test_images[:32]), opened.data.test_labels[:32]
    recipe = opened.record.cell.recipe
    layers = diagnose(opened.model, x, y, loss=MarginCrossEntropy(recipe.margin, recipe.temperature))
    for found, layer in zip(content["layers"], layers, strict=True):
        assert found["name"] == layer.name
        assert tuple(found["shape"]) == layer.shape
        assert found["broken"] is False
        for key in ("variance", "growth", "bound", "preservation", "gradient"):
            assert found[key] == pytest.approx(getattr(layer, key), rel=1e-9)


def test_an_unconstrained_network_may_stretch_and_a_proved_bound_must_hold(yardstick, plant, monkeypatch):
    result = onelip("diagnose", yardstick)
    assert result.exit_code == 0
    assert "raises the variance" in flat(result.stdout)
    assert "is unconstrained, so that this is no fault." in flat(result.stdout)
    from onelip.bound import Bound
    from onelip.certify import diagnose

    monkeypatch.setattr(diagnose, "lipschitz_bound", lambda module, shape: Bound(0.1, "claimed"))
    assert onelip("diagnose", yardstick).exit_code == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--images", "1"), "--images"),
        (("--images", "many"), "--images"),
        (("--out", "picture.png"), ".svg"),
        (("--device", "gpu"), "'gpu'"),
        (("--method", "cpl"), "this run's method is 'aol'"),
    ],
)
def test_requests_that_are_refused(run, options, words):
    result = onelip("diagnose", run, *options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (run / "diagnosis.svg").exists()


def test_a_figure_that_cannot_be_written(run, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = onelip("diagnose", run, "--out", tmp_path / "file" / "figure.svg")
    assert result.exit_code == 2
    assert "cannot write" in result.stderr
    assert result.stderr.count("\n") == 1


def test_folders_that_hold_no_network(tmp_path):
    for folder in (tmp_path / "nowhere", tmp_path):
        result = onelip("diagnose", folder)
        assert result.exit_code == 2
        assert str(folder) in result.stderr


def test_a_diagnosis_of_other_weights_is_out_of_date(run):
    from onelip.bench.results import load_records

    assert onelip("diagnose", run, "--images", "32").exit_code == 0
    assert len(load_records(run).depths) == 1
    record = json.loads((run / "record.json").read_text())
    again = record | {"started": "2020-01-01T00:00:00+00:00"}
    (run / "record.json").write_text(json.dumps(again))
    records = load_records(run)
    assert records.depths == ()
    assert [one.reason for one in records.stale] == [
        "the diagnosis of an earlier training; onelip diagnose RUN makes another"
    ]


def test_a_run_begun_anew_loses_its_diagnosis(run):
    assert onelip("diagnose", run, "--images", "32").exit_code == 0
    assert {"diagnosis.json", "diagnosis.svg"} <= {path.name for path in run.iterdir()}
    command = ("--method", "aol", "--size", "4", "--budget", "1epoch", "--force", "--out", run)
    assert onelip("train", *command).exit_code == 0
    assert not {"diagnosis.json", "diagnosis.svg"} & {path.name for path in run.iterdir()}


def test_a_run_that_cannot_be_written_is_diagnosed_all_the_same(run, tmp_path):
    """The numbers beside the run are lost, which is said; without --out they are what was asked for."""
    (run / "diagnosis.json").mkdir()
    found = onelip("diagnose", run, "--images", "32", "--out", tmp_path / "figure.pdf")
    assert found.exit_code == 0, found.stderr
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF-")
    assert "the run keeps what it had of an earlier diagnosis" in found.stderr
    refused = onelip("diagnose", run, "--images", "32")
    assert refused.exit_code == 2
    assert "cannot write" in refused.stderr


def test_the_report_draws_what_was_diagnosed_and_sets_aside_what_is_foreign(tmp_path, monkeypatch):
    """One line per method over the layers with weights; without a diagnosis there is no such figure."""
    from onelip.bench.depth import DEPTH_NAME
    from onelip.bench.report.build import build_report
    from onelip.bench.results import load_records

    monkeypatch.chdir(tmp_path)
    command = ("compare", "--methods", "aol,cpl", "--sizes", "4", "--budget", "1epoch", "--no-costs", "--out", "out")
    assert onelip(*command).exit_code == 0
    assert "Layer by layer" not in build_report(tmp_path / "out").html.read_text(encoding="utf-8")
    runs = sorted((tmp_path / "out").glob("*/record.json"))
    for path in runs:
        assert onelip("diagnose", path.parent, "--images", "32").exit_code == 0
    records = load_records(tmp_path / "out")
    assert len(records.depths) == 2
    assert all(depth.images == 32 and len(depth.modules) > 10 for depth in records.depths)
    page = build_report(tmp_path / "out").html.read_text(encoding="utf-8")
    assert page.count('<p class="figure-title">Layer by layer</p>') == 1
    assert "AOL gradient" in page
    first, second = (path.parent / DEPTH_NAME for path in runs)
    first.write_text(second.read_text())
    second.write_text("cut")
    records = load_records(tmp_path / "out")
    assert records.depths == ()
    assert sorted(one.reason.split(",")[0] for one in records.corrupt) == [
        "not a diagnosis of this version of onelip",
        "the diagnosis of another run",
    ]
