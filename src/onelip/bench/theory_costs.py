"""What the formulas of methods say of the networks of a measuring session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from onelip.bench.recommend.costs import FormulaCosts, Network
from onelip.bench.recommend.from_paper import MethodFacts
from onelip.bench.records import CostRecord
from onelip.bench.report.theory import Held, Said
from onelip.bench.selection import yardstick
from onelip.bench.subject import Workload, planned_network
from onelip.errors import OnelipError
from onelip.linalg.conv import Padding
from onelip.method import Method
from onelip.models import ConvNet
from onelip.nn.spectral import SpectralConv2d

BYTES = 4
"""Of a float32 number."""
COPIES = 3
"""Of every parameter in training: itself, its gradient, its momentum."""
PASSES = 3
"""Of a training step, in forward passes: the backward pass has two products for each one."""


def held(session: CostRecord, methods: Sequence[Method]) -> tuple[Held, ...]:
    """The networks of a session whose methods are asked for and that did not fail, beside what formulas say of them.

    Args:
        session: What was measured.
        methods: Whose networks.
    """
    asked = {method.name for method in methods}
    known = {method.name: method for method in (*methods, yardstick(methods))}
    entries = [entry for entry in session.entries if entry.status == "ok" and entry.method.name in known]
    units = {entry.padding: entry for entry in entries if not entry.method.constrained}
    said = {id(entry): _said(known[entry.method.name], entry.padding, session) for entry in entries}
    return tuple(
        Held(entry=entry, said=mine, unit=unit, unit_said=theirs)
        for entry in entries
        if entry.method.name in asked
        and (unit := units.get(entry.padding)) is not None
        and (mine := said[id(entry)]) is not None
        and (theirs := said[id(unit)]) is not None
    )


def _said(method: Method, padding: Padding, session: CostRecord) -> Said | None:
    network = planned_network(
        method,
        padding,
        Workload(
            size=session.size,
            image=session.image,
            classes=session.classes,
            batch_size=session.batch_size,
            device=torch.device("cpu"),
            kernel_size=session.kernel_size,
        ),
    )
    if network is None:
        return None
    return Said(
        step_macs=step_macs(network, session.batch_size),
        inference_macs=inference_macs(network, session.batch_size),
        train_bytes=train_bytes(network, session.batch_size),
        inference_bytes=inference_bytes(network, session.batch_size),
    )


def step_macs(network: ConvNet, batch: int) -> int:
    """Multiply-accumulates of a training step, by formula."""
    costs = [network.method.cost(shape) for shape in network.conv_shapes(batch)]
    return PASSES * sum(cost.training + cost.construction for cost in costs)


def inference_macs(network: ConvNet, batch: int) -> int:
    """Multiply-accumulates of inference with weights that are kept, by formula."""
    return sum(network.method.cost(shape).inference for shape in network.conv_shapes(batch))


def train_bytes(network: ConvNet, batch: int) -> float:
    """Of a training step, by formula: parameters, gradients and momenta, and what is kept for the backward pass."""
    shapes = network.conv_shapes(batch)
    memories = [network.method.cost(shape).memory for shape in shapes]
    masks = sum(shape.outputs // 2 for shape in shapes[:-1])  # of MaxMin, a byte for each pair
    kept = sum(memory.training + memory.construction for memory in memories)
    return BYTES * (COPIES * _parameters(network) + kept) + masks


def inference_bytes(network: ConvNet, batch: int, *, frozen: bool = False) -> float:
    """Of inference, by formula: parameters and weights, or of frozen networks one of both, and the largest peak."""
    shapes = network.conv_shapes(batch)
    memories = [network.method.cost(shape).memory for shape in shapes]
    peak = max(shape.inputs + memory.inference for shape, memory in zip(shapes, memories, strict=True))
    weights = sum(memory.weights for memory in memories)
    kept = max(weights, _parameters(network)) if frozen else _parameters(network) + weights
    return BYTES * (kept + peak)


def _parameters(network: ConvNet) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


class Formulas:
    """What formulas say of the networks of methods; each is asked once.

    Args:
        methods: Whose formulas there are.
    """

    def __init__(self, methods: Sequence[Method]) -> None:
        self._methods = {method.name: method for method in methods}
        self._unconstrained = yardstick(methods)
        self._plain: dict[tuple[Network, int, int], tuple[int, int] | None] = {}
        self._found: dict[tuple[Network, int, int], FormulaCosts | None] = {}

    def __call__(self, network: Network, *, train_batch: int, batch: int) -> FormulaCosts | None:
        """The costs of a network; None of a method that is not known, or of a network that does not exist."""
        key = network, train_batch, batch
        if key not in self._found:
            self._found[key] = self._ask(network, train_batch, batch)
        return self._found[key]

    def _ask(self, network: Network, train_batch: int, batch: int) -> FormulaCosts | None:
        method = self._methods.get(network.method)
        planned = None if method is None else _planned(method, network, batch)
        plain = self._unconstrained_macs(network, train_batch, batch)
        if method is None or planned is None or plain is None:
            return None
        macs, per_frequency = step_macs(planned, train_batch), issubclass(method.conv2d, SpectralConv2d)
        return FormulaCosts(
            train_bytes=train_bytes(planned, train_batch),
            inference_bytes=inference_bytes(planned, batch),
            frozen_bytes=inference_bytes(planned, batch, frozen=True),
            step_macs=macs,
            step_ratio=macs / plain[0],
            # Of 1x1 kernels it is the same at all frequencies, and taken as the convolution that it is.
            inference_ratio=None
            if per_frequency and network.kernel_size > 1
            else inference_macs(planned, batch) / plain[1],
        )

    def _unconstrained_macs(self, network: Network, train_batch: int, batch: int) -> tuple[int, int] | None:
        """Of a training step and of inference of the unconstrained network in the place of another."""
        key = replace(network, method=self._unconstrained.name), train_batch, batch
        if key not in self._plain:
            planned = _planned(self._unconstrained, network, train_batch)
            found = None if planned is None else (step_macs(planned, train_batch), inference_macs(planned, batch))
            self._plain[key] = found
        return self._plain[key]


def _planned(method: Method, network: Network, batch: int) -> ConvNet | None:
    workload = Workload(
        size=network.size,
        image=network.image,
        classes=network.classes,
        batch_size=batch,
        device=torch.device("cpu"),
        kernel_size=network.kernel_size,
    )
    try:
        return planned_network(method, network.padding, workload)
    except OnelipError:
        return None


def method_facts(methods: Iterable[Method]) -> dict[str, MethodFacts]:
    """What the recommender has to know of methods."""
    return {
        method.name: MethodFacts(
            title=method.title,
            revision=method.revision,
            padding=method.padding,
            orthogonal=method.traits.orthogonal,
            orthogonal_zeros=method.traits.orthogonal_zeros,
        )
        for method in methods
        if method.traits.constrained
    }
