"""The command line: parses, calls, prints. Nothing here imports torch before a command needs it."""

from __future__ import annotations

from collections.abc import Callable
from inspect import cleandoc
from typing import Annotated

import typer

from onelip.cli import (
    budget,
    certify,
    compare,
    data,
    diagnose,
    grid,
    guidelines,
    measure,
    methods,
    recommend,
    replay,
    report,
    reproduce,
    theory,
    train,
    verify,
)

app = typer.Typer(
    name="onelip",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Compare ways to build neural networks that provably cannot be fooled by small changes of their input.\n\n"
        "Every [bold]method[/bold] builds layers that never stretch a distance (1-Lipschitz layers). "
        "[bold]onelip compare[/bold] trains the same network with each method, certifies it on test images, measures "
        "time and memory, and says which method to take. Start with:\n\n"
        "  [cyan]onelip compare --data digits --budget 20s --out comparison[/cyan]"
    ),
)


EPILOGS = {"compare": compare.EXAMPLES, "grid": grid.EXAMPLES}


def _flowing(command: Callable[..., None]) -> str:
    """A docstring whose lines are as long as the terminal is wide."""
    paragraphs = cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"onelip {version('onelip')}")
        except PackageNotFoundError:
            typer.echo("onelip, not installed: run from its source")
        raise typer.Exit


@app.callback()
def _onelip(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Only `--version` belongs to the program as a whole."""


COMMANDS = (
    compare.compare,
    grid.grid,
    methods.methods,
    train.train,
    replay.replay,
    certify.certify,
    verify.verify,
    diagnose.diagnose,
    measure.measure,
    budget.budget,
    theory.theory,
    report.report,
    reproduce.reproduce,
    recommend.recommend,
    guidelines.guidelines,
)

for command in COMMANDS:
    app.command(command.__name__, help=_flowing(command), epilog=EPILOGS.get(command.__name__))(command)
app.add_typer(data.app, name="data")
