"""What can be chosen by the published numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from onelip.bench.published.paper import Paper
from onelip.bench.published.rows import IMAGES, Accuracy, Complexity, Curve
from onelip.bench.recommend.costs import COSTS, FormulaBook, Network, formula_numbers, no_network
from onelip.bench.recommend.options import Choice, Known, Missing, Number, keeps_norms
from onelip.bench.statistics import wilson

BATCH = 256
"""Of the published trainings."""
PLACE = "one A100-80GB"
INPUTS: Mapping[str, tuple[tuple[int, int, int], int]] = {
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
    "tiny_imagenet": ((3, 64, 64), 200),
}
"""Images and classes of the data sets that accuracies were published of."""
MEASURE = "onelip measure --methods {method} --sizes {size} --batch-size {batch} --out FOLDER says what it takes here"


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodFacts:
    """What is known of a method besides its numbers.

    Attributes:
        title: In tables.
        padding: What the published networks used.
        orthogonal: Whether its layers keep norms with circular padding.
        orthogonal_zeros: Whether they do with zero padding too.
        iterations: What the iterations of Table 1 are in inference.
    """

    title: str
    padding: Literal["circular", "zeros"]
    orthogonal: bool
    orthogonal_zeros: bool
    iterations: Mapping[str, int]


def published_choices(
    paper: Paper,
    complexity: Iterable[Complexity],
    methods: Mapping[str, MethodFacts],
    *,
    batch: int,
    image: tuple[int, int, int] | None,
    book: FormulaBook | None,
) -> tuple[Choice, ...]:
    """Every published network but those that collapsed.

    Args:
        paper: Its tables of accuracies.
        complexity: Its Table 1.
        methods: What is known of methods, by their keys.
        batch: How many images are inferred at a time.
        image: The shape of the images that costs are asked of; None for those of the data set.
        book: What our formulas say of a network; None where they cannot be asked.
    """
    rows = {row.method: row for row in complexity}
    return tuple(
        _choice(result, paper, rows, methods, batch=batch, image=image, book=book)
        for result in paper.accuracy
        if not result.collapsed
    )


def _choice(
    result: Accuracy,
    paper: Paper,
    complexity: Mapping[str, Complexity],
    methods: Mapping[str, MethodFacts],
    *,
    batch: int,
    image: tuple[int, int, int] | None,
    book: FormulaBook | None,
) -> Choice:
    facts = methods.get(result.method)
    curve, images = paper.curve(result), IMAGES[result.data][1]
    shape, classes = INPUTS[result.data]
    remedy = "" if facts is None else MEASURE.format(method=result.method, size=result.size, batch=batch)
    nowhere = Missing(reason="published only as a plot", remedy=remedy)
    numbers: dict[str, Number] = {
        "accuracy": _share(result.accuracy, images, result.source),
        "cra36": _share(result.cra36, images, result.source),
        **{f"cra{radius}": _curve(curve, radius, images) for radius in (72, 108, 255)},
        "train_time": _time(result, paper) if image in (None, shape) else _of_other_images(shape),
        "train_step_ratio": nowhere,
        "train_memory": nowhere,
        "latency": nowhere,
        "latency_ratio": _overhead(complexity.get(result.method), {} if facts is None else facts.iterations, remedy),
        "inference_memory": nowhere,
    }
    if facts is not None:
        network = Network(
            method=result.method,
            padding=facts.padding,
            size=result.size,
            image=image or shape,
            classes=classes,
            kernel_size=result.kernel,
        )
        said = formula_numbers(book, network, train_batch=BATCH, batch=batch)
        numbers |= said or ({} if book is None or image is None else dict.fromkeys(COSTS, no_network(result.size)))
    return Choice(
        method=result.method,
        title=f"{result.method.upper()} (not in onelip)" if facts is None else facts.title,
        size=result.size,
        kernel_size=result.kernel,
        padding="" if facts is None else facts.padding,
        data=result.data,
        image=shape,
        cost_image=image or shape,
        classes=classes,
        batch=BATCH,
        budget=f"{result.hours}h",
        place=PLACE,
        source="published",
        orthogonal=None if facts is None else keeps_norms(facts, facts.padding, result.kernel),
        images=images,
        seeds=1,
        records=(" ".join(result.source.split()),),
        numbers=numbers,
    )


def _time(result: Accuracy, paper: Paper) -> Known:
    """The budget; what the run really took, where its log was published, is the upper end of its spread."""
    seconds, wall = result.hours * 3600.0, paper.wall_hours(result)
    evidence = f"its budget on {PLACE}" + ("" if wall is None else f"; its log says {wall:g} h")
    high = seconds if wall is None else max(seconds, 3600.0 * wall)
    low = seconds if wall is None else min(seconds, 3600.0 * wall)
    return Known(value=seconds, low=low, high=high, basis="published", evidence=evidence)


def _of_other_images(shape: tuple[int, int, int]) -> Missing:
    return Missing(reason=f"published of images of {shape[1]}x{shape[2]}", remedy="onelip budget measures steps here")


def _share(percent: float, images: int, source: str) -> Known:
    """With Wilson's interval over the test images: one seed was published."""
    share = percent / 100
    low, high = wilson(share * images, images)
    return Known(value=share, low=low, high=high, basis="published", evidence=" ".join(source.split()))


def _curve(curve: Curve | None, radius: int, images: int) -> Number:
    if curve is None:
        return Missing(reason="published of the 24 h runs on CIFAR-10 with 3x3 kernels only")
    return _share(getattr(curve, f"cra{radius}"), images, curve.source)


def _overhead(row: Complexity | None, iterations: Mapping[str, int], remedy: str) -> Number:
    """Inference over a plain convolution's, by Table 1: where both are convolutions their numbers can be compared."""
    if row is None:
        return Missing(reason="Table 1 has no row of it")
    factor = row.input_macs.replace("C", "", 1).strip() or "1"
    ratio = float(factor) if factor.isdecimal() else float(iterations.get(factor, 0))
    if "CONV" not in row.input_operations or "C" not in row.input_macs or not ratio:
        reason = f"Table 1 has operations of another kind ({row.input_operations}), and does not say what they take"
        return Missing(reason=reason, remedy=remedy)
    evidence = f"Table 1: {row.input_macs} in place of C, weights kept"
    return Known(value=ratio, low=ratio, high=ratio, basis="theory", evidence=evidence)
