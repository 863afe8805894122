"""`benchmarks/gpu.py` runs, small, on the CPU; what fails is a line, and what a file has is not measured again."""

import functools
import gc
import importlib.util
import os
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from onelip.bench import ways
from onelip.bench.entrants import MethodEntrant
from onelip.bench.measure import flops
from onelip.bench.measure.roofline import Peaks
from onelip.bench.speed import SpeedRecord
from onelip.bench.subject import Subject, Workload
from onelip.bench.ways import Session, measured
from onelip.methods import METHODS

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
    methods = [speed for speed in record.speeds if speed.method is not None]
    assert len(methods) == 2 * 9
    assert {speed.version.split()[0] for speed in record.speeds if speed.method is None} >= {"torch"}
    assert {speed.way for speed in methods} == {"float32", "bf16"}
    assert {speed.status for speed in methods} == {"ok"}
    for speed in methods:
        assert len(speed.train) == len(speed.yardstick_train) == 1
        assert len(speed.inference) == len(speed.yardstick_inference) == (speed.way == "float32")
        assert 0 < speed.roofline < speed.train[0]
        assert speed.train_bytes > 0
        assert speed.title in done.stdout
    again = run(*SMALL, "--out", "records", folder=tmp_path)
    said, table = again.stdout.split("ConvNet", 1)
    assert said.count("there, not measured again") == len(record.speeds)
    assert table == done.stdout.split("ConvNet", 1)[1]
    assert SpeedRecord.model_validate_json(path.read_text(encoding="utf-8")) == record


def test_a_file_is_gone_on_with_and_only_by_the_same(tmp_path):
    few = (*SMALL, "--out", "records", "--ways", "float32", "--no-peers")
    assert run(*few, "--methods", "aol", folder=tmp_path).returncode == 0
    (path,) = (tmp_path / "records").iterdir()
    first = SpeedRecord.model_validate_json(path.read_text(encoding="utf-8"))
    more = run(*few, "--methods", "bcop", folder=tmp_path)
    assert "AOL" not in more.stdout
    both = SpeedRecord.model_validate_json(path.read_text(encoding="utf-8"))
    assert [speed.name for speed in both.speeds] == ["aol, circular", "standard, circular", "bcop, circular"]
    assert both.model_copy(update={"speeds": both.speeds[:2]}) == first
    other = run(*few, "--rounds", "2", "--methods", "aol", folder=tmp_path)
    assert other.returncode == 2
    assert "was made with rounds 1, and not 2" in " ".join(other.stderr.split())
    path.write_text(path.read_text(encoding="utf-8")[:-100])
    cut = run(*few, "--methods", "aol", folder=tmp_path)
    assert cut.returncode == 2
    assert "is cut, or not what this command writes" in " ".join(cut.stderr.split())
    assert run(*few, "--methods", "aol", "--force", folder=tmp_path).returncode == 0
    anew = SpeedRecord.model_validate_json(path.read_text(encoding="utf-8"))
    assert [speed.name for speed in anew.speeds] == ["aol, circular", "standard, circular"]


def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(tmp_path):
    (tmp_path / "records").write_text("a file")
    done = run(*SMALL, "--out", "records", folder=tmp_path)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert done.stdout == ""


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
    alone = run(*SMALL, "--methods", "mine:MINE", "--ways", "float32", "--no-peers", folder=tmp_path)
    assert alone.returncode == 1


def test_what_failed_is_measured_again_where_that_is_asked_for(tmp_path):
    (tmp_path / "mine.py").write_text(BROKEN)
    few = (*SMALL, "--methods", "mine:MINE", "--ways", "float32", "--no-peers", "--out", "records")
    assert run(*few, folder=tmp_path).returncode == 1
    again = run(*few, folder=tmp_path)
    assert (again.returncode, again.stdout.count("there, not measured again")) == (1, 2)
    retried = run(*few, "--retry", folder=tmp_path)
    assert retried.stdout.count("there, not measured again") == 1
    (path,) = (tmp_path / "records").iterdir()
    assert len(SpeedRecord.model_validate_json(path.read_text(encoding="utf-8")).speeds) == 2


