"""The errors that onelip raises on purpose; each is a `ValueError`, so that existing handlers keep working."""


class OnelipError(ValueError):
    """An input that onelip refuses; the message says what was wrong and what is allowed."""


class UnsoundError(OnelipError):
    """A certificate or a bound was asked for that cannot be given: an unknown module, a NaN, an infinite constant."""


class UnsupportedShapeError(OnelipError):
    """A shape that a layer or network cannot take; the message names the shape and the allowed ones."""


class UnknownNameError(OnelipError):
    """A method, data set or size that does not exist; the message lists the valid ones and the nearest match."""


class DataError(OnelipError):
    """A missing, cut or foreign data file; the message names the file, what was expected and where to get it."""


class RecordError(OnelipError):
    """A record or a run folder that is missing, cut, or of another schema, or that would be overwritten."""


class UnsupportedOperationError(OnelipError):
    """An operation whose multiply-accumulates are not known to the counter; the message names it."""
