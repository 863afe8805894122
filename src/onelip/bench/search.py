"""Learning rates and weight decays that are tried: a list, or the draws of an optuna study that lies on the disk.

A study says what to try, and can be watched while it goes on; what came of it is in the records. Where the study is
lost, random draws are the same again, and the records that are there are taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from onelip.bench.choice import score
from onelip.bench.grid import Choice, PrunerName, SamplerName, Scan, Search, Setting
from onelip.bench.records import Recipe, TrainRecord
from onelip.bench.shared import SharedFolder
from onelip.bench.train.progress import Snapshot, Stop, never
from onelip.errors import OnelipError, RecordError, plain

if TYPE_CHECKING:
    import optuna

STORAGE_NAME = "search.db"
RUNGS = 10
"""How often in a training a trial may be given up."""


class Draws(Protocol):
    """What is tried, for every network of a comparison."""

    def choice(self, setting: Setting, number: int) -> Choice:
        """What a trial tries."""

    def stop(self, setting: Setting, number: int) -> Stop:
        """When a trial is given up."""

    def tell(self, setting: Setting, number: int, record: TrainRecord) -> None:
        """Notes what came of a trial."""


class Listed:
    """The learning rates of a scan."""

    def __init__(self, scan: Scan, recipe: Recipe) -> None:
        self._scan, self._recipe = scan, recipe

    def choice(self, setting: Setting, number: int) -> Choice:
        """The learning rate of that number, and the recipe's weight decay."""
        return Choice(learning_rate=self._scan.rates[number], weight_decay=self._recipe.weight_decay)

    def stop(self, setting: Setting, number: int) -> Stop:
        """Never: all are tried to the end."""
        return never

    def tell(self, setting: Setting, number: int, record: TrainRecord) -> None:
        """Nothing waits for it."""


class Studied:
    """The draws of optuna studies, one per network.

    Args:
        search: What is searched.
        recipe: Its weight decay is used where none is searched, and its digest tells studies apart.
        folder: Where the studies lie, in one file.
        shared: Of the same folder; several processes draw in turn.

    Raises:
        OnelipError: optuna is not installed.
        RecordError: The file is no storage of studies.
    """

    def __init__(self, search: Search, recipe: Recipe, folder: Path, shared: SharedFolder) -> None:
        self._search, self._recipe, self._shared = search, recipe, shared
        self._path = folder / STORAGE_NAME
        self._studies: dict[Setting, optuna.Study] = {}
        self._choices: dict[tuple[Setting, int], Choice] = {}
        _check_installed()
        with self._turn():
            self._storage = _storage(self._path)

    def choice(self, setting: Setting, number: int) -> Choice:
        """What the trial of that number tries; drawn when it is asked for the first time."""
        if (setting, number) not in self._choices:
            with self._turn():
                study = self._study(setting)
                while (there := len(study.get_trials(deepcopy=False))) <= number:
                    # Every draw has a sampler of its own: a resumed one would begin its numbers anew.
                    study.sampler = sampler(self._search.sampler, _seed(self._search.seed, there))
                    self._draw(study)
                found = study.get_trials(deepcopy=False)[number].params
            decay = found.get("weight_decay", self._recipe.weight_decay)
            self._choices[setting, number] = Choice(learning_rate=found["learning_rate"], weight_decay=decay)
        return self._choices[setting, number]

    def stop(self, setting: Setting, number: int) -> Stop:
        """When the pruner says so; it is asked ten times in a training, and told the certified accuracy so far."""
        if self._search.pruner == "none":
            return never
        import optuna

        with self._turn():
            study = self._study(setting)
            frozen = study.get_trials(deepcopy=False)[number]
        if frozen.state.is_finished():
            return never
        return _Pruning(optuna.trial.Trial(study, frozen._trial_id), set(frozen.intermediate_values))

    def tell(self, setting: Setting, number: int, record: TrainRecord) -> None:
        """Notes the score of a trial, once."""
        from optuna.trial import TrialState

        with self._turn():
            study = self._study(setting)
            if study.get_trials(deepcopy=False)[number].state.is_finished():
                return
            if record.evaluation is not None:
                study.tell(number, score(record.evaluation))
            else:
                state = TrialState.PRUNED if record.status == "pruned" else TrialState.FAIL
                study.tell(number, state=state)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The studies for this process alone; what the disk says against it becomes an error that says so."""
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import SQLAlchemyError

        with self._shared.turn(STORAGE_NAME):
            try:
                yield
            except (StorageInternalError, SQLAlchemyError) as error:
                # optuna wraps what SQLAlchemy raised, which wraps what SQLite raised.
                wrapped = error if isinstance(error, SQLAlchemyError) else error.__cause__
                reason = getattr(wrapped, "orig", error)
                raise RecordError(
                    f"{self._path} cannot be read or written ({plain(str(reason))}); finished runs are kept. Where it "
                    "is cut, or of another version of optuna, move it away: they are found again"
                ) from error

    def _draw(self, study: optuna.Study) -> None:
        trial = study.ask()
        trial.suggest_float("learning_rate", *self._search.learning_rate, log=True)
        if self._search.weight_decay is not None:
            trial.suggest_float("weight_decay", *self._search.weight_decay, log=True)

    def _study(self, setting: Setting) -> optuna.Study:
        if setting not in self._studies:
            import optuna

            where = "-".join(map(str, setting))
            recipe = hashlib.sha256(self._recipe.model_dump_json().encode()).hexdigest()[:8]
            self._studies[setting] = optuna.create_study(
                study_name=f"{where} {self._search.digest} {recipe}",
                storage=self._storage,
                direction="maximize",
                pruner=pruner(self._search.pruner),
                load_if_exists=True,
            )
        return self._studies[setting]


class _Pruning:
    """Asks a pruner at each tenth of a training."""

    def __init__(self, trial: optuna.Trial, known: set[int]) -> None:
        self._trial, self._known = trial, known

    def __call__(self, snapshot: Snapshot) -> str:
        """Why the training is to end; empty for going on."""
        rung = RUNGS * snapshot.epoch.step // snapshot.planned_steps
        if rung < 1 or rung >= RUNGS or rung in self._known:
            return ""
        self._known.add(rung)
        self._trial.report(snapshot.epoch.nominal_cra36, rung)
        if not self._trial.should_prune():
            return ""
        return f"worse than other trials after {100 * rung // RUNGS} % of the training"


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


def _seed(seed: int, number: int) -> int:
    digest = hashlib.sha256(f"search {seed} {number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _storage(path: Path) -> optuna.storages.BaseStorage:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.storages.RDBStorage(f"sqlite:///{path}")
    except RuntimeError as error:  # the tables of another version
        raise optuna.exceptions.StorageInternalError(str(error)) from error


def _check_installed() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise OnelipError('a search needs optuna, which is not installed: pip install "onelip[search]"') from error
