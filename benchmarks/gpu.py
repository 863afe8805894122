"""Speed of all methods on a GPU: images per second, memory, and the share of what the machine could do.

    python benchmarks/gpu.py                   # on a GPU all methods, XS to L, batches of 256 and 2048; on a CPU little
    python benchmarks/gpu.py --sizes XS --batch-sizes 2048 --methods aol,bcop --ways bf16-graph

Each network is timed in turn with the unconstrained network of the same padding, trained the same way. What fails, as a
network that the memory does not hold, is a line that says so. Each size with each batch size is a file of
`--out`, written when it is done; the same command again skips what is there.

The ways to train: eager in float32; with activations in bfloat16, for which weights are constructed in float32 all the
same, eager, compiled by torch.compile, or recorded as a CUDA graph. Inference is in float32, of which certificates
speak.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from onelip.bench.costs import cases_of
from onelip.bench.entrants import Entrant, MethodEntrant, OtherEntrant
from onelip.bench.failure import failure
from onelip.bench.measure.graphs import captured
from onelip.bench.measure.machine import describe_machine, find_device
from onelip.bench.measure.precision import full_precision
from onelip.bench.measure.roofline import Peaks, measured_peaks, operations_of
from onelip.bench.measure.timing import interleave
from onelip.bench.others import PEERS, PLAIN
from onelip.bench.selection import find_methods, yardstick
from onelip.bench.speed import Speed, SpeedRecord, print_speeds
from onelip.bench.subject import Trained, Workload, check_network
from onelip.errors import OnelipError
from onelip.files import write_text
from onelip.linalg.conv import Padding

WARMUP = 3


@dataclass(frozen=True, slots=True)
class Way:
    """How a network is trained."""

    low_precision: bool = False
    compiled: bool = False
    graph: bool = False


WAYS = {
    "float32": Way(),
    "bf16": Way(low_precision=True),
    "bf16-compiled": Way(low_precision=True, compiled=True),
    "bf16-graph": Way(low_precision=True, graph=True),
}


@dataclass(frozen=True, slots=True)
class Session:
    """What all networks of a record have in common."""

    workload: Workload
    rounds: int
    peaks: Peaks


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What is measured where nothing else is asked for, and the sizes at which the machine's peaks are taken."""

    sizes: str
    batch_sizes: str
    ways: str
    image: str
    rounds: int
    out: Path | None
    side: int
    numbers: int


ON_GPU = Usual(
    sizes="XS,S,M,L",
    batch_sizes="256,2048",
    ways=",".join(WAYS),
    image="3x32x32",
    rounds=20,
    out=Path("results/gpu"),
    side=8192,
    numbers=2**28,
)
ON_CPU = Usual(
    sizes="4",
    batch_sizes="16",
    ways="float32,bf16",
    image="3x8x8",
    rounds=5,
    out=None,
    side=512,
    numbers=2**24,
)


def main(
    *,
    device: Annotated[str | None, typer.Option(help="cuda, cuda:N or cpu; cuda where there is one.")] = None,
    sizes: Annotated[str | None, typer.Option(help="XS, S, M, L or widths, separated by commas.")] = None,
    batch_sizes: Annotated[str | None, typer.Option(help="Images per step, separated by commas.")] = None,
    methods: Annotated[str, typer.Option(help="Names, separated by commas.")] = "all",
    ways: Annotated[str | None, typer.Option(help=f"Of {', '.join(WAYS)}.")] = None,
    image: Annotated[str | None, typer.Option(help="Channels x height x width.")] = None,
    peers: Annotated[bool, typer.Option(help="Measure plain torch and what is installed of other libraries.")] = True,
    rounds: Annotated[int | None, typer.Option(help="Samples of each kind.", min=1)] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the records; on a GPU results/gpu.")] = None,
) -> None:
    """Measures, prints and records."""
    console = Console()
    try:
        found = find_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        usual = ON_GPU if found.type == "cuda" else ON_CPU
        chosen = _ways(ways or usual.ways, found)
        shape = _shape(image or usual.image)
        batches = _batch_sizes(batch_sizes or usual.batch_sizes)
        cases = cases_of(find_methods(methods.split(",")), "paper")
        workloads = [
            Workload(size=size, image=shape, classes=10, batch_size=batch, device=found)
            for size in (sizes or usual.sizes).split(",")
            for batch in batches
        ]
        for workload in workloads:
            for case in cases:
                check_network(*case, workload)
    except OnelipError as error:
        Console(stderr=True).print(f"[red]Error:[/] {error}")
        raise typer.Exit(2) from error
    others = [OtherEntrant(other) for other in (PLAIN, *PEERS) if peers and other.version is not None]
    entrants: list[Entrant] = [*(MethodEntrant(*case) for case in cases), *others]
    peaks = measured_peaks(found, side=usual.side, numbers=usual.numbers)
    folder = out or usual.out
    for workload in workloads:
        path = None if folder is None else folder / _file_name(workload)
        if path is not None and path.exists():
            record = SpeedRecord.model_validate_json(path.read_text(encoding="utf-8"))
        else:
            record = _record(Session(workload, rounds or usual.rounds, peaks), entrants, chosen, console)
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_text(path, record.model_dump_json(indent=1))
        print_speeds(record, console)


