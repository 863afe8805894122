"""What an answer lacks, in sentences: numbers, one place, trainings that came to their end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from onelip.bench.recommend.answer import Answer
from onelip.bench.recommend.options import Choice, Known, Missing
from onelip.bench.recommend.quantities import QUANTITIES
from onelip.bench.report.wording import joined


def title_of(key: str) -> str:
    """What is limited, in a sentence."""
    return QUANTITIES[key].title if key in QUANTITIES else "promise to keep norms"


def missing(answer: Answer) -> Iterator[str]:
    """Why numbers are missing, each reason once, with a command that would produce one of them."""
    networks = Counter(one.choice.title for one in answer.trained)
    seen: dict[tuple[str, str], tuple[Counter[str], dict[str, None]]] = {}
    for one in answer.trained:
        found = [(judged.constraint.key, judged.number) for judged in one.judgements]
        found.append((answer.question.objective.key, one.objective))
        lacking = {(title_of(key), gap.reason): gap.remedy for key, gap in found if isinstance(gap, Missing)}
        for lead, remedy in lacking.items():
            lack, remedies = seen.setdefault(lead, (Counter(), {}))
            lack[one.choice.title] += 1
            remedies |= dict.fromkeys([remedy] * bool(remedy))
    for (title, reason), (lack, remedies) in seen.items():
        remedy, *others = remedies or ("",)
        likewise = ", and likewise of others" if others else ""
        whole = [name for name, count in lack.items() if count == networks[name]]
        parts = [name for name, count in lack.items() if count < networks[name]]
        of = joined([*[joined(whole)] * bool(whole), *[f"some networks of {joined(parts)}"] * bool(parts)])
        yield f"No {title} of {of}: {reason}" + (f"; {remedy}{likewise}." if remedy else ".")


def places(answer: Answer) -> Iterator[str]:
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


def images(answer: Answer) -> Iterator[str]:
    """That accuracies are of other images than costs."""
    other = [one.choice for one in answer.ranking if one.choice.cost_image != one.choice.image]
    if other:
        trained, asked_of = ("x".join(map(str, shape[1:])) for shape in (other[0].image, other[0].cost_image))
        yield f"Accuracies are of images of {trained}, costs of images of {asked_of}."


def failures(answer: Answer) -> Iterator[str]:
    """Runs that failed are no choice, but a fact about a method."""
    failed = [one.choice for one in answer.ranking if one.choice.failed]
    if failed:
        yield f"Seeds that failed: {joined(map(_failure, failed))}."


def _failure(choice: Choice) -> str:
    """How many seeds failed; of all of them also how."""
    number = choice.number("accuracy")
    how = f", {number.reason}" if not choice.seeds and isinstance(number, Missing) else ""
    return f"{choice.label} ({choice.failed} of {choice.failed + choice.seeds}{how})"
