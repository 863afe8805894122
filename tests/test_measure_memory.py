"""Peak memory: the exact number of bytes, against sums by hand; numbers are float32 (4 bytes) unless said."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint

from onelip.bench.measure.memory import peak_bytes
from onelip.errors import OnelipError

N = 1000


def peak_numbers(fn: Callable[[], object], *alive: Tensor) -> float:
    """The peak in float32 numbers."""
    return peak_bytes(fn, device="cpu", alive=alive) / 4


@pytest.fixture
def x() -> Tensor:
    return torch.randn(N)


@pytest.mark.parametrize("grad_off", [torch.no_grad, torch.inference_mode])
def test_a_chain_of_operations_holds_two_results_at_a_time(x: Tensor, grad_off: Callable[[], Any]) -> None:
    def chain() -> Tensor:
        with grad_off():
            y = x
            for _ in range(5):
                y = y.sin()
        return y

    assert peak_numbers(chain, x) == 3 * N


def test_autograd_keeps_what_it_saves(x: Tensor) -> None:
    x.requires_grad_()

    def chain() -> Tensor:
        y = x
        for _ in range(5):
            y = y.sin()
        return y

    # Each sine saves its input; x and five results.
    assert peak_numbers(chain, x) == 6 * N


def test_nothing_but_what_is_alive(x: Tensor) -> None:
    assert peak_numbers(lambda: None, x) == N
    assert peak_numbers(lambda: None) == 0


def test_a_tensor_that_is_not_named_counts_once_it_is_used(x: Tensor) -> None:
    assert peak_numbers(x.sin) == 2 * N


def test_matmul() -> None:
    a, b = torch.randn(30, 50), torch.randn(50, 20)
    assert peak_numbers(lambda: a @ b, a, b) == 30 * 50 + 50 * 20 + 30 * 20


@pytest.mark.parametrize("grad_off", [torch.no_grad, torch.inference_mode])
def test_the_parts_of_a_composite_operation_are_seen(grad_off: Callable[[], Any]) -> None:
    a, b, c = torch.randn(30, 50), torch.randn(50, 20), torch.randn(20, 40)

    def product() -> Tensor:
        with grad_off():
            return torch.linalg.multi_dot([a, b, c])

    assert peak_numbers(product, a, b, c) == 1500 + 1000 + 800 + 30 * 20 + 30 * 40


def test_dtypes_count_by_their_bytes() -> None:
    x = torch.zeros(N, dtype=torch.float64)
    assert peak_bytes(lambda: x > 0, device="cpu", alive=[x]) == 9 * N
    assert peak_bytes(lambda: x.to(torch.complex128), device="cpu", alive=[x]) == 24 * N


def test_views_share_their_storage(x: Tensor) -> None:
    def views() -> Tensor:
        y = x.view(10, 100).T[3:, ::2]
        return y.expand(7, *y.shape)

    assert peak_numbers(views, x, x[5:], x.view(20, 50)) == N


def test_a_view_keeps_all_of_its_storage_alive(x: Tensor) -> None:
    def keep_little() -> Tensor:
        y = x.sin()[:1]
        return y.cos() + x.sin()[0]

    assert peak_numbers(keep_little, x) == 3 * N + 2


def test_in_place_operations_make_nothing(x: Tensor) -> None:
    assert peak_numbers(lambda: x.sin_().mul_(2).add_(x).clamp_(0, 1), x) == N
    assert peak_numbers(lambda: torch.cos(x, out=x), x) == N


def test_what_is_released_midway_no_longer_counts(x: Tensor) -> None:
    def release(*, early: bool) -> Tensor:
        a = x.sin()
        b = a.cos()
        if early:
            del a
        return b.exp()

    assert peak_numbers(lambda: release(early=True), x) == 3 * N
    assert peak_numbers(lambda: release(early=False), x) == 4 * N


def test_the_largest_moment_counts_not_the_last(x: Tensor) -> None:
    assert peak_numbers(lambda: (x.repeat(10).sum(), x.sin()), x) == 11 * N + 1


def test_a_reused_address_is_a_new_storage(x: Tensor) -> None:
    def reuse() -> None:
        for _ in range(50):
            x.sin()

    assert peak_numbers(reuse, x) == 2 * N


def test_tensors_made_from_numbers_count() -> None:
    assert peak_numbers(lambda: torch.tensor([1.0] * N).sin()) == 2 * N
    assert peak_numbers(lambda: torch.zeros(N)) == N
    assert peak_numbers(lambda: torch.from_numpy(np.zeros(N, dtype=np.float32)).sin()) == 2 * N


def test_resized_storages_count_by_their_present_size(x: Tensor) -> None:
    def empty_then_work() -> Tensor:
        y = x.repeat(5)
        y.untyped_storage().resize_(0)
        return x.repeat(7)

    assert peak_numbers(empty_then_work, x) == 8 * N

    def grow() -> None:
        y = x.clone()
        y.resize_(9 * N)

    assert peak_numbers(grow, x) == 10 * N

    def grow_out_of_sight() -> None:
        y = x.clone()
        y.untyped_storage().resize_(4 * 6 * N)
        x.sum()

    assert peak_numbers(grow_out_of_sight, x) == 7 * N + 1


class Cube(torch.autograd.Function):
    """x^3, which saves its input and a result that it does not return."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        square = x * x
        ctx.save_for_backward(square)
        return square * x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (square,) = ctx.saved_tensors
        return 3 * square * grad


