"""The truncated exponential series of skew-symmetric operators: value and proved norm."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor


def exponential_series(matrices: Tensor, degree: int) -> Tensor:
    """sum_{i <= degree} M^i / i! by Horner's rule, shape (..., N, N); `degree` - 1 products."""
    identity = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    result = identity + matrices / degree
    for order in range(degree - 1, 0, -1):
        result = identity + matrices @ result / order
    return result


def _squared_modulus(degree: int) -> list[Fraction]:
    """Coefficients c_j of |p(i t)|^2 = sum_j c_j t^(2 j), p the series of this degree, exactly."""
    cosine = {2 * j: Fraction((-1) ** j, math.factorial(2 * j)) for j in range(degree // 2 + 1)}
    sine = {2 * j + 1: Fraction((-1) ** j, math.factorial(2 * j + 1)) for j in range((degree + 1) // 2)}
    coefficients = [Fraction(0)] * (degree + 1)
    for part in (cosine, sine):
        for first, one in part.items():
            for second, other in part.items():
                coefficients[(first + second) // 2] += one * other
    return coefficients


def exponential_series_bound(norm: float, degree: int, *, intervals: int = 1 << 17) -> float:
    """Proved upper bound of ||sum_{i <= degree} L^i / i!|| over all skew L with ||L|| <= norm.

    A skew L is normal with spectrum i [-norm, norm], so the norm is the largest |p(i t)| there. |p(i t)|^2 is a
    polynomial f in t^2 with known rational coefficients: between two nodes at distance h it exceeds the larger nodal
    value by at most h^2 / 8 max |f''|. Rounding is charged by the sum of absolute terms.
    """
    if not math.isfinite(norm):
        return math.inf
    end = norm * norm * (1 + 1e-15)
    nodes = np.linspace(0.0, end, intervals + 1)
    coefficients = [float(coefficient) for coefficient in _squared_modulus(degree)]
    value = np.polynomial.polynomial.polyval(nodes, coefficients)
    magnitude = sum(abs(c) * end**power for power, c in enumerate(coefficients))
    curvature = sum(abs(c) * power * (power - 1) * end ** max(power - 2, 0) for power, c in enumerate(coefficients))
    rounding = (8 * degree + 16) * 2.0**-53 * magnitude
    between = (end / intervals) ** 2 / 8 * curvature * (1 + 1e-12)
    return float(np.sqrt(np.max(value) + between + rounding) * (1 + 1e-15))
