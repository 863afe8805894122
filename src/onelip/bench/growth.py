"""How the time of one layer grows with the batch, the image, the channels and the kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timezone

import torch
from torch import Tensor

from onelip.bench.failure import failure
from onelip.bench.formula import exponents
from onelip.bench.measure.machine import describe_machine
from onelip.bench.measure.timing import interleave
from onelip.bench.report.growth import GrowthFailure, GrowthPoint, GrowthRecord, Quantity, Variable
from onelip.bench.selection import method_info
from onelip.bench.theory import complexity
from onelip.cost import ConvShape
from onelip.linalg.precision import full_precision
from onelip.method import Method
from onelip.nn.base import Weights

Ranges = dict[Variable, tuple[int, ...]]

BASE = ConvShape(batch=16, height=16, width=16, in_channels=64, out_channels=64, kernel_size=3, padding="zeros")
RANGES: Ranges = {
    "batch": (8, 16, 32, 64, 128),
    "side": (8, 16, 32, 64),
    "channels": (16, 32, 64, 128, 256),
    "kernel": (3, 5),
}
"""No tensor of images exceeds 2**24 bytes: larger ones may be memory that the system hands out page by page in every
call, which is no property of a method."""
SMALL: Ranges = {"batch": (1, 2), "side": (4, 8), "channels": (2, 4), "kernel": (3, 5)}
"""For a trial."""
WARMUP = 2

Note = Callable[[str], None]


def varied(base: ConvShape, variable: Variable, value: int) -> ConvShape:
    """The base with one number changed."""
    if variable == "batch":
        return replace(base, batch=value)
    if variable == "side":
        return replace(base, height=value, width=value)
    if variable == "channels":
        return replace(base, in_channels=value, out_channels=value)
    return replace(base, kernel_size=value)


@full_precision()
def measure_growth(
    methods: Iterable[Method],
    device: torch.device,
    *,
    base: ConvShape = BASE,
    ranges: Ranges = RANGES,
    rounds: int,
    note: Note = lambda _: None,
) -> GrowthRecord:
    """Times one layer of each method, in training mode, at the base and with each number changed in turn.

    Two things are timed: the forward pass of a batch, weights given, and the construction of the weights. All values of
    a variable are timed in turn, so that a drift of the machine does not look like growth.

    A method that fails at one of them has no points, and its reason stands in the record.

    Args:
        methods: What is measured; each with the padding of its paper.
        device: Where.
        base: The shape from which one number at a time departs.
        ranges: The values of each.
        rounds: Samples of each point.
        note: Is told what is measured next.
    """
    started = datetime.now(timezone.utc)
    points: list[GrowthPoint] = []
    failures = []
    for method in methods:
        found = []
        try:
            for variable, values in ranges.items():
                note(f"{method.title}: {variable}")
                shapes = {value: replace(varied(base, variable, value), padding=method.padding) for value in values}
                found += _points(method, variable, shapes, device, rounds)
        except Exception as error:  # noqa: BLE001  # one method's failure must not end the session
            failures.append(GrowthFailure(method=method_info(method), message=failure(error)[1]))
            continue
        points += found
    return GrowthRecord(
        machine=describe_machine(device),
        started=started.isoformat(timespec="seconds"),
        base={"batch": base.batch, "side": base.height, "channels": base.in_channels, "kernel": base.kernel_size},
        points=tuple(points),
        failures=tuple(failures),
    )


def _points(
    method: Method, variable: Variable, shapes: dict[int, ConvShape], device: torch.device, rounds: int
) -> list[GrowthPoint]:
    layers = {value: _Layer(method, shape, device) for value, shape in shapes.items()}
    quantities: tuple[Quantity, ...] = ("forward", "construction") if method.traits.constrained else ("forward",)
    points = []
    for quantity in quantities:
        calls = {str(value): getattr(layer, quantity) for value, layer in layers.items()}
        samples = interleave(calls, rounds=rounds, warmup=WARMUP, device=device)
        for value, shape in shapes.items():
            cost = method.cost(shape)
            points.append(
                GrowthPoint(
                    method=method_info(method),
                    quantity=quantity,
                    variable=variable,
                    value=value,
                    seconds=samples[str(value)],
                    macs=cost.training if quantity == "forward" else cost.construction,
                    theory=published_exponent(method, quantity, variable),
                )
            )
    return points


def published_exponent(method: Method, quantity: Quantity, variable: Variable) -> float | None:
    """The power of a variable in the published table; None where the method has no row there."""
    row = complexity(method)
    if row is None:
        return None
    text = row.input_macs if quantity == "forward" else row.parameter_macs
    return float(exponents(text)[{"batch": "b", "side": "s", "channels": "c", "kernel": "k"}[variable]])


class _Layer:
    """One layer in training mode, a batch of images, and the weights."""

    def __init__(self, method: Method, shape: ConvShape, device: torch.device) -> None:
        torch.manual_seed(0)
        self._image = shape.height, shape.width
        channels = shape.in_channels, shape.out_channels
        self._layer = method.conv2d(*channels, shape.kernel_size, padding_mode=shape.padding, device=device).train()
        for parameter in self._layer.parameters():
            # Identity kernels, as some methods begin with, are decomposed faster than any that are trained.
            parameter.data.add_(torch.randn_like(parameter), alpha=0.01)
        self._raw = tuple(tensor.detach()[None] for tensor in self._layer.raw())
        self._x_BIHW = torch.rand(shape.batch, shape.in_channels, *self._image, device=device)
        self._x_BIHW = self._x_BIHW.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            self._weights: Weights = tuple(tensor[0] for tensor in self.construction())

    @torch.no_grad()
    def forward(self) -> Tensor:
        """The batch's way through the layer."""
        y: Tensor = self._layer(self._x_BIHW, self._weights)
        return y

    @torch.no_grad()
    def construction(self) -> Weights:
        """The layer's weights, in a stack of one."""
        return self._layer.construct(self._raw, self._image)
