"""The errors that onelip raises on purpose; refused inputs are each a `ValueError`: existing handlers keep working."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class OnelipError(ValueError):
    """An input that onelip refuses; the message says what was wrong and what is allowed."""


class UnsoundError(OnelipError):
    """A certificate or a bound was asked for that cannot be given: an unknown module, a NaN, an infinite constant."""


class ProgramError(UnsoundError):
    """A float32 program errs by more than is possible by what its certificate assumes: it has none on this machine.

    Attributes:
        inputs: At which it does, as it is given them, shape (N, C, H, W).
        labels: Their classes in float64, shape (N,).
    """

    def __init__(self, reason: str, inputs: Tensor, labels: Tensor) -> None:
        super().__init__(reason)
        self.reason, self.inputs, self.labels = reason, inputs, labels

    def __reduce__(self) -> tuple[type[ProgramError], tuple[str, Tensor, Tensor]]:
        return type(self), (self.reason, self.inputs, self.labels)


class UnsupportedShapeError(OnelipError):
    """A shape that a layer or network cannot take; the message names the shape and the allowed ones."""


class UnknownNameError(OnelipError):
    """A method, data set or size that does not exist; the message lists the valid ones and the nearest match."""


class DataError(OnelipError):
    """A missing, cut or foreign data file; the message names the file, what was expected and where to get it."""


class RecordError(OnelipError):
    """A record or a run folder that is missing, cut, or of another schema, or that would be overwritten."""


class CertificateError(OnelipError):
    """A certificate that is no certificate, was edited, or does not hold; the message names the first false claim."""


class UnsupportedOperationError(OnelipError):
    """An operation whose multiply-accumulates are not known to the counter; the message names it."""


class ContractError(AssertionError):
    """A method breaks the contract of `onelip.testing`.

    No input is at fault but the code under test, so it is an `AssertionError`: test runners count a failure.

    Attributes:
        method: Name of the method.
        check: Name of the check that failed.
        case: The case (shape, weights, padding, dtype) in which it failed.
    """

    def __init__(self, method: str, check: str, case: str, reason: str) -> None:
        super().__init__(f"{method}: {check} [{case}]: {reason}")
        self.method, self.check, self.case, self.reason = method, check, case, reason

    def __reduce__(self) -> tuple[type[ContractError], tuple[str, str, str, str]]:
        return type(self), (self.method, self.check, self.case, self.reason)


def plain(text: str) -> str:
    r"""A foreign text on one line, without control and direction characters (they would act on a terminal).

    >>> plain("a\x1b[31mb\nc")
    'a\ufffd[31mb c'
    """
    spaced = " ".join(text.split())
    return "".join(
        "\ufffd" if unicodedata.category(character) in {"Cc", "Cf", "Cs"} else character for character in spaced
    )
