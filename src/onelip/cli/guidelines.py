"""`onelip guidelines`: what to take in which situation, generated from records and published numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onelip.cli import options
from onelip.cli.errors import clear_errors
from onelip.cli.options import HOW


def guidelines(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of records, as of onelip recommend.", show_default=False),
    ] = None,
    *,
    records: Annotated[
        str, typer.Option(help="What the answers rest on: both, measured or published.", rich_help_panel=HOW)
    ] = "published",
) -> None:
    """Say what to take in which situation, as Markdown: the choice, its evidence, what would change it, and the paper.

    Example: onelip guidelines > choosing.md
    """
    with clear_errors():
        from onelip.bench import published
        from onelip.bench.candidates import candidates, evidence
        from onelip.bench.recommend import guidelines as made
        from onelip.bench.recommend.sheet import Fact, guidelines_to_markdown
        from onelip.bench.report.markdown import escaped, table_to_markdown
        from onelip.bench.report.paper_radar import radar_sentences, radar_table
        from onelip.bench.theory import resolution_sentence
        from onelip.methods import METHODS

        everyone = tuple(METHODS.values())
        source = options.evidence_source(records)
        found = candidates(evidence(folders or [], source), everyone, batch=1, image=None)
        data = [name for name in made.DATA_TITLES if any(one.data == name for one in found)]
        known, results, scores = published.guidelines(), published.accuracy(), published.radar_scores()
        titles = {method.name: method.title for method in everyone}
        every = (*results, *published.accuracy_1x1())
        facts = [
            Fact(
                title="The best overall",
                guideline="overall",
                sentence=made.overall_sentence(results, scores, titles),
            ),
            Fact(title="1x1 kernels", guideline="kernels", sentence=made.kernel_sentence(every)),
            Fact(title="Sizes M and L", guideline="sizes", sentence=made.size_sentence(results)),
            Fact(
                title="Large images",
                guideline="resolution",
                sentence=resolution_sentence(everyone),
            ),
        ]
        typer.echo(guidelines_to_markdown(made.advise(found, known, data), known, facts, source))
        typer.echo(f"## The radar plot\n\n{table_to_markdown(radar_table(results, scores, titles))}\n")
        typer.echo("\n\n".join(map(escaped, radar_sentences(results, scores, titles))))
