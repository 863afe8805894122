"""What optuna is asked for by name: samplers, pruners, and a storage that is one file."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from onelip.bench.grid import PrunerName, SamplerName
from onelip.errors import OnelipError

if TYPE_CHECKING:
    import optuna

SECONDS_OF_PATIENCE = 60.0
"""With whoever looks at the studies meanwhile."""

RUNGS = 10
"""In how many parts of a training a trial may be given up, but the last."""


def check_installed() -> None:
    """Whether what searches is there.

    Raises:
        OnelipError: It is not.
    """
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise OnelipError('a search needs optuna, which is not installed: pip install "onelip[search]"') from error


def sampler(name: SamplerName, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler of a name."""
    import optuna

    made: dict[SamplerName, Callable[[], optuna.samplers.BaseSampler]] = {
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed, constant_liar=True, n_startup_trials=5),
        "gp": lambda: optuna.samplers.GPSampler(seed=seed, n_startup_trials=5),
    }
    return made[name]()


def pruner(name: PrunerName) -> optuna.pruners.BasePruner:
    """The pruner of a name; all leave the first tenths alone."""
    import optuna

    made: dict[PrunerName, Callable[[], optuna.pruners.BasePruner]] = {
        "none": optuna.pruners.NopPruner,
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=3),
        "halving": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=2),
        "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=2, max_resource=RUNGS, reduction_factor=2),
    }
    return made[name]()


def seed_of(seed: int, number: int) -> int:
    """Of a draw: another one for every number."""
    digest = hashlib.sha256(f"search {seed} {number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def storage_in(path: Path) -> optuna.storages.BaseStorage:
    """The studies in a file, which is made if there is none."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        # A path has signs that a URL would take for its own.
        return optuna.storages.RDBStorage(
            "sqlite:///search.db", engine_kwargs={"creator": lambda: sqlite3.connect(path, SECONDS_OF_PATIENCE)}
        )
    except RuntimeError as error:  # the tables of another version
        raise optuna.exceptions.StorageInternalError(str(error)) from error
