"""What can be chosen by the published numbers."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from onelip.bench.published.paper import Paper
from onelip.bench.published.rows import IMAGES, Accuracy
from onelip.bench.recommend.costs import (
    COSTS,
    STEP_ROOM,
    FormulaBook,
    Network,
    formula_numbers,
    measure_command,
    no_network,
)
from onelip.bench.recommend.options import Choice, Known, Missing, Number, keeps_norms
from onelip.bench.recommend.quantities import QUANTITIES
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


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodFacts:
    """What is known of a method besides its numbers.

    Attributes:
        title: In tables.
        revision: Of what is implemented here.
        padding: What the published networks used.
        orthogonal: Whether its layers keep norms with circular padding.
        orthogonal_zeros: Whether they do with zero padding too.
    """

    title: str
    revision: int
    padding: Literal["circular", "zeros"]
    orthogonal: bool
    orthogonal_zeros: bool


def published_choices(
    paper: Paper,
    methods: Mapping[str, MethodFacts],
    *,
    batch: int,
    image: tuple[int, int, int] | None,
    book: FormulaBook | None,
    own: Container[str] = (),
) -> tuple[Choice, ...]:
    """Every published network; of those that collapsed no number is known.

    Args:
        paper: Its tables.
        methods: What is known of methods, by their keys.
        batch: How many images are inferred at a time.
        image: The shape of the images that costs are asked of; None for those of the data set.
        book: What our formulas say of a network; None where they cannot be asked.
        own: Names of methods of the user's own.
    """
    return tuple(
        _choice(result, paper, methods, batch=batch, image=image, book=book, is_own=result.method in own)
        for result in paper.accuracy
    )


def _choice(
    result: Accuracy,
    paper: Paper,
    methods: Mapping[str, MethodFacts],
    *,
    batch: int,
    image: tuple[int, int, int] | None,
    book: FormulaBook | None,
    is_own: bool,
) -> Choice:
    facts, images = methods.get(result.method), IMAGES[result.data][1]
    shape, classes = INPUTS[result.data]
    own_images = image in (None, shape)
    numbers: dict[str, Number] = {
        "accuracy": _share(result.accuracy, images, result.source),
        "cra36": _share(result.cra36, images, result.source),
        **{f"cra{radius}": _curve(result, paper, radius, images) for radius in (72, 108, 255)},
        "train_time": _time(result, paper) if own_images else _of_other_images(shape, image),
        **dict.fromkeys(COSTS, Missing(reason="published only as a plot")),
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
        if book is not None and own_images:
            numbers |= _step_ratio(result, paper, methods, network, book)
        numbers |= _with_remedies(numbers, network, batch, is_own=is_own)
    if result.collapsed:
        numbers = dict.fromkeys(QUANTITIES, Missing(reason="collapsed"))
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
        seeds=0 if result.collapsed else 1,
        failed=paper.collapses(result) + result.collapsed,
        is_own=is_own,
        revision=0 if facts is None else facts.revision,
        records=(" ".join(result.source.split()),),
        numbers=numbers,
    )


def _with_remedies(
    numbers: Mapping[str, Number], network: Network, batch: int, *, is_own: bool
) -> Mapping[str, Number]:
    """What is not known of costs, with the command that measures it; but of networks that do not exist."""
    there = {key: number for key in COSTS if isinstance(number := numbers[key], Missing)}
    nowhere = no_network(network.size)

    def command(key: str) -> str:
        return measure_command(
            network.method,
            network.size,
            image=network.image,
            classes=network.classes,
            kernel_size=network.kernel_size,
            batch=BATCH if key.startswith("train") else batch,
            is_own=is_own,
        )

    return {key: replace(number, remedy=command(key)) for key, number in there.items() if number != nowhere}


def _time(result: Accuracy, paper: Paper) -> Known:
    """The budget; what the run really took by its log, or by that of a run of the same network, is in its spread."""
    seconds, wall, overrun = result.hours * 3600.0, paper.wall_hours(result), paper.overrun(result)
    evidence, taken = f"its budget on {PLACE}", seconds
    if wall is not None:
        evidence, taken = f"{evidence}; its log says {wall:g} h", 3600.0 * wall
    elif overrun is not None:
        evidence += "; its log is not published, and by that of 24 h on CIFAR-10 this network took "
        evidence, taken = f"{evidence}{overrun:.2f} times its budget", seconds * overrun
    return Known(value=seconds, low=min(seconds, taken), high=max(seconds, taken), basis="published", evidence=evidence)


def _of_other_images(shape: tuple[int, int, int], asked: tuple[int, int, int] | None) -> Missing:
    remedy = f"onelip measure --image {'x'.join(map(str, asked or shape))} --out FOLDER measures a step of yours"
    return Missing(reason=f"published of images of {shape[1]}x{shape[2]}", remedy=remedy)


def _share(percent: float, images: int, source: str) -> Known:
    """With Wilson's interval over the test images: one seed was published."""
    share = percent / 100
    low, high = wilson(share * images, images)
    return Known(value=share, low=low, high=high, basis="published", evidence=" ".join(source.split()))


def _curve(result: Accuracy, paper: Paper, radius: int, images: int) -> Number:
    curve = paper.curve(result)
    if curve is not None:
        return _share(getattr(curve, f"cra{radius}"), images, curve.source)
    if paper.curves_speak_of(result):
        return Missing(reason="published from the logs of such runs, among which that of this one is not, or not whole")
    return Missing(reason="published of the 24 h runs on CIFAR-10 with 3x3 kernels only")


def _step_ratio(
    result: Accuracy, paper: Paper, methods: Mapping[str, MethodFacts], network: Network, book: FormulaBook
) -> Mapping[str, Known]:
    """Its published training step over that of the fastest method of its size, times what formulas say of that one.

    The unconstrained network's own step was not published. What was decides between methods, and not their formulas.
    """
    row = paper.step(result)
    known = [one for one in paper.steps(result.data, result.size) if one.method in methods]
    if row is None or row.ms_per_batch is None or not known:
        return {}
    least, fastest = min((one.ms_per_batch or 0.0, one.method) for one in known)
    there = replace(network, method=fastest, padding=methods[fastest].padding)
    said = book(there, train_batch=BATCH, batch=1)
    if said is None:
        return {}
    times = row.ms_per_batch / least
    value, (below, above) = times * said.step_ratio, STEP_ROOM
    title, source = methods[fastest].title, " ".join(row.source.split())
    evidence = (
        f"{source}: {times:.2f} times the step of {title}, the fastest published at this size, whose "
        f"operations by our formulas are {said.step_ratio:.2f} times the unconstrained network's"
    )
    found = Known(value=value, low=(1 - below) * value, high=(1 + above) * value, basis="published", evidence=evidence)
    return {"train_step_ratio": found}
