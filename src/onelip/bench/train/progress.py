"""Showing how a training goes: live on a terminal, plain lines elsewhere.

Everything goes to the standard error stream, so that what a command prints stays clean.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TextIO

from onelip.bench.records import Epoch

SECONDS_BETWEEN_LINES = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Where a training stands.

    Attributes:
        epoch: Means over the current epoch up to now.
        planned_steps: Number of steps of the whole training, as planned now.
        seconds_left: Projected time to the end.
        complete: Whether the epoch, or the training, has just ended.
    """

    epoch: Epoch
    planned_steps: int
    seconds_left: float
    complete: bool


Progress = Callable[[Snapshot], None]
"""Is told where a training stands, at the end of every epoch and a few times per second between."""


Stop = Callable[[Snapshot], str]
"""Says, as often, why a training is to be given up; empty for going on."""


def silent(snapshot: Snapshot) -> None:
    """Shows nothing."""


def never(_: Snapshot) -> str:
    """Gives nothing up."""
    return ""


@contextmanager
def show_progress(title: str, stream: TextIO | None = None) -> Iterator[Progress]:
    """Shows one training: live where the stream is a terminal, else as plain lines.

    Args:
        title: What is being trained.
        stream: Where to write; standard error by default.
    """
    stream = stream or sys.stderr
    shown = (_live if stream.isatty() else _plain_lines)(title, stream)
    try:
        progress = shown.__enter__()
    except (OSError, ValueError):
        yield silent
        return
    try:
        yield progress
    finally:
        # A terminal that hung up meanwhile is no reason to end what was shown on it.
        with suppress(OSError, ValueError):
            shown.__exit__(None, None, None)


def _position(snapshot: Snapshot) -> str:
    """How far the training is."""
    epoch = snapshot.epoch
    return f"epoch {epoch.epoch}  step {epoch.step}/{snapshot.planned_steps}  {_duration(snapshot.seconds_left)} left"


def _numbers(snapshot: Snapshot) -> str:
    """What the current epoch says; fits into a line of 80 characters."""
    epoch = snapshot.epoch
    return (
        f"loss {epoch.loss:.3f}  accuracy {epoch.accuracy:.1%}  nominal CRA 36/255 {epoch.nominal_cra36:.1%}"
        f"  {epoch.images_per_second:,.0f} images/s"
    )


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds; the hours only where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def _live(title: str, stream: TextIO) -> Iterator[Progress]:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    with Live(Text(f"{title}  preparing"), console=Console(file=stream)) as live:

        def report(snapshot: Snapshot) -> None:
            bar = ProgressBar(total=snapshot.planned_steps, completed=snapshot.epoch.step)
            live.update(Group(Text(f"{title}  {_position(snapshot)}"), Text(_numbers(snapshot)), bar))

        yield report


@contextmanager
def _plain_lines(title: str, stream: TextIO) -> Iterator[Progress]:
    lines = _SparseLines(title, stream)
    try:
        yield lines.report
    finally:
        lines.flush()


class _SparseLines:
    """Writes one line per epoch, but not more often than every few seconds of training; the last one always.

    A stream that is closed meanwhile, as by `| head`, is no reason to end a training.
    """

    def __init__(self, title: str, stream: TextIO) -> None:
        self._title = title
        self._stream = stream
        self._written_at = -SECONDS_BETWEEN_LINES
        self._held: Snapshot | None = None

    def report(self, snapshot: Snapshot) -> None:
        if snapshot.complete:
            self._held = snapshot
            if snapshot.epoch.seconds - self._written_at >= SECONDS_BETWEEN_LINES:
                self.flush()

    def flush(self) -> None:
        if self._held is not None:
            with suppress(OSError, ValueError):
                self._stream.write(f"{self._title}  {_position(self._held)}  {_numbers(self._held)}\n")
                self._stream.flush()
            self._written_at, self._held = self._held.epoch.seconds, None
