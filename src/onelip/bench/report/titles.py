"""What comparisons, sessions and methods are called, so that no two have the same name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import compress

from onelip.bench.origin import MethodInfo
from onelip.bench.records import CostRecord, TrainRecord
from onelip.bench.report.wording import PADDINGS, counted, kernels, moment
from onelip.bench.results import machine_place, place
from onelip.errors import plain

Named = tuple[str, Sequence[str]]
"""A title, and the further facts that may have to tell it from others; empty ones are not facts."""


def labels(methods: Iterable[MethodInfo]) -> dict[str, str]:
    """A title per method name; the name is added where two methods share a title."""
    titles = {method.name: plain(method.title) for method in methods}
    counts = Counter(titles.values())
    return {name: title if counts[title] == 1 else f"{title} [{plain(name)}]" for name, title in titles.items()}


def distinct(named: Iterable[Named]) -> list[str]:
    """The titles, with those facts appended, and only those, in which things of one title differ.

    >>> distinct([("A", ("batch 8", "on cpu")), ("A", ("batch 9", "on cpu")), ("B", ("batch 8", "on cpu"))])
    ['A, batch 8', 'A, batch 9', 'B']
    """
    named = list(named)
    alike: dict[str, list[Sequence[str]]] = {}
    for title, facts in named:
        alike.setdefault(title, []).append(facts)
    differ = {title: [len(set(column)) > 1 for column in zip(*rows, strict=True)] for title, rows in alike.items()}
    return [", ".join([title, *filter(None, compress(facts, differ[title]))]) for title, facts in named]


def run_title(run: TrainRecord) -> Named:
    """Data, size, kernels, budget and padding of a run; then what else `groups.grouped` tells apart."""
    cell, recipe = run.cell, run.cell.recipe
    network = f"size {plain(cell.size)}{kernels(cell.kernel_size)}"
    title = f"{plain(run.data.title)}, {network}, budget {plain(cell.budget)}, {PADDINGS[cell.padding]}"
    low, high = recipe.momentum
    facts = (
        f"width {cell.width}",
        f"batch {recipe.batch_size}",
        (run.data.augmentation or "augmented") if recipe.augment else "not augmented",
        f"margin {recipe.margin:g}",
        f"temperature {recipe.temperature:g}",
        f"warm-up {recipe.warmup:g}",
        f"momentum {low:g} to {high:g}",
        f"content {plain(run.data.digest)[:8]}",
    )
    return title, (*facts, *_place_facts(place(run)))


def session_title(session: CostRecord) -> Named:
    """Size, kernels and images of a measuring session without a comparison; then what else may differ."""
    image = "x".join(map(str, session.image))
    title = f"Costs only, size {plain(session.size)}{kernels(session.kernel_size)}, images {image}"
    facts = (f"width {session.width}", f"{session.classes} classes", f"batch {session.batch_size}")
    return title, (
        *facts,
        *_place_facts(machine_place(session.machine, by_clock=True)),
        f"measured {moment(session.started)}",
    )


def _place_facts(where: tuple[str, ...]) -> tuple[str, str, str]:
    """Device, processor where that is another thing, and threads, as far as a result depends on them."""
    if len(where) == 1:
        return f"on {plain(where[0])}", "", ""
    _, device, processor, threads = where
    return f"on {plain(device)}", f"with {plain(processor)}" * (processor != device), counted(int(threads), "thread")
