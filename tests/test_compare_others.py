"""Plain torch and other libraries beside the methods: the same network, and what a session says of them."""

import json
from dataclasses import replace

import pytest
import torch
from tests.report_samples import cost_record, samples
from torch import nn
from typer.testing import CliRunner

from onelip import METHODS, ConvNet, MaxMin
from onelip.bench.costs import cases_of, measure_costs
from onelip.bench.measure.profile import profile_operations
from onelip.bench.others import PEERS, PLAIN, Other, PlainMaxMin, installed
from onelip.bench.records import CostRecord, OtherCosts
from onelip.bench.report.cost_sheet import costs
from onelip.bench.results import read_record, write_record
from onelip.bench.subject import Trained, Workload
from onelip.cli import app
from onelip.errors import OnelipError

WORKLOAD = Workload(size="4", image=(1, 8, 8), classes=10, batch_size=8, device=torch.device("cpu"))
SMALL = ("--sizes", "4", "--image", "1x8x8", "--batch-size", "8", "--rounds", "2", "--methods", "aol")


def test_the_plain_network_computes_what_ours_does():
    plain = PLAIN.network(WORKLOAD)
    ours = ConvNet("standard", size=4, classes=10, image=(1, 8, 8), padding="circular")
    layers = [module for module in plain if isinstance(module, (nn.Conv2d, nn.Linear))]
    with torch.no_grad():
        for layer, own in zip(layers, ours.layers, strict=True):
            layer.weight.copy_(own.weight.reshape(layer.weight.shape))
            layer.bias.copy_(own.bias)
    x = torch.rand(3, 1, 8, 8)
    torch.testing.assert_close(plain(x), ours(x))
    spatial = [layer for layer in layers if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1)]
    assert all(layer.padding_mode == "circular" for layer in spatial)


def test_the_plain_max_min_is_ours():
    x = torch.randn(2, 6, 3, 3)
    assert torch.equal(PlainMaxMin()(x), MaxMin()(x))


@pytest.mark.parametrize("other", PEERS, ids=lambda other: other.name)
def test_other_libraries_train_in_the_same_network(other):
    if other.version is None:
        pytest.skip(f"{other.package} is not installed")
    network = Trained(other.network(WORKLOAD), WORKLOAD)
    kinds = {kind.__module__.partition(".")[0] for module in network.model.modules() for kind in type(module).__mro__}
    assert other.package.partition("-")[0] in kinds
    before = [parameter.detach().clone() for parameter in network.model.parameters()]
    network.train_step()
    assert network.infer().shape == (8, 10)
    changed = [not torch.equal(a, b) for a, b in zip(before, network.model.parameters(), strict=True)]
    assert sum(changed) >= len(changed) / 2


def other_named(name, package, conv2d=lambda: nn.Conv2d):
    return Other(name=name, title=name, package=package, conv2d=conv2d, linear=lambda: nn.Linear)


def test_libraries_that_are_not_installed_are_left_out():
    there, absent = other_named("there", "torch"), other_named("absent", "a-library-that-nobody-wrote")
    assert installed([there, absent]) == ((there,), ("a-library-that-nobody-wrote",))
    with pytest.raises(OnelipError, match=r"onelip\[peers\]"):
        installed([absent])


def broken():
    raise ImportError("no such layer in this version")


def test_a_session_measures_others_along_and_outlives_those_that_fail(tmp_path):
    bad = other_named("bad", "torch", broken)
    session = measure_costs(
        cases_of([METHODS["aol"]], "paper"), WORKLOAD, rounds=2, time_limit=None, others=[PLAIN, bad]
    )
    plain, failed = session.others
    assert (plain.name, plain.status, failed.status) == ("plain", "ok", "error")
    assert "no such layer" in failed.message
    for taken in (plain.train_step, plain.inference, plain.latency):
        assert len(taken) == 2
    weights = sum(parameter.nbytes for parameter in PLAIN.network(WORKLOAD).parameters())
    assert plain.inference_bytes > weights
    assert plain.train_bytes > 3 * weights, "parameters, gradients and momentum"
    assert all(entry.status == "ok" and len(entry.construction) == 2 for entry in session.entries)
    write_record(session, tmp_path / "cost.json")
    assert read_record(tmp_path / "cost.json") == session


