"""What attacks refuted: images that broke certificates of a run's network, kept in its folder."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from pydantic import PositiveInt, ValidationError
from safetensors import SafetensorError, safe_open

from onelip.bench.origin import Model
from onelip.bench.tensors import HEADER
from onelip.certify import Arithmetic

_ANY = "broken*.safetensors"


class Promise(Model):
    """What a certificate speaks of.

    Attributes:
        arithmetic: In which the network is evaluated.
        block: That of a float32 program, see `onelip.certified_program`; None for all channels, and where there is no
            program.
        weights: SHA-256 of the network's state, see `onelip.certify.digests.weights_digest`.
    """

    arithmetic: Arithmetic
    block: PositiveInt | None = None
    weights: str

    @property
    def title(self) -> str:
        """In a sentence."""
        if self.arithmetic != "executed":
            return f"{self.arithmetic} arithmetic"
        return f"{self.arithmetic} arithmetic, block {self.block or 'all'}"

    def new_broken_file(self, folder: Path) -> Path:
        """Where in a run's folder to keep images that break it: a new file, for a break undoes no other."""
        stem = "broken" if self.arithmetic != "executed" else f"broken-{self.arithmetic}-{self.block or 'all'}"
        numbers = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
        return next(path for number in numbers if not os.path.lexists(path := folder / f"{stem}{number}.safetensors"))

    def refuted_in(self, folder: Path) -> Path | None:
        """The file in a run's folder that refutes it, if there is one."""
        return next((path for path in broken_files(folder) if _speaks_of(path) in (None, self)), None)


def broken_files(folder: Path) -> list[Path]:
    """What attacks left in a run's folder."""
    return sorted(folder.glob(_ANY))


def _speaks_of(path: Path) -> Promise | None:
    """What a file refutes; None, which is everything, where it does not say so, as those of earlier versions."""
    try:
        with safe_open(path, framework="pt") as file:
            return Promise.model_validate_json((file.metadata() or {}).get(HEADER, ""))
    except (OSError, SafetensorError, ValidationError):
        return None
