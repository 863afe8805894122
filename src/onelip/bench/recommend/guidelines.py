"""Guidelines in plain words: for each situation the choice, its evidence, what would change it, and the paper's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from onelip.bench.published.advice import Guideline
from onelip.bench.published.rows import Accuracy, RadarScores
from onelip.bench.recommend.answer import Answer, Constraint, Orthogonal, Question, Ranked, answer
from onelip.bench.recommend.options import Choice, Known
from onelip.bench.recommend.quantities import QUANTITIES
from onelip.bench.recommend.words import asked, details, headline, ranking_table
from onelip.bench.report.cells import Table
from onelip.bench.report.formats import percent
from onelip.bench.report.wording import counted, joined

DATA_TITLES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "tiny_imagenet": "Tiny ImageNet", "digits": "Digits"}
VERDICTS = {
    "agrees": "the data agree",
    "agrees_so_far": "the data agree as far as they go",
    "leans": "the data lean that way, by less than their spread",
    "undecided": "the data do not decide",
    "contradicts": "the data contradict it",
}
CRA36 = QUANTITIES["cra36"]


def titled(data: str) -> str:
    """A data set's name in a heading."""
    return DATA_TITLES.get(data, data)


def _limit(key: str, text: str) -> Constraint:
    return Constraint(quantity=QUANTITIES[key], limit=QUANTITIES[key].read(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What somebody needs.

    Attributes:
        title: As a heading.
        need: In a sentence.
        question: The same as constraints.
        options: The same as options of the command.
        guideline: The key of what the paper advises; empty where it says nothing.
    """

    title: str
    need: str
    question: Question
    options: str
    guideline: str = ""


SITUATIONS = (
    Situation(
        title="The highest certified accuracy, whatever it takes",
        need="Compute is plentiful, and nothing but certified accuracy counts.",
        question=Question(objective=CRA36),
        options="",
        guideline="compute",
    ),
    Situation(
        title="Two hours of training",
        need="A training may take two hours on one card.",
        question=Question(objective=CRA36, constraints=(_limit("train_time", "2h"),)),
        options="--max-train-time 2h",
    ),
    Situation(
        title="Two hours on one card of 8 GB",
        need="The same, and the card has 8 GB of memory.",
        question=Question(objective=CRA36, constraints=(_limit("train_time", "2h"), _limit("train_memory", "8GB"))),
        options="--max-train-time 2h --max-train-memory 8GB",
    ),
    Situation(
        title="Inference in real time, on a small device",
        need="The classifier may take no longer than a plain convolutional network of the same shape.",
        question=Question(objective=CRA36, constraints=(_limit("latency_ratio", "1.05"),)),
        options="--max-latency-ratio 1.05",
        guideline="inference",
    ),
    Situation(
        title="Inference in little memory",
        need="The classifier, weights and images and all, has to fit into 50 MB, one image at a time.",
        question=Question(objective=CRA36, constraints=(_limit("inference_memory", "50MB"),)),
        options="--max-inference-memory 50MB",
    ),
    Situation(
        title="Gradients that keep their norm",
        need="Every layer must keep the norm of gradients, as in very deep networks or critics of distances.",
        question=Question(objective=CRA36, constraints=(Orthogonal(),)),
        options="--orthogonal",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The answer to one situation on one data set.

    Attributes:
        agreement: A key of `VERDICTS`; empty where the paper says nothing.
    """

    situation: Situation
    data: str
    answer: Answer
    agreement: str

    @property
    def headline(self) -> str:
        """The choice."""
        return headline(self.answer)

    @property
    def table(self) -> Table:
        """The evidence."""
        return ranking_table(self.answer)

    @property
    def question(self) -> str:
        """What was asked."""
        return asked(self.answer)

    @property
    def changes(self) -> tuple[str, ...]:
        """What would change the choice."""
        return (*_runner_up(self.answer), *_would_be(self.answer), *details(self.answer))


def advise(choices: Iterable[Choice], guidelines: Iterable[Guideline], data: Sequence[str]) -> tuple[Advice, ...]:
    """The answers to all situations.

    Args:
        choices: What there is to choose from.
        guidelines: What the paper advises.
        data: The data sets.
    """
    found, known = tuple(choices), {one.key: one for one in guidelines}
    return tuple(
        _advice(situation, name, [one for one in found if one.data == name], known.get(situation.guideline))
        for situation in SITUATIONS
        for name in data
    )


def _advice(situation: Situation, data: str, choices: Sequence[Choice], guideline: Guideline | None) -> Advice:
    said = answer(situation.question, choices)
    return Advice(situation=situation, data=data, answer=said, agreement=agreement(said, guideline))


def agreement(said: Answer, guideline: Guideline | None) -> str:
    """Whether the data say what the paper advises."""
    if guideline is None or not guideline.methods or not said.fitting:
        return ""
    tied = {one.choice.method for one in said.tied}
    if said.fitting[0].choice.method in guideline.methods:
        if _unknown_and_better(said):
            return "agrees_so_far"
        return "agrees" if tied <= set(guideline.methods) else "leans"
    return "undecided" if tied & set(guideline.methods) else "contradicts"


def _unknown_and_better(said: Answer) -> tuple[Ranked, ...]:
    """The best choice of each method that would come first if what is not known of it were within the limits."""
    best = said.fitting[0].objective
    assert isinstance(best, Known)
    return tuple(
        one
        for one in said.per_method
        if one.status == "unknown" and isinstance(one.objective, Known) and one.objective.value > best.value
    )


def _runner_up(said: Answer) -> tuple[str, ...]:
    """How far the next method is."""
    fitting = [one for one in said.per_method if one.status == "meets"]
    if len(fitting) < 2:
        return ()
    best, second = fitting[:2]
    return (f"The next method is {second.choice.label}, {_points(best, second)} below.",)


def _would_be(said: Answer) -> tuple[str, ...]:
    """What would come first if what is not known turned out well."""
    if not said.fitting or not (better := _unknown_and_better(said)):
        return ()
    named = joined(f"{one.choice.label} ({_percent(one)})" for one in better)
    return (f"First would come {named}, if what is not known kept to the limits.",)


def _percent(one: Ranked) -> str:
    assert isinstance(one.objective, Known)
    return f"{percent(one.objective.value)} %"


def _points(best: Ranked, second: Ranked) -> str:
    assert isinstance(best.objective, Known)
    assert isinstance(second.objective, Known)
    return f"{percent(best.objective.value - second.objective.value)} points"


def kernel_sentence(results: Iterable[Accuracy]) -> str:
    """How networks of 1x1 kernels compare with the same ones of 3x3 kernels."""
    rows = {(one.data, one.method, one.size, one.hours, one.kernel): one for one in results if not one.collapsed}
    pairs = [
        (rows[(*key[:4], 3)].cra36, one.cra36) for key, one in rows.items() if key[4] == 1 and (*key[:4], 3) in rows
    ]
    better = sum(wide > narrow for wide, narrow in pairs)
    gain = sum(wide - narrow for wide, narrow in pairs) / len(pairs)
    return (
        f"Of {len(pairs)} networks that were trained with 3x3 and with 1x1 kernels, {better} certify more with 3x3 "
        f"kernels, by {gain:.1f} points on average."
    )


def size_sentence(results: Iterable[Accuracy]) -> str:
    """How size M compares with size L within the same time."""
    rows = {(one.data, one.method, one.hours, one.kernel, one.size): one for one in results}
    pairs = [(rows[(*key[:4], "M")], one) for key, one in rows.items() if key[4] == "L" and (*key[:4], "M") in rows]
    whole = [(middle.cra36, large.cra36) for middle, large in pairs if not middle.collapsed and not large.collapsed]
    better = sum(middle > large for middle, large in whole)
    collapsed = len(pairs) - len(whole)
    left = f" ({counted(collapsed, 'pair')} with a network that collapsed left out)" if collapsed else ""
    return f"Of {len(whole)} pairs of equal budgets{left}, size M certifies more than size L in {better}."


def overall_sentence(results: Iterable[Accuracy], scores: Iterable[RadarScores], titles: dict[str, str]) -> str:
    """Who is best overall: by certified accuracy alone, and by the six scores of the radar plot together."""
    places: dict[str, list[float]] = {}
    final = [one for one in results if one.kernel == 3]
    cells = sorted({(one.data, one.hours) for one in final})
    for data, hours in cells:
        best: dict[str, float] = {}
        for one in final:
            if (one.data, one.hours) == (data, hours):
                best[one.method] = max(best.get(one.method, 0.0), one.cra36)
        for method, value in best.items():
            above, equal = sum(other > value for other in best.values()), sum(v == value for v in best.values())
            places.setdefault(method, []).append(above + (equal + 1) / 2)
    mean = sorted((sum(found) / len(found), method) for method, found in places.items())
    sums = sorted((-_sum(row), row.method) for row in scores)
    first = joined(f"{titles.get(method, method)} {place:.1f}" for place, method in mean[:3])
    second = joined(f"{titles.get(method, method)} {-total}" for total, method in sums[:3])
    return (
        f"By certified accuracy alone, over {len(cells)} pairs of data set and budget, each method with its best size, "
        f"the mean places are {first}. By the sum of the six scores of the radar plot the first are {second} of 30: "
        f"{titles.get(mean[0][1], mean[0][1])} is first where accuracy alone counts, "
        f"{titles.get(sums[0][1], sums[0][1])} where time and memory do too."
    )


def _sum(row: RadarScores) -> int:
    return (
        row.robust_accuracy
        + row.accuracy
        + row.train_time
        + row.inference_time
        + row.train_memory
        + row.inference_memory
    )
