"""Losses that reward a margin."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class MarginCrossEntropy(nn.Module):
    """Cross-entropy with the true class's logit lowered by a margin, at a temperature.

    tau * CE((logits - m * onehot(y)) / tau, y), as in "1-Lipschitz Layers Compared" (CVPR 2024, arXiv 2311.16833).

    Args:
        margin: m >= 0, in logits; the default asks for a radius of 72/255 through sqrt(2) r = 2 sqrt(2) 36/255.
        temperature: tau > 0.

    Raises:
        ValueError: If the margin is negative or the temperature is not positive.
    """

    def __init__(self, margin: float = 2 * 2**0.5 * 36 / 255, temperature: float = 0.25) -> None:
        super().__init__()
        if not margin >= 0:
            raise ValueError(f"margin={margin} must be >= 0")
        if not temperature > 0:
            raise ValueError(f"temperature={temperature} must be > 0")
        self.margin, self.temperature = margin, temperature

    def forward(self, logits_BK: Tensor, labels_B: Tensor) -> Tensor:
        """Mean loss over the batch, a scalar.

        Args:
            logits_BK: Shape (B, classes).
            labels_B: Class indices, shape (B,).
        """
        onehot = F.one_hot(labels_B, logits_BK.shape[1]).to(logits_BK.dtype)
        shifted = (logits_BK - self.margin * onehot) / self.temperature
        return self.temperature * F.cross_entropy(shifted, labels_B)

    def extra_repr(self) -> str:
        """Margin and temperature."""
        return f"margin={self.margin:.4f}, temperature={self.temperature}"
