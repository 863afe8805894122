"""An answer in sentences and tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onelip.bench.recommend.answer import Answer, Blame, Ranked
from onelip.bench.recommend.gaps import failures, images, missing, places, title_of
from onelip.bench.recommend.judging import WITHIN, Constraint, Judgement
from onelip.bench.recommend.options import Basis, Known
from onelip.bench.recommend.quantities import QUANTITIES, Quantity
from onelip.bench.report.formats import three_digits
from onelip.bench.report.wording import counted, joined

BASES: dict[Basis, str] = {
    "measured": "measured",
    "published": "published",
    "theory": "by theory",
    "calibrated": "scaled to this machine",
}
DEPARTS = 1.11
"""A training time that ends of its spread lie farther from is said, whatever was asked: budgets name runs."""
CONSTANT = "certifies no more than a constant answer"


def asked(answer: Answer) -> str:
    """The question."""
    question = answer.question
    best = "highest" if question.objective.higher_is_better else "lowest"
    limits = joined(one.text for one in question.constraints)
    return f"Sought: the {best} {question.objective.title}" + (f", with {limits}." if limits else ".")


def headline(answer: Answer) -> str:
    """What to take, or that data do not decide, or that nothing fits."""
    if answer.fitting:
        return _first(answer)
    unknown = [one for one in answer.per_method if one.status == "unknown"]
    names = [one.choice.label for one in unknown[:3]] + [f"{len(unknown) - 3} more"] * (len(unknown) > 3)
    not_known = f"not all that was asked for is known of {'; '.join(names)}"
    if (near := answer.possible) is not None:
        missed = joined(_measure(judged) for judged in near.open)
        return f"Nothing surely meets everything; {near.choice.label} may ({missed})" + (
            f", and {not_known}." if unknown else "."
        )
    if unknown:
        return f"Nothing is known to meet everything; {not_known}."
    if answer.ranking and not answer.trained:
        return "No training came to its end."
    if answer.trained and all(any(gap.settled for gap in one.gaps) for one in answer.trained):
        return "No network certifies more than a constant answer."
    return "Nothing meets everything." if answer.ranking else "There is nothing to choose from."


def _first(answer: Answer) -> str:
    """What comes first, and whether it is to be taken."""
    best, tied, rivals = answer.fitting[0], answer.tied, answer.rivals
    named = _named(best, answer)
    if len(tied) > 1:
        said = f"{named} comes first, but the data do not tell it apart from "
        said += joined(_named(one, answer) for one in tied[1:])
    elif answer.alone:
        said = f"{named} comes first, and no other method is there to compare it with"
    elif rivals:
        said = f"{named} comes first of what is known to fit"
    elif answer.unsought:
        said = f"{named} comes first of what is known"
    elif best.doubtful:
        return f"{named} comes first{_doubt(best, 'its {}')}."
    else:
        return f"Take {named}."
    said += _doubt(best, f"the {{}} of {best.choice.label}")
    if rivals:
        said += f"; {_rival(rivals[0], answer)}"
    if answer.unsought:
        titles = joined(one.title for one in answer.unsought)
        said += f"; the {answer.question.objective.title} of {titles} is not known"
    return f"{said}."


def _rival(one: Ranked, answer: Answer, best: str = "it") -> str:
    """What an open network would be, if it fitted."""
    fit = joined(title_of(judged.constraint.key) for judged in one.open)
    place = f"come before {best}" if answer.comes_before_best(one) else f"not be told apart from {best}"
    return f"{_named(one, answer)} would {place}, if its {fit} turned out to fit"


def _doubt(best: Ranked, whose: str) -> str:
    """Which limits the best may not keep to, as the end of a sentence."""
    titles = [one.constraint.quantity.title for one in best.doubtful if isinstance(one.constraint, Constraint)]
    if not titles:
        return ""
    return f"; {whose.format(joined(titles))} may not meet the limit{'s' if len(titles) > 1 else ''}"


def _measure(judged: Judgement) -> str:
    """A number that was judged, with its spread, or that it is not known."""
    if not isinstance(judged.constraint, Constraint) or not isinstance(judged.number, Known):
        return f"{title_of(judged.constraint.key)} not known"
    quantity = judged.constraint.quantity
    return f"{quantity.title} {quantity.format(judged.number.value)}, {spread(judged.number, quantity)}"


def details(answer: Answer) -> Iterator[str]:
    """What rules out what, what is not known, and how it could be."""
    yield from answer.notes
    for blame in answer.blames:
        yield _blamed(blame, answer)
    yield from _would_be(answer)
    yield from missing(answer)
    yield from _front(answer)
    yield from images(answer)
    yield from places(answer)
    yield from failures(answer)
    if answer.fitting:
        yield from _evidence(answer.fitting[0], answer)


def _would_be(answer: Answer) -> Iterator[str]:
    """What stands beside the best, or would."""
    for one in answer.rivals[1:]:
        yield f"Likewise {_rival(one, answer, answer.fitting[0].choice.label)}."
    if alike := answer.alike:
        names = [one.choice.label for one in alike[:4]] + [f"{len(alike) - 4} more"] * (len(alike) > 4)
        best = answer.fitting[0].choice
        yield f"Of {best.title} itself the data do not tell {best.label} apart from {'; '.join(names)}."
    if answer.fitting and answer.alone:
        title = answer.fitting[0].choice.title
        yield f"Only {title} is among the choices: ask for more --methods, or train others with onelip compare."


def _evidence(best: Ranked, answer: Answer) -> Iterator[str]:
    """What the best rests on, and what of it is not beyond doubt."""
    choice, asked_for = best.choice, {answer.question.objective.title: best.objective}
    asked_for |= {
        judged.constraint.quantity.title: judged.number
        for judged in best.judgements
        if isinstance(judged.constraint, Constraint) and judged.number is not None
    }
    time = choice.number("train_time")
    if isinstance(time, Known) and max(time.high / time.value, time.value / time.low) > DEPARTS:
        asked_for[QUANTITIES["train_time"].title] = time
    sources: dict[str, list[str]] = {}
    for title, number in asked_for.items():
        if isinstance(number, Known):
            sources.setdefault(f"{BASES[number.basis]}, {number.evidence}", []).append(title)
    said = "; ".join(f"{joined(titles)}: {source}" for source, titles in sources.items())
    runs = f"{joined(choice.records)}: " if choice.source == "measured" else ""
    yield (
        f"{choice.label} rests on {runs}{counted(choice.seeds, 'seed')}, {choice.images} test images, a training on "
        f"{choice.place}. {said[:1].upper()}{said[1:]}."
    )
    if choice.source == "published" and choice.seeds == 1:
        yield "One seed was published: how seeds scatter is not in the spread."
    for judged in best.doubtful:
        if isinstance(judged.constraint, Constraint):
            why = "the spread reaches beyond" if judged.doubt == WITHIN else "it is of too few samples"
            yield f"Its {judged.constraint.quantity.title} meets the limit, but {why}."


def _named(one: Ranked, answer: Answer) -> str:
    objective = answer.question.objective
    assert isinstance(one.objective, Known)
    value = objective.format(one.objective.value)
    known = f"{objective.title} {value}, {spread(one.objective, objective)}"
    return f"{one.choice.label} ({known}{f'; {CONSTANT}' * is_constant(one, answer)})"


def is_constant(one: Ranked, answer: Answer) -> bool:
    """Whether it must be said that a choice certifies nothing to speak of: certified accuracy was not asked for."""
    asked_for = (answer.question.objective.key, *(constraint.key for constraint in answer.question.constraints))
    return not one.choice.learned and not any(key.startswith("cra") for key in asked_for)


def spread(number: Known, quantity: Quantity) -> str:
    """Between what a number lies, and where it comes from."""
    if number.low == number.high:
        return BASES[number.basis]
    low, high = (quantity.format(end) for end in (number.low, number.high))
    if low == high:
        return BASES[number.basis]
    unit = f" {high.split()[-1]}"
    return f"{low.removesuffix(unit)} to {high}, {BASES[number.basis]}"


def margin_text(judged: Judgement) -> str:
    """How far inside or outside of its limit a number lies."""
    assert isinstance(judged.constraint, Constraint)
    assert judged.margin is not None
    if judged.margin == 0:
        return "meets it exactly"
    if judged.margin < -1:
        return f"fails, {three_digits(1 - judged.margin)} times the limit"
    share = judged.constraint.quantity.kind == "share"
    size = 100 * abs(judged.margin)
    least, unit = (0.1, " points") if share else (1, "%")
    by = f"less than {least:g}{unit}" if size < least else f"{size:.1f}{unit}" if share else f"{size:.0f}{unit}"
    return f"{'meets' if judged.status == 'meets' else 'fails'} by {by}"


def _blamed(blame: Blame, answer: Answer) -> str:
    total = len(answer.trained)
    text = f'"{blame.constraint.text}" rules out {blame.ruled_out} of {total} networks'
    if blame.without is not None and blame.nearest is not None:
        if blame.alone == 1:
            one = "one of which keeps to all else: " if blame.ruled_out > 1 else ""
            text += f", {one}{_named(blame.without, answer)}"
        else:
            text += f", {blame.alone} of which keep to all else" if blame.alone < blame.ruled_out else ""
            text += f"; the best of those is {_named(blame.without, answer)}"
        judged = next(one for one in blame.nearest.judgements if one.constraint == blame.constraint)
        if blame.nearest is not blame.without and judged.margin is not None:
            text += f", the nearest {_named(blame.nearest, answer)}, which {margin_text(judged)}"
    elif blame.ruled_out and not answer.fitting:
        together = "all" if blame.shared == blame.ruled_out else str(blame.shared)
        text += f", {together} of them together with another limit" if blame.shared else ""
        if blame.shared < blame.ruled_out:
            text += "; of the others not all else is known" if blame.shared else ", and of none is all else known"
    if blame.unknown:
        text += f"; of {blame.unknown} it is not known"
    return f"{text}."


def _front(answer: Answer) -> Iterator[str]:
    """Of those that meet everything, where more than one is on the front."""
    front = [one.choice.label for one in answer.fitting if one.on_front]
    if len(front) > 1:
        named = "; ".join([*front[:8], *[f"{len(front) - 8} more"] * (len(front) > 8)])
        yield f"On the Pareto front of {joined(answer.weighed)}: {named}."


def sentences(answer: Answer) -> Iterable[str]:
    """Everything but the table."""
    return (headline(answer), *details(answer))
