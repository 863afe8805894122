"""Trained networks under attack: inside every certified radius, where nothing may break, and at one radius for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from onelip.bench.choice import RADIUS
from onelip.bench.data.base import ImageData
from onelip.bench.tensors import write_tensors
from onelip.certify import Arithmetic, Certifier
from onelip.certify.attack import margin_attack
from onelip.certify.radius import leads

BROKEN_NAME = "broken.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Siege:
    """What an attack on a network came to.

    Attributes:
        arithmetic: What the radii speak of; a break of "real" may be rounding, one of "float64" is a fault.
        images: Number of test images that were attacked.
        correct: Of these, the number that are classified correctly.
        certified: Of these, the number with a certified radius above 36/255.
        standing: Of these, the number that are still classified correctly under an attack with that radius.
        probed: The number of images that were attacked inside their own certified radius.
        tried: The number of perturbed images inside certified radii that were evaluated.
        broken: The images that lost their answer inside their certified radius, shape (N, C, H, W).
        attacked: What they were changed to.
    """

    arithmetic: Arithmetic
    images: int
    correct: int
    certified: int
    standing: int
    probed: int
    tried: int
    broken: Tensor
    attacked: Tensor

    def save(self, folder: Path) -> Path:
        """Writes the images that were broken, and what broke them.

        Raises:
            RecordError: The file cannot be written.
        """
        path = folder / BROKEN_NAME
        write_tensors({"image": self.broken, "attacked": self.attacked}, path, header="broken")
        return path


def besiege(
    model: nn.Module,
    data: ImageData,
    *,
    images: int,
    batch_size: int,
    device: torch.device,
    arithmetic: Arithmetic,
    note: Callable[[str], None] = lambda _: None,
) -> Siege:
    """Attacks a network on the first test images, in the arithmetic that its radii speak of.

    Raises:
        UnsoundError: The network has no proved and finite bound, or its rounding errors are not known.
    """
    certifier = Certifier(model.to(device), data.image, arithmetic=arithmetic)
    counts = {"images": 0, "correct": 0, "certified": 0, "standing": 0, "probed": 0, "tried": 0}
    broken: list[Tensor] = []
    attacked: list[Tensor] = []
    parts = (tensor[:images].split(batch_size) for tensor in (data.test_images, data.test_labels))
    for images_BCHW, labels_B in zip(*parts, strict=True):
        x, y = data.to_float(images_BCHW.to(device)), labels_B.to(device)
        radii = certifier.radii(x, y)
        probed = radii > 0
        inside = margin_attack(certifier, x[probed], y[probed], radii[probed])
        fixed = margin_attack(certifier, x, y, torch.full_like(radii, RADIUS / 255))
        lost, fallen = inside.leads <= 0, (fixed.leads <= 0) & (radii > RADIUS / 255)
        broken += [x[probed][lost].double().cpu(), x[fallen].double().cpu()]
        attacked += [inside.x[lost].cpu(), fixed.x[fallen].cpu()]
        counts["images"] += len(x)
        counts["correct"] += int((leads(certifier.logits(x), y).amin(1) > 0).sum())
        counts["certified"] += int((radii > RADIUS / 255).sum())
        counts["standing"] += int((fixed.leads > 0).sum())
        counts["probed"] += int(probed.sum())
        counts["tried"] += inside.tried
        note(f"{counts['images']} images attacked")
    return Siege(arithmetic=arithmetic, **counts, broken=torch.cat(broken), attacked=torch.cat(attacked))
