"""The unconstrained convolution: the yardstick of every cost, and what a constraint takes away in accuracy."""

from __future__ import annotations

from torch import Tensor, nn

from ..cost import ConvShape, Cost, Theory, convolution_memory
from ..linalg.conv import Image
from ..method import Method, Traits
from ..nn.base import Role, Weights
from ..nn.kernel import WeightKernelConv2d, uniform_bias
from ..nn.linear import PointwiseLinear
from ..nn.refusals import sealed


@sealed
class StandardConv2d(WeightKernelConv2d):
    """A plain convolution; its bound is the norm of its kernel, whatever it is."""

    def reset_parameters(self, role: Role = "block") -> None:
        """Normal weights of variance 1 / fan-in, which keep the norm of activations as MaxMin does; bias uniform.

        The default of `nn.Conv2d` shrinks them by sqrt(3) per layer: a deep network without normalisation never learns.
        """
        nn.init.kaiming_normal_(self.weight, nonlinearity="linear")
        uniform_bias(self, self.fan_in())

    def kernel(self, raw: Weights) -> Tensor:
        """The parameter itself."""
        return raw[0]

    def recall(self, image: Image) -> Weights | None:
        """The parameters themselves, which need no construction and no second place in memory."""
        own = type(self).kernel is StandardConv2d.kernel and type(self).construct is StandardConv2d.construct
        return self.raw() if own else super().recall(image)


class StandardLinear(PointwiseLinear, StandardConv2d):
    """The unconstrained linear layer."""


def cost(shape: ConvShape) -> Cost:
    """One convolution, no construction."""
    memory = convolution_memory(shape, construction=0, weights=0)
    return Cost(training=shape.conv, inference=shape.conv, construction=0, memory=memory)


THEORY = Theory(
    training="C",
    inference="C",
    construction="0",
    training_memory="M",
    construction_memory="0",
    inference_memory="2M",
    weights_memory="0",
    departs="The kernel is the parameter itself: it takes no memory besides.",
)


STANDARD = Method(
    name="standard",
    title="Standard",
    cite="prach2024lipschitz",
    summary="unconstrained convolution, the yardstick",
    conv2d=StandardConv2d,
    linear=StandardLinear,
    cost=cost,
    traits=Traits(constrained=False),
    theory=THEORY,
)