def test_a_custom_function_keeps_what_it_saves(x: Tensor) -> None:
    x.requires_grad_()
    grad = torch.ones(N)
    # x, grad, the square and the cube; in the backward pass also 3 square and its product with grad.
    assert peak_numbers(lambda: Cube.apply(x), x, grad) == 4 * N
    assert peak_numbers(lambda: Cube.apply(x).sin(), x, grad) == 5 * N
    assert peak_numbers(lambda: Cube.apply(x).backward(grad), x, grad) == 6 * N
    with torch.no_grad():
        # Nothing is saved: the square is gone when the sine is taken.
        assert peak_numbers(lambda: Cube.apply(x).sin(), x, grad) == 4 * N


def test_checkpointing_saves_memory() -> None:
    x = torch.randn(N, requires_grad=True)

    def block(y: Tensor) -> Tensor:
        return y.sin().cos().exp()

    def run(stage: Callable[[Tensor], Tensor]) -> float:
        x.grad = None
        return peak_numbers(lambda: stage(stage(stage(x))).sum().backward(), x)

    def checkpointed(y: Tensor) -> Tensor:
        return checkpoint(block, y, use_reentrant=False, preserve_rng_state=False)

    assert run(checkpointed) < run(block)


class Step:
    """Training steps of a small network, by SGD with momentum, after one step that makes the buffers."""

    def __init__(self, batch: int, sizes: tuple[int, int, int], weight_decay: float) -> None:
        inputs, hidden, outputs = sizes
        self.x, self.grad = torch.randn(batch, inputs), torch.randn(batch, outputs)
        self.net = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
        self.optimiser = torch.optim.SGD(
            self.net.parameters(), 0.1, momentum=0.9, weight_decay=weight_decay, foreach=False
        )
        self()
        self.optimiser.zero_grad()
        self.momenta = [self.optimiser.state[p]["momentum_buffer"] for p in self.net.parameters()]
        self.alive = [self.x, self.grad, *self.net.parameters(), *self.momenta]

    def __call__(self) -> None:
        self.net(self.x).backward(self.grad)
        self.optimiser.step()


def test_training_step_with_large_activations() -> None:
    torch.manual_seed(0)
    step = Step(batch := 64, (8, 32, 4), weight_decay=0.0)
    parameters = (8 * 32 + 32) + (32 * 4 + 4)
    always = batch * 8 + batch * 4 + 2 * parameters
    # In the ReLU's backward: its saved result, the gradients of its result and of its input, and those of the second
    # layer's weight and bias. The network's output is alive because its method `backward` is running.
    at_relu = 3 * batch * 32 + (32 * 4 + 4) + batch * 4
    assert peak_numbers(step, *step.alive) == always + at_relu


