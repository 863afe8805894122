"""A network under measurement: the work that a training step, an inference step and a construction do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from onelip.bench.measure.flops import count_macs
from onelip.bench.measure.memory import peak_bytes
from onelip.bench.records import KernelSize
from onelip.errors import OnelipError
from onelip.linalg.conv import Padding
from onelip.method import Method
from onelip.models import ConvNet
from onelip.nn.base import Weights
from onelip.nn.loss import MarginCrossEntropy

LEARNING_RATE = 1e-3
"""Small, so that the measured steps change little; the time of a step does not depend on it."""

STEPS_TO_SETTLE = 2
"""After these the optimiser has its buffers and libraries have chosen their algorithms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What all measured networks of a session have in common.

    Attributes:
        size: Of the network: a name or a width.
        image: Shape (C, H, W).
        classes: Number of logits.
        batch_size: Images per step.
        device: Where it is measured.
        kernel_size: Of all blocks but the last.
        low_precision: Train with activations in bfloat16; weights are constructed in float32 all the same.
        compiled: Train the network and its loss as torch.compile makes and fuses them.
    """

    size: str
    image: tuple[int, int, int]
    classes: int
    batch_size: int
    device: torch.device
    kernel_size: KernelSize = 3
    low_precision: bool = False
    compiled: bool = False


def planned_network(method: Method, padding: Padding, workload: Workload) -> ConvNet | None:
    """Builds a network without memory for its weights, to find out beforehand whether it can be built.

    Returns:
        The network; None where a method raises anything else, perhaps only without memory: that becomes the record of
        its run.

    Raises:
        OnelipError: The network does not take the images, or the method does not take the network's layers.
    """
    try:
        with torch.device("meta"):
            return _network(method, padding, workload)
    except OnelipError as error:
        image = "x".join(map(str, workload.image))
        raise type(error)(f"{method.title}, size {workload.size}, images {image}: {error}") from error
    except Exception:  # noqa: BLE001  # foreign methods may raise anything
        return None


class Trained:
    """A network, random images, and an optimiser.

    Args:
        model: Logits of images.
        workload: Images and device.
    """

    def __init__(self, model: nn.Module, workload: Workload) -> None:
        device, classes = workload.device, workload.classes
        self.device, self.batch_size = device, workload.batch_size
        self.model = model.to(device)
        self._autocast = torch.autocast(device.type, torch.bfloat16, enabled=workload.low_precision)
        self._images_BCHW = torch.rand(workload.batch_size, *workload.image).to(device)
        self._labels_B = torch.randint(classes, (workload.batch_size,)).to(device)
        objective = _objective(self.model, self._images_BCHW, self._labels_B)
        self._objective = torch.compile(objective, dynamic=False, fullgraph=True) if workload.compiled else objective
        self._optimizer = torch.optim.SGD(self.model.parameters(), lr=LEARNING_RATE, momentum=0.9)

    def train_step(self) -> None:
        """Forward, loss, backward and optimiser on one batch."""
        self.find_gradients()
        self.update()

    def find_gradients(self) -> None:
        """Forward, loss and backward on one batch."""
        self._optimizer.zero_grad()
        with self._autocast:
            loss = self._objective()
        torch.autograd.backward(loss)

    def update(self) -> None:
        """The optimiser's step."""
        self._optimizer.step()

    @torch.no_grad()
    def infer(self) -> Tensor:
        """Forward pass of one batch."""
        logits: Tensor = self.model(self._images_BCHW)
        return logits

    @torch.no_grad()
    def infer_one(self) -> Tensor:
        """Forward pass of a single image."""
        logits: Tensor = self.model(self._images_BCHW[:1])
        return logits

    def to_training(self) -> None:
        """Training mode, in the steady state."""
        self.model.train()
        for _ in range(STEPS_TO_SETTLE):
            self.train_step()

    def to_inference(self) -> list[Tensor]:
        """Eval mode without gradients and optimiser state; returns what lies in memory besides."""
        self._optimizer.zero_grad()
        self._optimizer.state.clear()
        self.model.eval()
        return []

    def train_bytes(self) -> int:
        """Peak memory of a training step."""
        self.to_training()
        states = (state.values() for state in self._optimizer.state.values())
        momenta = [value for value in chain.from_iterable(states) if isinstance(value, Tensor)]
        alive = [*self._resident(), *momenta, self._labels_B]
        return peak_bytes(self.train_step, device=self.device, alive=alive)

    def inference_bytes(self) -> int:
        """Peak memory of an inference step; raw parameters and constructed weights both lie in memory."""
        alive = [*self._resident(), *self.to_inference()]
        self.infer()
        return peak_bytes(self.infer, device=self.device, alive=alive)

    def counted_forward_macs(self) -> int:
        """Multiply-accumulates of an inference step, counted; the network is in eval mode."""
        return count_macs(self.infer)

    def _resident(self) -> list[Tensor]:
        return [*self.model.parameters(), *self.model.buffers(), self._images_BCHW]


class Subject(Trained):
    """The network of one method with one padding.

    Args:
        method: How its layers are built.
        padding: Of its convolutions.
        workload: Size, images and device.
    """

    model: ConvNet

    def __init__(self, method: Method, padding: Padding, workload: Workload) -> None:
        torch.manual_seed(0)
        super().__init__(_network(method, padding, workload), workload)
        self.method = method

    @torch.no_grad()
    def construct(self) -> list[Weights]:
        """All weights of the network; in eval mode they are kept."""
        return self.model.construct()

    def to_inference(self) -> list[Tensor]:
        """Eval mode with the weights constructed; returns these."""
        super().to_inference()
        return list(chain.from_iterable(self.construct()))

    def forward_macs(self) -> int:
        """Multiply-accumulates of an inference step, by the method's formula."""
        return sum(self.method.cost(shape).inference for shape in self.model.conv_shapes(self.batch_size))

    def construction_macs(self) -> int:
        """Multiply-accumulates of constructing all weights in training mode, by the method's formula."""
        return sum(self.method.cost(shape).construction for shape in self.model.conv_shapes(self.batch_size))


def _objective(model: nn.Module, images_BCHW: Tensor, labels_B: Tensor) -> Callable[[], Tensor]:
    """The loss as it is now; not a method, which would keep the network alive until a collector comes by."""
    loss = MarginCrossEntropy()

    def value() -> Tensor:
        found: Tensor = loss(model(images_BCHW).float(), labels_B)
        return found

    return value


def _network(method: Method, padding: Padding, workload: Workload) -> ConvNet:
    return ConvNet(
        method,
        size=workload.size,
        classes=workload.classes,
        image=workload.image,
        kernel_size=workload.kernel_size,
        padding=padding,
    )
