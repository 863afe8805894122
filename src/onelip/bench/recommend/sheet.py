"""Guidelines as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from onelip.bench.published.advice import Guideline
from onelip.bench.recommend.guidelines import SITUATIONS, VERDICTS, Advice, titled
from onelip.bench.report.markdown import escaped, table_to_markdown
from onelip.bench.report.wording import joined


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A guideline that is no choice between methods, with what the data say of it.

    Attributes:
        title: As a heading.
        guideline: The key of what the paper advises.
        sentence: The numbers.
    """

    title: str
    guideline: str
    sentence: str


def guidelines_to_markdown(
    advice: Sequence[Advice], guidelines: Iterable[Guideline], facts: Iterable[Fact], source: str
) -> str:
    """All situations, each with its choice on every data set, the evidence, what would change it, and the paper's word.

    Args:
        advice: See `guidelines.advise`.
        guidelines: What the paper advises.
        facts: What is no choice between methods.
        source: What the answers rest on, as an option of the command.
    """
    known = {one.key: one for one in guidelines}
    parts: list[str] = []
    for situation in SITUATIONS:
        mine = [one for one in advice if one.situation is situation]
        commands = [
            f"    onelip recommend --records {source} --data {one.data} {situation.options}".rstrip() for one in mine
        ]
        parts += [f"## {situation.title}", situation.need, "\n".join(commands)]
        parts += _paper(known, situation.guideline, mine)
        for one in mine:
            parts += _choice(one)
    for fact in facts:
        said = f"The paper: {escaped(known[fact.guideline].statement)}."
        parts += [f"## {fact.title}", said, escaped(fact.sentence)]
    return "\n\n".join(parts) + "\n"


def _paper(known: Mapping[str, Guideline], key: str, advice: Sequence[Advice]) -> Iterator[str]:
    if key not in known:
        return
    said = [f"on {titled(one.data)} {VERDICTS[one.agreement]}" for one in advice if one.agreement]
    text = joined(said)
    tail = f" {escaped(text[:1].upper() + text[1:])}." if text else ""
    yield f"The paper: {escaped(known[key].statement)}.{tail}"


def _choice(advice: Advice) -> Iterator[str]:
    yield f"### {titled(advice.data)}"
    yield f"**{escaped(advice.headline)}**"
    yield table_to_markdown(advice.table)
    yield "\n".join(f"- {escaped(line)}" for line in advice.changes)
