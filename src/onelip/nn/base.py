"""The base of all layers: parameters, construction of weights, memo, forward, bound, freezing.

A layer holds raw parameters. `construct` turns them into weights: a pure function that takes a leading dimension over
layers, so that a network builds all weights of one shape in one call. `apply_weights` uses them. In eval mode every
normalising constant inside a construction is a proved upper bound; in training mode it may be an estimate.

Shapes: B images, I inner input channels, O output channels, H x W image.
"""

from __future__ import annotations

import abc
from collections.abc import Hashable
from typing import Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ..bound import Bound
from ..errors import UnsoundError, UnsupportedShapeError
from ..linalg.autocast import without_autocast
from ..linalg.conv import Image, Padding
from ..linalg.precision import refuse_emulation
from ..linalg.rounding import Computed
from .arguments import one_of, positive
from .memo import Memo
from .modes import eval_mode, in_inference_mode, initialise
from .refusals import checked_dtype, sealed

Weights = tuple[Tensor, ...]
Role = Literal["first", "block", "head"]
KERNEL_SIZES = (1, 3, 5)
STRIDES = (1, 2)
PADDINGS: tuple[Padding, ...] = ("circular", "zeros")


@sealed
class LipschitzModule(nn.Module, abc.ABC):
    """A convolution-like layer whose weights are constructed from raw parameters.

    Stride 2 is a pixel unshuffle by 2, then the stride-1 construction on four times the input channels.

    Args:
        in_channels: Channels of the input images.
        out_channels: Channels of the output images.
        kernel_size: 1, 3 or 5; like stride and dilation also written as a pair of equal numbers.
        stride: 1 or 2; 2 needs images of even height and width.
        padding: "same", the only one.
        padding_mode: "circular" or "zeros"; None takes the one that the method's paper uses.
        groups: 1, the only one.
        dilation: 1, the only one.
        bias: Whether a bias is added to the output (inside the activation for residual layers).
        device: Of the parameters.
        dtype: Of the parameters.

    Raises:
        UnsupportedShapeError: If an argument is not one of the allowed.
    """

    default_padding: ClassVar[Padding] = "circular"
    bias: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        stride: int | tuple[int, int] = 1,
        padding: str = "same",
        padding_mode: Padding | None = None,
        groups: int = 1,
        dilation: int | tuple[int, int] = 1,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = positive("in_channels", in_channels)
        self.out_channels = positive("out_channels", out_channels)
        self.kernel_size = one_of("kernel_size", kernel_size, KERNEL_SIZES)
        self.stride = one_of("stride", stride, STRIDES)
        self.padding = one_of("padding", padding, ("same",))
        one_of("groups", groups, (1,))
        one_of("dilation", dilation, (1,))
        if padding_mode is not None:
            one_of("padding_mode", padding_mode, PADDINGS)
        self.padding_mode: Padding = padding_mode or self.default_padding
        self._memo = Memo()
        factory = {"device": device, "dtype": dtype}
        for name, shape in self.raw_shapes().items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape, **factory)))  # type: ignore[arg-type]
        empty = torch.empty(self.bias_channels if bias else 0, **factory)  # type: ignore[arg-type]
        self.register_parameter("bias", nn.Parameter(empty) if bias else None)
        initialise(self)

    @abc.abstractmethod
    def raw_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the raw parameters, in the order in which `construct` takes them."""

    @abc.abstractmethod
    def reset_parameters(self, role: Role = "block") -> None:
        """Initialises the parameters as the method's paper does for a layer of this role in a network."""

    @abc.abstractmethod
    def construct(self, raw: Weights, image: Image) -> Weights:
        """Weights from raw parameters that are stacked along a leading dimension; pure, differentiable."""

    @abc.abstractmethod
    def apply_weights(self, x_BIHW: Tensor, weights: Weights) -> Tensor:
        """Output images from images that are already unshuffled, given this layer's weights."""

    @abc.abstractmethod
    def realised_bound(self, weights: Weights, image: Image, *, enough: float = 0.0) -> Bound:
        """Proved bound of `apply_weights` with these weights as they are, in exact arithmetic.

        A bound below `enough` needs not be improved; one that this method gave is found enough on any machine.
        """

    def rounding(self, x: Computed, weights: Weights, image: Image, norm: float) -> Computed:
        """What is known of `apply_weights(x, weights)` evaluated in float64; a family writes it, else no certificate.

        Args:
            x: What is known of the input.
            weights: In float64, as they are applied.
            image: Height and width.
            norm: A proved bound of the layer's Lipschitz constant with these weights.

        Raises:
            UnsoundError: If nothing is known.
        """
        raise UnsoundError(
            f"no proved rounding error is known for {type(self).__name__}: write its `rounding`, or ask for radii in "
            'real arithmetic, arithmetic="real"'
        )

    def depends_on_image(self) -> bool:
        """Whether the constructed weights depend on the image size; overridden where they do not."""
        return True

    @property
    def inner_channels(self) -> int:
        """Input channels of the stride-1 construction."""
        return self.in_channels * self.stride**2

    @property
    def bias_channels(self) -> int:
        """Length of the bias."""
        return self.out_channels

    def raw(self) -> Weights:
        """The raw parameters that the weights depend on."""
        return tuple(cast("Tensor", getattr(self, name)) for name in self.raw_shapes())

    def construction_key(self, image: Image) -> Hashable:
        """Layers of equal keys can be constructed in one call on stacked raw parameters.

        A method whose construction depends on further options of a layer adds them to the key.
        """
        first = self.raw()[0]
        shapes = tuple(self.raw_shapes().values())
        options = self.kernel_size, self.stride, self.padding_mode, self.training
        return type(self), shapes, options, image, first.dtype, first.device

    def inner_image(self, image: Image) -> Image:
        """Height and width after the pixel unshuffle of stride 2.

        Raises:
            UnsupportedShapeError: If a side is odd and the stride is 2.
        """
        height, width = image
        if height % self.stride or width % self.stride:
            raise UnsupportedShapeError(f"stride=2 needs an even height and width, not {height}x{width}")
        return height // self.stride, width // self.stride

    def weights(self, image: Image) -> Weights:
        """This layer's weights for inner images of one size, from the memo where it may be used."""
        if in_inference_mode():
            with torch.inference_mode(False), torch.no_grad():
                return self.weights(image)
        kept = self.recall(image)
        if kept is not None:
            return kept
        with without_autocast(self.raw()[0].device):
            stacked = tuple(tensor[None] for tensor in self.raw())
            weights = tuple(tensor[0] for tensor in self.construct(stacked, image))
        return self.remember(weights, image)

    def memo_allowed(self) -> bool:
        """Whether constructed weights may be kept: eager eval mode, and no gradient is asked of the weights."""
        # Inside torch.func transforms tensors are wrappers that die with the transform.
        if self.training or torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None:
            return False
        raw = self.raw()
        plain = all(type(tensor) is nn.Parameter and not tensor.is_inference() for tensor in raw)
        return plain and not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in raw))

    def remember(self, weights: Weights, image: Image) -> Weights:
        """Keeps weights for the next forward where the memo may be used; returns them."""
        # Weights of another class die with the mode that made them.
        if self.memo_allowed() and all(
            type(one) in (Tensor, nn.Parameter) and not one.is_inference() for one in weights
        ):
            self._memo.put(self.raw(), image, weights)
        return weights

    def recall(self, image: Image) -> Weights | None:
        """The kept weights, if they are still those of the present parameters."""
        return self._memo.get(self.raw(), image) if self.memo_allowed() else None

    def forward(self, x_BCHW: Tensor, weights: Weights | None = None) -> Tensor:
        """Applies the layer.

        Args:
            x_BCHW: Images of shape (B, in_channels, H, W), of any height and width (even ones for stride 2).
            weights: This layer's weights where the caller constructed them; else they are constructed here.

        Returns:
            Images of shape (B, out_channels, H / stride, W / stride).
        """
        if x_BCHW.dim() != 4 or x_BCHW.shape[1] != self.in_channels:
            raise UnsupportedShapeError(
                f"expected images of shape (B, {self.in_channels}, H, W), got {tuple(x_BCHW.shape)}"
            )
        image = self.inner_image((x_BCHW.shape[2], x_BCHW.shape[3]))
        if weights is None:
            weights = self.weights(image)
        if self.stride > 1:
            x_BCHW = F.pixel_unshuffle(x_BCHW, self.stride)
        return self.apply_weights(x_BCHW, weights)

    @torch.no_grad()
    def realise(self, image: Image) -> Weights:
        """The weights of eval mode for images of one size, constructed anew from the parameters; reads no memo."""
        with eval_mode(self), without_autocast(self.raw()[0].device):
            stacked = tuple(tensor.detach()[None] for tensor in self.raw())
            return tuple(tensor[0] for tensor in self.construct(stacked, self.inner_image(image)))

    def bound(self, image: Image, *, enough: float = 0.0) -> Bound:
        """Proved upper bound of this layer's Lipschitz constant in eval mode on images of one size.

        The weights are constructed anew in the layer's own dtype, and the operator that they realise is bounded in
        float64; the memo is not read.

        Args:
            image: Height and width of the input images.
            enough: As for `realised_bound`.

        Raises:
            UnsoundError: If the weights are not finite, or the environment has float64 emulated.
        """
        refuse_emulation()
        for name, tensor in self.named_parameters():
            if not bool(torch.isfinite(checked_dtype(tensor, type(self).__name__)).all()):
                raise UnsoundError(f"no bound of {type(self).__name__}: its parameter {name} holds NaN or inf")
        return self.realised_bound(self.realise(image), self.inner_image(image), enough=enough)

    def frozen(self, image: Image) -> nn.Module:
        """An inference module with the weights of eval mode for images of one size; see `onelip.freeze`."""
        from .freeze import FrozenLayer

        return FrozenLayer(self, self.realise(image), image)

    def forget(self) -> None:
        """Drops the kept weights; call it (or `eval()`) after editing parameters through `.data`."""
        self._memo.clear()

    def train(self, mode: bool = True) -> LipschitzModule:
        """Sets training or eval mode and drops the kept weights."""
        self.forget()
        return super().train(mode)

    def _apply(self, *args: Any, **kwargs: Any) -> LipschitzModule:
        self.forget()
        return super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.forget()
        super()._load_from_state_dict(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_memo": Memo()}  # type: ignore[no-untyped-call]

    def extra_repr(self) -> str:
        """The arguments that the layer was made with."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding_mode={self.padding_mode!r}, bias={self.bias is not None}"
        )
