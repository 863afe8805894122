"""Checks of a layer under torch.compile, autocast and distributed data parallelism."""

from __future__ import annotations

import datetime
import functools
import gc
import tempfile
import unittest
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from ..method import Method
from ..models.convnet import ConvNet
from ..nn.base import LipschitzModule
from ..nn.construct import construct_all
from ..nn.freeze import freeze
from .operator import close
from .setting import Setting
from .subject import inputs, make_layer, require

EAGER = "aot_eager"
PROCESSES, STEPS, BATCH = 2, 2, 4
PATIENCE = datetime.timedelta(minutes=2)


def compiles(method: Method, setting: Setting) -> None:
    """The layer compiles to one graph, forward and backward, in both modes, and computes the same; so when frozen."""
    _check_compiled(method, setting, EAGER)


def compiles_to_machine_code(method: Method, setting: Setting) -> None:
    """As `compiles`, with the default backend; skipped where that cannot compile anything at all.

    Gradients of parameters are compared in training mode only: inductor (torch 2.13) loses those of a norm's bound,
    where it sums two gradients of one complex tensor.
    """
    if not _inductor_works():
        raise unittest.SkipTest("torch's default backend compiles nothing here; it needs c++ and paths without spaces")
    _check_compiled(method, setting, "inductor")


@functools.cache
def _inductor_works() -> bool:
    """Whether torch's default backend compiles an addition."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.compile(lambda x: x + 1, backend="inductor", dynamic=False)(torch.ones(64))
    except Exception:  # noqa: BLE001  # whatever it is, it is not the layer's fault
        return False
    return True


def _check_compiled(method: Method, setting: Setting, backend: str) -> None:
    x = inputs(setting, 2)
    layer = make_layer(method, setting)
    for module, name in ((layer.train(), "training"), (layer, "eval"), (freeze(layer, x.shape[1:]), "frozen")):
        module.train(name == "training")
        torch.compiler.reset()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiled = torch.compile(module, fullgraph=True, backend=backend, dynamic=False)
            parameters = [p for p in module.parameters() if p.requires_grad and (module.training or backend == EAGER)]
            results = [_output_and_gradients(function, x, parameters) for function in (module, compiled)]
        require(all(map(close, *results)), f"the compiled layer computes something else ({name})")
    torch.compiler.reset()


def _output_and_gradients(
    function: Callable[[Tensor], Tensor], x: Tensor, parameters: list[nn.Parameter]
) -> list[Tensor]:
    x = x.clone().requires_grad_()
    output = function(x)
    return [output.detach(), *torch.autograd.grad(output.sin().sum(), [x, *parameters])]


def autocast_safe(method: Method, setting: Setting) -> None:
    """Under autocast to bfloat16 the weights are constructed in the parameters' dtype, and not kept in another."""
    layer, x = make_layer(method, setting), inputs(setting, 2)
    image = layer.inner_image(setting.shape.image)
    for training in (True, False):
        layer.train(training)
        expected = layer.weights(image)
        with torch.autocast("cpu", torch.bfloat16):
            for weights in (layer.weights(image), construct_all([layer], [image])[0]):
                require(_same(weights, expected), "autocast reaches the construction of the weights")
            output = layer(x)
            require(torch.equal(output, layer(x, expected)), "forward constructs other weights under autocast")
        output.float().sum().backward()
        require(all(p.grad is not None for p in layer.parameters()), "a parameter has no gradient under autocast")
    _check_memo_under_autocast(layer, x)


@torch.no_grad()
def _check_memo_under_autocast(layer: LipschitzModule, x: Tensor) -> None:
    layer.forget()
    clean = layer(x)
    layer.forget()
    with torch.autocast("cpu", torch.bfloat16):
        layer(x)
    require(torch.equal(layer(x), clean), "weights made under autocast are kept")


def _same(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(first, second, strict=True))


def ddp_safe(*methods: Method) -> None:
    """Gradients that two processes average are those that one process takes of both batches.

    The processes are spawned once for all the methods given; each method must be importable in a new process.

    Args:
        methods: The methods to check, each in a small `ConvNet`.

    Raises:
        torch.multiprocessing.ProcessRaisedException: If one does not; the message names it.
    """
    with tempfile.TemporaryDirectory() as folder:
        spawn(_process, args=(str(Path(folder) / "store"), methods), nprocs=PROCESSES)


def _process(rank: int, store: str, methods: tuple[Method, ...]) -> None:
    torch.set_num_threads(1)
    meeting = dist.FileStore(store, PROCESSES)  # type: ignore[attr-defined]
    dist.init_process_group("gloo", store=meeting, rank=rank, world_size=PROCESSES, timeout=PATIENCE)
    try:
        for method in methods:
            _compare_with_one_process(method, rank)
        dist.barrier()  # neither leaves while the other still talks to it
    finally:
        # What lies in a cycle would keep the group, whose threads must have ended when the process does.
        gc.collect()
        dist.destroy_process_group()


def _compare_with_one_process(method: Method, rank: int) -> None:
    torch.manual_seed(0)
    alone = ConvNet(method, size=4, classes=3, image=(1, 8, 8), dtype=torch.float64)
    shared = ConvNet(method, size=4, classes=3, image=(1, 8, 8), dtype=torch.float64)
    shared.load_state_dict(alone.state_dict())
    parallel = DistributedDataParallel(shared)
    for _ in range(STEPS):
        x = torch.randn(PROCESSES * BATCH, 1, 8, 8, dtype=torch.float64)
        _loss(alone(x)).backward()
        _loss(parallel(x.chunk(PROCESSES)[rank])).backward()
    for (name, first), second in zip(alone.named_parameters(), shared.parameters(), strict=True):
        same = first.grad is not None and second.grad is not None and close(second.grad, first.grad)
        require(same, f"{method.name}: the averaged gradient of {name} is not that of the whole batch")


def _loss(logits: Tensor) -> Tensor:
    return logits.sin().sum(1).mean()
