"""`onelip certify --arithmetic executed`: a certificate of the float32 program, what it costs, and the report."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from tests.test_cli_certify import onelip

from onelip.bench.arithmetics import ARITHMETICS_NAME, ArithmeticsRecord
from onelip.bench.executed import arithmetics_record
from onelip.bench.report.build import build_report
from onelip.bench.results import load_records
from onelip.bench.saved import EXECUTED_CERTIFICATE_NAME
from onelip.bench.single import certify_again, open_run


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    run = tmp_path_factory.mktemp("certified") / "run"
    assert onelip("train", "--method", "cpl", "--size", "4", "--budget", "3epochs", "--out", run).exit_code == 0
    return run, onelip("certify", run, "--arithmetic", "executed", "--attack", "40")


@pytest.fixture
def run(certified, tmp_path):
    """A copy that may be changed."""
    return shutil.copytree(certified[0], tmp_path / "run")


def test_it_says_what_each_promise_costs(certified):
    _, result = certified
    assert result.exit_code == 0, result.stderr
    text = " ".join(result.stdout.split())
    assert "Arithmetic: executed. The radii are proved for the network's certified program of float32" in text
    assert "CRA 36/255 in each arithmetic" in text
    assert text.index(" real ") < text.index(" float64 ") < text.index(" executed ")
    assert "times as long as the plain frozen network for 256 images (quartiles " in text
    assert "times as long as the plain frozen network for 1 image (quartiles " in text
    assert "on 64 images; " in text
    assert "and 0 inputs lost their answer." in text
    assert "radii are broken by the rounding of floating point" in text


def test_the_record_beside_the_run_is_that_of_the_run(certified):
    run, _ = certified
    record = ArithmeticsRecord.model_validate_json((run / ARITHMETICS_NAME).read_bytes())
    assert [one.arithmetic for one in record.evaluations] == ["real", "float64", "executed"]
    assert record.block == 16
    assert record.measured < record.bound
    assert all(one.measured <= one.bound + 1e-13 for one in record.modules)
    (found,) = load_records(run.parent).arithmetics
    assert found == record
    real, _, executed = (one.certified[36] for one in record.evaluations)
    assert executed >= 0.5 * real


def test_each_arithmetic_is_gone_through_once_and_tells_how_far_it_is(run):
    notes, cpu = [], torch.device("cpu")
    opened = open_run(run, method=None, data=None, data_dir=None)
    result = certify_again(opened, device=cpu, arithmetic="executed", note=notes.append)
    record = arithmetics_record(opened, result, device=cpu, note=notes.append)
    ends = [note for note in notes if note.endswith("500 of 500 images")]
    prefixes = ("", "in real arithmetic: ", "in float64 arithmetic: ")
    assert ends == [f"{prefix}500 of 500 images" for prefix in prefixes]
    assert record.evaluations[::2] == (result.repeated, result.evaluation)


def test_the_certificate_is_verified_and_an_edited_one_is_not(run):
    path = run / EXECUTED_CERTIFICATE_NAME
    result = onelip("verify", path)
    assert result.exit_code == 0, result.stderr
    assert "Arithmetic: executed." in result.stdout
    assert "certified program of float32" in " ".join(result.stdout.split())
    path.write_text(path.read_text().replace('"block": 16', '"block": 15'))
    refused = onelip("verify", path)
    assert refused.exit_code == 1
    assert "it was edited" in refused.stderr


def test_for_a_script_and_with_longer_sums(run):
    content = json.loads(onelip("certify", run, "--arithmetic", "executed", "--block", "0", "--json").stdout)
    assert content["arithmetic"] == "executed"
    assert content["arithmetics"]["block"] is None
    assert content["certificate"] == str(run / EXECUTED_CERTIFICATE_NAME)
    assert '"block"' not in (run / EXECUTED_CERTIFICATE_NAME).read_text()
    assert onelip("verify", run / EXECUTED_CERTIFICATE_NAME).exit_code == 0
    assert onelip("certify", run, "--block", "-1").exit_code == 2


def test_a_break_of_the_past_leaves_no_certificate(run):
    (run / "broken.safetensors").write_bytes(b"")
    result = onelip("certify", run, "--arithmetic", "executed")
    assert result.exit_code == 1
    assert not (run / EXECUTED_CERTIFICATE_NAME).exists()


def test_a_new_training_leaves_nothing_of_the_old_program(run):
    again = ("train", "--method", "cpl", "--size", "4", "--budget", "1epoch", "--force", "--out", run)
    assert onelip(*again).exit_code == 0
    assert not (run / EXECUTED_CERTIFICATE_NAME).exists()
    assert not (run / ARITHMETICS_NAME).exists()


def test_the_report_sets_the_promises_side_by_side(run, tmp_path):
    assert "What each promise costs" in build_report(tmp_path).html.read_text(encoding="utf-8")
    text = build_report(tmp_path).markdown.read_text(encoding="utf-8")
    assert "CRA 36, executed" in text
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert '<p class="figure-title">How tight the bounds of float32 are</p>' in page
    path = run / ARITHMETICS_NAME
    path.write_text(path.read_text().replace('"started": "2', '"started": "1'))
    (stale,) = load_records(tmp_path).stale
    assert stale.reason == (
        "the comparison of arithmetics of an earlier training; onelip certify RUN --arithmetic executed makes another"
    )
    path.write_text("{")
    (corrupt,) = load_records(tmp_path).corrupt
    assert corrupt.reason == "not a comparison of arithmetics of this version of onelip"
    assert "What each promise costs" not in build_report(tmp_path).html.read_text(encoding="utf-8")
