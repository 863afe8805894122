"""What the page's own recommender needs: the choices of the folder's records, and a field for each known quantity."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from onelip.bench.recommend.judging import Orthogonal
from onelip.bench.recommend.measured import measured_choices
from onelip.bench.recommend.options import Choice, Known, Missing, told_apart
from onelip.bench.recommend.quantities import QUANTITIES, UNITS, Kind, Quantity
from onelip.bench.results import Records

_SCALES: dict[Kind, tuple[tuple[float, str], ...]] = {
    "share": ((0.01, "%"),),
    "ratio": ((1.0, "\u00d7"),),
    "time": ((3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms")),
    "size": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A limit that can be set.

    Attributes:
        key: Of the quantity.
        name: Of the quantity, in sentences.
        title: The same, as a heading.
        kind: What the unit measures.
        unit: In which the limit is written.
        scale: Base units in one of these.
        higher: Whether more is better, so that the limit is a lower one.
    """

    key: str
    name: str
    title: str
    kind: Kind
    unit: str
    scale: float
    higher: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """The recommender of a page.

    Attributes:
        fields: What can be limited, and sought.
        data: Titles of the data sets by their keys.
        batches: How many images may be inferred at a time: one, and what sessions measured.
        facts: The choices, and the units that numbers are printed in, as JSON that may stand in a page.
    """

    fields: tuple[Field, ...]
    data: tuple[tuple[str, str], ...]
    batches: tuple[int, ...]
    facts: str


def asking(records: Records) -> Asking | None:
    """The recommender of a folder; None where fewer than two networks were trained, or nothing is known of them."""
    sizes = sorted({1, *(session.batch_size for session in records.cost)})
    found = {batch: told_apart(measured_choices(records, batch=batch, book=None)) for batch in sizes}
    found = {batch: choices for batch, choices in found.items() if batch == 1 or any(map(_has_inference, choices))}
    if sum(choice.seeds > 0 for choice in found[1]) < 2:
        return None
    choices = [choice for of_batch in found.values() for choice in of_batch]
    titles = {run.data.name: run.data.title for run in records.train}
    fields = tuple(field for quantity in QUANTITIES.values() if (field := _field(quantity, choices)) is not None)
    if not fields:
        return None
    names = list(dict.fromkeys(one.data for one in choices))
    facts = [_facts(one, batch) for batch, of_batch in found.items() for one in of_batch]
    text = json.dumps({"units": UNITS, "choices": facts}, separators=(",", ":"), allow_nan=False)
    return Asking(
        fields=fields,
        data=tuple((name, titles.get(name, name)) for name in names),
        batches=tuple(found),
        # Nothing of a foreign text may end the element that it stands in.
        facts=text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
    )


def _has_inference(choice: Choice) -> bool:
    return isinstance(choice.number("latency"), Known)


def _field(quantity: Quantity, choices: Sequence[Choice]) -> Field | None:
    found = [number.value for one in choices if isinstance(number := one.number(quantity.key), Known)]
    if not found:
        return None
    scales = _SCALES[quantity.kind]
    scale, unit = next((one for one in scales if median(found) >= one[0]), scales[-1])
    title = quantity.title[0].upper() + quantity.title[1:]
    return Field(
        key=quantity.key,
        name=quantity.title,
        title=title,
        kind=quantity.kind,
        unit=unit,
        scale=scale,
        higher=quantity.higher_is_better,
    )


def _facts(choice: Choice, batch: int) -> dict[str, object]:
    known = {key: number for key, number in choice.numbers.items() if isinstance(number, Known)}
    missing = {key: number.reason for key, number in choice.numbers.items() if not isinstance(number, Known)}
    norms = Orthogonal().judge(choice).number
    missing |= {"orthogonal": norms.reason} if isinstance(norms, Missing) else {}
    return {
        "method": choice.method,
        "title": choice.title,
        "label": choice.label,
        "data": choice.data,
        "batch": batch,
        "orthogonal": choice.orthogonal,
        "learned": choice.learned,
        "trained": choice.seeds > 0,
        "numbers": {
            key: [number.value, number.low, number.high, *(number.seeds or (number.value, number.value)), number.few]
            for key, number in known.items()
        },
        "missing": missing,
        "settled": [key for key, number in choice.numbers.items() if isinstance(number, Missing) and number.settled],
    }
