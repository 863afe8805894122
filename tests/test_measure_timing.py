"""Timing: samples hold the work of their case and nothing else, in a fair order; a simulated device tells on faults."""

import gc
import math
import time
from collections.abc import Callable
from statistics import median

import pytest
import torch

from onelip.bench.measure import timing
from onelip.bench.measure.timing import MIN_ROUNDS, interleave
from onelip.errors import OnelipError


def test_runs_every_case_once_per_round_in_orders_that_are_drawn() -> None:
    sessions = []
    for _ in range(2):
        calls: list[str] = []
        cases = {name: (lambda name=name, calls=calls: calls.append(name)) for name in "abc"}
        samples = interleave(cases, rounds=60, warmup=0, device="cpu")
        assert {name: len(taken) for name, taken in samples.items()} == {"a": 60, "b": 60, "c": 60}
        sessions.append(["".join(calls[k : k + 3]) for k in range(0, 180, 3)])
    assert {"".join(sorted(order)) for order in sessions[0]} == {"abc"}
    assert len(set(sessions[0])) == 6
    assert sessions[0] == sessions[1]


class Clock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def taking(self, *seconds: float) -> Callable[[], None]:
        """A case whose calls take these times, the last one from then on."""
        left = list(seconds)

        def run() -> None:
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    simulated = Clock()
    monkeypatch.setattr(timing, "time", simulated)
    return simulated


def test_samples_are_the_raw_seconds_in_order(clock: Clock) -> None:
    cases = {"a": clock.taking(1, 2, 4, 8), "b": clock.taking(16)}
    assert interleave(cases, rounds=4, warmup=0, device="cpu") == {"a": (1, 2, 4, 8), "b": (16,) * 4}


def test_discards_the_warm_up(clock: Clock) -> None:
    assert interleave({"a": clock.taking(8, 4, 1, 2)}, rounds=2, warmup=2, device="cpu") == {"a": (1, 2)}


def test_reads_a_real_clock() -> None:
    (sample,) = interleave({"a": lambda: time.sleep(0.02)}, rounds=1, warmup=0, device="cpu")["a"]
    assert 0.02 <= sample < 2


@pytest.mark.parametrize(
    ("rounds", "warmup", "time_limit", "taken"),
    [
        (12, 0, None, 12),
        (12, 0, 25, 12),
        (12, 0, 20, 10),
        (12, 0, 19, 10),
        (12, 1, 20, 9),
        (12, 0, 0, MIN_ROUNDS),
        (12, 4, 0, MIN_ROUNDS),
        (2, 0, 0, 2),
    ],
)
def test_a_time_limit_ends_the_rounds(
    clock: Clock, rounds: int, warmup: int, time_limit: float | None, taken: int
) -> None:
    cases = {"a": clock.taking(1.5), "b": clock.taking(0.5)}
    samples = interleave(cases, rounds=rounds, warmup=warmup, device="cpu", time_limit=time_limit)
    assert samples == {"a": (1.5,) * taken, "b": (0.5,) * taken}
    assert MIN_ROUNDS == 8


class Cycle:
    """Garbage that only the cyclic collector frees."""

    alive = 0

    def __init__(self) -> None:
        type(self).alive += 1
        self.self = self

    def __del__(self) -> None:
        type(self).alive -= 1


def test_collects_garbage_between_rounds_only() -> None:
    collections: list[str] = []
    inside: list[int] = []
    left: list[int] = []

    def litter() -> None:
        left.append(Cycle.alive)
        before = len(collections)
        junk = [[Cycle()] for _ in range(5000)]
        inside.append(len(collections) - before)
        del junk

    def note(phase: str, _info: object) -> None:
        collections.append(phase)

    gc.callbacks.append(note)
    try:
        interleave({"a": litter}, rounds=4, warmup=1, device="cpu")
    finally:
        gc.callbacks.remove(note)
    assert inside == [0] * 5
    assert left == [0] * 5
    gc.collect()


