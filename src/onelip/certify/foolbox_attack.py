"""L2 attacks of foolbox (Rauber et al., JOSS 2020), an optional package, run against the certifier.

They only propose: each point that foolbox evaluates goes through the certifier, and counts if it lies inside a ball.
foolbox computes in the type of its inputs, here float64. Its `L2FMNAttack` is not used: in 3.3.4 its projection
multiplies by one, so that the attack never comes closer.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from .balls import Attacked, Balls
from .radius import Certifier


def import_foolbox() -> ModuleType:
    """The package.

    Raises:
        ImportError: It is not installed, or cannot be imported.
    """
    with warnings.catch_warnings():
        # It imports a filter from where SciPy used to have it.
        warnings.filterwarnings("ignore", message=".*scipy.ndimage", category=DeprecationWarning)
        return importlib.import_module("foolbox")


def foolbox_attacks(
    certifier: Certifier, x: Tensor, y: Tensor, radii_RB: Tensor, *, restarts: int = 1, seed: int = 0
) -> Iterator[tuple[Attacked, ...]]:
    """Attacks of minimal norm, and projected gradient descent to the largest of the radii.

    DeepFool, DDN and Carlini-Wagner look for the nearest boundary, whatever the radii; what they find is also moved
    along its direction to the edge of each ball.

    Args:
        certifier: What is attacked.
        x: Inputs that are classified correctly, shape (B, *S).
        y: True classes, shape (B,).
        radii_RB: Radii of the balls around each input, shape (R, B).
        restarts: Random starts of the projected gradient descent; nothing is random in the others.
        seed: Of the random starts.

    Yields:
        For each attack what it found, in each of the R balls around each input.

    Raises:
        ImportError: foolbox cannot be imported.
    """
    package = import_foolbox()
    reach = float(radii_RB.max()) if len(x) else 0.0
    if reach <= 0:
        return
    for name, attack, runs, options in _attacks(package.attacks, reach, restarts):
        balls = Balls(certifier, x, y, radii_RB)
        with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
            torch.manual_seed(seed)
            for _ in range(runs):
                _run(package, attack, balls, reach, options)
        yield tuple(balls.result(name, ball) for ball in range(len(radii_RB)))


def _attacks(kinds: Any, reach: float, restarts: int) -> list[tuple[str, Any, int, dict[str, float]]]:
    """Name, attack, how often to run it, and with what besides."""
    carlini = kinds.L2CarliniWagnerAttack(binary_search_steps=6, steps=40, stepsize=0.03, initial_const=1.0)
    descent = kinds.L2ProjectedGradientDescentAttack(steps=20, rel_stepsize=0.1)
    return [
        # The default overshoot of 2 % would miss a boundary right behind the edge.
        ("foolbox DeepFool", kinds.L2DeepFoolAttack(steps=10, candidates=4, overshoot=1e-3), 1, {}),
        ("foolbox DDN", kinds.DDNAttack(steps=50, init_epsilon=reach), 1, {}),
        ("foolbox Carlini-Wagner", carlini, 1, {}),
        ("foolbox PGD", descent, restarts, {"epsilon": reach}),
    ]


def _run(package: ModuleType, attack: Any, balls: Balls, reach: float, options: dict[str, float]) -> None:
    # Pixels are clipped to bounds, which a certificate does not assume: no point of any ball lies outside of these.
    bounds = float(balls.centre.min()) - reach, float(balls.centre.max()) + reach
    watched = package.PyTorchModel(_Watched(balls).eval(), bounds=bounds, device=balls.centre.device)
    proposed = attack.run(watched, balls.centre, package.Misclassification(balls.y), **options)
    everyone = torch.arange(len(balls.y), device=balls.centre.device)
    for ball in range(len(balls.radii_RB)):
        balls.probe(balls.moved(proposed - balls.centre, everyone, ball, edge=True), everyone)


class _Watched(nn.Module):
    """The certifier's model, which takes note of every batch that it is asked for."""

    def __init__(self, balls: Balls) -> None:
        super().__init__()
        self.balls = balls

    def forward(self, x: Tensor) -> Tensor:
        logits = self.balls.certifier.evaluated(x)
        self.balls.record(x, logits.detach(), torch.arange(len(x), device=x.device))
        return logits
