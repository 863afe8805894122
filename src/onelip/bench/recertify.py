"""A run certified again: what is written of it, what attacks refute, and what is removed then.

What is found out is written at once, and in steps, so that neither an interrupt nor a folder that cannot be written to
costs what came before: the certificate, then what each arithmetic certifies, then the attack.
"""

from __future__ import annotations

from collections.abc import Callable
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
        result: What it achieves.
        promise: What its certificate speaks of.
        prices: What each arithmetic certifies and takes, if that was asked for.
        siege: What attacks came to, if they came to an end.
        written: Files that were written, and stand.
        removed: Files that said what is refuted.
        refuted: Which file refutes the promise, and what became of the certificate; empty: none does.
        withheld: Why the prices are not written; empty: they are, or were not asked for.
        broken: What attacks broke, and what became of the certificate.
        failed: What kept the first file from being written, if anything.
    """

    run: Opened
    folder: Path
    device: torch.device
    result: Recertified
    promise: Promise
    prices: ArithmeticsRecord | None = None
    siege: Siege | None = None
    written: list[Path] = field(default_factory=list)
    removed: list[Path] = field(default_factory=list)
    refuted: str = ""
    withheld: str = ""
    broken: tuple[str, ...] = ()
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


def recertify(
    run: Opened,
    folder: Path,
    *,
    device: torch.device,
    arithmetic: Arithmetic,
    block: int | None = BLOCK,
    note: Callable[[str], None] = lambda _: None,
) -> Recertification:
    """Certifies a run again, and writes its certificate, but for real arithmetic, and where it is refuted.

    Args:
        run: See `open_run`.
        folder: Where it lies.
        device: Where to evaluate.
        arithmetic: What the radii speak of.
        block: As of `onelip.certified_program`, for "executed".
        note: Is told how far it is.
    """
    result = certify_again(run, device=device, arithmetic=arithmetic, block=block, note=note)
    program = result.answers.certifier.program
    promise = Promise(
        arithmetic=arithmetic, block=None if program is None else program.block, weights=weights_digest(run.model)
    )
    found = Recertification(run=run, folder=folder, device=device, result=result, promise=promise)
    if arithmetic == "real":
        return found
    refuting = promise.refuted_in(folder)
    if refuting is None:
        found.write(found.certificate, lambda path: write_certificate(run, result, path))
    else:
        found.refuted = (
            f"{refuting} holds images that broke a certificate of this network, and until it is moved away "
            f"{_discarded(found)}"
        )
    return found


def price(found: Recertification, note: Callable[[str], None] = lambda _: None) -> None:
    """Says of a certified program what each arithmetic certifies and takes, and writes it if it is so of the run."""
    prices = found.prices = arithmetics_record(found.run, found.result, device=found.device, note=note)
    found.withheld = _why_withheld(found)
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
    siege = Siege(arithmetic=found.promise.arithmetic)
    siege.told = lambda: _refute(found, siege)
    try:
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
    except ProgramError as error:
        siege.exceed(error)
    finally:
        # An interrupt may have come between keeping and removing.
        _refute(found, siege)


def _why_withheld(found: Recertification) -> str:
    in_float64 = Promise(arithmetic="float64", weights=found.promise.weights)
    if found.certificate not in found.written:
        return f"nor is {found.certificate.name}"
    if (refuting := in_float64.refuted_in(found.folder)) is not None:
        return f"{refuting} refutes what it says of float64"
    if not found.result.agrees:
        return "it would stand beside a record of other numbers"
    return ""


def _refute(found: Recertification, siege: Siege) -> None:
    """Keeps what broke a promise, if anything did, and then removes what says it; the more that breaks, the more often.

    Real arithmetic does not pay for rounding, and promises nothing of it.
    """
    if not siege.breaks or siege.arithmetic == "real":
        return
    kept = _kept(found, siege)
    why = siege.excess or "this is a fault of the program"
    found.broken = (f"A certificate was broken: {why}; {_discarded(found)}", kept)


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


def _kept(found: Recertification, siege: Siege) -> str:
    path = found.folder / found.promise.broken_name
    try:
        siege.save(path, found.promise)
    except RecordError as error:
        return f"The images that broke it are not kept: {error}"
    return f"The images are in {path}"
