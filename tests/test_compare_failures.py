"""What is the fault of the disk, the display or another process is no result of a method, and loses nothing."""

import re
import sys

import pytest
from typer.testing import CliRunner

import onelip.bench.cell as cell_module
from onelip.bench.folder import LOCK_NAME, held
from onelip.bench.records import HARNESS_REVISION, Started
from onelip.bench.results import RECORD_NAME, RUN_NAME, load_records, read_record
from onelip.bench.shared import SharedFolder
from onelip.bench.train.checkpoint import FILE_NAME
from onelip.cli import app
from onelip.errors import RecordError

COMMAND = ("compare", "--methods", "aol", "--sizes", "4", "--budget", "4epochs", "--no-costs", "--out", "out")

OWN = """
from dataclasses import replace
from onelip.methods.aol import AOL, AOLConv2d
from onelip.nn.linear import PointwiseLinear


class MineConv2d(AOLConv2d):
    \"\"\"{text}\"\"\"


class MineLinear(PointwiseLinear, MineConv2d):
    pass


MINE = replace(AOL, name="mine", conv2d=MineConv2d, linear=MineLinear)
"""


@pytest.fixture
def out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path / "out"


def onelip(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def training_with(monkeypatch, at_epoch, error):
    """Checkpoints after every epoch, and an error when the given epoch ends."""
    train = cell_module.train

    def broken(*arguments, progress, **options):
        def report(snapshot):
            progress(snapshot)
            if snapshot.complete and snapshot.epoch.epoch == at_epoch:
                raise error

        return train(*arguments, progress=report, checkpoint_seconds=0.0, **options)

    monkeypatch.setattr(cell_module, "train", broken)


def full_disk(*arguments, **options):
    raise OSError(28, "No space left on device")


def test_a_full_disk_ends_the_run_and_keeps_the_checkpoint(out, monkeypatch):
    training_with(monkeypatch, 3, KeyboardInterrupt())
    assert onelip(*COMMAND).exit_code == 130
    monkeypatch.undo()
    monkeypatch.chdir(out.parent)
    (checkpoint,) = out.glob(f"*/{FILE_NAME}")
    before = checkpoint.read_bytes()

    training_with(monkeypatch, 99, None)
    monkeypatch.setattr("onelip.bench.tensors.save_file", full_disk)
    stopped = onelip(*COMMAND)
    assert stopped.exit_code == 2
    assert "cannot write" in stopped.stderr
    assert "No space left on device" in stopped.stderr
    assert checkpoint.read_bytes() == before
    assert not load_records(out).train
    assert {path.name for path in checkpoint.parent.iterdir()} == {FILE_NAME, RUN_NAME}

    monkeypatch.undo()
    monkeypatch.chdir(out.parent)
    assert onelip(*COMMAND).exit_code == 0
    (run,) = load_records(out).train
    assert run.status == "ok"


def test_what_failed_keeps_its_checkpoint_and_says_how_to_try_again(out, monkeypatch):
    training_with(monkeypatch, 3, MemoryError("for now"))
    assert onelip(*COMMAND).exit_code == 1
    (run,) = load_records(out).train
    assert run.status == "oom"
    folder = out / run.cell.id
    assert (folder / FILE_NAME).exists()
    monkeypatch.undo()
    monkeypatch.chdir(out.parent)
    again = onelip(*COMMAND)
    assert again.exit_code == 1
    assert f"delete out/{run.cell.id}/{RECORD_NAME} to try again" in again.stdout
    (folder / RECORD_NAME).unlink()
    assert onelip(*COMMAND).exit_code == 0
    resumed = read_record(folder / RECORD_NAME)
    assert (resumed.status, resumed.steps, resumed.started) == ("ok", 20, run.started)
    assert not (folder / FILE_NAME).exists()


class Closed:
    """A stream whose reader has gone."""

    encoding = "utf-8"

    def __init__(self, terminal, error):
        self.terminal, self.error = terminal, error

    def isatty(self):
        return self.terminal

    def write(self, text):
        raise self.error

    def flush(self):
        raise self.error


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(5, "Input/output error"), ValueError("closed file")])
def test_a_display_that_nobody_reads_does_not_end_a_training(out, monkeypatch, terminal, error):
    show = cell_module.run_cell

    def watched(*arguments, progress, **options):
        from onelip.bench.train.progress import show_progress

        with show_progress("title", Closed(terminal, error)) as closed:
            return show(*arguments, progress=closed, **options)

    monkeypatch.setattr("onelip.bench.compare.run_cell", watched)
    assert onelip(*COMMAND).exit_code == 0
    (run,) = load_records(out).train
    assert run.status == "ok"


def test_a_folder_is_written_by_one_process_at_a_time(out):
    with held(out):
        refused = onelip("train", "--method", "aol", "--out", "out")
    assert refused.exit_code == 2
    assert "another process of onelip writes into out" in refused.stderr
    assert not list(out.iterdir())
    with held(out):
        assert (out / LOCK_NAME).exists()


def test_nothing_is_measured_beside_a_comparison(out):
    with SharedFolder(out, pytest.fail).entered():
        refused = onelip("measure", "--sizes", "4", "--image", "1x8x8", "--out", "out")
    assert refused.exit_code == 2
    assert "another process of onelip works in out" in refused.stderr
    assert not list(out.glob("cost-*"))


def test_a_lock_that_a_killed_process_left_is_no_lock(out):
    out.mkdir()
    (out / LOCK_NAME).touch()
    with held(out):
        pass
    (out / "file").touch()
    with pytest.raises(RecordError, match="cannot be written"), held(out / "file" / "below"):
        pytest.fail("a file is no folder")


