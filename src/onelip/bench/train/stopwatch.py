"""The time that a budget counts."""

from __future__ import annotations

from collections.abc import Callable

import torch


class Stopwatch:
    """Runs from its construction on; waits for the device before it is read.

    Args:
        clock: Seconds since any fixed moment.
        device: Where the work is done that is timed.
    """

    def __init__(self, clock: Callable[[], float], device: torch.device) -> None:
        self._clock = clock
        self.device = device
        self._start = clock()

    def add(self, seconds: float) -> None:
        """Counts time that was spent before."""
        self._start -= seconds

    def seconds(self) -> float:
        """The time spent up to now, all work given to the device included."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self._clock() - self._start
