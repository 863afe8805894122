"""One table of plain modules and their options, which the tests of bounds and of rounding errors both walk."""

from dataclasses import dataclass, field

import torch
from torch import nn

import onelip
from onelip.nn.reshape import FitChannels

THIRD, SLOPE = float(torch.tensor(1 / 3)), float(torch.tensor(-2.7))
"""Numbers that float32 holds, and whose products round."""


@dataclass
class Case:
    """A module, and what is claimed of it."""

    module: nn.Module
    shape: tuple[int, ...] = (2, 6, 5)
    exact: bool = True  # the bound is the constant: a search comes within 1 %
    rounds: bool | None = False  # None: the errors are not known, and float64 is refused
    kinks: tuple[float, ...] = (0.0,)
    derivative: float = 1e-12  # relative error of torch's derivative
    name: str = field(init=False)

    def __post_init__(self):
        options = self.module.extra_repr().replace(" ", "").replace("\n", "")
        self.name = f"{type(self.module).__name__}({options})-{'x'.join(map(str, self.shape))}"


def prelu(*slopes):
    module = nn.PReLU(len(slopes))
    module.weight.data = torch.tensor(slopes)
    return module


def batch_norm(kind, channels, **options):
    torch.manual_seed(channels)
    module = kind(channels, eps=2.0**-16, **options)
    module.running_mean.normal_(std=3.0)
    module.running_var.uniform_(0.01, 4.0)
    for tensor in module.parameters():
        nn.init.normal_(tensor)
    return module.eval()


def conv(channels, size):
    torch.manual_seed(size)
    return nn.Conv2d(channels, channels, size, padding=size // 2)


VECTOR, MAP, ODD = (6,), (2, 6, 5), (1, 7, 7)

POINTWISE = [
    Case(nn.Identity()),
    Case(nn.ReLU(inplace=True)),
    Case(onelip.Abs(), VECTOR),
    Case(onelip.MaxMin(), (5,)),
    Case(onelip.GroupSort(3), VECTOR),
    Case(nn.Dropout(0.5), VECTOR),
    Case(nn.Dropout1d(0.5), (2, 3)),
    Case(nn.Dropout2d(0.5)),
    Case(nn.AlphaDropout(0.5), VECTOR),
    Case(nn.ReLU6(), kinks=(0.0, 6.0)),
    Case(nn.LeakyReLU(THIRD, inplace=True), rounds=True),
    Case(nn.LeakyReLU(SLOPE), VECTOR, rounds=True),
    Case(prelu(THIRD), rounds=True),
    Case(prelu(SLOPE, 0.5), rounds=True),
    Case(nn.Hardtanh(), kinks=(-1.0, 1.0)),
    Case(nn.Hardtanh(1.0, 2.0), kinks=(1.0, 2.0)),
    Case(nn.Hardtanh(-3.0, -0.5), VECTOR, kinks=(-3.0, -0.5)),
    Case(nn.Softshrink(THIRD), rounds=True, kinks=(-THIRD, THIRD)),
    Case(nn.Softshrink(0.0), VECTOR),
    Case(nn.Softsign(), rounds=True),
    Case(nn.ELU(), rounds=None),
    Case(nn.ELU(3.0), VECTOR, rounds=None),
    Case(nn.ELU(-2.0), VECTOR, rounds=None),
    Case(nn.CELU(0.3), VECTOR, rounds=None),
    Case(nn.SELU(), VECTOR, rounds=None),
    Case(nn.Softplus(), VECTOR, rounds=None, kinks=(0.0, 20.0)),
    Case(nn.Softplus(3.0), VECTOR, rounds=None, kinks=(0.0, 20 / 3)),
    Case(nn.Tanh(), VECTOR, rounds=None),
    Case(nn.Tanhshrink(), VECTOR, rounds=None),
    Case(nn.Sigmoid(), VECTOR, rounds=None),
    Case(nn.LogSigmoid(), VECTOR, rounds=None),
    Case(nn.Hardsigmoid(), VECTOR, rounds=None, kinks=(-3.0, 3.0), derivative=1e-7),  # torch's holds a float32 1/6
    Case(nn.Hardswish(), VECTOR, rounds=None, kinks=(-3.0, 3.0)),
]

POOLING = [
    Case(nn.MaxPool2d(2)),
    Case(nn.MaxPool2d(3, 2, 1)),
    Case(nn.MaxPool2d(3, 1), ODD),
    Case(nn.MaxPool2d((3, 2), (1, 2), (1, 0))),
    Case(nn.MaxPool2d(2, 3), ODD),
    Case(nn.MaxPool2d(3, 2, ceil_mode=True)),
    Case(nn.MaxPool2d(3, 1, dilation=2), ODD),
    Case(nn.MaxPool2d(2, 1, dilation=3), ODD),
    Case(nn.MaxPool2d((3, 2), 2, 1, (1, 2), ceil_mode=True), ODD),
    Case(nn.MaxPool2d(5, 4, 2), ODD),
    Case(nn.AvgPool2d(2), rounds=True),
    Case(nn.AvgPool2d(3, 1), ODD, rounds=True),
    Case(nn.AvgPool2d(3, 1, 1), rounds=True),
    Case(nn.AvgPool2d(3, 1, 1, count_include_pad=False), ODD, rounds=True),
    Case(nn.AvgPool2d(3, 2, 1, ceil_mode=True), rounds=True),
    Case(nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), rounds=True),
    Case(nn.AvgPool2d(3, 2, ceil_mode=True), rounds=True),
    Case(nn.AvgPool2d((3, 2), (2, 1), (1, 0)), ODD, rounds=True),
    Case(nn.AvgPool2d(3, 2, divisor_override=-5), ODD, rounds=True),
    Case(nn.AvgPool2d(2, 3), ODD, rounds=True),
    Case(nn.LPPool2d(2, 2), rounds=None),
    Case(nn.LPPool2d(2, 3, 1), ODD, rounds=None),
    Case(nn.LPPool2d(2, (3, 2), (2, 1), ceil_mode=True), ODD, rounds=None),
    Case(nn.AdaptiveAvgPool2d(1), rounds=True),
    Case(nn.AdaptiveAvgPool2d((3, None)), rounds=True),
    Case(nn.AdaptiveMaxPool2d((2, 1))),
    Case(nn.AdaptiveMaxPool2d((None, 5))),
]

