"""Networks that any method can fill."""

from .convnet import ConvNet as ConvNet
from .sizes import SIZES as SIZES