def _ways(text: str, device: torch.device) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in WAYS:
            raise OnelipError(f"--ways {name!r} is not one of {', '.join(WAYS)}")
        if WAYS[name].graph and device.type != "cuda":
            raise OnelipError(f"--ways {name!r} needs a CUDA device, and this is {device.type}")
    return names


def _shape(text: str) -> tuple[int, int, int]:
    parts = text.split("x")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise OnelipError(f"--image {text!r} is not allowed; give channels x height x width, such as 3x32x32")
    channels, height, width = map(int, parts)
    return channels, height, width


def _batch_sizes(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise OnelipError(f"--batch-sizes {text!r} is not allowed; give numbers of images, such as 256,2048")
    return [int(part) for part in parts]


def _file_name(workload: Workload) -> str:
    image = "x".join(map(str, workload.image))
    return f"speed-{workload.size}-{image}-b{workload.batch_size}-{workload.device.type}.json"


def _record(session: Session, entrants: Iterable[Entrant], ways: list[str], console: Console) -> SpeedRecord:
    started, speeds = datetime.now(timezone.utc), []
    workload, peaks = session.workload, session.peaks
    for way in ways:
        for entrant in entrants:
            console.print(f"size {workload.size}, batch {workload.batch_size}, {way}: {entrant.title}", style="dim")
            speeds.append(_speed(session, entrant, way))
            gc.collect()
            if workload.device.type == "cuda":
                torch.cuda.empty_cache()
    return SpeedRecord(
        size=workload.size,
        image=workload.image,
        batch_size=workload.batch_size,
        machine=describe_machine(workload.device),
        started=started.isoformat(timespec="seconds"),
        peak_macs=peaks.macs,
        peak_low_precision_macs=peaks.low_precision_macs,
        peak_bytes=peaks.bytes,
        speeds=tuple(speeds),
    )


def _speed(session: Session, entrant: Entrant, name: str) -> Speed:
    way = WAYS[name]
    ours = isinstance(entrant, MethodEntrant)
    padding: Padding = entrant.padding if isinstance(entrant, MethodEntrant) else "circular"
    speed = Speed(title=entrant.title, kind="method" if ours else "other", padding=padding, way=name)
    workload = replace(session.workload, low_precision=way.low_precision, compiled=way.compiled)
    try:
        with full_precision():
            return speed.model_copy(update=_measured(replace(session, workload=workload), entrant, padding, way))
    except Exception as error:  # noqa: BLE001  # one network's failure must not end the session
        status, message = failure(error)
        return speed.model_copy(update={"status": status, "message": message})


def _measured(session: Session, entrant: Entrant, padding: Padding, way: Way) -> dict[str, object]:
    workload = session.workload
    network = entrant.build(workload)
    found: dict[str, object] = {} if way.graph else {"train_bytes": network.train_bytes()}
    if isinstance(entrant, MethodEntrant):
        eager = entrant.build(replace(workload, compiled=False))
        eager.to_training()
        found["roofline"] = session.peaks.seconds(operations_of(eager.train_step))
        del eager
    pair = {"": network, "yardstick_": MethodEntrant(yardstick(()), padding).build(workload)}
    for kind in ("train", "inference"):
        steps = {prefix: _step(kind, one, way, workload.device) for prefix, one in pair.items()}
        samples = interleave(steps, rounds=session.rounds, warmup=WARMUP, device=workload.device)
        found |= {f"{prefix}{kind}": taken for prefix, taken in samples.items()}
    return found


def _step(kind: str, network: Trained, way: Way, device: torch.device) -> Callable[[], object]:
    if kind == "inference":
        network.to_inference()
        return captured(network.infer, device) if way.graph else network.infer
    network.to_training()
    if not way.graph:
        return network.train_step
    replay = captured(network.find_gradients, device)

    def step() -> None:
        replay()
        network.update()

    return step


if __name__ == "__main__":
    typer.run(main)