def test_training_step_with_large_parameters() -> None:
    torch.manual_seed(0)
    step = Step(batch := 1, (40, 30, 20), weight_decay=0.1)
    parameters = (40 * 30 + 30) + (30 * 20 + 20)
    always = batch * 40 + batch * 20 + 2 * parameters
    # In the optimiser: all gradients, and one more for the sum of the first with its weight decay.
    assert peak_numbers(step, *step.alive) == always + parameters + 40 * 30


def test_momentum_buffers_count_when_they_are_first_made() -> None:
    weight = torch.randn(N, requires_grad=True)
    weight.grad = torch.randn(N)
    plain, heavy = torch.optim.SGD([weight], 0.1), torch.optim.SGD([weight], 0.1, momentum=0.9)
    plain.step()
    assert peak_numbers(plain.step, weight, weight.grad) == 2 * N
    assert peak_numbers(heavy.step, weight, weight.grad) == 3 * N


def test_an_error_passes_and_the_next_count_is_clean(x: Tensor) -> None:
    def fail() -> None:
        x.repeat(100)
        raise RuntimeError("planned")

    with pytest.raises(RuntimeError, match="planned"):
        peak_numbers(fail, x)
    assert peak_numbers(x.sin, x) == 2 * N


def test_other_devices_are_left_out(x: Tensor) -> None:
    assert peak_numbers(lambda: torch.empty(N, device="meta").sin(), x) == N


def allocator_peak(fn: Callable[[], object], alive: list[Tensor]) -> int:
    """The same from the log of PyTorch's own allocator, for a callable that frees nothing of `alive`."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as log:
        fn()
    now = peak = sum(tensor.untyped_storage().nbytes() for tensor in alive)
    memory = [event for event in log.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(memory, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


def test_agrees_with_the_allocator_on_a_residual_network() -> None:
    torch.manual_seed(0)
    weights = [torch.randn(64, 64, requires_grad=True) for _ in range(6)]
    x = torch.randn(512, 64)

    def step() -> None:
        y = x
        for weight in weights:
            y = y - torch.relu(y @ weight.T) @ weight
            y = torch.stack([torch.maximum(y[:, ::2], y[:, 1::2]), torch.minimum(y[:, ::2], y[:, 1::2])], 2).flatten(1)
        y.square().sum().backward()
        for weight in weights:
            weight.grad = None

    counted = peak_bytes(step, device="cpu", alive=[x, *weights])
    # The only difference is one gradient of y that is not added in place.
    assert 0 <= counted - allocator_peak(step, [x, *weights]) <= 4 * 512 * 64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_reports_the_allocators_peak() -> None:
    x = torch.randn(1 << 20, device="cuda")
    before = torch.cuda.memory_allocated()
    assert peak_bytes(lambda: x.sin().cos(), device="cuda", alive=[x]) - before == 2 * x.untyped_storage().nbytes()


def test_cuda_resets_runs_and_reads_in_this_order(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr("onelip.bench.measure.memory.find_device", torch.device)
    for name in ("synchronize", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda device, name=name: order.append(f"{name} {device}"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: order.append(f"read {device}") or 42)
    assert peak_bytes(lambda: order.append("run"), device="cuda:1") == 42
    on = "cuda:1"
    assert order == [f"synchronize {on}", f"reset_peak_memory_stats {on}", "run", f"synchronize {on}", f"read {on}"]


def test_refuses_an_unknown_device() -> None:
    with pytest.raises(OnelipError, match="device is 'gpu'"):
        peak_bytes(lambda: None, device="gpu")


def test_refuses_a_tensor_without_a_storage(x: Tensor) -> None:
    with pytest.raises(NotImplementedError):
        peak_numbers(lambda: x.to_sparse().coalesce(), x)
