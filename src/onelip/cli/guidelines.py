"""`onelip guidelines`: what to take in which situation, generated from records and published numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from onelip.cli import options
from onelip.cli.errors import clear_errors
from onelip.cli.options import HOW
from onelip.errors import OnelipError

if TYPE_CHECKING:
    from onelip.bench.candidates import Evidence
    from onelip.bench.recommend.guidelines import Image
    from onelip.bench.recommend.options import Choice


def guidelines(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of records, as of onelip recommend.", show_default=False),
    ] = None,
    *,
    records: Annotated[
        str | None,
        typer.Option(
            help="What the answers rest on: both, measured or published. [dim]Default: measured where folders are "
            "named, else published.[/dim]",
            rich_help_panel=HOW,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Say what to take in which situation, as Markdown: the choice, its evidence, what would change it, and the paper.

    Example: onelip guidelines > choosing.md
    """
    with clear_errors():
        from onelip.bench import published
        from onelip.bench.candidates import evidence, notes
        from onelip.bench.recommend import facts as known
        from onelip.bench.recommend import guidelines as made
        from onelip.bench.recommend.sheet import guidelines_to_markdown
        from onelip.bench.report.markdown import escaped, table_to_markdown
        from onelip.bench.report.paper_radar import radar_sentences, radar_table
        from onelip.bench.theory import RESOLUTIONS, construction_growth
        from onelip.methods import METHODS

        everyone = tuple(METHODS.values())
        source, named = options.evidence_source(records or ("measured" if folders else "published"), folders or [])
        read = evidence(named, source)
        found, data = _choices(read)
        paper = {one.key: one for one in published.guidelines()}
        results, scores = published.accuracy(), published.radar_scores()
        titles = {method.name: method.title for method in everyone}
        facts = (
            known.overall_fact(paper["overall"], results, scores, titles),
            known.kernel_fact(paper["kernels"], (*results, *published.accuracy_1x1())),
            known.size_fact(paper["sizes"], results),
            known.collapse_fact(paper["collapse"], published.paper(), titles),
            known.identity_fact(paper["identity"]),
            known.resolution_fact(paper["resolution"], construction_growth(everyone), RESOLUTIONS, titles),
        )
        asked = " ".join(["onelip recommend", *(quote(str(folder)) for folder in named), f"--records {source}"])
        advice = made.advise(found, paper.values(), data)
        typer.echo("".join(f"{escaped(note)}\n\n" for note in notes(read, everyone)), nl=False)
        typer.echo(guidelines_to_markdown(advice, paper.values(), facts, asked))
        typer.echo(f"## The radar plot\n\n{table_to_markdown(radar_table(results, scores, titles))}\n")
        typer.echo("\n\n".join(map(escaped, radar_sentences(results, scores, titles))))


def _choices(read: Evidence) -> tuple[Mapping[Image | None, list[Choice]], list[str]]:
    """What there is to choose from by the images that are asked of, as in onelip recommend, and the data sets."""
    from onelip.bench.candidates import candidates, narrowed
    from onelip.bench.recommend.guidelines import DATA_TITLES, SITUATIONS
    from onelip.methods import METHODS

    everyone, known = tuple(METHODS.values()), list(DATA_TITLES)
    images = dict.fromkeys(situation.image for situation in SITUATIONS)
    every = {image: candidates(read, everyone, batch=1, image=image) for image in images}
    data = sorted(
        {one.data for one in every[None] if one.method in METHODS},
        key=lambda name: (name not in known, [*known, name].index(name)),
    )
    if not data:
        raise OnelipError(f"no network of {', '.join(METHODS)} was trained there")
    found = {
        image: [one for name in data for one in narrowed(choices, read, data=name, sizes=None, methods=everyone)]
        for image, choices in every.items()
    }
    return found, data
