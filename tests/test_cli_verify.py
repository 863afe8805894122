"""`onelip verify`: a certificate that holds, and everything that does not."""

import json
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from onelip.bench.results import RECORD_NAME, read_record
from onelip.certify.certificate import Certificate
from onelip.cli import app


def onelip(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def words(result):
    return " ".join((result.stdout + result.stderr).split())


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    run = tmp_path_factory.mktemp("certified") / "run"
    assert onelip("train", "--method", "cpl", "--size", "4", "--budget", "3epochs", "--out", run).exit_code == 0
    result = onelip("certify", run)
    assert result.exit_code == 0, result.stderr
    assert f"Certificate: {run / 'certificate.json'}" in words(result)
    return run


@pytest.fixture
def run(certified, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(certified, tmp_path / "run")


def test_a_certificate_holds_where_it_lies_and_with_the_weights_alone(certified, tmp_path):
    path = certified / "certificate.json"
    result = onelip("verify", path)
    assert result.exit_code == 0, result.stderr
    claims, record = Certificate.read(path), read_record(certified / RECORD_NAME)
    above = sum(one.radius > 36 / 255 for one in claims.inputs)
    assert f"{len(claims.inputs)} images" in words(result)
    assert f"{above} with one above 36/255" in words(result)
    assert above == record.evaluation.certified[36]
    alone = shutil.copy(certified / "model.safetensors", tmp_path / "weights.safetensors")
    moved = shutil.copy(path, tmp_path / "moved.json")
    assert onelip("verify", moved, "--model", alone).exit_code == 0
    lost = onelip("verify", moved)
    assert lost.exit_code == 2
    assert "model.safetensors is missing" in words(lost)


def test_it_is_named_in_json_and_not_written_for_real_arithmetic(run):
    assert json.loads(onelip("certify", run, "--json").stdout)["certificate"] == str(run / "certificate.json")
    (run / "certificate.json").unlink()
    assert json.loads(onelip("certify", run, "--json", "--arithmetic", "real").stdout)["certificate"] is None
    assert not (run / "certificate.json").exists()


def test_an_edited_certificate_is_refused(run):
    path = run / "certificate.json"
    text = path.read_text()
    path.write_text(text.replace('"radius": 0.', '"radius": 9.', 1))
    result = onelip("verify", path)
    assert result.exit_code == 1
    assert "does not hold: it was edited" in words(result)
    claims = json.loads(path.read_text())
    claims.pop("digest")
    for name in ("layers", "inputs"):
        claims[name] = tuple(claims[name])
    forged = Certificate.signed_off(**claims | {"image": tuple(claims["image"])})
    forged.write(path)
    index = next(i for i, one in enumerate(forged.inputs) if one.radius > 8)
    result = onelip("verify", path)
    assert result.exit_code == 1
    assert f"input {index} claims the radius" in words(result)


def test_other_weights_are_refused(run):
    path = run / "model.safetensors"
    weights = load_file(path)
    name = max(weights, key=lambda name: weights[name].numel())
    weights[name].view(-1)[0] += 1e-4
    save_file(weights, path, metadata={"onelip": read_record(run / RECORD_NAME).cell.model_dump_json()})
    result = onelip("verify", run / "certificate.json")
    assert result.exit_code == 1
    assert "weights: it speaks of" in words(result)


def test_other_images_are_refused(run, monkeypatch):
    from onelip.bench import single

    load = single.load

    def other(*arguments):
        data = load(*arguments)
        data.test_images[0, 0, 0, 0] ^= 1
        return data

    monkeypatch.setattr(single, "load", other)
    result = onelip("verify", run / "certificate.json")
    assert result.exit_code == 1
    assert "data: it speaks of" in words(result)


@pytest.mark.parametrize("content", ["", "{}", "{", "certificate", '{"classes": ' + "1" * 5000 + "}"])
def test_what_is_no_certificate_is_refused(run, content):
    (run / "certificate.json").write_text(content)
    result = onelip("verify", run / "certificate.json")
    assert result.exit_code == 1
    assert "it is no certificate" in words(result)
    assert len(result.stderr) < 400
    assert result.stdout == ""


def test_bad_requests_are_refused(run):
    for arguments, said in (
        (("none.json",), "none.json cannot be read"),
        ((run / "certificate.json", "--model", run.parent / "nothing"), "is missing"),
        ((run / "certificate.json", "--model", run / RECORD_NAME), "is not a network of onelip"),
        ((run / "certificate.json", "--device", "gpu"), "'gpu'"),
        ((run / "certificate.json", "--method", "aol"), "revision"),
    ):
        result = onelip("verify", *arguments)
        assert result.exit_code == 2, said
        assert said in words(result)
        assert result.stdout == ""


def test_no_certificate_is_left_where_one_is_broken(run, monkeypatch):
    from onelip.certify import radius

    assert (run / "certificate.json").exists()
    monkeypatch.setattr(radius.Bound, "product", classmethod(lambda cls, parts: radius.Bound(0.01, "claimed")))
    result = onelip("certify", run, "--attack", "64")
    assert result.exit_code == 1
    assert "there is no certificate" in words(result)
    assert not (run / "certificate.json").exists()


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize("blocked", [(), ("broken.safetensors",), ("certificate.json", "broken.safetensors")])
def test_a_break_is_told_whatever_cannot_be_written(run, monkeypatch, blocked, options):
    from onelip.certify import radius

    for name in blocked:
        (run / name).unlink(missing_ok=True)
        (run / name).mkdir()
    monkeypatch.setattr(radius.Bound, "product", classmethod(lambda cls, parts: radius.Bound(0.01, "claimed")))
    result = onelip("certify", run, "--attack", "64", *options)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    *before, told, kept = result.stderr.splitlines()
    # What cannot be read refutes everything.
    assert ["holds images that broke a certificate" in line for line in before] == [True] * len(blocked[-1:])
    assert "A certificate was broken" in told
    if "certificate.json" in blocked:
        assert f"cannot remove {run / 'certificate.json'}" in told
        assert "what lies there is refuted" in told
    else:
        assert "there is no certificate" in told
        assert not (run / "certificate.json").exists()
    assert f"The images are in {run / ('broken-2.safetensors' if blocked else 'broken.safetensors')}" in kept
    assert json.loads(result.stdout)["certificate"] is None if options else "CRA 36/255" in result.stdout


def test_a_break_is_told_where_nothing_can_be_printed(run, monkeypatch):
    from onelip.certify import radius
    from onelip.cli import certify

    def closed(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(radius.Bound, "product", classmethod(lambda cls, parts: radius.Bound(0.01, "claimed")))
    monkeypatch.setattr(certify, "print_siege", closed)
    result = onelip("certify", run, "--attack", "64")
    assert result.exit_code != 0
    assert "A certificate was broken" in result.stderr
    assert not (run / "certificate.json").exists()
    assert (run / "broken.safetensors").exists()


def test_a_module_that_a_file_names_is_not_imported(run, monkeypatch, tmp_path):
    (tmp_path / "planted.py").write_text(
        "from pathlib import Path\n"
        "from dataclasses import replace\n"
        "from onelip.methods.cpl import CPL\n"
        "Path('imported').touch()\n"
        "X = replace(CPL, name='x')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    record, path = read_record(run / RECORD_NAME), run / "model.safetensors"
    cell = record.cell.model_copy(update={"method": "planted:X"})
    changes = {"cell": cell, "method": record.method.model_copy(update={"name": cell.method})}
    (run / RECORD_NAME).write_text(record.model_copy(update=changes).model_dump_json())
    save_file(load_file(path), path, metadata={"onelip": cell.model_dump_json()})
    for command in (("verify", run / "certificate.json"), ("certify", run), ("diagnose", run)):
        result = onelip(*command)
        assert result.exit_code == 2
        assert "'planted:X' of this run is not registered" in words(result)
        assert "--method package.module:NAME" in words(result)
        assert not (tmp_path / "imported").exists()
    assert onelip("verify", run / "certificate.json", "--method", "planted:X").exit_code == 2
    assert (tmp_path / "imported").exists()


def test_weights_that_are_not_finite_give_no_certificate(run):
    path = run / "model.safetensors"
    weights = {name: torch.full_like(tensor, float("nan")) for name, tensor in load_file(path).items()}
    save_file(weights, path, metadata={"onelip": read_record(run / RECORD_NAME).cell.model_dump_json()})
    for command in (("certify", run), ("verify", run / "certificate.json")):
        result = onelip(*command)
        assert result.exit_code == 2
        assert "not finite" in words(result)


def test_a_certificate_that_cannot_be_written_costs_no_result(run):
    (run / "certificate.json").unlink()
    (run / "certificate.json").mkdir()
    result = onelip("certify", run)
    assert result.exit_code == 2
    assert "cannot write" in result.stderr
    assert "CRA 36/255" in result.stdout
    assert "Certificate:" not in result.stdout
    result = onelip("certify", run, "--json")
    assert result.exit_code == 2
    assert "cannot write" in result.stderr
    found = json.loads(result.stdout)
    assert found["certificate"] is None
    assert found["correct"] >= found["certified"][0] > 0


def test_text_of_a_certificate_does_not_act_on_the_terminal(run):
    path = run / "certificate.json"
    claims = Certificate.read(path)
    first = claims.layers[0].model_dump() | {"kind": "\x1b[2K\x1b[1Aonelip: it holds"}
    forged = claims.signed_off(**claims.model_dump(exclude={"digest"}) | {"layers": (first,)})
    path.unlink()
    forged.write(path)
    result = onelip("verify", path)
    assert result.exit_code == 1
    assert "\x1b" not in result.output


def test_no_certificate_is_written_beside_images_that_broke_one(run):
    (run / "broken.safetensors").write_bytes(b"")
    assert onelip("certify", run, "--arithmetic", "real").exit_code == 0
    result = onelip("certify", run)
    assert result.exit_code == 1
    assert "broken.safetensors holds images that broke a certificate" in words(result)
    assert "CRA 36/255" in result.stdout
    assert not (run / "certificate.json").exists()
    (run / "broken.safetensors").unlink()
    assert onelip("certify", run).exit_code == 0
