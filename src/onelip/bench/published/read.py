"""Files of published numbers, read strictly: what is not as its model says is refused by name. Imports no torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import TypeVar

from pydantic import ValidationError

from onelip.bench.origin import Model
from onelip.errors import DataError

Row = TypeVar("Row", bound=Model)


@cache
def shipped(kind: type[Row], name: str) -> tuple[Row, ...]:
    """The rows of a file that travels in the package; read once.

    Raises:
        DataError: The file is missing, or is not as its model says.
    """
    try:
        text = resources.files("onelip.bench.published").joinpath(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"published numbers: cannot read {name} of the package; install onelip again") from error
    return tuple(parsed(kind, name, text))


def parsed(kind: type[Row], name: str, text: str) -> Iterator[Row]:
    """The rows of a text of comma-separated values, the columns' names in its first line.

    Args:
        kind: The model of a row; its fields' aliases are the columns.
        name: What errors call the text.
        text: The content.

    Raises:
        DataError: Names the line, the column and what is wrong with it.
    """
    reader = csv.reader(io.StringIO(text, newline=""))
    header = next(reader, [])
    for cells in reader:
        where = f"published numbers: {name}, line {reader.line_num}"
        if len(cells) != len(header):
            raise DataError(f"{where}: {len(cells)} entries; the first line names {len(header)} columns")
        try:
            yield kind.model_validate(dict(zip(header, cells, strict=True)))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            given = f", not {first['input']!r}" if isinstance(first["input"], str) else ""
            raise DataError(f"{where}, column {first['loc'][0]}: {first['msg']}{given}") from error
