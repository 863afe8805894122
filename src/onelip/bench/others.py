"""Other networks to hold the methods' costs against: plain torch, and the layers of other libraries.

All have the structure of `ConvNet` with circular padding, which is these libraries' common ground.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata

import torch
from torch import Tensor, nn

from onelip.bench.selection import yardstick
from onelip.bench.subject import Workload
from onelip.errors import OnelipError
from onelip.models import ConvNet
from onelip.nn.activations import MaxMin
from onelip.nn.base import LipschitzModule
from onelip.nn.linear import PointwiseLinear
from onelip.nn.reshape import Center

Builder = Callable[..., nn.Module]
"""Called with input channels, output channels and, for a convolution, the kernel's side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """Layers that are not ours.

    Attributes:
        name: For scripts.
        title: For people.
        package: The distribution that has them.
        conv2d: Imports the package and gives the convolution.
        linear: Imports the package and gives the linear layer.
    """

    name: str
    title: str
    package: str
    conv2d: Callable[[], Builder]
    linear: Callable[[], Builder]

    @property
    def version(self) -> str | None:
        """The installed version of the package, None where it is not installed."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None

    def network(self, workload: Workload) -> nn.Sequential:
        """The network of `ConvNet` made of these layers."""
        with torch.device("meta"):
            like = ConvNet(
                yardstick(()),
                size=workload.size,
                classes=workload.classes,
                image=workload.image,
                kernel_size=workload.kernel_size,
                padding="circular",
            )
        conv2d, linear = self.conv2d(), self.linear()
        return nn.Sequential(*(_replaced(module, conv2d, linear) for module in like if not isinstance(module, Center)))


class PlainMaxMin(nn.Module):
    """MaxMin of neighbouring channels as one would write it."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Larger and smaller of each pair, side by side."""
        first, second = x_BCHW.unflatten(1, (-1, 2)).unbind(2)
        return torch.stack([torch.maximum(first, second), torch.minimum(first, second)], dim=2).flatten(1, 2)


def _replaced(module: nn.Module, conv2d: Builder, linear: Builder) -> nn.Module:
    if isinstance(module, MaxMin):
        return PlainMaxMin()
    if isinstance(module, PointwiseLinear):
        return linear(module.in_channels, module.out_channels)
    if isinstance(module, LipschitzModule):
        return conv2d(module.in_channels, module.out_channels, module.kernel_size)
    return module


def _same_size(conv2d: Builder) -> Builder:
    """Convolutions that keep the size of an image, with circular padding."""
    return lambda inputs, outputs, size: conv2d(inputs, outputs, size, padding=size // 2, padding_mode="circular")


def _aoc() -> Builder:
    from orthogonium.layers.conv.AOC import AdaptiveOrthoConv2d

    return _same_size(AdaptiveOrthoConv2d)


def _aol() -> Builder:
    from orthogonium.layers.conv.AOL import AOLConv2D

    return _same_size(AOLConv2D)


def _orthogonium_linear() -> Builder:
    from orthogonium.layers import OrthoLinear

    return OrthoLinear


def _torchlip() -> Builder:
    from deel.torchlip import SpectralConv2d

    return _same_size(SpectralConv2d)


def _torchlip_linear() -> Builder:
    from deel.torchlip import SpectralLinear

    return SpectralLinear


PLAIN = Other(
    name="plain",
    title="plain torch",
    package="torch",
    conv2d=lambda: _same_size(nn.Conv2d),
    linear=lambda: nn.Linear,
)
"""What a user of torch writes: `nn.Conv2d(padding_mode="circular")`, contiguous, eager."""

PEERS = (
    Other(
        name="orthogonium-aoc",
        title="orthogonium AOC",
        package="orthogonium",
        conv2d=_aoc,
        linear=_orthogonium_linear,
    ),
    Other(
        name="orthogonium-aol",
        title="orthogonium AOL",
        package="orthogonium",
        conv2d=_aol,
        linear=_orthogonium_linear,
    ),
    Other(
        name="torchlip",
        title="deel-torchlip",
        package="deel-torchlip",
        conv2d=_torchlip,
        linear=_torchlip_linear,
    ),
)
"""Layers of other libraries, as they are shipped; in eval mode some construct their weights anew in every step."""


def installed(others: Iterable[Other]) -> tuple[tuple[Other, ...], tuple[str, ...]]:
    """Those whose package is installed, and the packages that are not.

    Raises:
        OnelipError: None is.
    """
    others = tuple(others)
    there = tuple(other for other in others if other.version is not None)
    if not there:
        raise OnelipError('no other library is installed; pip install "onelip[peers]"')
    return there, tuple(dict.fromkeys(other.package for other in others if other not in there))