RESHAPES = [
    Case(nn.Flatten()),
    Case(nn.Unflatten(1, (2, -1)), VECTOR),
    Case(nn.Unflatten(-1, (5, 1))),
    Case(nn.PixelUnshuffle(2), (2, 4, 6)),
    Case(nn.PixelShuffle(2), (8, 2, 3)),
    Case(nn.ChannelShuffle(3), (6, 2, 2)),
    Case(nn.ZeroPad2d(1)),
    Case(nn.ZeroPad2d((2, 0, -1, 3))),
    Case(nn.ZeroPad2d((-1, -2, -3, -1))),
    Case(FitChannels(3)),
    Case(FitChannels(1)),
]

AFFINE = [
    Case(onelip.Center([0.3, 7.7]), rounds=True),
    Case(onelip.Normalize([0.3, 0.7]), rounds=True),
    Case(onelip.Normalize([40.0, 17.0]), rounds=True),
    Case(batch_norm(nn.BatchNorm2d, 2), rounds=True),
    Case(batch_norm(nn.BatchNorm2d, 4, affine=False), (4, 3, 2), rounds=True),
    Case(batch_norm(nn.BatchNorm1d, 6), VECTOR, rounds=True),
    Case(batch_norm(nn.BatchNorm1d, 3), (3, 4), rounds=True),
    Case(nn.Linear(6, 4), VECTOR, rounds=True),
    Case(conv(2, 3), exact=False, rounds=True),
]

SUMS = [
    Case(onelip.Sum(nn.Identity(), nn.Identity())),
    Case(onelip.Sum(nn.Identity(), nn.ReLU(inplace=True))),
    Case(onelip.Sum(nn.Identity(), nn.Hardtanh(-THIRD, THIRD)), rounds=True, kinks=(-THIRD, THIRD)),
    Case(onelip.Sum(nn.ReLU(inplace=True), nn.Identity(), weights=(THIRD, -0.5)), exact=False, rounds=True),
    Case(onelip.Sum(nn.Identity(), nn.LeakyReLU(THIRD), nn.Hardtanh(1, 2), weights=(0.1, 0.7, 0.2)), rounds=True),
    Case(onelip.Sum(nn.Identity(), conv(2, 3), weights=(THIRD, 1)), exact=False, rounds=True),
    Case(onelip.Sum(nn.MaxPool2d(2), nn.AvgPool2d(2), weights=(0.5, 0.5)), exact=False, rounds=True),
    Case(onelip.Sum(nn.Identity(), nn.Tanh(), weights=(0.5, 0.5)), VECTOR, rounds=None),
    Case(onelip.Sum(nn.Sequential(nn.ReLU(), onelip.Sum(nn.Identity(), weights=(SLOPE,)))), rounds=True),
]

CASES = [*POINTWISE, *POOLING, *RESHAPES, *AFFINE, *SUMS]
