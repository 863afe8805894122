"""The list of checks, and the cases that they make for a method."""

from __future__ import annotations

import unittest
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch

from ..errors import ContractError
from ..method import Method
from .declarations import bad_arguments_raise, declared_traits_hold, options_matter
from .gradients import every_parameter_learns, gradients_are_right
from .memo import memo_never_stale
from .operator import (
    bound_is_sound,
    bound_is_tight,
    finite,
    is_one_lipschitz,
    matches_dense_reference,
    preserves_norm_if_orthogonal,
    should_preserve_norm,
    tightness_is_known,
)
from .runtime import autocast_safe, compiles, compiles_to_machine_code, ddp_safe
from .setting import DTYPES, FULL_RANK, LayerShape, Setting, settings
from .structure import copies_are_independent, deterministic_given_seed, freeze_changes_nothing, state_dict_round_trip

Settings = Callable[[Method, bool], Sequence[Setting]]
"""The settings of a check for a method: a cover of them, or all if the flag says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One promise of the contract.

    Attributes:
        run: Raises an AssertionError if a method breaks the promise in a setting.
        settings: Where to run it.
    """

    run: Callable[[Method, Setting], None]
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One check of one method in one setting.

    Attributes:
        check: Name of the check.
        id: Name of the setting.
        run: Runs it; raises ContractError if the promise is broken, unittest.SkipTest if it cannot be checked here.
    """

    check: str
    id: str
    run: Callable[[], None]

    def __str__(self) -> str:
        return f"{self.check}-{self.id}"


def check_method(method: Method, *, full: bool = False) -> None:
    """Checks that a method keeps the contract of all methods; takes half a minute.

    What cannot be checked on this machine is named in a warning.

    Args:
        method: The method; it need not be registered.
        full: Whether to run the whole product of weights, shapes, paddings and dtypes, not a cover of all pairs.

    Raises:
        ContractError: At the first broken promise; names the check and the case.
    """
    for case in cases(method, full=full):
        try:
            case.run()
        except unittest.SkipTest as reason:
            warnings.warn(f"{method.name}: {case.check} was not checked: {reason}", stacklevel=2)


def cases(method: Method, *, full: bool = False) -> list[Case]:
    """The contract of one method, case by case, in an order that does not change."""
    return [
        Case(check=name, id=setting.id, run=_runner(method, name, check, setting))
        for name, check in CHECKS.items()
        for setting in check.settings(method, full)
    ]


def _runner(method: Method, name: str, check: Check, setting: Setting) -> Callable[[], None]:
    def run() -> None:
        try:
            check.run(method, setting)
        except unittest.SkipTest:
            raise
        except AssertionError as error:
            raise ContractError(method.name, name, setting.id, str(error)) from error
        except Exception as error:
            raise ContractError(method.name, name, setting.id, f"{type(error).__name__}: {error}") from error

    return run


def _all_weights(_: Method, full: bool) -> Sequence[Setting]:
    return settings(full=full)


def _full_rank(applies: Callable[[Method, Setting], bool], dtypes: Sequence[torch.dtype] = DTYPES) -> Settings:
    def chosen(method: Method, full: bool) -> Sequence[Setting]:
        return [one for one in settings(weights=FULL_RANK, dtypes=dtypes, full=full) if applies(method, one)]

    return chosen


def _always(_: Method, __: Setting) -> bool:
    return True


def _fits(_: Method, setting: Setting) -> bool:
    return setting.shape.fits


def _these(*chosen: Setting, only_full: bool = False) -> Settings:
    return lambda _, full: chosen if full or not only_full else ()


_CONV = LayerShape(name="conv", channels=(3, 4), image=(4, 6))
_WIDE = LayerShape(name="strided", channels=(2, 5), image=(4, 6), stride=2, bias=False)
_SQUARE = LayerShape(name="square", channels=(3, 3), image=(4, 6))
_LINEAR = LayerShape(name="linear", channels=(5, 4), kernel_size=None)

_MODULES = _these(
    Setting(shape=_CONV, padding="circular", dtype=torch.float32),
    Setting(shape=_CONV, padding="zeros", dtype=torch.float32),
    Setting(shape=_WIDE, padding="circular", dtype=torch.float32),
    Setting(shape=_LINEAR, dtype=torch.float32),
)
_COMPILED = (Setting(shape=_CONV), Setting(shape=_LINEAR))
_SMALL = _these(
    Setting(shape=LayerShape(name="tall", channels=(2, 3), image=(2, 3)), padding="circular"),
    Setting(shape=LayerShape(name="tall", channels=(2, 3), image=(2, 3)), padding="zeros"),
    Setting(shape=LayerShape(name="wide", channels=(3, 2), image=(3, 2), bias=False), padding="circular"),
    Setting(shape=LayerShape(name="strided", channels=(1, 4), kernel_size=1, image=(2, 4), stride=2)),
    Setting(shape=LayerShape(name="linear", channels=(4, 3), kernel_size=None)),
)
_DECLARED = _these(Setting(shape=_SQUARE, padding="circular"))
_ONCE = _these(Setting(shape=_CONV, weights="fresh"))

CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "is_one_lipschitz": Check(run=is_one_lipschitz, settings=_all_weights),
        "bound_is_sound": Check(run=bound_is_sound, settings=_all_weights),
        "finite": Check(run=finite, settings=_all_weights),
        "bound_is_tight": Check(run=bound_is_tight, settings=_full_rank(tightness_is_known)),
        "preserves_norm_if_orthogonal": Check(
            run=preserves_norm_if_orthogonal, settings=_full_rank(should_preserve_norm)
        ),
        "matches_dense_reference": Check(run=matches_dense_reference, settings=_full_rank(_always)),
        "every_parameter_learns": Check(run=every_parameter_learns, settings=_full_rank(_fits, [torch.float64])),
        "gradients_are_right": Check(run=gradients_are_right, settings=_SMALL),
        "freeze_changes_nothing": Check(run=freeze_changes_nothing, settings=_MODULES),
        "memo_never_stale": Check(run=memo_never_stale, settings=_MODULES),
        "state_dict_round_trip": Check(run=state_dict_round_trip, settings=_MODULES),
        "copies_are_independent": Check(run=copies_are_independent, settings=_MODULES),
        "deterministic_given_seed": Check(run=deterministic_given_seed, settings=_MODULES),
        "compiles": Check(run=compiles, settings=_these(*_COMPILED)),
        "compiles_to_machine_code": Check(run=compiles_to_machine_code, settings=_these(*_COMPILED, only_full=True)),
        "autocast_safe": Check(run=autocast_safe, settings=_MODULES),
        "ddp_safe": Check(run=lambda method, _: ddp_safe(method), settings=_ONCE),
        "declared_traits_hold": Check(run=declared_traits_hold, settings=_DECLARED),
        "options_matter": Check(run=options_matter, settings=_DECLARED),
        "bad_arguments_raise": Check(run=bad_arguments_raise, settings=_ONCE),
    }
)
"""The contract: every check by its name."""
