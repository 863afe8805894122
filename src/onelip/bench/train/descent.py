"""One training step, and what it says about the training so far."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from onelip.bench.records import Recipe
from onelip.bench.train.schedule import one_cycle

Loss = Callable[[Tensor, Tensor], Tensor]
"""Takes logits (B, K) and labels (B,), gives their mean loss."""

NOMINAL_MARGIN = math.sqrt(2) * 36 / 255
"""A lead of the true class above this is certified at 36/255 where the network is exactly 1-Lipschitz."""


class Measured(NamedTuple):
    """What a step found before it changed the weights."""

    loss: float
    accuracy: float
    nominal_cra36: float


class Descent:
    """Stochastic gradient descent with momentum; the learning rate and the momentum follow the one-cycle schedule.

    Args:
        model: All its parameters are trained, all with weight decay.
        loss: What to make small.
        recipe: The schedule's shape, and the weight decay.
    """

    def __init__(self, model: nn.Module, loss: Loss, recipe: Recipe) -> None:
        self.model = model
        self.loss = loss
        self.recipe = recipe
        self.optimizer = torch.optim.SGD(model.parameters(), weight_decay=recipe.weight_decay)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the last step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def step(self, images_BCHW: Tensor, labels_B: Tensor, progress: float) -> Tensor:
        """Takes one step at a point of the schedule.

        Returns:
            (3,), the numbers of `Measured`, left on the device so that nothing waits for them.
        """
        learning_rate, momentum = one_cycle(progress, self.recipe)
        for group in self.optimizer.param_groups:
            group["lr"], group["momentum"] = learning_rate, momentum
        self.optimizer.zero_grad()
        logits_BK = self.model(images_BCHW)
        loss = self.loss(logits_BK, labels_B)
        measured = _measure(loss.detach(), logits_BK.detach(), labels_B)
        torch.autograd.backward(loss)
        self.optimizer.step()
        return measured


def _measure(loss: Tensor, logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    true_B1 = labels_B[:, None]
    others_B = logits_BK.scatter(1, true_B1, -math.inf).amax(1)
    lead_B = logits_BK.gather(1, true_B1)[:, 0] - others_B
    means = [(lead_B > threshold).float().mean() for threshold in (0.0, NOMINAL_MARGIN)]
    return torch.stack([loss.float(), *means])
