"""BCOP, block convolution orthogonal parameterisation: Li et al., NeurIPS 2019, arXiv 1911.00937.

K = H * Box(P_1, Q_1) * ... * Box(P_{k-1}, Q_{k-1}) by block convolution, where
Box(P, Q) = [[P Q, P (I - Q)], [(I - P) Q, (I - P) (I - Q)]] is the composition of a vertical convolution with taps
(P, I - P) and a horizontal one with taps (Q, I - Q); P and Q are symmetric projectors of rank c // 2. Each factor keeps
norms with circular padding (Theorem 1 there), so K does where out_channels >= in_channels, and its transpose otherwise.

H and the frames F of the projectors P = F F^T are polar factors of free matrices: the limit of the Bjorck iterations
that the paper runs. The boxes act on the input channels.

Shapes: O output, I input channels, R = I // 2 the rank of the projectors, K x K kernels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ..cost import ConvShape, Cost, Theory, convolution_memory
from ..linalg.norms import contract
from ..linalg.orthogonal import polar
from ..method import Method, Traits
from ..nn.base import Role, Weights
from ..nn.kernel import KernelConv2d, orthogonal_, uniform_bias
from ..nn.linear import PointwiseLinear


def compose_with_projector(kernel_OIKL: Tensor, frame_IR: Tensor, axis: int) -> Tensor:
    """Composes a kernel with a two-tap convolution (P, I - P) along one axis, P = F F^T; it grows by one there.

    Args:
        kernel_OIKL: Kernels of shape (..., O, I, K, L).
        frame_IR: Frames with orthonormal columns, shape (..., I, R).
        axis: -2 (vertical) or -1 (horizontal).
    """
    taps_KLOI = kernel_OIKL.movedim((-2, -1), (-4, -3))
    frame = frame_IR[..., None, None, :, :]
    projected = ((taps_KLOI @ frame) @ frame.mT).movedim((-4, -3), (-2, -1))
    before, after = ((0, 1), (1, 0)) if axis == -1 else ((0, 0, 0, 1), (0, 0, 1, 0))
    return F.pad(projected, before) + F.pad(kernel_OIKL - projected, after)


def bcop_kernel(orthogonal_OI: Tensor, frames_SIR: Tensor) -> Tensor:
    """The kernel from a semi-orthogonal matrix and 2 (K - 1) frames, shape (..., O, I, K, K)."""
    kernel = orthogonal_OI[..., None, None]
    for index in range(frames_SIR.shape[-3]):
        kernel = compose_with_projector(kernel, frames_SIR[..., index, :, :], axis=-2 if index % 2 == 0 else -1)
    return kernel


class BCOPConv2d(KernelConv2d):
    """Orthogonal convolution by block composition; any numbers of channels."""

    matrix: nn.Parameter
    frames: nn.Parameter

    def raw_shapes(self) -> dict[str, tuple[int, ...]]:
        """The free matrix of H, and the free frames of the projectors (none for 1x1 kernels)."""
        shapes: dict[str, tuple[int, ...]] = {"matrix": (self.out_channels, self.inner_channels)}
        if self.kernel_size > 1 and self.inner_channels > 1:
            shapes["frames"] = (2 * (self.kernel_size - 1), self.inner_channels, self.inner_channels // 2)
        return shapes

    def reset_parameters(self, role: Role = "block") -> None:
        """Random orthogonal matrices, bias uniform."""
        for tensor in self.raw():
            orthogonal_(tensor)
        uniform_bias(self, self.inner_channels)

    def kernel(self, raw: Weights) -> Tensor:
        """The kernel.

        In eval mode it is made in float64, where contracting every polar factor costs no more than rounding, so that
        the kernel that is rounded in the end keeps norms up to that one rounding.
        """
        if self.training:
            return self._compose([polar(tensor) for tensor in raw])
        return self._compose([contract(polar(tensor.to(torch.float64))) for tensor in raw]).to(raw[0].dtype)

    def _compose(self, factors: list[Tensor]) -> Tensor:
        if len(factors) == 2:
            return bcop_kernel(factors[0], factors[1])
        half = self.kernel_size // 2
        return F.pad(factors[0][..., None, None], (half, half, half, half))


class BCOPLinear(PointwiseLinear, BCOPConv2d):
    """Orthogonal linear layer (Bjorck's, by its limit)."""


def cost(shape: ConvShape) -> Cost:
    """One convolution; construction is the polar factors and the products with the frames."""
    rows, columns, size = shape.out_channels, shape.in_channels, shape.kernel_size
    rank, small = columns // 2, min(rows, columns)
    construction = (8 + 1) * rows * columns * small
    kept = (rows + columns) * small + shape.kernel
    if rank:
        construction += 2 * (size - 1) * (8 + 1) * columns * rank**2
        taps = sum(side * side + (side + 1) * side for side in range(1, size))
        construction += taps * 2 * rows * columns * rank
        kept += 2 * (size - 1) * (2 * columns + rank) * rank + taps * rows * (columns + rank)
    memory = convolution_memory(shape, construction=kept, weights=shape.kernel)
    return Cost(training=shape.conv, inference=shape.conv, construction=construction, memory=memory)


THEORY = Theory(
    training="C",
    inference="C",
    construction="9 c^3 (k+1)/2 + c^3 (k-1) k (4k+1)/6",
    training_memory="M",
    construction_memory="2c^2 + 5c^2 (k-1)/2 + c^2 (k-1) k (4k+1)/4 + P",
    inference_memory="2M",
    weights_memory="P",
    departs="One decomposition in place of t iterations, and projectors by frames of c x c/2.",
    iterations=(("t", 20),),
)


BCOP = Method(
    name="bcop",
    title="BCOP",
    stands_for="block convolution orthogonal parameterization",
    cite="li2019preventing",
    summary="orthogonal kernel composed of a matrix and pairs of projectors",
    conv2d=BCOPConv2d,
    linear=BCOPLinear,
    cost=cost,
    traits=Traits(orthogonal=True),
    theory=THEORY,
)
