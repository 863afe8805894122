"""`onelip train` and `onelip certify`: one network, kept and certified again; and folders that are damaged."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from onelip.bench.records import Cell
from onelip.bench.results import RECORD_NAME, RUN_NAME, read_record
from onelip.bench.train.checkpoint import FILE_NAME
from onelip.cli import app

TRAIN = ("train", "--method", "cpl", "--size", "4", "--budget", "3epochs")


def onelip(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = tmp_path_factory.mktemp("trained") / "run"
    result = onelip(*TRAIN, "--out", run)
    assert result.exit_code == 0, result.stderr
    return run, result.stdout


@pytest.fixture
def run(trained, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(trained[0], tmp_path / "run")


def test_certify_gives_the_numbers_of_the_record(trained):
    run, printed = trained
    result = onelip("certify", run, "--arithmetic", "real")
    assert result.exit_code == 0, result.stderr
    assert "These are the numbers of its record." in result.stdout
    record = read_record(run / RECORD_NAME)
    accuracy = 100 * record.evaluation.correct / record.evaluation.images
    for text in (printed, result.stdout):
        assert f"{accuracy:.1f} %" in text
        assert all(f"CRA {radius}/255" in text for radius in (36, 72, 108, 255))
        assert "Lipschitz bound: 1.0" in text
        assert "Arithmetic: real." in text


def test_certify_pays_for_rounding_unless_told_otherwise(trained):
    result = onelip("certify", trained[0])
    assert result.exit_code == 0, result.stderr
    assert "Arithmetic: float64." in result.stdout
    assert "every rounding of the evaluation is paid for" in " ".join(result.stdout.split())
    assert "In real arithmetic these are the numbers of its record" in " ".join(result.stdout.split())
    paid = json.loads(onelip("certify", trained[0], "--json").stdout)
    assert (paid["arithmetic"], paid["agrees_with_record"]) == ("float64", True)
    counts = zip(paid["certified"], read_record(trained[0] / RECORD_NAME).evaluation.certified, strict=True)
    assert all(abs(now - then) <= 1 for now, then in counts)
    unknown = onelip("certify", trained[0], "--arithmetic", "float32")
    assert unknown.exit_code == 2
    assert "'float32' is not one of float64, executed, real; did you mean float64?" in unknown.stderr


def test_certify_for_a_script(trained):
    content = json.loads(onelip("certify", trained[0], "--arithmetic", "real", "--json").stdout)
    evaluation = read_record(trained[0] / RECORD_NAME).evaluation
    assert content["agrees_with_record"] is True
    assert tuple(content["certified"]) == evaluation.certified
    assert content["cra"]["36"] == evaluation.certified[36] / evaluation.images
    assert content["lipschitz"] == evaluation.lipschitz
    assert content["arithmetic"] == "real"


def test_the_radii_are_those_of_the_library(trained):
    """The counts, recomputed by other means: the public function, image by image radius, exact thresholds."""
    from fractions import Fraction

    from onelip import METHODS, certified_radius
    from onelip.bench.data import load
    from onelip.bench.saved import load_network

    run, _ = trained
    record, data = read_record(run / RECORD_NAME), load("digits")
    model = load_network(record, METHODS["cpl"], data, run)
    x = data.test_images / data.pixel_max
    radii = certified_radius(model, x, data.test_labels, arithmetic="real").tolist()
    for k in (0, 1, 36, 72, 108, 255):
        assert record.evaluation.certified[k] == sum(Fraction(radius) > Fraction(k, 255) for radius in radii)
    assert 0 < record.evaluation.certified[1] <= record.evaluation.correct


def test_certify_sees_weights_that_are_not_those_of_the_record(run):
    path = run / "model.safetensors"
    weights = load_file(path)
    name = max(weights, key=lambda name: weights[name].numel())
    weights[name] = torch.randn_like(weights[name])
    save_file(weights, path, metadata={"onelip": read_record(run / RECORD_NAME).cell.model_dump_json()})
    result = onelip("certify", run)
    assert result.exit_code == 0
    assert "The record has other numbers" in result.stdout


def cut(run):
    path = run / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def empty(run):
    (run / "model.safetensors").write_bytes(b"")


def missing(run):
    (run / "model.safetensors").unlink()


def edit(run, change, cell=None):
    """Writes the weights anew after a change."""
    weights = change(load_file(run / "model.safetensors"))
    cell = cell or read_record(run / RECORD_NAME).cell
    save_file(weights, run / "model.safetensors", metadata={"onelip": cell.model_dump_json()})


def one_less(run):
    edit(run, lambda weights: dict(list(weights.items())[1:]))


def one_more(run):
    edit(run, lambda weights: weights | {"extra": torch.zeros(1)})


def not_a_number(run):
    edit(run, lambda weights: {name: tensor.fill_(float("nan")) for name, tensor in weights.items()})


def of_another_run(run):
    cell = read_record(run / RECORD_NAME).cell
    edit(run, dict, Cell(**cell.model_dump() | {"seed": 5}))


def interrupted(run):
    (run / RECORD_NAME).unlink()


def record_cut(run):
    (run / RECORD_NAME).write_text((run / RECORD_NAME).read_text()[:300])


def diverged(run):
    record = read_record(run / RECORD_NAME)
    changes = {"status": "diverged", "evaluation": None, "message": "the loss was nan"}
    (run / RECORD_NAME).write_text(record.model_copy(update=changes).model_dump_json())


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut, ("model.safetensors", "cut")),
        (empty, ("model.safetensors", "cut")),
        (missing, ("model.safetensors", "missing")),
        (one_less, ("do not fit",)),
        (one_more, ("do not fit", "extra")),
        (not_a_number, ("not finite",)),
        (of_another_run, ("another run", "s5")),
        (interrupted, ("not a finished run", "--resume")),
        (record_cut, (RECORD_NAME, "not a whole JSON file")),
        (diverged, ("'diverged'", "the loss was nan")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_certify_refuses_what_is_damaged(run, damage, words):
    damage(run)
    result = onelip("certify", run)
    assert result.exit_code == 2
    assert all(word in result.stderr for word in words), result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_certify_names_a_run_inside_the_folder(run):
    result = onelip("certify", run.parent)
    assert result.exit_code == 2
    assert str(run) in result.stderr


def test_an_existing_run_is_never_overwritten_silently(run):
    before = (run / RECORD_NAME).read_bytes()
    result = onelip(*TRAIN, "--out", run)
    assert result.exit_code == 2
    assert all(word in result.stderr for word in (str(run), "--force"))
    assert (run / RECORD_NAME).read_bytes() == before
    assert onelip(*TRAIN, "--out", run, "--resume").exit_code == 0
    assert (run / RECORD_NAME).read_bytes() == before
    other = onelip(*TRAIN, "--seed", 1, "--out", run, "--resume")
    assert other.exit_code == 2
    assert "seed 0 there, 1 now" in other.stderr
    assert onelip(*TRAIN, "--seed", 1, "--out", run, "--force").exit_code == 0
    assert read_record(run / RECORD_NAME).cell.seed == 1


def test_resume_and_force_exclude_each_other(tmp_path):
    result = onelip(*TRAIN, "--out", tmp_path / "run", "--resume", "--force")
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_and_resume(tmp_path, monkeypatch):
    run = tmp_path / "run"
    command = ("train", "--method", "aol", "--size", "4", "--budget", "100000epochs", "--out", str(run))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-m", "onelip", *command]
    # A job in the background of a shell is born deaf to Ctrl-C.
    hears = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(program, env=environment, text=True, stderr=subprocess.PIPE, **hears) as process:
        try:
            while not (run / RUN_NAME).exists():
                assert process.poll() is None
                time.sleep(0.05)
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "onelip: stopped." in stderr
    assert "Traceback" not in stderr
    assert not (run / RECORD_NAME).exists()
    refused = onelip(*command)
    assert refused.exit_code == 2
    assert "--resume" in refused.stderr
    other = onelip("train", "--method", "aol", "--size", "4", "--budget", "2epochs", "--out", run, "--resume")
    assert other.exit_code == 2
    assert re.search("budget 100000epochs there, 2epochs now", other.stderr)


def test_a_resumed_run_is_the_run_that_was_not_interrupted(trained, tmp_path, monkeypatch):
    """The checkpoint after the second epoch is left as by a kill; the record then is that of the whole run."""
    import onelip.bench.cell as cell_module

    train = cell_module.train

    class Killed(KeyboardInterrupt):
        pass

    def killed(*arguments, progress, **options):
        def report(snapshot):
            if snapshot.complete and snapshot.epoch.epoch == 3:
                raise Killed
            progress(snapshot)

        return train(*arguments, progress=report, checkpoint_seconds=0.0, **options)

    run = tmp_path / "run"
    monkeypatch.setattr(cell_module, "train", killed)
    stopped = onelip(*TRAIN, "--out", run)
    assert stopped.exit_code == 130
    assert "--resume goes on" in stopped.stderr
    assert (run / FILE_NAME).exists()
    monkeypatch.undo()
    resumed = onelip(*TRAIN, "--out", run, "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    whole, again = read_record(trained[0] / RECORD_NAME), read_record(run / RECORD_NAME)
    assert [epoch.loss for epoch in again.history] == [epoch.loss for epoch in whole.history]
    assert again.evaluation.certified == whole.evaluation.certified
    assert (run / "model.safetensors").read_bytes() == (trained[0] / "model.safetensors").read_bytes()
    assert not (run / FILE_NAME).exists()


def test_an_own_method_is_certified_where_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "own_certified.py").write_text(
        "from dataclasses import replace\n"
        "from onelip.methods.aol import AOL\n"
        "MINE = replace(AOL, name='mine')\n"
        "NEWER = replace(MINE, revision=2)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    mine = ("--method", "own_certified:MINE")
    assert onelip("train", *mine, "--size", "4", "--budget", "1epoch", "--out", "run").exit_code == 0
    assert "numbers of its record" in " ".join(onelip("certify", "run", *mine).stdout.split())
    unnamed = onelip("certify", "run")
    assert unnamed.exit_code == 2
    assert "'mine' of this run is not registered" in unnamed.stderr
    other = onelip("certify", "run", "--method", "own_certified:NEWER")
    assert other.exit_code == 2
    assert "revision 2" in other.stderr
    assert onelip("certify", "run", "--method", "aol").exit_code == 2


def test_train_says_when_it_fails(tmp_path):
    result = onelip(*TRAIN, "--learning-rate", "1e30", "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "diverged: " in result.stdout
    assert read_record(tmp_path / "run" / RECORD_NAME).status == "diverged"


def test_a_run_on_pictures_that_were_moved_is_certified_where_they_are_named(tmp_path, monkeypatch):
    from PIL import Image

    for index in range(12):
        for split in ("train", "test"):
            folder = tmp_path / "pets" / split / ("cat" if index % 2 else "dog")
            folder.mkdir(parents=True, exist_ok=True)
            Image.effect_noise((8, 8), 20 * index + 1).save(folder / f"{index}.png")
    monkeypatch.chdir(tmp_path)
    quick = ("--method", "aol", "--size", "4", "--batch-size", "4", "--budget", "1epoch")
    assert onelip("train", *quick, "--data", tmp_path / "pets", "--out", "run").exit_code == 0
    assert read_record(tmp_path / "run" / RECORD_NAME).cell.data == "./pets"
    assert onelip("certify", "run").exit_code == 0
    (tmp_path / "pets").rename(tmp_path / "moved")
    lost = onelip("certify", "run")
    assert lost.exit_code == 2
    assert "--data" in lost.stderr
    assert "numbers of its record" in " ".join(onelip("certify", "run", "--data", "moved").stdout.split())
    (tmp_path / "moved" / "test" / "cat" / "1.png").unlink()
    other = onelip("certify", "run", "--data", "moved")
    assert other.exit_code == 2
    assert "not those of this run" in other.stderr


def test_an_attack_breaks_no_certificate_and_bounds_robustness_from_above(run):
    result = onelip("certify", run, "--attack", "16")
    assert result.exit_code == 0, result.stderr
    printed = " ".join(result.stdout.split())
    for text in (
        "Withstand attacks of 36/255",
        "foolbox DeepFool",
        "rounding",
        "and 0 inputs lost their answer",
        "gap",
    ):
        assert text in printed
    assert not (run / "broken.safetensors").exists()
    found = json.loads(onelip("certify", run, "--attack", "16", "--json").stdout)["attack"]
    assert found["certified"] <= found["standing"] <= found["correct"] <= found["images"] == 16
    gap = 100 * (found["standing"] - found["certified"]) / 16
    assert f"the gap, is {gap:.1f} points" in printed
    attacks = {(one["attack"], one["arithmetic"]): one for one in found["attacks"]}
    names = ("margin", "foolbox DeepFool", "foolbox DDN", "foolbox Carlini-Wagner", "foolbox PGD", "rounding")
    assert set(attacks) == {(name, "float64") for name in names} | {("rounding", "real")}
    assert all(one["probes"] > 0 and one["inputs"] > 0 for one in attacks.values())
    paid = [one for one in attacks.values() if one["arithmetic"] == "float64"]
    assert sum(one["probes"] for one in paid) == found["probes"]
    assert [one["broken"] for one in paid] == [0] * 6
    assert found["broken"] == 0
    assert found["foolbox_missing"] is None
    assert "attack" not in json.loads(onelip("certify", run, "--json").stdout)


def test_more_restarts_try_more_and_a_missing_foolbox_is_said(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "foolbox", None)
    result = onelip("certify", run, "--attack", "8")
    assert result.exit_code == 0, result.stderr
    printed = " ".join(result.stdout.split())
    assert "Only attacks of onelip ran" in printed
    assert 'pip install "onelip[attack]"' in printed
    assert "foolbox DDN" not in printed
    once, thrice = (
        json.loads(onelip("certify", run, "--attack", "8", "--attack-restarts", times, "--json").stdout)["attack"]
        for times in ("1", "3")
    )
    assert "foolbox" in once["foolbox_missing"]
    assert [one["attack"] for one in once["attacks"]] == ["margin", "rounding", "rounding"]
    assert thrice["probes"] > 2.5 * once["probes"]


def test_a_broken_certificate_is_a_failure_and_its_image_is_kept(run, monkeypatch):
    from onelip.certify import radius

    monkeypatch.setattr(radius.Bound, "product", classmethod(lambda cls, parts: radius.Bound(0.01, "claimed")))
    result = onelip("certify", run, "--attack", "8")
    assert result.exit_code == 1
    assert "A certificate was broken" in result.stderr
    kept = load_file(run / "broken.safetensors")
    assert kept.keys() == {"image", "attacked", "label", "radius"}
    assert len(kept["image"]) == len(kept["attacked"]) == len(kept["label"]) == len(kept["radius"]) > 0
    assert kept["image"].shape[1:] == (1, 8, 8)
    moved = torch.linalg.vector_norm((kept["image"] - kept["attacked"]).flatten(1), dim=1)
    assert ((moved > 0) & (moved < kept["radius"])).all()


def test_breaks_of_real_arithmetic_are_counted_and_are_no_failure(run, monkeypatch):
    from onelip.certify import radius

    monkeypatch.setattr(radius, "lipschitz_bound", lambda model, image: radius.Bound(0.01, "claimed"))
    result = onelip("certify", run, "--attack", "8", "--arithmetic", "real")
    assert result.exit_code == 0
    assert "does not pay for rounding" in " ".join(result.stdout.split())
    assert not (run / "broken.safetensors").exists()
