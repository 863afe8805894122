"""Weighted sums of branches, such as residual connections."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from ..errors import UnsupportedShapeError


class Sum(nn.Module):
    """The sum of what several modules make of one input, y = sum_i w_i f_i(x).

    Its Lipschitz constant is at most `sum_i |w_i| L_i`: `Sum(nn.Identity(), f)` is a residual connection, of constant 2
    for a 1-Lipschitz f; `Sum(nn.Identity(), f, weights=(0.5, 0.5))` stays 1-Lipschitz.

    Args:
        branches: The modules; their outputs must have one shape, nothing is broadcast.
        weights: One finite number per branch; ones by default. They are options of the module, not parameters.

    Raises:
        ValueError: If there is no branch, or the weights are not one finite number per branch.

    >>> import torch
    >>> Sum(nn.Identity(), nn.ReLU(), weights=(1.0, -0.5))(torch.tensor([[-2.0, 2.0]]))
    tensor([[-2.,  1.]])
    """

    def __init__(self, *branches: nn.Module, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        if not branches:
            raise ValueError("Sum needs at least one branch")
        numbers = tuple(float(weight) for weight in ((1.0,) * len(branches) if weights is None else weights))
        if len(numbers) != len(branches) or not all(map(math.isfinite, numbers)):
            raise ValueError(f"weights={numbers} must be one finite number for each of {len(branches)} branches")
        self.branches = nn.ModuleList(branches)
        self.weights = numbers

    def forward(self, x: Tensor) -> Tensor:
        """The sum, of the shape that each branch gives.

        Raises:
            UnsupportedShapeError: If two branches give different shapes.
        """
        total: Tensor | None = None
        last = len(self.weights) - 1
        for index, (branch, weight) in enumerate(zip(self.branches, self.weights, strict=True)):
            # A copy: a branch that works in place would change the input of the next ones, or what Identity passed on.
            term = branch(x if index == last else x.clone())
            term = term if weight == 1 else weight * term
            total = term if total is None else total + same_shape(term, total)
        assert total is not None
        return total

    def extra_repr(self) -> str:
        """The weights."""
        return f"weights={self.weights}"


def same_shape(term: Tensor, total: Tensor) -> Tensor:
    """The term, if it has the shape of the total.

    Raises:
        UnsupportedShapeError: If it has not: torch would broadcast.
    """
    if term.shape != total.shape:
        raise UnsupportedShapeError(f"branches of a Sum give shapes {tuple(total.shape)} and {tuple(term.shape)}")
    return term
