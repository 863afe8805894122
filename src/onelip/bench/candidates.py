"""What there is to choose from: trained networks of records, of the paper, or of both, and what they cost here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Literal

from onelip.bench import published
from onelip.bench.calibrate import calibration
from onelip.bench.data import DATASETS
from onelip.bench.recommend.calibrated import Calibration, calibrated, factors, published_steps, recorded_steps
from onelip.bench.recommend.costs import OWN_METHOD
from onelip.bench.recommend.from_paper import PLACE, MethodFacts, published_choices
from onelip.bench.recommend.from_sessions import with_sessions
from onelip.bench.recommend.measured import measured_choices
from onelip.bench.recommend.options import Choice, keeps_norms, told_apart
from onelip.bench.records import CostRecord
from onelip.bench.report.wording import counted, joined
from onelip.bench.results import Records, load_records, place
from onelip.bench.theory_costs import Formulas, method_facts
from onelip.errors import OnelipError, UnknownNameError
from onelip.method import Method
from onelip.methods import METHODS
from onelip.models.sizes import width_of

if TYPE_CHECKING:
    import torch

    from onelip.bench.costs import Note

Source = Literal["both", "measured", "published"]
DEFAULT_FOLDER = Path("results")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What an answer rests on.

    Attributes:
        source: Whether trained networks of records count, of the paper, or both.
        folders: Those that were named.
        records: Of these folders, or of the default folder where it is and none was named.
    """

    source: Source
    folders: tuple[Path, ...]
    records: tuple[Records, ...]


def evidence(folders: Sequence[Path], source: Source) -> Evidence:
    """The records of folders; none where only what is published counts.

    Args:
        folders: Those that were named; none for the default folder.
        source: What counts.

    Raises:
        OnelipError: Folders were named though only what is published counts.
        RecordError: A record cannot be read.
    """
    if source == "published":
        if folders:
            raise OnelipError("--records published reads no folder; leave the folders out, or say --records both")
        return Evidence(source=source, folders=(), records=())
    read = folders or [DEFAULT_FOLDER] * DEFAULT_FOLDER.is_dir()
    return Evidence(source=source, folders=tuple(folders), records=tuple(_distinct(map(load_records, read))))


def _distinct(found: Iterable[Records]) -> Iterator[Records]:
    """The records of folders, which may lie within each other, each run and each session once."""
    seen: set[tuple[str, ...]] = set()

    def is_new(key: tuple[str, ...]) -> bool:
        known = key in seen
        seen.add(key)
        return not known

    for records in found:
        train = tuple(run for run in records.train if is_new((run.cell.id, *place(run))))
        cost = tuple(one for one in records.cost if is_new((one.id, one.started, one.machine.device_name)))
        yield replace(records, train=train, cost=cost)


def candidates(
    found: Evidence, methods: Sequence[Method], *, batch: int, image: tuple[int, int, int] | None
) -> list[Choice]:
    """What there is to choose from.

    Args:
        found: Records, and what counts.
        methods: Whose formulas give what was not measured.
        batch: Images inferred at a time.
        image: Shape of the user's images; None for those that the networks were trained on.

    Raises:
        OnelipError: Only what was measured counts, and nothing was trained.
    """
    book = Formulas(methods)
    facts = method_facts(methods)
    sessions = [session for records in found.records for session in records.cost]
    trained = (run.method.name for records in found.records for run in records.train)
    own = {*trained, *(method.name for method in methods)} - set(METHODS)
    choices = [
        _with_promise(choice, facts)
        for records in found.records
        for choice in measured_choices(
            records, batch=batch, image=image, book=book, sessions=sessions, widths=width_of, own=own
        )
    ]
    if found.source == "measured":
        if not choices:
            where = f"no trained network in {', '.join(map(str, found.folders)) or DEFAULT_FOLDER}"
            nowhere = f"no folder was named, and there is no folder {DEFAULT_FOLDER}"
            unused = " ".join(["", *notes(found, methods)])
            makes = "onelip compare or onelip grid makes records"
            raise OnelipError(f"{where if found.records else nowhere}; {makes}.{unused}".removesuffix("."))
        return choices
    others = published_choices(published.paper(), facts, batch=batch, image=image, book=book, own=own)
    return [*choices, *(_with_sessions(choice, sessions, batch) for choice in others)]


def notes(found: Evidence, methods: Sequence[Method]) -> list[str]:
    """What lies in the folders and is not among the choices, and why.

    Args:
        found: What was read.
        methods: What is implemented here.
    """
    said, seen, unfinished = [], set[Path](), set[str]()
    for folder, records in zip(found.folders or (DEFAULT_FOLDER,), found.records, strict=False):
        # Folders may lie within each other.
        places = {(folder / one.path).resolve(): one for one in (*records.corrupt, *records.stale)}
        rejected = [one for place, one in places.items() if place not in seen]
        seen |= set(places)
        if rejected:
            named = joined([f"{one.path} ({one.reason})" for one in rejected[:3]])
            more = f" and {len(rejected) - 3} more" if len(rejected) > 3 else ""
            files = counted(len(rejected), "file")
            said.append(f"Not used, {files} of {folder}: {named}{more}; onelip report {folder} lists them.")
        begun = [cell.id for cell in records.unfinished if cell.id not in unfinished]
        unfinished |= set(begun)
        if begun:
            said.append(f"Not finished, {counted(len(begun), 'run')} in {folder}, of which {begun[0]} is one.")
    return [*said, *_outdated(found, methods)]


