"""What is shown of a training: plain lines, few of them, where there is no terminal; a live line where there is."""

import io
import re
import subprocess
import sys

import pytest

from onelip.bench.records import Epoch
from onelip.bench.train.progress import Progress, Snapshot, show_progress

FACTS = ["epoch 7", "step 70/100", "loss 0.123", "accuracy 65.4%", "nominal CRA 36/255 43.2%", "8,120 images/s"]


def snapshot(seconds: float, *, epoch: int = 7, complete: bool = True, left: float = 65.0) -> Snapshot:
    facts = Epoch(
        epoch=epoch,
        step=10 * epoch,
        seconds=seconds,
        learning_rate=0.1,
        loss=0.1234,
        accuracy=0.654,
        nominal_cra36=0.432,
        images_per_second=8120.3,
    )
    return Snapshot(epoch=facts, planned_steps=100, seconds_left=left, complete=complete)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def epochs_shown(stream: io.StringIO) -> list[int]:
    return [int(line.split("epoch ")[1].split()[0]) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["plain", "terminal"])
def test_shows_every_fact(stream: io.StringIO) -> None:
    with show_progress("aol [XS] digits", stream) as progress:
        progress(snapshot(1.0))
    shown = " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).split())
    for fact in ["aol [XS] digits", *FACTS, "1:05 left"]:
        assert fact in shown


@pytest.mark.parametrize(("left", "shown"), [(0.2, "0:00 left"), (59.6, "1:00 left"), (3661.0, "1:01:01 left")])
def test_time_left_reads_as_a_clock(left: float, shown: str) -> None:
    stream = io.StringIO()
    with show_progress("title", stream) as progress:
        progress(snapshot(1.0, left=left))
    assert shown in stream.getvalue()


def test_plain_lines_come_every_five_seconds_at_most_and_the_last_always() -> None:
    stream = io.StringIO()
    with show_progress("title", stream) as progress:
        for epoch, seconds in enumerate([1, 2, 5.9, 6, 7, 8, 20, 21, 22], start=1):
            progress(snapshot(seconds, epoch=epoch))
    assert epochs_shown(stream) == [1, 4, 7, 9]


def test_the_last_plain_line_is_written_once_and_also_after_an_interruption() -> None:
    stream = io.StringIO()

    def interrupt(progress: Progress) -> None:
        progress(snapshot(1, epoch=1))
        progress(snapshot(2, epoch=2))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), show_progress("title", stream) as progress:
        interrupt(progress)
    assert epochs_shown(stream) == [1, 2]


def test_unfinished_epochs_are_no_plain_line() -> None:
    stream = io.StringIO()
    with show_progress("title", stream) as progress:
        progress(snapshot(1, complete=False))
    assert stream.getvalue() == ""


def test_goes_to_standard_error_and_needs_no_rich_without_a_terminal() -> None:
    code = (
        "import sys; sys.modules['rich'] = None\n"
        "from onelip.bench.train.progress import show_progress, Snapshot\n"
        "from onelip.bench.records import Epoch\n"
        "facts = Epoch(epoch=1, step=1, seconds=1, learning_rate=1, loss=1, accuracy=1,"
        " nominal_cra36=1, images_per_second=1)\n"
        "with show_progress('title') as progress:\n"
        "    progress(Snapshot(epoch=facts, planned_steps=1, seconds_left=0, complete=True))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == ""
    assert ran.stderr.startswith("title  epoch 1")
