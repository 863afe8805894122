"""`onelip data`: the data sets, what of them is here, and how to get them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelip.cli.display import say, show_pictures
from onelip.cli.errors import clear_errors
from onelip.cli.options import AsJson, DataDir, Resize

if TYPE_CHECKING:
    from rich.progress import TaskID

    from onelip.bench.data import DataSource, ImageData
    from onelip.bench.data.fetch import Meter

app = typer.Typer(no_args_is_help=True, help="The data sets: list, fetch and check them.")

Name = Annotated[str, typer.Argument(help="A data set of onelip data list.")]


@app.command("list")
def list_(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the data sets, and whether they are here."""
    with clear_errors():
        from onelip.bench.data import DATASETS
        from onelip.bench.data.base import named_folder

        folder = named_folder(data_dir)
        rows = [_facts(source, folder) for source in DATASETS.values()]
        if as_json:
            typer.echo(json.dumps(rows, indent=2))
        else:
            _print(rows)


@app.command()
def fetch(name: Name, data_dir: DataDir = None) -> None:
    """Download a data set into --data-dir, check it and unpack it there.

    A download that was stopped goes on where it was; nothing is unpacked halfway.

    Example: onelip data fetch cifar10 --data-dir data
    """
    with clear_errors(lambda: "What was downloaded is kept; the same command goes on from there."):
        from onelip.bench.data import find_source
        from onelip.bench.data.base import named_folder
        from onelip.bench.data.fetch import fetch as fetch_source
        from onelip.errors import DataError

        source, folder = find_source(name), named_folder(data_dir)
        if folder is None:
            raise DataError("--data-dir says where to put it; or set the environment variable ONELIP_DATA")
        there = source.find(folder)
        look = f"Look at it with: onelip data check {name} --data-dir {folder}"
        if there is not None:
            say(f"{there} is there already, and nothing was fetched. {look}")
            return
        with _bars() as meter:
            target = fetch_source(source, folder, meter)
        say(f"{source.title} is in {target}. {look}")


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="A data set, or a folder of pictures.")],
    data_dir: DataDir = None,
    resize: Resize = None,
    as_json: AsJson = False,
) -> None:
    """Read a data set as a training would, every file of it, and say what it holds.

    Example: onelip data check imagenette@64 --data-dir data
    """
    with clear_errors():
        from onelip.bench.data import load

        data = load(name, data_dir, resize=resize, track=show_pictures)
        facts = _content(data)
        if as_json:
            typer.echo(json.dumps(facts, indent=2))
            return
        for key, value in facts.items():
            say(f"{key}: {value}")


def _facts(source: DataSource, folder: Path | None) -> dict[str, object]:
    there = None if folder is None else source.find(folder)
    return {
        "name": source.name,
        "title": source.title,
        "download_bytes": source.archive.bytes if source.archive else 0,
        "here": "comes with onelip" if source.archive is None else there and str(there),
        "homepage": source.homepage,
    }


def _print(rows: list[dict[str, object]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD)
    for heading in ("Name", "Title", "Download", "Here"):
        table.add_column(heading)
    for row in rows:
        size = row["download_bytes"]
        assert isinstance(size, int)
        here = row["here"] or f"no: onelip data fetch {row['name']}"
        table.add_row(str(row["name"]), str(row["title"]), f"{size / 1e6:,.0f} MB" if size else "", Text(str(here)))
    Console().print(table)


def _content(data: ImageData) -> dict[str, object]:
    """What a data set holds; the digest is that of its records."""
    per_class = {
        split: labels.bincount(minlength=data.classes)
        for split, labels in (("training", data.train_labels), ("test", data.test_labels))
    }
    channels, height, width = data.image
    facts: dict[str, object] = {
        "title": data.title,
        "images": f"{channels} x {height} x {width}",
        "classes": data.classes,
    }
    for split, counts in per_class.items():
        facts[f"{split} images"] = int(counts.sum())
        facts[f"{split} images per class"] = f"{int(counts.min())} to {int(counts.max())}"
    facts["augmentation"] = "none" if data.augmentation is None else str(data.augmentation)
    facts["mean"] = ", ".join(f"{one:.4f}" for one in data.mean)
    facts["digest"] = data.digest
    return facts


@contextmanager
def _bars() -> Iterator[Meter]:
    """Shows on a terminal how far each part is; elsewhere one line when it begins."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def meter(title: str, done: int, total: int) -> None:
            if title not in tasks:
                tasks[title] = progress.add_task(title)
                if not console.is_terminal:
                    typer.echo(title, err=True)
            progress.update(tasks[title], completed=done, total=total)

        yield meter
