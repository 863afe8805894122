"""Speed of all methods on a GPU: images per second, memory, and the share of what the machine could do.

    python benchmarks/gpu.py                   # on a GPU all methods, XS to L, batches of 256 and 2048; on a CPU little
    python benchmarks/gpu.py --sizes XS --batch-sizes 2048 --methods aol,bcop --ways bf16-graph

Each network is timed in turn with the unconstrained network of the same padding, trained the same way. What fails, as a
network that the memory does not hold, is a line that says so. Each size with each batch size is a file of `--out`,
written anew after every network; the same command again measures what is missing there, with --retry also what failed.

The ways to train: eager in float32; with activations in bfloat16, for which weights are constructed in float32 all the
same, eager, recorded as a CUDA graph, or compiled whole by torch.compile, last because that takes longest. Inference is
in float32, of which certificates speak.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from onelip.bench.costs import cases_of
from onelip.bench.entrants import Entrant, MethodEntrant, OtherEntrant
from onelip.bench.folder import held
from onelip.bench.measure.graphs import held_bytes, recovers
from onelip.bench.measure.machine import describe_machine, find_device, gpu_libraries, source_digest
from onelip.bench.measure.roofline import Peaks, measured_peaks
from onelip.bench.others import PEERS, PLAIN
from onelip.bench.reading import read_as
from onelip.bench.selection import find_methods
from onelip.bench.speed import SpeedRecord, print_speeds
from onelip.bench.subject import Workload, planned_network
from onelip.bench.ways import WAYS, Session, measured, unmeasured
from onelip.cli import options
from onelip.cli.errors import clear_errors
from onelip.cli.measure import image_shape
from onelip.errors import OnelipError, RecordError
from onelip.files import write_text

ALL_FAILED = 1


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
    methods: Annotated[str | None, typer.Option(help="Names, separated by commas.")] = None,
    ways: Annotated[str | None, typer.Option(help=f"Of {', '.join(WAYS)}.")] = None,
    image: Annotated[str | None, typer.Option(help="Channels x height x width.")] = None,
    peers: Annotated[bool, typer.Option(help="Measure plain torch and what is installed of other libraries.")] = True,
    rounds: Annotated[int | None, typer.Option(help="Samples of each kind.", min=1)] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the records; on a GPU results/gpu.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Measure again what failed.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Begin files that are there anew.")] = False,
) -> None:
    """Measures, prints and records."""
    folder = out
    with clear_errors(lambda: _kept(folder)):
        found = find_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        usual = ON_GPU if found.type == "cuda" else ON_CPU
        chosen = _ways(usual.ways if ways is None else ways, found)
        shape = image_shape(usual.image if image is None else image)
        asked = find_methods(options.method_names(methods, None))
        cases = cases_of(asked, "paper")
        workloads = [
            Workload(size=size, image=shape, classes=10, batch_size=batch, device=found)
            for size in options.size_list(usual.sizes if sizes is None else sizes)
            for batch in _batch_sizes(usual.batch_sizes if batch_sizes is None else batch_sizes)
        ]
        for workload in workloads:
            for case in cases:
                planned_network(*case, workload)
        others = [OtherEntrant(other) for other in (PLAIN, *PEERS) if peers and other.version is not None]
        entrants: list[Entrant] = [*(MethodEntrant(*case) for case in cases), *others]
        folder = usual.out if out is None else out
        with nullcontext() if folder is None else held(folder):
            # All files that are there are looked at before an hour is spent on the first.
            drafts = [
                _draft(
                    workload,
                    None if folder is None else folder / _file_name(workload),
                    rounds or usual.rounds,
                    usual,
                    anew=force,
                )
                for workload in workloads
            ]
            try:
                for way in chosen:
                    for draft in drafts:
                        for entrant in entrants:
                            draft.see_to(entrant, way, retry=retry)
            finally:
                done = [draft.part(entrants, chosen) for draft in drafts]
                for record in done:
                    if record.speeds:
                        print_speeds(record, Console())
    names = {method.name for method in asked}
    speeds = [one for record in done for one in record.speeds if one.method is not None and one.method.name in names]
    if all(one.status != "ok" for one in speeds):
        raise typer.Exit(ALL_FAILED)


def _kept(folder: Path | None) -> str:
    """What Ctrl-C left, and how to go on."""
    if folder is None:
        return "Nothing was kept; --out names a folder for the records."
    return f"What was measured is kept in {folder}; the same command without --force goes on from there."


def _ways(text: str, device: torch.device) -> tuple[str, ...]:
    names = options.listed(text)
    for name in names or (text,):
        if name not in WAYS:
            raise options.unknown("way", name, WAYS)
        if WAYS[name].graph and device.type != "cuda":
            raise OnelipError(f"--ways {name!r} needs a CUDA device, and this is {device.type}")
    return names


def _batch_sizes(text: str) -> tuple[int, ...]:
    wanted = "numbers of images, such as 256"
    found = options.numbers("--batch-sizes", text, int, wanted)
    if min(found) < 1:
        raise OnelipError(f"--batch-sizes {text!r} is not allowed; give {wanted}, separated by commas")
    return found


@dataclass
class _Draft:
    """A record in the making, and the file that it is written to after every network."""

    workload: Workload
    path: Path | None
    record: SpeedRecord

    def see_to(self, entrant: Entrant, way: str, *, retry: bool) -> None:
        """Measures a network, unless the record has it; one that failed once more if that is asked for."""
        device = self.workload.device
        what = f"size {self.workload.size}, batch {self.workload.batch_size}, {way}: {entrant.title}"
        there = {one.key: one.status for one in self.record.speeds}.get(unmeasured(entrant, way).key)
        if there == "ok" or (there is not None and not retry):
            typer.echo(f"{what}: there, not measured again")
            return
        typer.echo(what)
        held = held_bytes(device)
        record = self.record
        peaks = Peaks(macs=record.peak_macs, low_precision_macs=record.peak_low_precision_macs, bytes=record.peak_bytes)
        self.record = record.having(measured(Session(self.workload, record.rounds, peaks), entrant, way))
        if self.path is not None:
            write_text(self.path, self.record.model_dump_json(indent=1) + "\n")
        if not recovers(device, held=held):
            raise OnelipError(
                f"after {what}, {device} refuses to work, or keeps its memory, for the rest of this process; the same "
                "command without --force goes on"
            )

    def part(self, entrants: Sequence[Entrant], ways: Sequence[str]) -> SpeedRecord:
        """What the record has of these."""
        keys = {unmeasured(entrant, way).key for way in ways for entrant in entrants}
        return self.record.model_copy(update={"speeds": tuple(one for one in self.record.speeds if one.key in keys)})


def _draft(workload: Workload, path: Path | None, rounds: int, usual: Usual, *, anew: bool) -> _Draft:
    """Goes on with the file that is there, or begins one.

    Raises:
        RecordError: It cannot be read, or was made otherwise, so that nothing may be added to it.
    """
    if path is not None and path.exists() and not anew:
        record = read_as(SpeedRecord, path)
        here = _circumstances(_begun(workload, rounds, Peaks(macs=1, low_precision_macs=1, bytes=1)))
        for what, then in _circumstances(record).items():
            if then != here[what]:
                raise RecordError(
                    f"{path} was made with {what.replace('_', ' ')} {then}, and not {here[what]}; name another --out, "
                    "or begin the file anew with --force"
                )
    else:
        record = _begun(workload, rounds, _peaks(workload.device, usual))
    return _Draft(workload, path, record)


@functools.lru_cache
def _peaks(device: torch.device, usual: Usual) -> Peaks:
    """Measured once.

    Raises:
        OnelipError: The device has no memory for it.
    """
    try:
        return measured_peaks(device, side=usual.side, numbers=usual.numbers)
    except torch.OutOfMemoryError as error:
        need = (8 * usual.numbers + 4 * 4 * usual.side**2) / 1e9
        raise OnelipError(f"{device} is in use: {need:.1f} GB for its own peaks are not free ({error})") from error


def _circumstances(record: SpeedRecord) -> dict[str, object]:
    """What decides a time, and must not differ within a file."""
    machine = record.machine.model_dump(include={"processor", "threads", "device_name", "python", "torch"})
    return record.model_dump(include={"size", "image", "batch_size", "rounds", "source", "libraries"}) | machine


def _begun(workload: Workload, rounds: int, peaks: Peaks) -> SpeedRecord:
    return SpeedRecord(
        size=workload.size,
        image=workload.image,
        batch_size=workload.batch_size,
        rounds=rounds,
        machine=describe_machine(workload.device),
        source=source_digest(),
        libraries=gpu_libraries(workload.device),
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        peak_macs=peaks.macs,
        peak_low_precision_macs=peaks.low_precision_macs,
        peak_bytes=peaks.bytes,
    )


def _file_name(workload: Workload) -> str:
    image = "x".join(map(str, workload.image))
    return f"speed-{workload.size}-{image}-b{workload.batch_size}-{workload.device.type}.json"


if __name__ == "__main__":
    typer.run(main)
