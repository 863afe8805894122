"""The unconstrained convolution: the yardstick of every cost, and what a constraint takes away in accuracy."""

from __future__ import annotations

import math

from torch import Tensor, nn

from ..method import ConvShape, Cost, Method, Traits
from ..nn.base import PointwiseLinear, Role, Weights
from ..nn.kernel import WeightKernelConv2d, uniform_bias


class StandardConv2d(WeightKernelConv2d):
    """A plain convolution with torch's default initialisation; its bound is the norm of its kernel, whatever it is."""

    def reset_parameters(self, role: Role = "block") -> None:
        """As `nn.Conv2d` does."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        uniform_bias(self, self.fan_in())

    def kernel(self, raw: Weights) -> Tensor:
        """The parameter itself."""
        return raw[0]


class StandardLinear(PointwiseLinear, StandardConv2d):
    """The unconstrained linear layer."""


def cost(shape: ConvShape) -> Cost:
    """One convolution, no construction."""
    return Cost(training=shape.conv, inference=shape.conv, construction=0)


STANDARD = Method(
    name="standard",
    title="Standard",
    cite="prach2024lipschitz",
    summary="unconstrained convolution, the yardstick",
    conv2d=StandardConv2d,
    linear=StandardLinear,
    cost=cost,
    traits=Traits(constrained=False),
)
