"""An answer in sentences and tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onelip.bench.recommend.answer import Answer, Blame, Ranked
from onelip.bench.recommend.judging import WITHIN, Constraint, Judgement
from onelip.bench.recommend.options import Basis, Choice, Known, Missing
from onelip.bench.recommend.quantities import QUANTITIES, Quantity
from onelip.bench.report.formats import three_digits
from onelip.bench.report.wording import counted, joined

BASES: dict[Basis, str] = {
    "measured": "measured",
    "published": "published",
    "theory": "by theory",
    "calibrated": "scaled to this machine",
}
DEPARTS = 1.1
"""A training time whose spread is wider is said, whatever was asked: runs are named by their budgets."""
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
    elif best.doubtful:
        return f"{named} comes first{_doubt(best, 'its {}')}."
    else:
        return f"Take {named}."
    said += _doubt(best, f"the {{}} of {best.choice.label}")
    if rivals:
        fit = joined(_title(judged.constraint.key) for judged in rivals[0].open)
        said += f"; {_named(rivals[0], answer)} would come before it, if its {fit} turned out to fit"
    return f"{said}."


def _doubt(best: Ranked, whose: str) -> str:
    """Which limits the best may not keep to, as the end of a sentence."""
    titles = [one.constraint.quantity.title for one in best.doubtful if isinstance(one.constraint, Constraint)]
    if not titles:
        return ""
    return f"; {whose.format(joined(titles))} may not meet the limit{'s' if len(titles) > 1 else ''}"


def _measure(judged: Judgement) -> str:
    """A number that was judged, with its spread, or that it is not known."""
    if not isinstance(judged.constraint, Constraint) or not isinstance(judged.number, Known):
        return f"{_title(judged.constraint.key)} not known"
    quantity = judged.constraint.quantity
    return f"{quantity.title} {quantity.format(judged.number.value)}, {spread(judged.number, quantity)}"


def details(answer: Answer) -> Iterator[str]:
    """What rules out what, what is not known, and how it could be."""
    yield from answer.notes
    for blame in answer.blames:
        yield _blamed(blame, answer)
    yield from _would_be(answer)
    yield from _missing(answer)
    yield from _front(answer)
    yield from _images(answer)
    yield from _places(answer)
    yield from _failures(answer)
    if answer.fitting:
        yield from _evidence(answer.fitting[0], answer)


def _would_be(answer: Answer) -> Iterator[str]:
    """Which others would come before the best, of every method one."""
    if others := answer.rivals[1:]:
        named = joined(_named(one, answer) for one in others)
        yield f"So would {named}, if what is not known of each, or misses a limit within its spread, turned out to fit."
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
    if isinstance(time, Known) and time.high > DEPARTS * time.low:
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
        keep = "keeps" if blame.alone == 1 else "keep"
        text += f", {blame.alone} of which {keep} to all else" if blame.alone < blame.ruled_out else ""
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


def _places(answer: Answer) -> Iterator[str]:
    """That times of several machines stand beside each other."""
    asked_for = {constraint.key for constraint in answer.question.constraints} | {answer.question.objective.key}
    keys = [key for key in ("train_time", "latency") if key in asked_for]
    numbers = ((one.choice, one.choice.number(key)) for one in answer.ranking for key in keys)
    known = (number.place or choice.place for choice, number in numbers if isinstance(number, Known))
    places = list(dict.fromkeys(known))
    if len(places) > 1:
        yield f"Times are of {joined(places)}: an hour of one is not an hour of the other."
    elif places:
        yield f"Times are of {joined(places)}, and yours may be others."


def _images(answer: Answer) -> Iterator[str]:
    """That accuracies are of other images than costs."""
    other = [one.choice for one in answer.ranking if one.choice.cost_image != one.choice.image]
    if other:
        trained, asked_of = ("x".join(map(str, shape[1:])) for shape in (other[0].image, other[0].cost_image))
        yield f"Accuracies are of images of {trained}, costs of images of {asked_of}."


def _failures(answer: Answer) -> Iterator[str]:
    """Runs that failed are no choice, but a fact about a method."""
    failed = [one.choice for one in answer.ranking if one.choice.failed]
    if failed:
        yield f"Seeds that failed: {joined(map(_failure, failed))}."


def _failure(choice: Choice) -> str:
    """How many seeds failed; of all of them also how."""
    number = choice.number("accuracy")
    how = f", {number.reason}" if not choice.seeds and isinstance(number, Missing) else ""
    return f"{choice.label} ({choice.failed} of {choice.failed + choice.seeds}{how})"


def _title(key: str) -> str:
    return QUANTITIES[key].title if key in QUANTITIES else "promise to keep norms"


def _missing(answer: Answer) -> Iterator[str]:
    """Why numbers are missing, each reason once, with a command that would produce one of them."""
    seen: dict[tuple[str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for one in answer.trained:
        found = [judged.number for judged in one.judgements if isinstance(judged.number, Missing)]
        keys = [judged.constraint.key for judged in one.judgements if isinstance(judged.number, Missing)]
        if isinstance(one.objective, Missing):
            found, keys = [*found, one.objective], [*keys, answer.question.objective.key]
        for key, missing in zip(keys, found, strict=True):
            titles, remedies = seen.setdefault((_title(key), missing.reason), ({}, {}))
            titles[one.choice.title] = None
            remedies |= dict.fromkeys([missing.remedy] * bool(missing.remedy))
    for (title, reason), (titles, remedies) in seen.items():
        remedy, *others = remedies or ("",)
        likewise = ", and likewise of others" if others else ""
        yield f"No {title} of {joined(titles)}: {reason}" + (f"; {remedy}{likewise}." if remedy else ".")


def sentences(answer: Answer) -> Iterable[str]:
    """Everything but the table."""
    return (headline(answer), *details(answer))
