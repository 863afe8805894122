"""Trained networks under attack: inside every certified radius, where nothing may break, and at one radius for all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from onelip.bench.broken import Promise
from onelip.bench.choice import RADIUS
from onelip.bench.data.base import ImageData
from onelip.bench.tensors import write_tensors
from onelip.certify import Arithmetic, Certifier
from onelip.certify.attack import margin_attacks
from onelip.certify.balls import Attacked
from onelip.certify.foolbox_attack import foolbox_attacks, import_foolbox
from onelip.certify.radius import leads
from onelip.certify.rounding_attack import rounding_attack
from onelip.errors import ProgramError
from onelip.linalg.precision import full_precision
from onelip.nn.blocked import BLOCK

LARGEST_BATCH = 128
"""Images at a time: the rounding attack makes several inputs of each."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """One attack inside certified radii.

    Attributes:
        attack: Its name.
        arithmetic: What the radii speak of; a break of "real" may be rounding, any other is a fault.
        inputs: Certified inputs that were attacked.
        probes: Perturbed inputs, strictly inside certified radii, that were evaluated.
        broken: Inputs that lost their answer.
        seconds: What it took, with the attack at one radius for all.
    """

    attack: str
    arithmetic: Arithmetic
    inputs: int = 0
    probes: int = 0
    broken: int = 0
    seconds: float = 0.0


@dataclass(slots=True, kw_only=True)
class Siege:
    """What the attacks on a network came to.

    Attributes:
        arithmetic: What the radii speak of.
        missing: Why foolbox did not run; None if it did.
        images: Number of test images that were attacked.
        correct: Of these, the number that are classified correctly.
        certified: Of these, the number with a certified radius above 36/255.
        standing: Of these, the number that no attack with that radius takes the answer of.
        tallies: By attack and arithmetic; but for "real" one besides, of rounding against the radii of "real".
        breaks: What broke certificates in the arithmetic.
        excess: How a program erred by more than is possible, if it did; the inputs are among the breaks.
        told: Is called when there are more of them, once an attack is through with the images that it has at a time.
    """

    arithmetic: Arithmetic
    missing: str | None = None
    images: int = 0
    correct: int = 0
    certified: int = 0
    standing: int = 0
    tallies: dict[tuple[str, Arithmetic], Tally] = field(default_factory=dict)
    breaks: list[Attacked] = field(default_factory=list)
    excess: str = ""
    told: Callable[[], None] = lambda: None

    @property
    def probes(self) -> int:
        """Perturbed inputs inside certified radii of the arithmetic, over all attacks."""
        return sum(tally.probes for tally in self.tallies.values() if tally.arithmetic == self.arithmetic)

    @property
    def broken(self) -> int:
        """Inputs that lost their answer inside their certified radius, attack by attack."""
        return sum(len(found.labels) for found in self.breaks)

    def add(self, found: Attacked, seconds: float, arithmetic: Arithmetic) -> None:
        """Counts what one attack found in certified balls."""
        tally = self.tallies.setdefault((found.attack, arithmetic), Tally(attack=found.attack, arithmetic=arithmetic))
        tally.inputs += int((found.radii > 0).sum())
        tally.probes += found.tried
        tally.broken += int(found.broken.sum())
        tally.seconds += seconds
        if arithmetic == self.arithmetic and bool(found.broken.any()):
            self.breaks.append(found.chosen(found.broken))
            self.told()

    def exceed(self, error: ProgramError) -> None:
        """Takes note of inputs at which a program errs by too much: attacked where they are, in balls of radius 0."""
        x, none = error.inputs.to(torch.float64), torch.zeros(len(error.inputs), dtype=torch.float64)
        found = Attacked(attack="error", inputs=x, labels=error.labels, radii=none, x=x.clone(), leads=none, tried=0)
        self.breaks.append(found)
        self.excess = error.reason
        self.told()

    def save(self, path: Path, refuted: Promise) -> None:
        """Writes the inputs that were broken, what broke them, their labels and their radii.

        Args:
            path: The file; its folder exists.
            refuted: What they broke; kept in the file's metadata.

        Raises:
            RecordError: The file cannot be written.
        """
        content = {"image": "inputs", "attacked": "x", "label": "labels", "radius": "radii"}
        tensors = {
            name: torch.cat([getattr(found, attribute).cpu() for found in self.breaks]).contiguous()
            for name, attribute in content.items()
        }
        write_tensors(tensors, path, header=refuted.model_dump_json())


@full_precision()
def besiege(
    siege: Siege,
    model: nn.Module,
    data: ImageData,
    *,
    images: int,
    batch_size: int,
    device: torch.device,
    block: int | None = BLOCK,
    restarts: int = 1,
    note: Callable[[str], None] = lambda _: None,
) -> None:
    """Attacks a network on the first test images, in the arithmetic that its radii speak of.

    Args:
        siege: Is added to, so that whatever ends the attack, what was broken until then is known.
        model: The network.
        data: Its test images are attacked.
        images: How many of them.
        batch_size: How many at a time, at most.
        device: Where.
        block: As of `onelip.certified_program`, for "executed".
        restarts: Random starts of each attack.
        note: Is told how far it is.

    Raises:
        ProgramError: The program errs by more than is possible by what its certificate assumes.
        UnsoundError: The network has no proved and finite bound, or its rounding errors are not known.
    """
    certifier = Certifier(model.to(device), data.image, arithmetic=siege.arithmetic, block=block)
    rounded = [certifier]
    if siege.arithmetic != "real":
        rounded.append(Certifier(model, data.image, arithmetic="real"))
    siege.missing = _missing_foolbox()
    size = min(batch_size, LARGEST_BATCH)
    parts = (tensor[:images].split(size) for tensor in (data.test_images, data.test_labels))
    for number, (images_BCHW, labels_B) in enumerate(zip(*parts, strict=True)):
        x, y, seed = data.to_float(images_BCHW.to(device)), labels_B.to(device), number * restarts
        _attack_batch(siege, certifier, x, y, restarts=restarts, seed=seed)
        for which in rounded:
            for start in range(restarts):
                began = time.perf_counter()
                found = rounding_attack(which, x, y, seed=seed + start)
                siege.add(found, time.perf_counter() - began, which.arithmetic)
        note(f"{siege.images} images, {siege.probes} probes")


def _attack_batch(siege: Siege, certifier: Certifier, x: Tensor, y: Tensor, *, restarts: int, seed: int) -> None:
    logits_BK = certifier.logits(x)
    radii_B = certifier.radii_of(logits_BK, x, y)
    correct_B = leads(logits_BK, y).amin(1) > 0
    siege.images += len(x)
    siege.correct += int(correct_B.sum())
    siege.certified += int((radii_B > RADIUS / 255).sum())
    x, y, radii_B = x[correct_B], y[correct_B], radii_B[correct_B]
    radii_RB = torch.stack([radii_B, torch.full_like(radii_B, RADIUS / 255)])
    standing_B, began = torch.ones_like(y, dtype=torch.bool), time.perf_counter()
    for inside, fixed in _attacks(
        certifier, x, y, radii_RB, restarts=restarts, seed=seed, foolbox=siege.missing is None
    ):
        siege.add(inside, time.perf_counter() - began, certifier.arithmetic)
        standing_B &= ~fixed.broken
        began = time.perf_counter()
    siege.standing += int(standing_B.sum())


def _attacks(
    certifier: Certifier, x: Tensor, y: Tensor, radii_RB: Tensor, *, restarts: int, seed: int, foolbox: bool
) -> Iterator[tuple[Attacked, ...]]:
    yield margin_attacks(certifier, x, y, radii_RB, restarts=restarts + 1, seed=seed)
    if foolbox:
        yield from foolbox_attacks(certifier, x, y, radii_RB, restarts=restarts, seed=seed)


def _missing_foolbox() -> str | None:
    try:
        import_foolbox()
    except ImportError as error:
        return str(error)
    return None
