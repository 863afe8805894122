"""Guidelines as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from onelip.bench.published.advice import Guideline
from onelip.bench.recommend.facts import Fact
from onelip.bench.recommend.guidelines import SITUATIONS, VERDICTS, Advice, titled
from onelip.bench.report.markdown import escaped, table_to_markdown
from onelip.bench.report.wording import joined


def guidelines_to_markdown(
    advice: Sequence[Advice], guidelines: Iterable[Guideline], facts: Iterable[Fact], command: str
) -> str:
    """All situations, each with its choice on every data set, the evidence, what would change it, and the paper's word.

    Args:
        advice: See `guidelines.advise`.
        guidelines: What the paper advises.
        facts: What is no choice between methods.
        command: That which answers, with what the answers rest on.
    """
    known = {one.key: one for one in guidelines}
    parts = ["## In short", *_in_short(advice)]
    for situation in SITUATIONS:
        mine = [one for one in advice if one.situation is situation]
        commands = [f"    {command} --data {one.data} {situation.options}".rstrip() for one in mine]
        parts += [f"## {situation.title}", situation.need, "\n".join(commands)]
        parts += _paper(known, situation.guideline, mine)
        for one in mine:
            parts += _choice(one)
    for fact in facts:
        said = f"The paper: {escaped(fact.guideline.statement)}. {_sentence(VERDICTS[fact.agreement])}"
        parts += [f"## {fact.title}", said, escaped(fact.sentence)]
    return "\n\n".join(parts) + "\n"


def _in_short(advice: Sequence[Advice]) -> Iterator[str]:
    """The choices of all situations, one line each."""
    data = list(dict.fromkeys(one.data for one in advice))
    rows = [["You need", *map(titled, data)], ["---"] * (len(data) + 1)]
    for situation in SITUATIONS:
        found = {one.data: _choices(one) for one in advice if one.situation is situation}
        rows.append([situation.title, *(found.get(name, "") for name in data)])
    yield "\n".join(f"| {' | '.join(row)} |" for row in rows)
    yield (
        "By certified accuracy at radius 36/255 (CRA 36). The first comes first; the data do not tell those apart "
        "that stand together. What is marked with (?) may not keep to a limit: the spread of a number reaches beyond, "
        "or it is of too few samples. Another network would come before what is marked with (!), or "
        "stand beside it, if its own open limits turned out to fit: the section names it. Behind a "
        "method stands its size (XS, S, M, L: 16, 32, 64, 128 channels in the first block for images of 32x32 "
        "pixels), and for how long it was trained."
    )


def _choices(advice: Advice) -> str:
    said = advice.answer
    first = [f"{one.choice.label}{' (?)' * bool(one.doubtful)}" for one in said.tied]
    first[:1] = [f"{name} (!)" if said.rivals else name for name in first[:1]]
    if not first and said.possible is not None:
        return escaped(f"nothing surely fits; {said.possible.choice.label} (?)")
    return escaped("; ".join(first)) if first else "nothing is known to fit"


def _paper(known: Mapping[str, Guideline], key: str, advice: Sequence[Advice]) -> Iterator[str]:
    if key not in known:
        return
    judged: dict[str, list[str]] = {}
    for one in advice:
        if one.agreement:
            judged.setdefault(VERDICTS[one.agreement], []).append(titled(one.data))
    said = [f"on {joined(data)} {verdict}" for verdict, data in judged.items()]
    tail = f" {escaped(_sentence('; '.join(said)))}" if said else ""
    yield f"The paper: {escaped(known[key].statement)}.{tail}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _choice(advice: Advice) -> Iterator[str]:
    yield f"### {titled(advice.data)}"
    yield f"**{escaped(advice.headline)}**"
    yield table_to_markdown(advice.table)
    yield "\n".join(f"- {escaped(line)}" for line in advice.changes)
