"""What the data say of guidelines that are no choice between methods: sizes, kernels, resolutions, and all in all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from onelip.bench.published.advice import Guideline
from onelip.bench.published.paper import Paper
from onelip.bench.published.rows import Accuracy, RadarScores
from onelip.bench.report.wording import counted, joined
from onelip.bench.statistics import wilson


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A guideline that is no choice between methods, with what the data say of it.

    Attributes:
        title: As a heading.
        guideline: What the paper advises.
        sentence: The numbers.
        agreement: A key of `guidelines.VERDICTS`.
    """

    title: str
    guideline: Guideline
    sentence: str
    agreement: str


def overall_fact(
    guideline: Guideline, results: Iterable[Accuracy], scores: Iterable[RadarScores], titles: Mapping[str, str]
) -> Fact:
    """Who is best overall: by certified accuracy alone, and by the six scores of the radar plot together.

    By accuracy alone those are not told apart from the best that it does not beat in more than half of the pairs of
    data set and budget, by Wilson's interval. The data agree where what the guideline names is first in both ways and
    nothing else is; they lean that way where others are not told apart; where it is first in one way alone, it depends.
    """
    places = _places([one for one in results if one.kernel == 3])
    mean = {method: sum(found.values()) / len(found) for method, found in places.items()}
    sums = {row.method: _sum(row) for row in scores}
    by_place = sorted(mean, key=lambda method: (mean[method], method))
    by_sum = sorted(sums, key=lambda method: (-sums[method], method))
    firsts = [
        {method for method in mean if not _beats(places[by_place[0]], places[method])},
        {method for method in sums if sums[method] == sums[by_sum[0]]},
    ]
    named = set(guideline.methods)
    leads = [by_place[0] in named, bool(firsts[1] & named)]
    alone = all(first <= named for first in firsts)
    agreement = ("agrees" if alone else "leans") if all(leads) else "depends" if any(leads) else "contradicts"

    def title(method: str) -> str:
        return titles.get(method, method)

    return Fact(
        title="The best overall",
        guideline=guideline,
        agreement=agreement,
        sentence=(
            f"By certified accuracy alone, over {len(places[by_place[0]])} pairs of data set and budget, each method "
            "with its best size, the mean places are "
            f"{joined(f'{title(one)} {mean[one]:.1f}' for one in by_place[:3])}; not told apart from the first: "
            f"{joined(title(one) for one in by_place if one in firsts[0])}. By the sum "
            "of the six scores of the radar plot, read off the figure, the first are "
            f"{joined(f'{title(one)} {sums[one]}' for one in by_sum[:3])} of 30."
        ),
    )


def kernel_fact(guideline: Guideline, results: Iterable[Accuracy]) -> Fact:
    """How networks of 1x1 kernels compare with the same ones of 3x3 kernels."""
    rows = {(one.data, one.method, one.size, one.hours, one.kernel): one for one in results}
    pairs = [(rows[(*key[:4], 3)], one) for key, one in rows.items() if key[4] == 1 and (*key[:4], 3) in rows]
    gains = [wide.cra36 - one.cra36 for wide, one in pairs if not wide.collapsed and not one.collapsed]
    better = sum(gain > 0 for gain in gains)
    return Fact(
        title="1x1 kernels",
        guideline=guideline,
        agreement=_majority(gains),
        sentence=f"Of {len(gains)} networks that were trained with 3x3 and with 1x1 kernels"
        f"{_left_out(len(pairs) - len(gains))}, {better} certify more with 3x3 kernels, "
        f"by {sum(gains) / max(len(gains), 1):.1f} points on average.",
    )


def size_fact(guideline: Guideline, results: Iterable[Accuracy]) -> Fact:
    """How size M compares with size L within the same time."""
    rows = {(one.data, one.method, one.hours, one.kernel, one.size): one for one in results}
    pairs = [(rows[(*key[:4], "M")], one) for key, one in rows.items() if key[4] == "L" and (*key[:4], "M") in rows]
    gains = [middle.cra36 - large.cra36 for middle, large in pairs if not middle.collapsed and not large.collapsed]
    return Fact(
        title="Sizes M and L",
        guideline=guideline,
        agreement=_majority(gains),
        sentence=f"Of {len(gains)} pairs of equal budgets{_left_out(len(pairs) - len(gains))}, size M certifies more "
        f"than size L in {sum(gain > 0 for gain in gains)}.",
    )