def test_a_display_that_breaks_is_no_result(out, monkeypatch):
    def broken(snapshot):
        raise RuntimeError("planned")

    run_cell = cell_module.run_cell
    monkeypatch.setattr(
        "onelip.bench.compare.run_cell",
        lambda *arguments, progress, **options: run_cell(*arguments, progress=broken, **options),
    )
    assert onelip(*COMMAND).exit_code == 0
    (run,) = load_records(out).train
    assert run.status == "ok"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: {"harness": HARNESS_REVISION + 1}, "another harness revision"),
        (lambda run: {"method": run.method.model_copy(update={"revision": 7})}, "another method"),
        (lambda run: {"images": "0" * 64}, "another set of images"),
        (lambda run: {"augmentation": "mirror"}, "another augmentation"),
    ],
)
def test_a_checkpoint_of_another_program_is_not_gone_on_with(out, monkeypatch, change, message):
    training_with(monkeypatch, 3, KeyboardInterrupt())
    assert onelip(*COMMAND).exit_code == 130
    monkeypatch.undo()
    monkeypatch.chdir(out.parent)
    (path,) = out.glob(f"*/{RUN_NAME}")
    begun = Started.model_validate_json(path.read_bytes())
    path.write_text(begun.model_copy(update=change(begun)).model_dump_json())
    refused = onelip(*COMMAND)
    assert refused.exit_code == 2
    assert re.search(message, refused.stderr)
    assert (path.parent / FILE_NAME).exists()
    assert onelip(*COMMAND, "--force").exit_code == 0


def test_what_another_machine_began_is_left_to_it(out, monkeypatch):
    """It may be training there at this moment, in a folder that both reach."""
    training_with(monkeypatch, 3, KeyboardInterrupt())
    assert onelip(*COMMAND).exit_code == 130
    monkeypatch.undo()
    monkeypatch.chdir(out.parent)
    (path,) = out.glob(f"*/{RUN_NAME}")
    begun = Started.model_validate_json(path.read_bytes())
    elsewhere = begun.machine.model_copy(update={"device": "cuda"})
    path.write_text(begun.model_copy(update={"machine": elsewhere}).model_dump_json())
    before = (path.parent / FILE_NAME).read_bytes()
    assert onelip(*COMMAND).exit_code == 0
    assert (path.parent / FILE_NAME).read_bytes() == before
    (run,) = load_records(out).train
    assert run.machine.device == "cpu"
    assert "(done before)" in onelip(*COMMAND).stdout


def test_a_method_of_ones_own_that_was_edited_is_another_method(out, monkeypatch):
    command = ("compare", "--methods", "own_edited:MINE", *COMMAND[3:])
    path = out.parent / "own_edited.py"
    path.write_text(OWN.format(text="As it was."))
    assert onelip(*command).exit_code == 0
    assert "(done before)" in onelip(*command).stdout
    path.write_text(OWN.format(text="Edited."))
    del sys.modules["own_edited"]  # as a new process begins
    refused = onelip(*command)
    assert refused.exit_code == 2
    assert "made with other code of mine" in refused.stderr
    assert all(run.method.source for run in load_records(out).train)


def test_what_a_method_of_ones_own_imports_from_beside_it_is_part_of_it(out):
    command = ("compare", "--methods", "own_helped:MINE", *COMMAND[3:])
    helper = out.parent / "own_helper.py"
    helper.write_text("WIDTH = 1\n")
    (out.parent / "own_helped.py").write_text("import own_helper\n" + OWN.format(text="Helped."))
    assert onelip(*command).exit_code == 0
    helper.write_text("WIDTH = 2\n")
    del sys.modules["own_helped"]
    refused = onelip(*command)
    assert refused.exit_code == 2
    assert "made with other code of mine" in refused.stderr


def test_what_a_method_of_ones_own_imports_from_elsewhere_is_no_part_of_it(out, monkeypatch):
    """Whatever is loaded, and wherever the files lie."""
    from onelip.bench.selection import find_method, method_info

    digests = []
    for folder, before in (("one", ""), ("two", "import json, numpy.fft, sklearn\n")):
        (out.parent / folder / "below").mkdir(parents=True)
        (out.parent / folder / "below" / "aside.py").write_text(f"NAME = {folder!r}\n")
        (out.parent / folder / "own_apart.py").write_text("import numpy\n" + OWN.format(text="The same."))
        monkeypatch.syspath_prepend(out.parent / folder)
        exec(before, {})
        digests.append(method_info(find_method("own_apart:MINE")).source)
        del sys.modules["own_apart"]
    assert digests[0] == digests[1] != ""


def test_hidden_files_of_others_stay(out):
    out.mkdir()
    mine = out / ".notes.tmp"
    mine.write_text("not onelip's")
    assert onelip("train", "--method", "aol", "--size", "4", "--budget", "1epoch", "--out", "out").exit_code == 0
    assert mine.exists()


def test_the_beginnings_of_files_that_killed_processes_left_are_removed(out):
    assert onelip(*COMMAND).exit_code == 0
    (record,) = out.glob(f"*/{RECORD_NAME}")
    left = [record.parent / name for name in (".record.json.12345.tmp", ".checkpoint.safetensors.12345.partial")]
    for path in (*left, record):
        path.write_bytes(b"cut")
    record.unlink()
    assert onelip(*COMMAND).exit_code == 0
    assert record.exists()
    assert not any(path.exists() for path in left)


def test_the_registered_methods_are_told_apart_by_their_revision(out):
    from onelip import METHODS
    from onelip.bench.selection import method_info

    assert {method_info(method).source for method in METHODS.values()} == {""}
