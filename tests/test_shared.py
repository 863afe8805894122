"""Several processes in one folder of results."""

import subprocess
import sys
import threading
import time

import pytest

from onelip.bench.shared import SharedFolder, claimed_above
from onelip.errors import RecordError

OTHER = """
import sys
from pathlib import Path
from onelip.bench.shared import SharedFolder

shared = SharedFolder(Path(sys.argv[1]), print)
with shared.entered(alone=sys.argv[2] == "alone"):
    with shared.quiet() as alone:
        print("alone" if alone else "not alone", flush=True)
    with shared.claimed("cell") as mine:
        print("mine" if mine else "not mine", flush=True)
        sys.stdin.readline()
"""


@pytest.fixture
def other(tmp_path):
    """Another process in the folder; it ends when it is told to, or killed."""
    started = []

    def start(how="beside"):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        process = subprocess.Popen([sys.executable, "-c", OTHER, str(tmp_path), how], **pipes)
        started.append(process)
        process.said = [process.stdout.readline().strip() for _ in range(2)]
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def shared(tmp_path):
    return SharedFolder(tmp_path, pytest.fail)


def test_what_one_process_does_no_other_does(other, shared):
    process = other()
    assert process.said == ["alone", "mine"]
    with shared.entered():
        with shared.claimed("cell") as mine:
            assert not mine
        with shared.claimed("another cell") as mine:
            assert mine
        with shared.quiet() as alone:
            assert not alone
        process.communicate("go\n")
        with shared.claimed("cell") as mine, shared.quiet() as alone:
            assert mine
            assert alone


def test_what_a_killed_process_was_doing_is_free(other, shared):
    process = other()
    process.kill()
    process.wait()
    with shared.entered(alone=True), shared.claimed("cell") as mine, shared.quiet() as alone:
        assert mine
        assert alone


def test_who_wants_to_be_alone_is_refused_beside_others(other, shared):
    other()
    with pytest.raises(RecordError, match="another process of onelip works in"), shared.entered(alone=True):
        pytest.fail("another process is there")
    with shared.entered(), shared.quiet() as alone:
        assert not alone, "who was refused is not in the way"


@pytest.mark.parametrize("how", ["alone", "measuring"])
def test_nobody_begins_while_another_measures_or_is_alone(how, other, tmp_path):
    said = []
    late = SharedFolder(tmp_path, said.append)
    entered = threading.Event()

    def enter():
        with late.entered():
            entered.set()

    if how == "alone":
        process = other("alone")
        thread = threading.Thread(target=enter)
        thread.start()
        while not said:
            time.sleep(0.01)
        assert not entered.wait(0.3)
        process.communicate("go\n")
    else:
        first = SharedFolder(tmp_path, pytest.fail)
        with first.entered():
            with first.quiet() as alone:
                assert alone
                thread = threading.Thread(target=enter)
                thread.start()
                while not said:
                    time.sleep(0.01)
                assert not entered.wait(0.3)
            thread.join(30)
    thread.join(30)
    assert entered.is_set()
    assert "waiting until it is done" in said[0]


def test_who_trains_at_the_same_place_is_beside(shared, tmp_path):
    later = SharedFolder(tmp_path, pytest.fail)
    with shared.entered("one place"):
        with later.entered("one place"):
            assert not shared.is_beside(), "who waits takes nothing"
            with later.working():
                assert shared.is_beside()
                assert not later.is_beside()
            assert not shared.is_beside()
        with later.entered("another"), later.working():
            assert not shared.is_beside()
    with later.entered("one place"), later.working():
        pass
    with shared.entered("one place"):
        assert not shared.is_beside(), "what left is not there"


def test_a_run_of_a_comparison_is_not_trained_by_another_command_meanwhile(shared, tmp_path):
    with shared.entered(), shared.at_run("cell") as mine:
        assert mine
        with pytest.raises(RecordError, match=r"is at .*cell; wait until it ends"), claimed_above(tmp_path / "cell"):
            pytest.fail("it is at it")
        with claimed_above(tmp_path / "another"), shared.at_run("another") as claimed:
            assert not claimed
        with claimed_above(tmp_path / "gate"), shared.quiet() as alone:
            assert alone, "a run of that name is not the folder's gate"
    with claimed_above(tmp_path / "cell"), claimed_above(tmp_path / "below" / "cell"):
        assert not (tmp_path / "below").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match=r"--out .*file.* cannot be written"):
        SharedFolder(tmp_path / "file", pytest.fail)
