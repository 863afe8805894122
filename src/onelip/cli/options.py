"""The options that several commands share, and how their texts are read."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from onelip.errors import OnelipError, UnknownNameError

if TYPE_CHECKING:
    from onelip.bench.candidates import Source
    from onelip.bench.records import KernelSize, PaddingChoice, Recipe
    from onelip.certify import Arithmetic

T = TypeVar("T")

WHAT, HOW = "What", "How"
"""The panels of the help pages."""

DATA_SETS = "digits (comes with onelip), cifar10, cifar100, tiny_imagenet or imagenette (see --data-dir)"
DataSets = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        help=f"{DATA_SETS}, or a folder of pictures, train/CLASS/*.png and test/CLASS/*.png. Repeatable. "
        "[dim]Default: digits.[/dim]",
        rich_help_panel=WHAT,
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the downloaded data sets, or of one; the environment variable ONELIP_DATA stands in for it.",
        rich_help_panel=WHAT,
        show_default=False,
    ),
]
Run = Annotated[Path, typer.Argument(help="Folder of one run, written by onelip train or onelip compare.")]
MovedData = Annotated[
    str | None,
    typer.Option("--data", help="Where the run's folder of pictures is now, if it was moved.", show_default=False),
]
MovedMethod = Annotated[
    str | None,
    typer.Option("--method", help="Where a method of your own is, package.module:NAME.", show_default=False),
]
Resize = Annotated[
    int | None,
    typer.Option(
        help="Scale and crop pictures to squares of this side, such as 32 (tiny_imagenet, imagenette, a folder).",
        rich_help_panel=WHAT,
        show_default=False,
        min=1,
    ),
]
Budget = Annotated[
    str,
    typer.Option(
        help="Training per network: a time (20s, 10m, 2h) or a number of epochs (12epochs).", rich_help_panel=WHAT
    ),
]
Budgets = Annotated[
    str,
    typer.Option(
        "--budget",
        help="Training per network: times (20s, 10m, 2h) or numbers of epochs (12epochs), separated by commas.",
        rich_help_panel=WHAT,
    ),
]
Seeds = Annotated[
    str, typer.Option(help="Random seeds, separated by commas: one run per method each.", rich_help_panel=WHAT)
]
PaddingOption = Annotated[
    str,
    typer.Option(
        help="circular or zeros for all methods, or paper: what each method's paper uses.", rich_help_panel=HOW
    ),
]
Paddings = Annotated[
    str,
    typer.Option(
        "--padding",
        help="circular or zeros for all methods, or paper: what each method's paper uses. Separated by commas.",
        rich_help_panel=HOW,
    ),
]
Kernels = Annotated[
    str, typer.Option("--kernel-size", help="1, 3 or 5, of all blocks but the last.", rich_help_panel=HOW)
]
KernelSizes = Annotated[
    str,
    typer.Option(
        "--kernel-size", help="1, 3 or 5, of all blocks but the last; separated by commas.", rich_help_panel=HOW
    ),
]
Limit = Annotated[
    str | None,
    typer.Option(
        help="Begin no training that would end later than this, such as 30m: the same command goes on another time.",
        rich_help_panel=HOW,
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Do again, and replace, what is there.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.", rich_help_panel=HOW)]
LearningRate = Annotated[float, typer.Option(help="Peak of the one-cycle learning rate.", rich_help_panel=HOW)]
WeightDecay = Annotated[float, typer.Option(help="L2 penalty on every parameter.", rich_help_panel=HOW)]
BatchSize = Annotated[int, typer.Option(help="Images per step.", rich_help_panel=HOW, min=1)]
Costs = Annotated[bool, typer.Option("--costs/--no-costs", help="Measure time and memory too.", rich_help_panel=HOW)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script instead of tables.")]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Print a Markdown table, as in the README.")]
OwnMethods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        help="One more method: package.module:NAME, a Method of your own in an installed module or in a file of the "
        "current folder (mine:MINE for mine.py). Repeatable.",
        rich_help_panel=WHAT,
        show_default=False,
    ),
]
Methods = Annotated[
    str | None,
    typer.Option(
        help="Names, separated by commas; onelip methods lists them. [dim]Default: all.[/dim]",
        rich_help_panel=WHAT,
        show_default=False,
    ),
]
Sizes = Annotated[
    str, typer.Option(help="XS, S, M, L or widths as numbers, separated by commas.", rich_help_panel=WHAT)
]


def listed(text: str) -> tuple[str, ...]:
    """The parts of a list with commas, each once.

    >>> listed("XS, S,XS")
    ('XS', 'S')
    """
    return tuple(dict.fromkeys(part for part in map(str.strip, text.split(",")) if part))


def data_names(given: Sequence[str]) -> tuple[str, ...]:
    """The data sets of --data, which may be lists; the name of a folder may have commas.

    Raises:
        OnelipError: There is none.
    """
    found = [part for name in given for part in ([name] if name and Path(name).is_dir() else listed(name))]
    if not found:
        raise OnelipError(f"--data names no data set; give {DATA_SETS}, or the path of a folder of pictures")
    return tuple(dict.fromkeys(found))


def numbers(option: str, text: str, kind: Callable[[str], T], wanted: str) -> tuple[T, ...]:
    """The numbers of a list with commas.

    Raises:
        OnelipError: A part is no such number, or there is none.

    >>> numbers("--seeds", "0,1", int, "whole numbers")
    (0, 1)
    """
    try:
        found = tuple(dict.fromkeys(kind(part) for part in listed(text)))
    except ValueError:
        found = ()
    if not found:
        raise OnelipError(f"{option} {text!r} is not allowed; give {wanted}, separated by commas")
    return found


def seed_list(text: str) -> tuple[int, ...]:
    """The random seeds of a list with commas."""
    wanted = "whole numbers from 0 to 2^63 - 1"
    found = numbers("--seeds", text, int, wanted)
    if min(found) < 0 or max(found) >= 2**63:
        raise OnelipError(f"--seeds {text!r} is not allowed; give {wanted}, separated by commas")
    return found


def size_list(text: str) -> tuple[str, ...]:
    """The sizes of a list with commas; whether each fits is found out with the images.

    Raises:
        OnelipError: There is none.
    """
    found = listed(text)
    if not found:
        raise OnelipError(f"--sizes {text!r} names no size; give XS, S, M, L or widths, separated by commas")
    return found


def method_names(methods: str | None, own: Sequence[str] | None) -> tuple[str, ...]:
    """What --methods and --method name together: all registered methods, unless registered ones are named."""
    added = tuple(own or ())
    if methods is not None:
        named = listed(methods)
        if not named:
            raise OnelipError(f"--methods {methods!r} names no method; see onelip methods")
        return named + added
    return added if any(":" not in name for name in added) else ("all", *added)


def kernel_choice(text: str) -> KernelSize:
    """The kernel size in a text.

    Raises:
        UnknownNameError: It is none.
    """
    choices: dict[str, KernelSize] = {"1": 1, "3": 3, "5": 5}
    return choices[one_of("kernel size", text, tuple(choices))]


def padding_choice(text: str) -> PaddingChoice:
    """The padding of that name.

    Raises:
        UnknownNameError: There is none.
    """
    choices: tuple[PaddingChoice, ...] = ("paper", "circular", "zeros")
    return one_of("padding", text, choices)


def evidence_source(text: str, folders: Sequence[Path]) -> tuple[Source, list[Path]]:
    """What an answer rests on, by that name, and the folders; a folder in place of a name is one more of these.

    Raises:
        UnknownNameError: There is no such name, and no such folder.
    """
    choices: tuple[Source, ...] = ("both", "measured", "published")
    if text not in choices and Path(text).is_dir():
        return "measured", [*folders, Path(text)]
    try:
        return one_of("records", text, choices), list(folders)
    except UnknownNameError as error:
        raise UnknownNameError(f"{error}; folders of records are named without an option") from None


def arithmetic(text: str) -> Arithmetic:
    """The arithmetic of that name.

    Raises:
        UnknownNameError: There is none.
    """
    choices: tuple[Arithmetic, ...] = ("float64", "executed", "real")
    return one_of("arithmetic", text, choices)


def each(text: str, read: Callable[[str], T]) -> tuple[T, ...]:
    """The parts of a list with commas, each read; one that is empty is read as such."""
    return tuple(dict.fromkeys(map(read, listed(text) or ("",))))


def recipe(**settings: Any) -> Recipe:
    """A recipe with these settings.

    Raises:
        OnelipError: Names the option whose value is not allowed.
    """
    from pydantic import ValidationError

    from onelip.bench.records import Recipe

    try:
        return Recipe(**settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = str(first["loc"][0]).replace("_", "-")
        raise OnelipError(f"--{option} {first['input']}: {first['msg']}") from error


def one_of(what: str, text: str, choices: Sequence[T]) -> T:
    """The choice of that name.

    Raises:
        UnknownNameError: There is none.
    """
    for choice in choices:
        if text == choice:
            return choice
    raise unknown(what, text, map(str, choices))


def unknown(what: str, name: str, valid: Iterable[str]) -> UnknownNameError:
    """The error for a name that does not exist."""
    valid = tuple(valid)
    near = difflib.get_close_matches(name.lower(), valid, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return UnknownNameError(f"{what} {name!r} is not one of {', '.join(valid)}{hint}")
