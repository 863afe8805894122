"""The record that a method's file fills in: what it is, what it guarantees, what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .cost import ConvShape, Cost, Theory
from .linalg.conv import Padding
from .nn.base import LipschitzModule
from .nn.linear import PointwiseLinear


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Facts about a method that other code may ask for; never its name.

    Attributes:
        constrained: Every layer is 1-Lipschitz (False only for the yardstick).
        orthogonal: With circular padding and as many output as input channels, the layer keeps norms, of activations
            and of gradients.
        orthogonal_zeros: It does so with zero padding too.
        nonlinear: The layer is not affine: it holds an activation.
        image_bound: The constructed weights depend on the image size.
    """

    constrained: bool = True
    orthogonal: bool = False
    orthogonal_zeros: bool = False
    nonlinear: bool = False
    image_bound: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One way to build 1-Lipschitz layers.

    Attributes:
        name: Key in the command line and in results.
        title: Name in tables.
        stands_for: What the title abbreviates; empty where it is no abbreviation.
        cite: Key in references.bib.
        summary: The construction in one line, for the table of methods.
        conv2d: The convolution.
        linear: The linear layer, with which a network ends.
        cost: The cost formulas.
        traits: Facts that other code may ask for.
        theory: The leading terms of the cost, where they are said.
        slack: How far above 1 the bound of a float32 layer may lie through rounding.
        shrinkage: How far below 1 a singular value of an orthogonal layer may lie, by rounding or by a cut series.
        revision: Raised when results change.
    """

    name: str
    title: str
    cite: str
    summary: str
    conv2d: type[LipschitzModule]
    linear: type[PointwiseLinear]
    cost: Callable[[ConvShape], Cost]
    traits: Traits
    stands_for: str = ""
    theory: Theory | None = None
    slack: float = 1e-6
    shrinkage: float = 1e-6
    revision: int = 1

    @property
    def padding(self) -> Padding:
        """The padding mode that the method's paper uses."""
        return self.conv2d.default_padding
