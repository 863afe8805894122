"""Guidelines in plain words: for each situation the choice, its evidence, what would change it, and the paper's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from onelip.bench.published.advice import Guideline
from onelip.bench.recommend.answer import Answer, Ranked, answer
from onelip.bench.recommend.judging import Constraint, Orthogonal
from onelip.bench.recommend.options import Choice, Known
from onelip.bench.recommend.quantities import QUANTITIES
from onelip.bench.recommend.ranking import ranking_table
from onelip.bench.recommend.weighing import Question
from onelip.bench.recommend.words import asked, details, headline
from onelip.bench.report.cells import Table
from onelip.bench.report.formats import percent

DATA_TITLES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "tiny_imagenet": "Tiny ImageNet", "digits": "Digits"}
VERDICTS = {
    "agrees": "the data agree",
    "agrees_so_far": "the data agree as far as they go",
    "leans": "the data lean that way, by less than their spread",
    "undecided": "the data do not decide",
    "depends": "that depends on what counts",
    "partly": "the data agree in part",
    "contradicts": "the data contradict it",
    "untested": "no number tests it",
}
CRA36 = QUANTITIES["cra36"]
SHORTEST = 0.9 * 7200
"""Seconds from which on a training is told from the paper's shortest by nothing that matters."""
Image = tuple[int, int, int]


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
        image: The shape of the images that costs are asked of; None for those of the data set.
        guideline: The key of what the paper advises; empty where it says nothing.
    """

    title: str
    need: str
    question: Question
    options: str
    image: Image | None = None
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
        need="A training may take two hours of the card that the times are of.",
        question=Question(objective=CRA36, constraints=(_limit("train_time", "2h"),)),
        options="--max-train-time 2h",
    ),
    Situation(
        title="Two hours of training, in 8 GB",
        need="The same, and it may take no more than 8 GB of memory.",
        question=Question(objective=CRA36, constraints=(_limit("train_time", "2h"), _limit("train_memory", "8GB"))),
        options="--max-train-time 2h --max-train-memory 8GB",
    ),
    Situation(
        title="No slower than an unconstrained network",
        need="Inference may cost at most 5 % more than that of the unconstrained network of the same size. What is "
        "known of this are operations by formula, and not milliseconds: those are to be measured on the device.",
        question=Question(objective=CRA36, constraints=(_limit("latency_ratio", "1.05"),)),
        options="--max-latency-ratio 1.05",
        guideline="inference",
    ),
    Situation(
        title="In real time on a small device",
        need="The same, and the classifier, frozen (only its weights are kept), has to fit into 20 MB with all that "
        "it computes, one image at a time.",
        question=Question(
            objective=CRA36, constraints=(_limit("latency_ratio", "1.05"), _limit("frozen_memory", "20MB"))
        ),
        options="--max-latency-ratio 1.05 --max-frozen-memory 20MB",
        guideline="inference",
    ),
    Situation(
        title="Inference in little memory",
        need="The classifier, frozen (only its weights are kept), has to fit into 50 MB with all that it computes, one "
        "image at a time.",
        question=Question(objective=CRA36, constraints=(_limit("frozen_memory", "50MB"),)),
        options="--max-frozen-memory 50MB",
    ),
    Situation(
        title="Gradients that keep their norm",
        need="Every layer must keep the norm of gradients, as in very deep networks or critics of distances.",
        question=Question(objective=CRA36, constraints=(Orthogonal(),)),
        options="--orthogonal",
    ),
    Situation(
        title="Large images on one card of 8 GB",
        need="The images have 256x256 pixels, and a training step of 256 of them may take 8 GB. Accuracies are those "
        "of the data set's own images: they stand for the method, and not for what it reaches on large ones.",
        question=Question(objective=CRA36, constraints=(_limit("train_memory", "8GB"),)),
        options="--image 256 --max-train-memory 8GB",
        image=(3, 256, 256),
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
        return (*_runner_up(self.answer), *details(self.answer))


def advise(
    choices: Mapping[Image | None, Sequence[Choice]], guidelines: Iterable[Guideline], data: Sequence[str]
) -> tuple[Advice, ...]:
    """The answers to all situations.

    Args:
        choices: What there is to choose from, with the costs of images of each shape that a situation has.
        guidelines: What the paper advises.
        data: The data sets.
    """
    known = {one.key: one for one in guidelines}
    return tuple(
        _advice(
            situation,
            name,
            [one for one in choices[situation.image] if one.data == name],
            known.get(situation.guideline),
        )
        for situation in SITUATIONS
        for name in data
    )


def _advice(situation: Situation, data: str, choices: Sequence[Choice], guideline: Guideline | None) -> Advice:
    said = answer(situation.question, choices)
    judged = agreement(said, guideline) if any(map(_is_long, choices)) else ""
    return Advice(situation=situation, data=data, answer=said, agreement=judged)


def _is_long(choice: Choice) -> bool:
    """Whether a network was trained for about as long as the paper's, whose advice is of such ones."""
    taken = choice.number("train_time")
    return isinstance(taken, Known) and taken.value >= SHORTEST


def agreement(said: Answer, guideline: Guideline | None) -> str:
    """Whether the data say what the paper advises."""
    if guideline is None or not said.fitting or said.alone:
        return ""
    named = set(guideline.methods)
    if not named & {one.choice.method for one in said.trained if isinstance(one.objective, Known)}:
        return ""
    tied, best = {one.choice.method for one in said.tied}, said.fitting[0]
    if best.choice.method in named:
        if not tied <= named:
            return "leans"
        return "agrees_so_far" if said.rivals or said.unsought or best.doubtful else "agrees"
    may = tied | {one.choice.method for one in said.rivals} | {one.method for one in said.unsought}
    return "undecided" if may & named or best.doubtful else "contradicts"


def _runner_up(said: Answer) -> tuple[str, ...]:
    """How far the next method is."""
    fitting = [one for one in said.per_method if one.status == "meets"]
    if len(fitting) < 2:
        return ()
    best, second = fitting[:2]
    return (f"The next method is {second.choice.label}, {_points(best, second)}.",)


def _points(best: Ranked, second: Ranked) -> str:
    assert isinstance(best.objective, Known)
    assert isinstance(second.objective, Known)
    apart = percent(best.objective.value - second.objective.value)
    return "as good to a tenth of a point" if apart == "0.0" else f"{apart} points below"
