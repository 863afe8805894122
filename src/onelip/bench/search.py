"""Learning rates and weight decays that are tried: a list, or the draws of an optuna study that lies on the disk.

A study says what to try, and can be watched while it goes on; what came of it is in the records. Where the study is
lost, random draws are the same again, and the records that are there are taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from onelip.bench.choice import score
from onelip.bench.grid import Choice, Scan, Search, Setting
from onelip.bench.records import ENDED, Recipe, TrainRecord
from onelip.bench.shared import SharedFolder
from onelip.bench.study import RUNGS, check_installed, pruner, sampler, seed_of, storage_in
from onelip.bench.train.budget import Budget
from onelip.bench.train.progress import Snapshot, Stop, never
from onelip.errors import RecordError, plain

if TYPE_CHECKING:
    import optuna

STORAGE_NAME = "search.db"
WORST = -100.0
"""The lowest score that samplers are told: a model of the scores would see nothing beside a loss of 1e300."""


class Draws(Protocol):
    """What is tried, for every network of a comparison."""

    def choice(self, setting: Setting, number: int) -> Choice:
        """What a trial tries."""

    def known(self, setting: Setting, number: int) -> Choice | None:
        """What a trial tries, if that is settled before the trials before it have ended."""

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

    def known(self, setting: Setting, number: int) -> Choice | None:
        """The same."""
        return self.choice(setting, number)

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
        experiment: What else tells the study of a network from another one of the same name.

    Raises:
        OnelipError: optuna is not installed.
        RecordError: The file is no storage of studies.
    """

    def __init__(
        self, search: Search, recipe: Recipe, folder: Path, shared: SharedFolder, experiment: Callable[[Setting], str]
    ) -> None:
        self._search, self._recipe, self._shared, self._experiment = search, recipe, shared, experiment
        self._path = folder / STORAGE_NAME
        self._studies: dict[Setting, optuna.Study] = {}
        self._choices: dict[tuple[Setting, int], Choice] = {}
        check_installed()
        with self._turn():
            self._storage = storage_in(self._path)

    def choice(self, setting: Setting, number: int) -> Choice:
        """What the trial of that number tries; drawn when it is asked for the first time."""
        if (setting, number) not in self._choices:
            with self._turn():
                study = self._study(setting)
                while (there := len(study.get_trials(deepcopy=False))) <= number:
                    self._draw(study, there)
                found = study.get_trials(deepcopy=False)[number].params
            self._choices[setting, number] = self._as_choice(found)
        return self._choices[setting, number]

    def known(self, setting: Setting, number: int) -> Choice | None:
        """What was drawn before; random draws depend on nothing."""
        if self._search.sampler == "random":
            return self._as_choice(self._proposal(number, ()).params)
        with self._turn():
            drawn = number < len(self._study(setting).get_trials(deepcopy=False))
        return self.choice(setting, number) if drawn else None

    def stop(self, setting: Setting, number: int) -> Stop:
        """When the pruner says so, which is asked up to nine times in a training.

        It is told the nominal certified accuracy on the training images of the epoch, as progress shows it; with a
        budget in epochs at ends of epochs, so that it does not depend on the speed of the machine.
        """
        if self._search.pruner == "none":
            return never
        with self._turn():
            study = self._study(setting)
            frozen = study.get_trials(deepcopy=False)[number]
        if frozen.state.is_finished():
            return never
        by_epochs = Budget.parse(self._search.budget).seconds is None
        return _Pruning(study, number, self._turn, by_epochs=by_epochs)

    def tell(self, setting: Setting, number: int, record: TrainRecord) -> None:
        """Notes the score of a trial, once; a trial that may be tried again stays open."""
        from optuna.trial import TrialState

        with self._turn():
            study = self._study(setting)
            trials = study.get_trials(deepcopy=False)
            # Where the study is lost, what was done before is known without it.
            if number >= len(trials) or trials[number].state.is_finished():
                return
            if record.evaluation is not None:
                study.tell(number, max(score(record.evaluation), WORST))
            elif record.status in ENDED:
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
                    "is cut, or of another version of optuna, move it away: random draws will be the same again"
                ) from error

    def _draw(self, study: optuna.Study, number: int) -> None:
        """Adds the trial of a number, in one stroke: a process that is killed leaves all of it or nothing."""
        import optuna

        earlier = () if self._search.sampler == "random" else study.get_trials(deepcopy=False)
        trial = self._proposal(number, earlier)
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.RUNNING, params=trial.params, distributions=trial.distributions
            )
        )

    def _proposal(self, number: int, earlier: Iterable[optuna.trial.FrozenTrial]) -> optuna.Trial:
        """What the sampler draws after earlier trials, in a study that is thrown away."""
        import optuna

        # Every draw has a sampler of its own: a resumed one would begin its numbers anew.
        drawer = sampler(self._search.sampler, seed_of(self._search.seed, number))
        scratch = optuna.create_study(direction="maximize", sampler=drawer)
        scratch.add_trials(earlier)
        trial = scratch.ask()
        trial.suggest_float("learning_rate", *self._search.learning_rate, log=True)
        if self._search.weight_decay is not None:
            trial.suggest_float("weight_decay", *self._search.weight_decay, log=True)
        return trial

    def _as_choice(self, params: Mapping[str, float]) -> Choice:
        decay = params.get("weight_decay", self._recipe.weight_decay)
        return Choice(learning_rate=params["learning_rate"], weight_decay=decay)

    def _study(self, setting: Setting) -> optuna.Study:
        if setting not in self._studies:
            import optuna

            where = "-".join(map(str, setting))
            facts = f"{self._recipe.model_dump_json()} {self._experiment(setting)}"
            digest = hashlib.sha256(facts.encode()).hexdigest()[:8]
            self._studies[setting] = optuna.create_study(
                study_name=f"{where} {self._search.digest} {digest}",
                storage=self._storage,
                direction="maximize",
                pruner=pruner(self._search.pruner),
                load_if_exists=True,
            )
        return self._studies[setting]


class _Pruning:
    """Asks a pruner at each tenth of a training; after an interruption again at those that it has come to before."""

    def __init__(
        self,
        study: optuna.Study,
        number: int,
        turn: Callable[[], AbstractContextManager[None]],
        *,
        by_epochs: bool,
    ) -> None:
        self._study, self._number, self._turn, self._by_epochs = study, number, turn, by_epochs
        self._asked = 0

    def __call__(self, snapshot: Snapshot) -> str:
        """Why the training is to end; empty for going on."""
        rung = RUNGS * snapshot.epoch.step // snapshot.planned_steps
        if not self._asked < rung < RUNGS or (self._by_epochs and not snapshot.complete):
            return ""
        self._asked = rung
        import optuna

        with self._turn():
            frozen = self._study.get_trials(deepcopy=False)[self._number]
            if frozen.state.is_finished():  # what another machine made of it was told meanwhile
                return ""
            trial = optuna.trial.Trial(self._study, frozen._trial_id)
            if rung not in frozen.intermediate_values:
                trial.report(snapshot.epoch.nominal_cra36, rung)
            if not trial.should_prune():
                return ""
        return f"worse than other trials after {100 * rung // RUNGS} % of the training"