@pytest.mark.parametrize("enabled", [True, False])
def test_leaves_the_garbage_collector_as_it_was(enabled: bool) -> None:
    def fail() -> None:
        assert not gc.isenabled()
        raise RuntimeError("planned")

    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(RuntimeError, match="planned"):
            interleave({"a": fail}, rounds=1, warmup=0, device="cpu")
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


class SimulatedDevice:
    """A device whose work is queued: launching takes the host no time, and waiting for it passes simulated time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.idle_at = 0.0

    def launch(self, seconds: float) -> None:
        self.idle_at = max(self.now, self.idle_at) + seconds

    def host_work(self, seconds: float) -> None:
        self.now += seconds

    def synchronize(self, device: torch.device) -> None:
        self.now = max(self.now, self.idle_at)

    def event(self, *, enable_timing: bool) -> "SimulatedEvent":
        assert enable_timing
        return SimulatedEvent(self)


class SimulatedEvent:
    def __init__(self, device: SimulatedDevice) -> None:
        self.device = device
        self.reached = math.nan

    def record(self, stream: str) -> None:
        assert stream == "the current stream"
        self.reached = max(self.device.now, self.device.idle_at)

    def elapsed_time(self, end: "SimulatedEvent") -> float:
        assert self.reached <= end.reached <= self.device.now, "read before the device got there"
        return 1e3 * (end.reached - self.reached)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> SimulatedDevice:
    simulated = SimulatedDevice()
    monkeypatch.setattr(timing, "find_device", torch.device)
    monkeypatch.setattr(torch.cuda, "Event", simulated.event)
    monkeypatch.setattr(torch.cuda, "synchronize", simulated.synchronize)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: "the current stream")
    return simulated


def queued(device: SimulatedDevice, *, kernel: float, host: float = 0.0) -> Callable[[], None]:
    def run() -> None:
        device.launch(kernel)
        device.host_work(host)

    return run


def test_device_time_is_the_work_of_the_case_itself(device: SimulatedDevice) -> None:
    cases = {"long": queued(device, kernel=5.0), "short": queued(device, kernel=1.0)}
    samples = interleave(cases, rounds=3, warmup=1, device="cuda")
    assert samples == {"long": (5.0,) * 3, "short": (1.0,) * 3}


def test_device_time_counts_the_kernels_that_wait_for_the_host(device: SimulatedDevice) -> None:
    def run() -> None:
        device.host_work(2.0)
        device.launch(1.0)

    assert interleave({"a": run}, rounds=1, warmup=0, device="cuda") == {"a": (3.0,)}


def test_device_time_does_not_start_in_work_left_from_before(device: SimulatedDevice) -> None:
    device.launch(10.0)
    case = queued(device, kernel=1.0, host=3.0)
    assert interleave({"a": case}, rounds=2, warmup=0, device="cuda") == {"a": (3.0, 3.0)}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_device_is_waited_for() -> None:
    x = torch.randn(4096, 4096, device="cuda")
    cases = {"one": lambda: x @ x, "twenty": lambda: [x @ x for _ in range(20)]}
    samples = interleave(cases, rounds=5, warmup=2, device="cuda")
    assert 10 < median(samples["twenty"]) / median(samples["one"]) < 40


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cases": {}}, "cases is empty"),
        ({"rounds": 0}, "rounds is 0, must be at least 1"),
        ({"warmup": -1}, "warmup is -1, must be at least 0"),
        ({"time_limit": -1.0}, "time_limit is -1.0, must be at least 0"),
        ({"time_limit": math.nan}, "time_limit is nan"),
        ({"device": "gpu"}, "device is 'gpu'"),
    ],
)
def test_refuses_what_it_cannot_time(wrong: dict[str, object], message: str) -> None:
    ran: list[int] = []
    arguments: dict[str, object] = {"cases": {"a": lambda: ran.append(1)}, "rounds": 1, "warmup": 0, "device": "cpu"}
    with pytest.raises(OnelipError, match=message):
        interleave(**{**arguments, **wrong})
    assert not ran