def test_a_device_that_refuses_everything_ends_the_session_and_loses_nothing(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("gpu", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu", script)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "recovers", lambda device, held: False)
    app = typer.Typer()
    app.command()(script.main)
    options = (*SMALL, "--methods", "aol", "--ways", "float32", "--no-peers", "--out", str(tmp_path / "records"))
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 2
    assert "the same command without --force goes on" in " ".join(done.stderr.split())
    (path,) = (tmp_path / "records").iterdir()
    assert len(SpeedRecord.model_validate_json(path.read_text(encoding="utf-8")).speeds) == 1


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_each_compiled_network_is_compiled_and_for_its_own_shapes(monkeypatch):
    """Variants of one function are limited, and a second batch size would make shapes symbols."""
    graphs = []

    def noting(graph, inputs):
        graphs.append(inputs)
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=noting))
    peaks = Peaks(macs=1e9, low_precision_macs=1e9, bytes=1e9)
    for batch_size in (3, 4):
        image, device = (3, 8, 8), torch.device("cpu")
        workload = Workload(size="4", image=image, classes=10, batch_size=batch_size, device=device)
        for method in (METHODS["aol"], METHODS["bcop"]):
            graphs.clear()
            speed = measured(Session(workload, 1, peaks), MethodEntrant(method, method.padding), "bf16-compiled")
            assert speed.status == "ok", speed.message
            assert speed.roofline == 0
            assert len(graphs) == 2  # with the unconstrained network, each in one piece
            assert all(isinstance(one, torch.Tensor) for inputs in graphs for one in inputs)


def test_a_method_that_cannot_be_counted_has_no_roofline(monkeypatch):
    monkeypatch.delitem(flops.MACS, "aten.convolution")
    workload = Workload(size="4", image=(3, 8, 8), classes=10, batch_size=3, device=torch.device("cpu"))
    peaks = Peaks(macs=1e9, low_precision_macs=1e9, bytes=1e9)
    speed = measured(Session(workload, 1, peaks), MethodEntrant(METHODS["aol"], "circular"), "float32")
    assert (speed.status, speed.roofline) == ("ok", 0)


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_a_network_that_compiles_in_pieces_is_a_line_that_says_so():
    class Broken(METHODS["aol"].conv2d):
        def construct(self, raw, image):
            torch._dynamo.graph_break()
            return super().construct(raw, image)

    method = replace(METHODS["aol"], name="mine", title="Mine", conv2d=Broken)
    workload = Workload(size="4", image=(3, 8, 8), classes=10, batch_size=3, device=torch.device("cpu"))
    peaks = Peaks(macs=1e9, low_precision_macs=1e9, bytes=1e9)
    speed = measured(Session(workload, 1, peaks), MethodEntrant(method, "circular"), "bf16-compiled")
    assert speed.status == "error"
    assert "graph_break" in speed.message


def test_a_graph_is_replayed_in_every_step_and_the_weights_are_updated(monkeypatch):
    """Here with a recording that runs the callable: what is recorded, when it is replayed, and what follows."""
    replays = []

    def recorded(fn, device):
        def replay():
            replays.append(fn)
            return fn()

        return replay

    monkeypatch.setattr(ways, "captured", recorded)
    workload = Workload(size="4", image=(3, 8, 8), classes=10, batch_size=3, device=torch.device("cpu"))
    peaks = Peaks(macs=1e9, low_precision_macs=1e9, bytes=1e9)
    entrant = MethodEntrant(METHODS["aol"], "circular")
    speed = measured(Session(workload, 2, peaks), entrant, "bf16-graph")
    assert speed.status == "ok", speed.message
    assert len(speed.train) == len(speed.inference) == 2
    assert len(replays) == 4 * (2 + ways.WARMUP)
    network = entrant.build(workload)
    step = ways._training(network, ways.WAYS["bf16-graph"])
    before = [parameter.detach().clone() for parameter in network.model.parameters()]
    step()
    moved = [not torch.equal(old, new) for old, new in zip(before, network.model.parameters(), strict=True)]
    assert all(moved)


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_a_network_is_gone_when_it_was_measured(monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    workload = Workload(size="4", image=(3, 8, 8), classes=10, batch_size=3, device=torch.device("cpu"))
    gc.disable()
    try:
        for compiled in (False, True):
            network = Subject(METHODS["aol"], "circular", replace(workload, compiled=compiled))
            network.to_training()
            if compiled:
                torch.compiler.reset()
            alive = weakref.ref(network)
            del network
            assert alive() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ways", "bf16-graph"), "needs a CUDA device"),
        (("--ways", "fp8"), "is not one of float32"),
        (("--ways", ""), "is not one of float32"),
        (("--sizes", ""), "names no size"),
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
