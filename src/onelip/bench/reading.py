"""Files of one pydantic model, read strictly. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from onelip.bench.origin import Model
from onelip.errors import RecordError

AnyModel = TypeVar("AnyModel", bound=Model)


def read_as(kind: type[AnyModel], path: Path) -> AnyModel:
    """Read a file that a benchmark wrote.

    Raises:
        RecordError: The file is missing, cut or foreign.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        reason = f"{where}: {first['msg']}" if where else first["msg"]
        raise RecordError(f"{path} is cut, or not what this command writes ({reason}); move it away") from error
