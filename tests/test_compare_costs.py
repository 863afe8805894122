"""The measuring session: what it contains, what it says of methods that fail, and when it is measured again."""

import json
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from onelip import METHODS, ConvNet
from onelip.bench.costs import cases_of, measure_costs
from onelip.bench.measure.machine import describe_machine
from onelip.bench.measure.memory import peak_bytes
from onelip.bench.records import CostEntry, CostRecord
from onelip.bench.results import load_records, read_record
from onelip.bench.selection import method_info
from onelip.bench.sessions import keep
from onelip.bench.subject import Subject, Workload
from onelip.cli import app
from onelip.methods.aol import AOLConv2d
from onelip.nn.linear import PointwiseLinear

WORKLOAD = Workload(size="4", image=(1, 8, 8), classes=10, batch_size=8, device=torch.device("cpu"))


def onelip(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def own(layer):
    linear = type("Linear", (PointwiseLinear, layer), {})
    return replace(METHODS["aol"], name="own", title="Own", conv2d=layer, linear=linear)


class RaisesConv2d(AOLConv2d):
    def kernel(self, raw):
        raise ArithmeticError("no kernel")


class RaisesLaterConv2d(AOLConv2d):
    """Raises after the calls that measuring memory takes: while it is timed."""

    calls = 0

    def kernel(self, raw):
        type(self).calls += 1
        if type(self).calls > 60:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 GB")
        return super().kernel(raw)


class UncountableConv2d(AOLConv2d):
    def apply_weights(self, x_BIHW, weights):
        return super().apply_weights(
            torch.nn.functional.grid_sample(
                x_BIHW, torch.zeros(len(x_BIHW), *x_BIHW.shape[2:], 2), align_corners=False
            ),
            weights,
        )


def session(*methods, rounds=2, **changes):
    return measure_costs(cases_of(methods, "paper"), replace(WORKLOAD, **changes), rounds=rounds, time_limit=None)


def test_every_padding_in_use_has_its_unconstrained_network():
    constrained = [method for method in METHODS.values() if method.traits.constrained]
    for padding in ("paper", "circular", "zeros"):
        cases = cases_of(constrained, padding)
        used = {used for method, used in cases if method.traits.constrained}
        assert {used for method, used in cases if not method.traits.constrained} == used
        assert len(set(cases)) == len(cases) == len(constrained) + len(used)
        assert padding == "paper" or used == {padding}


def test_an_unconstrained_network_that_is_compared_too_is_measured_once():
    names = [(method.name, padding) for method, padding in cases_of(METHODS.values(), "circular")]
    assert len(names) == len(set(names)) == len(METHODS)


@pytest.fixture(scope="module")
def measured():
    """One session of a method of each padding."""
    return session(METHODS["aol"], METHODS["cpl"], rounds=3)


def entry(record, name, padding):
    return next(entry for entry in record.entries if (entry.method.name, entry.padding) == (name, padding))


def test_a_session_holds_every_number(measured):
    names = [(entry.method.name, entry.padding) for entry in measured.entries]
    assert names == [("aol", "circular"), ("cpl", "zeros"), ("standard", "circular"), ("standard", "zeros")]
    assert (measured.width, measured.image, measured.classes, measured.batch_size) == (4, (1, 8, 8), 10, 8)
    for found in measured.entries:
        assert found.status == "ok"
        for samples in (found.train_step, found.inference, found.latency, found.construction):
            assert len(samples) == 3
            assert all(0 < sample < measured.seconds for sample in samples)


def test_memory_holds_parameters_gradients_momentum_and_constructed_weights(measured):
    model = ConvNet("aol", size=4, classes=10, image=(1, 8, 8))
    parameters = sum(parameter.numel() * 4 for parameter in model.parameters())
    kernels = sum(layer.weight.numel() * 4 for layer in model.layers)
    images = 8 * 64 * 4
    aol = entry(measured, "aol", "circular")
    for found in (aol, entry(measured, "standard", "circular")):
        assert found.train_bytes > 3 * parameters + images
        assert found.inference_bytes < found.train_bytes
    assert aol.inference_bytes > parameters + kernels + images
    # The unconstrained network constructs nothing: it holds its weights once.
    assert aol.inference_bytes - entry(measured, "standard", "circular").inference_bytes == kernels


def test_momentum_counts_although_nothing_reads_it_at_the_peak():
    subject = Subject(METHODS["aol"], "circular", replace(WORKLOAD, batch_size=64))
    parameters = sum(parameter.numel() * 4 for parameter in subject.model.parameters())
    whole = subject.train_bytes()
    assert whole - peak_bytes(subject.train_step, device="cpu") >= parameters


def test_inference_keeps_nothing_of_the_training():
    subject = Subject(METHODS["aol"], "circular", WORKLOAD)
    subject.to_training()
    assert subject._optimizer.state
    subject.to_inference()
    assert not subject._optimizer.state
    assert all(parameter.grad is None for parameter in subject.model.parameters())
    assert not any(module.training for module in subject.model.modules())


def test_operations_by_formula_are_those_that_are_counted(measured):
    aol, standard = entry(measured, "aol", "circular"), entry(measured, "standard", "circular")
    assert standard.forward_macs == standard.counted_forward_macs > 0
    assert aol.forward_macs == aol.counted_forward_macs == standard.forward_macs
    assert standard.construction_macs == 0 < aol.construction_macs


def test_a_method_that_fails_is_an_entry_and_the_others_are_measured():
    broken, cpl, *yardsticks = session(own(RaisesConv2d), METHODS["cpl"]).entries
    assert (broken.status, broken.message) == ("error", "ArithmeticError: no kernel")
    assert broken.train_step == ()
    assert all(entry.status == "ok" and len(entry.train_step) == 2 for entry in (cpl, *yardsticks))


def test_a_method_that_fails_while_it_is_timed(monkeypatch):
    monkeypatch.setattr(RaisesLaterConv2d, "calls", 0)
    late, cpl, *yardsticks = session(own(RaisesLaterConv2d), METHODS["cpl"], rounds=5).entries
    assert late.status == "oom"
    assert "9 GB" in late.message
    assert late.train_bytes > 0, "what was measured before is kept"
    assert () in (late.train_step, late.inference, late.latency, late.construction)
    assert all(entry.status == "ok" for entry in (cpl, *yardsticks))
    assert all(len(entry.inference) == 5 for entry in (cpl, *yardsticks))


def test_an_operation_that_cannot_be_counted_does_not_cost_the_times():
    entry, *_ = session(own(UncountableConv2d)).entries
    assert entry.status == "ok"
    assert entry.counted_forward_macs == 0
    assert "grid_sampler" in entry.message
    assert len(entry.train_step) == 2


def test_measure_prints_and_keeps_a_session(tmp_path):
    command = ("measure", "--methods", "aol", "--sizes", "4", "--image", "1x8x8", "--batch-size", 8, "--rounds", 1)
    result = onelip(*command, "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "AOL" in result.stdout
    assert "Standard" in result.stdout
    (record,) = load_records(tmp_path).cost
    assert {entry.method.name for entry in record.entries} == {"aol", "standard"}
    (content,) = json.loads(onelip(*command, "--out", tmp_path, "--json").stdout)
    assert content["kind"] == "cost"
    assert len(list(tmp_path.glob("cost-*.json"))) == 2
    assert onelip("report", tmp_path).exit_code == 0


def test_compare_measures_once_and_again_only_what_is_missing(tmp_path, monkeypatch):
    def invented(cases, workload, **_):
        entries = [CostEntry(method=method_info(method), padding=padding, status="error") for method, padding in cases]
        facts = {name: getattr(workload, name) for name in ("size", "image", "classes", "batch_size")}
        machine = describe_machine(workload.device)
        return CostRecord(**facts, width=4, machine=machine, started="", seconds=1.0, entries=tuple(entries))

    def compare(*options):
        result = onelip("compare", "--sizes", "4", "--budget", "1epoch", *options, "--out", tmp_path)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def sessions():
        return sorted(sorted({entry.method.name for entry in record.entries}) for record in load_records(tmp_path).cost)

    monkeypatch.setattr("onelip.bench.costing.measure_costs", invented)
    compare("--methods", "aol", "--no-costs")
    assert sessions() == []
    compare("--methods", "aol")
    assert sessions() == [["aol", "standard"]]
    assert "measured before" in compare("--methods", "aol")
    assert sessions() == [["aol", "standard"]]
    compare("--methods", "bcop")
    assert sessions() == [["aol", "bcop", "standard"], ["aol", "standard"]]
    assert "measured before" in compare("--methods", "bcop,aol")
    compare("--methods", "aol", "--padding", "zeros")
    assert len(sessions()) == 3
    compare("--methods", "aol", "--force")
    assert sessions() == [["aol", "bcop", "standard"]]


def test_a_new_session_replaces_only_what_it_contains(measured, tmp_path):
    whole = measured
    part = whole.model_copy(update={"entries": whole.entries[1:]})
    for session, left in ((part, 2), (whole, 1)):
        folder = tmp_path / str(left)
        keep(whole, folder)
        earlier = {path: read_record(path) for path in folder.glob("cost-*.json")}
        keep(session, folder, instead_of=earlier)
        assert len(list(folder.glob("cost-*.json"))) == left


def test_compare_shows_what_it_measured(tmp_path, monkeypatch):
    monkeypatch.setattr("onelip.bench.costing.ROUNDS", 1)
    command = ("compare", "--methods", "aol", "--sizes", "4", "--budget", "1epoch", "--batch-size", 32)
    result = onelip(*command, "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "measuring 2 networks in turn" in result.stdout
    assert "\u00d71.00" in result.stdout
    (record,) = load_records(tmp_path).cost
    assert record.batch_size == 32
    assert all(len(entry.train_step) == 1 for entry in record.entries)