def _outdated(found: Evidence, methods: Sequence[Method]) -> Iterator[str]:
    """Sessions that measured revisions of methods that are neither implemented here nor those of the runs."""
    there = {(run.method.name, run.method.revision) for records in found.records for run in records.train}
    if found.source != "measured":
        there |= {(method.name, method.revision) for method in methods}
    names = {name for name, _ in there}
    for session in (one for records in found.records for one in records.cost):
        made = [entry.method for entry in session.entries if entry.method.name in names]
        older = dict.fromkeys(one.title for one in made if (one.name, one.revision) not in there)
        if older:
            yield f"{session.id} measured other revisions of {joined(older)} than those here: these costs do not count."


def _with_sessions(choice: Choice, sessions: Sequence[CostRecord], batch: int) -> Choice:
    """A published choice with what was measured of its network."""
    width = width_of(choice.size, choice.cost_image[1])
    return with_sessions(choice, sessions, width=width, batch=batch)


def _with_promise(choice: Choice, facts: Mapping[str, MethodFacts]) -> Choice:
    """What a record of an earlier version does not say of norms, the method does."""
    if choice.orthogonal is not None or choice.method not in facts:
        return choice
    return replace(choice, orthogonal=keeps_norms(facts[choice.method], choice.padding, choice.kernel_size))


def narrowed(
    choices: Sequence[Choice],
    found: Evidence,
    *,
    data: str | None,
    sizes: Sequence[str] | None,
    methods: Sequence[Method],
) -> list[Choice]:
    """The choices that are asked about: of one data set, of some sizes, of some methods.

    Args:
        choices: All of them.
        found: What they rest on.
        data: The data set; None for that of the folders where they were named, and else for CIFAR-10 or the first.
        sizes: Sizes; None for all.
        methods: Methods.

    Raises:
        UnknownNameError: No network was trained on the data set, or has the size.
        OnelipError: The folders have results of several data sets and none was named, or nothing is left.
    """
    names = list(dict.fromkeys(one.data for one in choices))
    own = list(dict.fromkeys(one.data for one in choices if one.source == "measured")) if found.folders else []
    if data is None and len(own) > 1:
        raise OnelipError(f"the folders have results of {', '.join(own)}; say --data, which of them counts")
    wanted = data or next(iter(own), "cifar10" if "cifar10" in names else names[0])
    if wanted not in names:
        hint = _near(wanted.lower(), names)
        told = f"no network was trained on {wanted!r}; there are {', '.join(names)}"
        raise UnknownNameError(f"{told}{hint or _training(wanted, ())}")
    asked = {method.name for method in methods}
    left = [one for one in choices if one.data == wanted and one.method in asked]
    if not left:
        trains = _training(wanted, sorted(asked))
        raise OnelipError(f"no network of {joined(sorted(asked))} was trained on {wanted}{trains}")
    if sizes is not None:
        there = list(dict.fromkeys(one.size for one in left))
        if absent := [size for size in sizes if size not in there]:
            hint = _near(absent[0].upper(), there)
            raise UnknownNameError(
                f"no network of size {', '.join(absent)} was trained by {joined(sorted(asked))} on {wanted}; "
                f"there are {', '.join(there)}{hint}"
            )
        left = [one for one in left if one.size in sizes]
    return told_apart(left)


def _training(data: str, methods: Sequence[str]) -> str:
    """What trains networks on a data set, as the end of a sentence; nothing for what is none."""
    if data not in DATASETS and not Path(data).is_dir():
        return ""
    shipped = [name for name in methods if name in METHODS]
    own = f" {OWN_METHOD}" * (len(shipped) < len(methods))
    named = f" --methods {','.join(shipped)}" if shipped else ""
    return f"; onelip compare{named}{own} --data {quote(data)} --out FOLDER trains some"


def _near(name: str, names: Sequence[str]) -> str:
    """Which name was meant, as the end of a sentence."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.8)
    return f"; did you mean {near[0]}?" if near else ""


def scaled_to_here(
    choices: Sequence[Choice],
    found: Evidence,
    methods: Sequence[Method],
    *,
    batch: int,
    device: torch.device,
    note: Note,
) -> list[Choice]:
    """The choices with the times and the memory that they would take on this machine, which is measured first.

    Args:
        choices: Of one data set.
        found: What they rest on.
        methods: Whose formulas give what was not measured; those of the choices are measured.
        batch: Images inferred at a time.
        device: Where to measure.
        note: Is told what is measured.
    """
    first, names, facts = choices[0], {one.method for one in choices}, method_facts(methods)
    asked = [method for method in methods if method.name in names]
    session = calibration(asked, image=first.image, classes=first.classes, device=device, note=note)
    budgets = published.epoch_budgets()
    steps = {
        one.place: {
            key: value
            for records in found.records
            for key, value in recorded_steps(session, records, one.place).items()
        }
        for one in choices
    }
    steps[PLACE] = published_steps(budgets, facts, first.data, session.size)

    def elsewhere(choice: Choice) -> float | None:
        there = published_steps(budgets, facts, choice.data, choice.size) if choice.source == "published" else {}
        return there.get((choice.method, choice.padding)) if choice.kernel_size == session.kernel_size else None

    known = Calibration(
        session=session,
        slower={place: factors(session, taken) for place, taken in steps.items()},
        elsewhere=elsewhere,
        batch=batch,
        book=Formulas(tuple(methods)),
    )
    return list(calibrated(choices, known))
