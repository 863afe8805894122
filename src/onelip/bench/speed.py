"""Records of `benchmarks/gpu.py`, images per second on a GPU, and their table. Imports no torch."""

from __future__ import annotations

from statistics import median
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt
from rich.console import Console
from rich.table import Table
from rich.text import Text

from onelip.bench.origin import Machine, MethodInfo, Model, NonNegative, Positive
from onelip.bench.records import Status
from onelip.errors import plain


class Speed(Model):
    """One network, trained one way; samples in seconds.

    Attributes:
        name: Unique among the networks of a record that are trained the same way.
        title: Of the layers.
        method: Whose they are; None for those of another library.
        version: Of the other library.
        train: Training steps.
        inference: Forward passes in float32, eager or as a graph, weights constructed before; empty where the way to
            train infers as float32 does.
        yardstick_train: Training steps of the unconstrained network, taken in turn with these.
        yardstick_inference: Its forward passes.
        train_bytes: Peak memory of a training step; 0 where a graph keeps its own, or a compiled network's on a CPU.
        roofline: Seconds that the machine needs for the training step's operations at best; 0 where not counted, as for
            a compiled network, whose operations are others, and for methods with one that nobody has a count of.
    """

    name: str
    title: str
    method: MethodInfo | None
    version: str = ""
    padding: Literal["circular", "zeros"]
    way: str
    status: Status = "ok"
    message: str = ""
    train: tuple[Positive, ...] = ()
    inference: tuple[Positive, ...] = ()
    yardstick_train: tuple[Positive, ...] = ()
    yardstick_inference: tuple[Positive, ...] = ()
    train_bytes: NonNegativeInt = 0
    roofline: NonNegative = 0.0

    @property
    def key(self) -> tuple[object, ...]:
        """What was measured: with another revision, source or version it is another network."""
        revision = None if self.method is None else (self.method.revision, self.method.source)
        return self.name, self.way, self.version, revision


class SpeedRecord(Model):
    """All networks of one size and batch size on one machine.

    Attributes:
        rounds: Samples of each kind.
        source: Digest of onelip's own source.
        libraries: Versions of CUDA and cuDNN; empty on a CPU.
    """

    kind: Literal["speed"] = "speed"
    size: str
    image: tuple[PositiveInt, PositiveInt, PositiveInt]
    batch_size: PositiveInt
    rounds: PositiveInt
    machine: Machine
    source: str
    libraries: str = ""
    started: str
    peak_macs: Positive
    peak_low_precision_macs: Positive
    peak_bytes: Positive
    speeds: tuple[Speed, ...] = ()

    def having(self, speed: Speed) -> SpeedRecord:
        """This record with one network more, instead of an older one of its name."""
        others = tuple(one for one in self.speeds if (one.name, one.way) != (speed.name, speed.way))
        return self.model_copy(update={"speeds": (*others, speed)})


def print_speeds(record: SpeedRecord, console: Console) -> None:
    """The table of a record, and below it what failed; messages may be foreign."""
    image = "x".join(map(str, record.image))
    table = Table(
        title=f"ConvNet {record.size}, images {image}, batch {record.batch_size}, {record.machine.device_name}; "
        f"torch {record.machine.torch}",
        caption="u: multiples of the unconstrained network's time, same padding, trained the same way, in turn. "
        "Inference is in float32: eager, or a graph beside a graph. "
        "Roofline: share of what this machine's arithmetic and memory allow, operation by operation.",
    )
    for heading in ("Network", "Way"):
        table.add_column(heading)
    for heading in ("Train img/s", "u", "Roofline", "Train MB", "Infer img/s", "u"):
        table.add_column(heading, justify="right")
    for speed in record.speeds:
        table.add_row(Text(speed.title), speed.way, *_cells(speed, record.batch_size))
    console.print(table)
    for speed in record.speeds:
        if speed.status != "ok":
            console.print(Text(f"{speed.title}, {speed.way}: {speed.status}: {plain(speed.message)}", "yellow"))


def _cells(speed: Speed, batch: int) -> list[str]:
    if speed.status != "ok":
        return [speed.status]
    train = median(speed.train)
    infers = ["", ""]
    if speed.inference:
        ratio = _ratio(speed.inference, speed.yardstick_inference)
        infers = [f"{batch / median(speed.inference):,.0f}", f"{ratio:.2f}"]
    return [
        f"{batch / train:,.0f}",
        f"{_ratio(speed.train, speed.yardstick_train):.2f}",
        f"{speed.roofline / train:.0%}" if speed.roofline else "",
        f"{speed.train_bytes / 1e6:,.3g}" if speed.train_bytes else "",
        *infers,
    ]


def _ratio(taken: tuple[float, ...], yardstick_taken: tuple[float, ...]) -> float:
    """The median of the ratios of samples that were taken in the same round."""
    return median(one / other for one, other in zip(taken, yardstick_taken, strict=True))
