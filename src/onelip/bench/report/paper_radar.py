"""The paper's radar plot: its scores, and the counts that it takes those of accuracy from. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from onelip.bench.published.rows import Accuracy, RadarScores
from onelip.bench.report.cells import Column, Line, Table, TableCell, text_cell

TOPS = (1, 3, 10)
HOURS = 24
COUNT_RULE = (
    "The paper's rule for accuracy and certified accuracy: of all its networks of 3x3 kernels trained for "
    f"{HOURS} h, count each method's among the best {TOPS[0]}, {TOPS[1]} and {TOPS[2]} of every data set, equal "
    "numbers sharing a place, and add the three counts. How these become scores of 1 to 5 is not published, nor is the "
    "rule for time and memory."
)

Share = Literal["cra36", "accuracy"]


def counts(results: Iterable[Accuracy], share: Share) -> Mapping[str, tuple[int, int, int]]:
    """How many networks of each method are among the best 1, 3 and 10, over all data sets.

    Args:
        results: The paper's tables.
        share: What the networks are ranked by.
    """
    final = [one for one in results if one.hours == HOURS and one.kernel == 3]
    found = {one.method: [0] * len(TOPS) for one in sorted(final, key=lambda one: one.method)}
    for data in dict.fromkeys(one.data for one in final):
        ranked = sorted((getattr(one, share) for one in final if one.data == data), reverse=True)
        for place, top in enumerate(TOPS):
            least = ranked[min(top, len(ranked)) - 1]
            for one in final:
                found[one.method][place] += one.data == data and getattr(one, share) >= least
    return {method: (number[0], number[1], number[2]) for method, number in found.items()}


def inversions(points: Mapping[str, int], scores: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    """Pairs of methods of which the first has more points and a lower score."""
    return tuple(
        (one, other)
        for one in points
        for other in points
        if points[one] > points[other] and scores[one] < scores[other]
    )


def radar_table(results: Iterable[Accuracy], published: Iterable[RadarScores], titles: Mapping[str, str]) -> Table:
    """The published scores, and below those of accuracy the counts that they rest on."""
    results, scores = tuple(results), {row.method: row for row in published}
    robust, clean = counts(results, "cra36"), counts(results, "accuracy")
    axes = {
        "CRA 36": ("robust_accuracy", robust),
        "Accuracy": ("accuracy", clean),
        "Training time": ("train_time", None),
        "Inference time": ("inference_time", None),
        "Training memory": ("train_memory", None),
        "Inference memory": ("inference_memory", None),
    }
    lines = [
        Line(
            head=titles.get(method, method),
            cells=(
                *(
                    TableCell(text=str(getattr(row, name)), note="" if found is None else _points(found[method]))
                    for name, found in axes.values()
                ),
                text_cell(str(sum(getattr(row, name) for name, _ in axes.values()))),
            ),
        )
        for method, row in sorted(scores.items())
    ]
    columns = (*(Column(title=title, note="top 1 + 3 + 10" if found else "") for title, (_, found) in axes.items()),)
    return Table(
        caption="Scores of the paper's radar plot, read by eye, and the counts of the accuracies",
        head="Method",
        columns=(*columns, Column(title="Sum of scores")),
        lines=tuple(lines),
    )


def radar_sentences(
    results: Iterable[Accuracy], published: Iterable[RadarScores], titles: Mapping[str, str]
) -> tuple[str, ...]:
    """The rule, and where the published scores do not follow it."""
    results, scores = tuple(results), {row.method: row for row in published}
    said = [COUNT_RULE]
    for title, name, share in (
        ("certified accuracy", "robust_accuracy", "cra36"),
        ("accuracy", "accuracy", "accuracy"),
    ):
        points = {method: sum(number) for method, number in counts(results, share).items() if method in scores}  # type: ignore[arg-type]
        wrong = inversions(points, {method: getattr(row, name) for method, row in scores.items()})
        pairs = [
            f"{titles.get(one, one)} has {points[one]} points and a lower score than {titles.get(other, other)} with "
            f"{points[other]}"
            for one, other in wrong
        ]
        said.append(
            f"On the axis of {title} {'; '.join(pairs)}." if pairs else f"The axis of {title} follows the counts."
        )
    return tuple(said)


def _points(number: tuple[int, ...]) -> str:
    return f"{sum(number)} = {' + '.join(map(str, number))}"