def _left_out(collapsed: int) -> str:
    return f" ({counted(collapsed, 'pair')} with a network that collapsed left out)" if collapsed else ""


def resolution_fact(
    guideline: Guideline, growth: Mapping[str, float], sides: tuple[int, int], titles: Mapping[str, str]
) -> Fact:
    """How the operations of constructions grow with the image.

    Args:
        guideline: What the paper advises, and for which methods.
        growth: Of each method the operations on images of the larger side over those on the smaller, by formula.
        sides: Of the images.
        titles: Of the methods.
    """
    constant = {method for method, factor in growth.items() if factor <= 1}
    named = set(guideline.methods) & set(growth)
    grown = [f"{titles.get(method, method)} {factor:.0f}" for method, factor in growth.items() if factor > 1]
    agreement = "agrees" if constant == named else "partly" if constant & named else "contradicts"
    return Fact(
        title="Constructions and the size of images",
        guideline=guideline,
        agreement=agreement,
        sentence=(
            f"From images of side {sides[0]} to side {sides[1]}, which have {(sides[1] / sides[0]) ** 2:.0f} times as "
            "many pixels, the operations of a construction, by formula, stay what they are for "
            f"{joined(titles.get(method, method) for method in growth if method in constant)}, and grow as the pixels "
            f"do where something is computed per frequency, times: {joined(grown)}."
        ),
    )


def collapse_fact(guideline: Guideline, paper: Paper, titles: Mapping[str, str]) -> Fact:
    """Which methods' trainings collapsed, by tables and logs: what their initialisation may have a part in."""
    found: dict[str, list[bool]] = {}
    for one in paper.accuracy:
        found.setdefault(one.method, []).extend([one.collapsed, *[True] * paper.collapses(one)])
    said = [
        f"{titles.get(method, method)} {sum(collapsed)} of {len(collapsed)}"
        for method, collapsed in found.items()
        if any(collapsed)
    ]
    return Fact(
        title="Initialisation",
        guideline=guideline,
        agreement="untested",
        sentence="No network was published with two initialisations. Of the trainings in the tables and the logs, with "
        f"3x3 and 1x1 kernels, these collapsed: {joined(said)}; none of another method did.",
    )


def identity_fact(guideline: Guideline) -> Fact:
    """What the paper supposes of networks that begin near the identity."""
    return Fact(
        title="Skip connections",
        guideline=guideline,
        agreement="untested",
        sentence="No network was published with and without them, all else equal. Here some methods begin with layers "
        "at the identity, and others have a skip connection in every layer, as a part of the method: their records do "
        "not tell what either does by itself.",
    )


def _majority(gains: Sequence[float]) -> str:
    """Whether more than half of differences are gains, by Wilson's interval; equal ones count half.

    The interval takes pairs for independent, which those of one method at several budgets are not quite.
    """
    if not gains:
        return "undecided"
    wins = sum((gain > 0) + (gain == 0) / 2 for gain in gains)
    low, high = wilson(wins, len(gains))
    if low > 0.5 or high < 0.5:
        return "agrees" if low > 0.5 else "contradicts"
    return "leans" if wins > len(gains) / 2 else "undecided"


def _places(final: Sequence[Accuracy]) -> Mapping[str, Mapping[tuple[str, int], float]]:
    """Each method's place by certified accuracy, for each pair of data set and budget."""
    places: dict[str, dict[tuple[str, int], float]] = {}
    for cell in sorted({(one.data, one.hours) for one in final}):
        best: dict[str, float] = {}
        for one in final:
            if (one.data, one.hours) == cell:
                best[one.method] = max(best.get(one.method, 0.0), one.cra36)
        for method, value in best.items():
            above, equal = sum(other > value for other in best.values()), sum(v == value for v in best.values())
            places.setdefault(method, {})[cell] = above + (equal + 1) / 2
    return places


def _beats(one: Mapping[tuple[str, int], float], other: Mapping[tuple[str, int], float]) -> bool:
    """Whether one method is before another in more than half of the pairs that both were trained for."""
    shared = [other[cell] - one[cell] for cell in one if cell in other]
    return _majority(shared) == "agrees"


def _sum(row: RadarScores) -> int:
    return (
        row.robust_accuracy
        + row.accuracy
        + row.train_time
        + row.inference_time
        + row.train_memory
        + row.inference_memory
    )
