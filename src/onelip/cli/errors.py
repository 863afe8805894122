"""What a user sees when something does not go as asked: one line, never a traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from onelip.errors import OnelipError, plain

REFUSED = 2
"""Exit code of a request that cannot be carried out."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


@contextmanager
def clear_errors(kept: Callable[[], str] = lambda: "Nothing was written.") -> Iterator[None]:
    """Turns the errors that are meant for the user into one line on standard error and an exit code.

    Args:
        kept: Called after Ctrl-C; says what is kept and how to go on.
    """
    try:
        yield
    except OnelipError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "onelip":
            raise
        _fail(f'this command needs {error.name}, which is not installed: pip install "onelip[bench]"')
    except KeyboardInterrupt:
        typer.echo(f"\nonelip: stopped. {kept()}", err=True)
        # An interrupt that passed through a compiled text (imports have some) would make Python end by the signal
        # instead of the exit code; compiling another text makes it forget that.
        exec("")
        raise typer.Exit(INTERRUPTED) from None


def _fail(message: str) -> NoReturn:
    typer.echo(f"onelip: {plain(message)}", err=True)
    raise typer.Exit(REFUSED) from None
