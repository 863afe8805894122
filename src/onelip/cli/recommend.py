"""`onelip recommend`: which method fits the user's constraints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onelip.cli import options
from onelip.cli.display import live_notes
from onelip.cli.errors import clear_errors
from onelip.cli.options import HOW, WHAT
from onelip.cli.theory import image_size
from onelip.errors import OnelipError

if TYPE_CHECKING:
    from onelip.bench.recommend.answer import Answer
    from onelip.bench.recommend.judging import Constraint, Orthogonal
    from onelip.bench.recommend.weighing import Question

NOTHING_FITS = 1
"""Exit code when no choice is known to meet everything."""
LIMITS = "What it must keep to"


def _limit(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel=LIMITS, show_default=False)


def recommend(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folders of records of onelip compare, grid or measure. [dim]Default: results, where it is.[/dim]",
            show_default=False,
        ),
    ] = None,
    *,
    data: Annotated[
        str | None,
        typer.Option(
            help="The data set whose accuracies count. [dim]Default: cifar10, or the only one.[/dim]",
            rich_help_panel=WHAT,
            show_default=False,
        ),
    ] = None,
    max_train_time: Annotated[str | None, _limit("Of the whole training, such as 2h.")] = None,
    max_train_step_ratio: Annotated[
        str | None, _limit("Time of a training step over an unconstrained network's, such as 2.")
    ] = None,
    max_train_memory: Annotated[str | None, _limit("Of a training step, such as 8GB.")] = None,
    max_latency: Annotated[str | None, _limit("Of inferring --batch images, such as 5ms.")] = None,
    max_latency_ratio: Annotated[str | None, _limit("The same over an unconstrained network's, such as 1.05.")] = None,
    max_inference_memory: Annotated[
        str | None, _limit("Of inferring --batch images beside the raw parameters, such as 200MB.")
    ] = None,
    max_frozen_memory: Annotated[
        str | None, _limit("The same after onelip.freeze, which leaves the weights alone, by formula.")
    ] = None,
    min_accuracy: Annotated[str | None, _limit("Such as 0.7 or 70%.")] = None,
    min_cra36: Annotated[str | None, _limit("Certified robust accuracy at radius 36/255, such as 60%.")] = None,
    min_cra72: Annotated[str | None, _limit("At radius 72/255.")] = None,
    min_cra108: Annotated[str | None, _limit("At radius 108/255.")] = None,
    min_cra255: Annotated[str | None, _limit("At radius 255/255.")] = None,
    orthogonal: Annotated[
        bool, typer.Option("--orthogonal", help="Layers keep the norm of gradients.", rich_help_panel=LIMITS)
    ] = False,
    maximise: Annotated[
        str | None,
        typer.Option(
            "--maximise",
            "--maximize",
            help="accuracy, cra36, cra72, cra108 or cra255. [dim]Default: cra36.[/dim]",
            rich_help_panel=WHAT,
            show_default=False,
        ),
    ] = None,
    minimise: Annotated[
        str | None,
        typer.Option(
            "--minimise",
            "--minimize",
            help="train-time, train-step-ratio, train-memory, latency, latency-ratio, inference-memory or "
            "frozen-memory.",
            rich_help_panel=WHAT,
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Images inferred at a time.", rich_help_panel=WHAT, min=1)] = 1,
    image: Annotated[
        str | None,
        typer.Option(
            help="Side of your images, for costs by formula. [dim]Default: the data set's.[/dim]",
            rich_help_panel=WHAT,
            show_default=False,
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(help="Only these sizes, such as XS,S.", rich_help_panel=WHAT, show_default=False),
    ] = None,
    methods: options.Methods = None,
    own: options.OwnMethods = None,
    records: Annotated[
        str,
        typer.Option(
            help="What the answer rests on: both, measured or published; or a folder, for what was measured there. "
            "Costs that are in neither are by formula, and say so.",
            rich_help_panel=HOW,
        ),
    ] = "both",
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Measure this machine for a minute, and scale times and memory to it.",
            rich_help_panel=HOW,
        ),
    ] = False,
    device: options.Device = "cpu",
    everything: Annotated[
        bool, typer.Option("--all", help="List every choice, not the best of each method.", rich_help_panel=HOW)
    ] = False,
    as_json: options.AsJson = False,
    as_markdown: options.AsMarkdown = False,
) -> None:
    """Say which method fits your constraints, from records, published numbers and formulas, and why.

    Every number says where it comes from: measured, published, or by theory where it was published as a plot only. The
    exit code is 1 where nothing is known to meet everything.

    Examples: onelip recommend --max-train-time 2h --max-train-memory 8GB --maximise cra36

    onelip recommend --records published --max-latency-ratio 1.05
    """
    given = {
        "max_train_time": max_train_time,
        "max_train_step_ratio": max_train_step_ratio,
        "max_train_memory": max_train_memory,
        "max_latency": max_latency,
        "max_latency_ratio": max_latency_ratio,
        "max_inference_memory": max_inference_memory,
        "max_frozen_memory": max_frozen_memory,
        "min_accuracy": min_accuracy,
        "min_cra36": min_cra36,
        "min_cra72": min_cra72,
        "min_cra108": min_cra108,
        "min_cra255": min_cra255,
    }
    with clear_errors():
        if as_json and as_markdown:
            raise OnelipError("--json and --markdown exclude each other")
        from onelip.bench.candidates import candidates, evidence, narrowed, notes, scaled_to_here
        from onelip.bench.measure.machine import find_device
        from onelip.bench.recommend.answer import answer
        from onelip.bench.selection import find_methods

        question = _question(given, orthogonal=orthogonal, maximise=maximise, minimise=minimise)
        everyone = find_methods(["all", *(own or ())])
        wanted = find_methods(options.method_names(methods, own)) if methods or own else everyone
        source, named = options.evidence_source(records, folders or [])
        found = evidence(named, source)
        choices = candidates(found, everyone, batch=batch, image=_shape(image))
        names = None if sizes is None else options.size_list(sizes)
        chosen = narrowed(choices, found, data=data, sizes=names, methods=wanted)
        if calibrate:
            if image is not None:
                raise OnelipError("--calibrate measures images of the data set; leave --image out")
            where = find_device(device)
            with live_notes("measuring this machine") as note:
                chosen = scaled_to_here(chosen, found, everyone, batch=batch, device=where, note=note)
        said = answer(question, chosen, notes(found, everyone))
        _show(said, everything=everything, as_json=as_json, as_markdown=as_markdown)
        if not said.fitting:
            raise typer.Exit(NOTHING_FITS)


def _question(
    given: dict[str, str | None], *, orthogonal: bool, maximise: str | None, minimise: str | None
) -> Question:
    from onelip.bench.recommend.judging import Constraint, Orthogonal
    from onelip.bench.recommend.quantities import QUANTITIES, quantity_named
    from onelip.bench.recommend.weighing import Question

    if maximise is not None and minimise is not None:
        raise OnelipError("--maximise and --minimise exclude each other: one quantity is to be best")
    objective = quantity_named(maximise or minimise or "cra36")
    if objective.higher_is_better == (minimise is not None):
        right, wrong = ("maximise", "minimise") if objective.higher_is_better else ("minimise", "maximise")
        more = "more" if objective.higher_is_better else "less"
        key = objective.key.replace("_", "-")
        raise OnelipError(f"--{wrong} {key}: of that {more} is better; write --{right} {key}")
    limits: list[Constraint | Orthogonal] = [
        Constraint(quantity=quantity, limit=quantity.read(text), given=text.strip())
        for quantity in QUANTITIES.values()
        if (text := given[quantity.option[2:].replace("-", "_")]) is not None
    ]
    if orthogonal:
        limits.append(Orthogonal())
    return Question(objective=objective, constraints=tuple(limits))


def _shape(image: str | None) -> tuple[int, int, int] | None:
    """The images that costs are asked of."""
    from onelip.models.sizes import width_of

    if image is None:
        return None
    height, width = image_size(image)
    if height != width:
        raise OnelipError(f"--image {image!r} is not allowed; the network takes square images")
    width_of("XS", height)  # says which sides there are
    return 3, height, width


def _show(said: Answer, *, everything: bool, as_json: bool, as_markdown: bool) -> None:
    from onelip.bench.recommend import words
    from onelip.bench.recommend.ranking import ranking_table
    from onelip.bench.recommend.scripted import facts

    if as_json:
        typer.echo(json.dumps(facts(said), indent=2, allow_nan=False))
        return
    table = ranking_table(said, everything=everything)
    if as_markdown:
        from onelip.bench.report.markdown import escaped, table_to_markdown

        head, *rest = map(escaped, words.sentences(said))
        lines = "\n".join(f"- {line}" for line in rest)
        typer.echo(f"{escaped(table.caption)}\n\n**{head}**\n\n{table_to_markdown(table)}\n\n{lines}")
        return
    from rich.console import Console
    from rich.text import Text

    from onelip.bench.report.tables import print_listing

    console = Console()
    print_listing(table, console)
    head, *rest = words.sentences(said)
    console.print("", Text(head, "bold"))
    for line in rest:
        console.print(Text(f"- {line}"))