def test_sessions_from_before_others_were_measured_are_read():
    content = cost_record().model_dump(mode="json")
    del content["others"]
    assert CostRecord.model_validate(content).others == ()


def test_the_table_has_multiples_of_both_yardsticks():
    session = cost_record(["standard", "aol"])
    unit = {entry.method.name: entry for entry in session.entries if entry.padding == "circular"}
    plain = OtherCosts(
        name="plain",
        title="plain torch",
        version="torch 2",
        padding="circular",
        status="ok",
        train_step=tuple(2 * sample for sample in unit["standard"].train_step),
        inference=samples(1.0),
        train_bytes=unit["aol"].train_bytes,
    )
    lines = {line.head: line.cells for line in costs(session.model_copy(update={"others": (plain,)})).lines}
    ratio = f"{float(torch.tensor(unit['aol'].train_step).div(torch.tensor(unit['standard'].train_step)).median()):.2f}"
    assert lines["AOL"][0].note.startswith(f"\u00d7{ratio} u \u00d7")
    assert lines["plain torch"][0].note == "\u00d72.00 u"
    assert lines["Unconstrained, circular"][0].note == "\u00d70.50 p"
    assert lines["AOL"][4].note.endswith("\u00d71.00 p")
    assert lines["plain torch"][3].missing, "it constructs nothing"


def test_measure_prints_plain_torch_and_a_profile():
    result = CliRunner().invoke(app, ["measure", *SMALL, "--profile"])
    assert result.exit_code == 0, result.output
    assert "plain torch" in result.output
    assert "Where a training step goes: AOL, circular" in result.output
    assert "aten::convolution_backward" in result.output


def test_a_profile_outlives_a_network_that_fails(monkeypatch):
    def fail(*arguments):
        raise ArithmeticError("no steps today")

    monkeypatch.setattr("onelip.bench.subject.Subject.to_training", fail)
    result = CliRunner().invoke(app, ["measure", *SMALL, "--profile"])
    assert "AOL, circular: no profile: ArithmeticError: no steps today" in " ".join(result.output.split())
    assert not isinstance(result.exception, ArithmeticError)


def test_a_profile_is_not_printed_as_json():
    result = CliRunner().invoke(app, ["measure", *SMALL, "--profile", "--json"])
    assert result.exit_code == 2
    assert "leave one of them out" in result.output


def test_measure_writes_others_as_json():
    if not any(other.version for other in PEERS):
        pytest.skip("neither orthogonium nor deel-torchlip is installed")
    (session,) = json.loads(CliRunner().invoke(app, ["measure", *SMALL, "--peers", "--json"]).output)
    names = {other.name for other in PEERS if other.version} | {"plain"}
    assert {other["name"] for other in session["others"]} == names
    assert {other["status"] for other in session["others"]} == {"ok"}


def test_measure_says_how_to_get_other_libraries(monkeypatch):
    monkeypatch.setattr("onelip.bench.others.PEERS", (replace(PEERS[0], package="a-library-that-nobody-wrote"),))
    result = CliRunner().invoke(app, ["measure", *SMALL, "--peers"])
    assert result.exit_code == 2
    assert "onelip[peers]" in result.output


def test_a_profile_counts_calls_and_shares():
    x = torch.randn(64, 64)
    operations = profile_operations(lambda: x @ x @ x, device=torch.device("cpu"), runs=3)
    product = next(one for one in operations if one.name == "aten::mm")
    assert product.calls == 2
    assert sum(one.share for one in operations) == pytest.approx(1)
    assert [one.seconds for one in operations] == sorted((one.seconds for one in operations), reverse=True)
