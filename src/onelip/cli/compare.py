"""`onelip compare`: the program's main job."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelip.cli import options
from onelip.cli.display import live_notes, note_unused_gpu, say, show_pictures
from onelip.cli.errors import clear_errors
from onelip.cli.report import print_report
from onelip.errors import OnelipError, RecordError

if TYPE_CHECKING:
    from onelip.bench.compare import ComparisonRun
    from onelip.bench.comparison import Comparison, Job, Scan
    from onelip.bench.data import ImageData

ALL_FAILED = 1
"""Exit code when no run of a constrained method has a result."""

EXAMPLES = """\
[bold]Examples[/bold]

All methods on small pictures of digits, a few minutes:

[cyan]onelip compare --budget 20s[/cyan]

Two sizes on CIFAR-10, ten minutes and three seeds each:

[cyan]onelip compare --data cifar10 --data-dir DIR --sizes XS,S --budget 10m --seeds 0,1,2[/cyan]

A method of your own, MINE in mine.py, beside all others:

[cyan]onelip compare --method mine:MINE[/cyan]"""


def compare(
    *,
    data: options.DataSets = None,
    data_dir: options.DataDir = None,
    resize: options.Resize = None,
    methods: options.Methods = None,
    own: options.OwnMethods = None,
    sizes: options.Sizes = "XS",
    budget: options.Budget = "20s",
    seeds: options.Seeds = "0",
    padding: options.PaddingOption = "paper",
    device: options.Device = "cpu",
    learning_rate: options.LearningRate = 0.1,
    weight_decay: options.WeightDecay = 1e-5,
    batch_size: options.BatchSize = 256,
    scan: options.ScanRates = None,
    scan_budget: options.ScanBudget = None,
    costs: options.Costs = True,
    out: Annotated[Path, typer.Option(help="Folder of the records and the report.")] = Path("comparison"),
    force: Annotated[bool, typer.Option("--force", help="Do again, and replace, what is there.")] = False,
) -> None:
    """Train, certify and measure methods side by side, and say which one to take.

    Every run and every measurement is a file in the folder --out, written when it is done. The same command again skips
    what is there: after Ctrl-C it goes on where it stopped. A run that fails is a result too, and the others go on.
    """
    with clear_errors(lambda: _kept(out, force)):
        recipe = options.recipe(learning_rate=learning_rate, weight_decay=weight_decay, batch_size=batch_size)
        from onelip.bench.compare import ComparisonRun
        from onelip.bench.comparison import Comparison
        from onelip.bench.folder import held
        from onelip.bench.measure.machine import find_device
        from onelip.bench.selection import find_methods
        from onelip.bench.train.budget import Budget
        from onelip.bench.train.progress import show_progress

        asked = Comparison(
            budget=Budget.parse(budget),
            scan=_scan(scan, scan_budget),
            seeds=options.seed_list(seeds),
            sizes=options.size_list(sizes),
            padding=options.padding_choice(padding),
            recipe=recipe,
            device=find_device(device),
            methods=find_methods(options.method_names(methods, own)),
            data=_load(data or ["digits"], data_dir, resize),
        )
        run = ComparisonRun(asked, out, costs=costs, force=force, say=say, show=show_progress, watch=live_notes)
        with held(out):
            _announce(asked, run, out)
            records = run.execute()
            print_report(out)
        constrained = [record for record in records if record.method.constrained] or records
        if all(record.status != "ok" for record in constrained):
            raise typer.Exit(ALL_FAILED)


def _scan(rates: str | None, budget: str | None) -> Scan | None:
    from onelip.bench.comparison import Scan
    from onelip.bench.train.budget import Budget

    if (rates is None) != (budget is None):
        raise OnelipError("--scan and --scan-budget belong together: which learning rates, and how long to try each")
    if rates is None or budget is None:
        return None
    found = options.numbers("--scan", rates, float, "learning rates such as 0.01,0.1")
    if not all(0 < rate < math.inf for rate in found):
        raise OnelipError(f"--scan {rates!r} is not allowed; learning rates are positive numbers, such as 0.01,0.1")
    return Scan(rates=found, budget=Budget.parse(budget))


def _load(names: list[str], data_dir: Path | None, resize: int | None) -> tuple[ImageData, ...]:
    from onelip.bench.data import DATASETS, load

    separate = [part for name in names for part in ([name] if Path(name).is_dir() else options.listed(name))]
    if not separate:
        raise OnelipError(f"--data names no data set; give {', '.join(DATASETS)}, or the path of a folder of pictures")
    return tuple(load(name, data_dir, resize=resize, track=show_pictures) for name in dict.fromkeys(separate))


def _announce(asked: Comparison, run: ComparisonRun, out: Path) -> None:
    """Says what is about to happen, and about how long it takes."""
    names = ", ".join(method.title for method in asked.methods)
    images = ", ".join(data.title for data in asked.data)
    say(f"Comparing {names} on {images}; records in {out}")
    missing = run.missing()
    if missing:
        say(f"{len(missing)} of {run.total} runs to do on {asked.device}: {_duration(missing)}")
        note_unused_gpu(asked.device)


def _duration(jobs: Sequence[Job]) -> str:
    """How long trainings take, as far as their budgets say."""
    from onelip.bench.train.budget import Budget

    seconds = [Budget.parse(job.cell.budget).seconds for job in jobs]
    if None in seconds:
        return " and ".join(dict.fromkeys(job.cell.budget for job in jobs)).replace("epoch", " epoch") + " each"
    total = sum(filter(None, seconds))
    return f"about {total / 60:.0f} minutes of training" if total >= 90 else f"about {total:.0f} seconds of training"


def _kept(out: Path, force: bool) -> str:
    """What Ctrl-C left, and how to go on."""
    from onelip.bench.results import load_records

    kept = 0
    with contextlib.suppress(RecordError):
        kept = len(load_records(out).train)
    runs = "1 finished run is" if kept == 1 else f"{kept} finished runs are"
    again = (
        "the same command begins anew; without --force it takes what is there as done, also what was not replaced yet"
        if force
        else "the same command goes on from there"
    )
    return f"{runs} in {out}; {again}. onelip report {out} shows what there is."
