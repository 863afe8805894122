"""How the texts of budgets and limits are read."""

from __future__ import annotations

import time

from onelip.errors import OnelipError


def budget_text(text: str) -> str:
    """A budget in its canonical text.

    Raises:
        OnelipError: It is none.
    """
    from onelip.bench.train.budget import Budget

    return str(Budget.parse(text))


def deadline_of(limit: str | None) -> float | None:
    """The moment of `time.monotonic` at which a time of --limit is over that begins now; None without.

    Raises:
        OnelipError: It is no time.
    """
    began, seconds = time.monotonic(), limit_seconds(limit)
    return None if seconds is None else began + seconds


def limit_seconds(text: str | None) -> float | None:
    """The seconds of --limit.

    Raises:
        OnelipError: It is no time.
    """
    from onelip.bench.train.budget import Budget

    if text is None:
        return None
    try:
        seconds = Budget.parse(text).seconds
    except OnelipError:
        seconds = None
    if seconds is None:
        raise OnelipError(f"--limit {text!r} is not allowed; give a time such as 60s or 10m")
    return seconds
