"""A run certified again: what is written of it, what refutes it, and what is removed then.

What is found out is written at once, and in steps, so that neither an interrupt nor a folder that cannot be written to
costs what came before: the certificate, then what each arithmetic certifies, then the attack. Inputs at which a program
errs by more than its certificate assumes refute it whenever they are met: also before anything is attacked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import ValidationError

from onelip.bench.arithmetics import ARITHMETICS_NAME, ArithmeticsRecord
from onelip.bench.attacked import Siege, besiege
from onelip.bench.broken import Promise
from onelip.bench.executed import arithmetics_record
from onelip.bench.saved import CERTIFICATE_NAME, EXECUTED_CERTIFICATE_NAME
from onelip.bench.single import Opened, Recertified, certify_again, write_certificate
from onelip.certify import Arithmetic
from onelip.certify.certificate import Certificate
from onelip.certify.digests import weights_digest
from onelip.errors import OnelipError, ProgramError, RecordError
from onelip.files import remove, write_text
from onelip.nn.blocked import BLOCK


@dataclass(slots=True, kw_only=True)
class Recertification:
    """How far certifying a run again has come.

    Attributes:
        run: Its record, network and images.
        folder: Where it lies.
        device: Where the network is evaluated.
        promise: What its certificate speaks of.
        result: What it achieves; None until that is known, and where the program errs by too much.
        prices: What each arithmetic certifies and takes, if that was asked for.
        siege: What attacks came to, if they came to an end.
        written: Files that were written, and stand.
        removed: Files that said what is refuted.
        refuted: Which file refutes the promise, and what became of the certificate; empty: none does.
        withheld: Why the prices are not written; empty: they are, or were not asked for.
        broken: What broke it, and what became of the certificate and of the images that did.
        evidence: Where these images are kept.
        kept: How many of them.
        failed: What kept the first file from being written, if anything.
    """

    run: Opened
    folder: Path
    device: torch.device
    promise: Promise
    result: Recertified | None = None
    prices: ArithmeticsRecord | None = None
    siege: Siege | None = None
    written: list[Path] = field(default_factory=list)
    removed: list[Path] = field(default_factory=list)
    refuted: str = ""
    withheld: str = ""
    broken: tuple[str, ...] = ()
    evidence: Path | None = None
    kept: int = 0
    failed: OnelipError | None = None

    @property
    def certificate(self) -> Path:
        """Where the certificate of its arithmetic belongs."""
        executed = self.promise.arithmetic == "executed"
        return self.folder / (EXECUTED_CERTIFICATE_NAME if executed else CERTIFICATE_NAME)

    @property
    def arithmetics(self) -> Path:
        """Where the prices belong."""
        return self.folder / ARITHMETICS_NAME

    def write(self, path: Path, write: Callable[[Path], None]) -> None:
        """Writes a file; if that fails, what was found out is not lost."""
        try:
            write(path)
        except OnelipError as error:
            self.failed = self.failed or error
        else:
            self.written.append(path)


def to_be_certified(
    run: Opened, folder: Path, *, device: torch.device, arithmetic: Arithmetic, block: int | None = BLOCK
) -> Recertification:
    """A run of which nothing is known yet.

    Args:
        run: See `open_run`.
        folder: Where it lies.
        device: Where to evaluate.
        arithmetic: What the radii speak of.
        block: As of `onelip.certified_program`, for "executed".
    """
    sums = block if arithmetic == "executed" else None
    promise = Promise(arithmetic=arithmetic, block=sums, weights=weights_digest(run.model))
    return Recertification(run=run, folder=folder, device=device, promise=promise)


def recertify(found: Recertification, note: Callable[[str], None] = lambda _: None) -> None:
    """Certifies a run again, and writes its certificate, but for real arithmetic, and where it is refuted.

    Args:
        found: Is added to.
        note: Is told how far it is.
    """
    promise = found.promise
    with _refuting(found):
        found.result = certify_again(
            found.run, device=found.device, arithmetic=promise.arithmetic, block=promise.block, note=note
        )
    result = found.result
    if result is None or promise.arithmetic == "real":
        return
    refuting = promise.refuted_in(found.folder)
    if refuting is None:
        found.write(found.certificate, lambda path: write_certificate(found.run, result, path))
    else:
        found.refuted = (
            f"{refuting} holds images that broke a certificate of this network, and until it is moved away "
            f"{_discarded(found)}"
        )


def price(found: Recertification, note: Callable[[str], None] = lambda _: None) -> None:
    """Says of a certified program what each arithmetic certifies and takes, and writes it if it is so of the run."""
    assert found.result is not None
    prices = found.prices = arithmetics_record(found.run, found.result, device=found.device, note=note)
    found.withheld = _why_withheld(found, found.result)
    if not found.withheld:
        found.write(found.arithmetics, lambda path: write_text(path, prices.model_dump_json(indent=2) + "\n"))


def attack(
    found: Recertification, *, images: int, restarts: int = 1, note: Callable[[str], None] = lambda _: None
) -> None:
    """Attacks what was certified; what breaks it is written, and removes it, while the attack goes on.

    So it is known also where the attack comes to no end, however it is ended. Before it is told, an attack is through
    with the images that it has at a time. A program that errs by more than its certificate assumes breaks it, and ends
    the attack.

    Raises:
        UnsoundError: As `besiege` raises it, of what refutes nothing.
    """
    with _refuting(found) as siege:
        besiege(
            siege,
            found.run.model,
            found.run.data,
            images=images,
            batch_size=found.run.record.cell.recipe.batch_size,
            device=found.device,
            block=found.promise.block,
            restarts=restarts,
            note=note,
        )
        found.siege = siege


@contextmanager
def _refuting(found: Recertification) -> Iterator[Siege]:
    """What breaks the promise meanwhile is kept, and removes what says it, however this ends."""
    found.evidence, found.kept = None, 0
    siege = Siege(arithmetic=found.promise.arithmetic)
    siege.told = lambda: _refute(found, siege)
    try:
        yield siege
    except ProgramError as error:
        if found.promise.arithmetic != "executed":
            raise  # the program of another promise, as a record in executed arithmetic has one
        siege.exceed(error)
    finally:
        # An interrupt may have come between keeping and removing.
        _refute(found, siege)


def _why_withheld(found: Recertification, result: Recertified) -> str:
    in_float64 = Promise(arithmetic="float64", weights=found.promise.weights)
    if found.certificate not in found.written:
        return f"nor is {found.certificate.name}"
    if (refuting := in_float64.refuted_in(found.folder)) is not None:
        return f"{refuting} refutes what it says of float64"
    if not result.agrees:
        return "it would stand beside a record of other numbers"
    return ""


def _refute(found: Recertification, siege: Siege) -> None:
    """Keeps what broke a promise, if anything did, and then removes what says it; the more that breaks, the more often.

    Real arithmetic does not pay for rounding, and promises nothing of it.
    """
    if not siege.breaks or siege.arithmetic == "real":
        return
    why = siege.excess or "this is a fault of the program"
    failed = ""
    try:
        failed = _keep(found, siege)
    finally:
        found.broken = (f"A certificate was broken: {why}; {_discarded(found)}", _evidence(found, siege, failed))


def _discarded(found: Recertification) -> str:
    """Removes what says what is refuted; says what became of it."""
    left = []
    for path in (found.certificate, found.arithmetics):
        if not path.exists() or _speaks_of_another(path, found.promise):
            continue
        try:
            remove(path)
        except RecordError as error:
            left.append(f"{error}; what lies there is refuted")
        else:
            found.removed.append(path)
    found.written = [path for path in found.written if path.exists()]
    fate = "; ".join(left) or f"there is no certificate in {found.promise.title}"
    return f"{fate} (removed: {', '.join(map(str, found.removed))})" if found.removed else fate


def _speaks_of_another(path: Path, promise: Promise) -> bool:
    """Whether a file stands where a promise is refuted; what cannot be read does not."""
    try:
        if path.name == ARITHMETICS_NAME:
            prices = ArithmeticsRecord.model_validate_json(path.read_bytes())
            return promise.arithmetic == "executed" and prices.block != promise.block
        claims = Certificate.read(path)
    except (OSError, ValidationError, OnelipError):
        return False
    return Promise(arithmetic=claims.arithmetic, block=claims.block, weights=claims.weights) != promise


def _keep(found: Recertification, siege: Siege) -> str:
    """Keeps what broke a promise in a file of its own, for what is there is evidence too; says why if it cannot."""
    path = found.evidence or found.promise.new_broken_file(found.folder)
    try:
        siege.save(path, found.promise)
    except RecordError as error:
        return f": {error}"
    found.evidence, found.kept = path, siege.broken
    return ""


def _evidence(found: Recertification, siege: Siege, failed: str) -> str:
    if found.evidence is None:
        return f"The images that broke it are not kept{failed}"
    if found.kept == siege.broken:
        return f"The images are in {found.evidence}"
    return f"{found.kept} of {siege.broken} images are in {found.evidence}; the others are not kept{failed}"
