"""What the paper advises, in our words. Imports no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from onelip.bench.origin import Model
from onelip.bench.published.rows import Source


def _methods(text: str) -> tuple[str, ...]:
    return tuple(name.lower() for name in text.split(";") if name)


class Guideline(Model):
    """One of the paper's guidelines, in our words.

    Attributes:
        methods: Those that it speaks for; none where it speaks of something else.
    """

    key: str
    methods: Annotated[tuple[str, ...], BeforeValidator(_methods)]
    statement: str
    source: Source
