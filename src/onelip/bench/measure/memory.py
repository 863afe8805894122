"""Memory of a callable, its peak and what it leaves: on CUDA the allocator's own, on the CPU counted live bytes."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from onelip.bench.measure.machine import find_device


def peak_bytes(fn: Callable[[], object], *, device: torch.device | str, alive: Sequence[Tensor] = ()) -> int:
    """The largest number of bytes that tensors occupy at any one time while a callable runs.

    On CUDA this is the peak of PyTorch's allocator: everything that lives on the device counts, in the allocator's
    blocks, so keep nothing there that does not belong to the measurement. The workspaces that cuBLAS keeps count too.

    On the CPU this is the largest sum, over all operations, of the sizes of the storages that are alive when an
    operation has run and its inputs are not yet released. Each storage counts once, however many tensors view it, from
    the first operation that makes, changes or reads it (the storages of `alive`: from the start) until it dies. What
    autograd saves for the backward pass is alive and counts. Not seen:

    - memory that one operation takes and releases inside itself, such as the workspace of a convolution, of a
      factorisation or of a fused or compiled kernel;
    - tensors that are there all the time but that nothing reads before the peak: name them in `alive`;
    - that autograd adds the gradients of a tensor with several users in place where it can: it does not while
      operations are observed, so that the count may be too high by one such gradient;
    - that two storages share memory, as those of a tensor and of its NumPy array turned back into a tensor do.

    Args:
        fn: What to run, once. Bring it to its steady state before: the first step of an optimiser makes its buffers.
        device: Where it runs; the CPU count leaves out tensors on other devices.
        alive: Tensors that are alive from the start: parameters, buffers, the optimiser's state, the input.

    Raises:
        NotImplementedError: On the CPU, for a tensor without a storage of its own, such as a sparse one.
    """
    device = find_device(device)
    gc.collect()
    return _allocator_peak(fn, device) if device.type == "cuda" else _live_peak(fn, alive)


def kept_bytes(fn: Callable[[], object], *, device: torch.device | str, alive: Sequence[Tensor] = ()) -> int:
    """The bytes that tensors occupy after a callable has run, while its result is held, besides those of `alive`.

    What autograd saved for a backward pass of the result counts. As in `peak_bytes`, only storages that an operation
    has touched are known on the CPU.

    Args:
        fn: What to run, once.
        device: Where it runs.
        alive: Tensors that were there before, and do not count.
    """
    device = find_device(device)
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        held = fn()
        torch.cuda.synchronize(device)
        found = torch.cuda.memory_allocated(device) - before
        del held
        return found
    storages = _LiveStorages(alive)
    before = storages.now
    with storages:
        held = fn()
    found = storages.now - before
    del held
    return found


def _allocator_peak(fn: Callable[[], object], device: torch.device) -> int:
    """The peak of the CUDA allocator from here to the end of the work that a callable queues."""
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    fn()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device)


def _live_peak(fn: Callable[[], object], alive: Sequence[Tensor]) -> int:
    """The peak of the bytes of live CPU storages."""
    storages = _LiveStorages(alive)
    with storages:
        fn()
    return storages.peak


class _LiveStorages(TorchDispatchMode):
    """Knows the CPU storages that operations have touched and that are still alive, and their largest total.

    A storage keeps its Python object for life, so that a weak reference to the object dies with the storage. Sizes are
    read anew after every operation, since a storage may be resized without one.
    """

    def __init__(self, alive: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._live: WeakValueDictionary[int, torch.UntypedStorage] = WeakValueDictionary()
        self._see(list(alive))

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
    ) -> object:
        """Run the operation and look at the storages of what went in and came out."""
        kwargs = kwargs or {}
        # Tensors of inference mode arrive in composite operations, whose parts would not be seen.
        with self:
            composed = func.decompose(*args, **kwargs)
        if composed is not NotImplemented:
            return composed
        out = func(*args, **kwargs)
        self._see((args, kwargs, out))
        return out

    def _see(self, values: object) -> None:
        """Register the storages of all tensors in nested values, and update the peak."""
        for tensor in tree_leaves(values):
            if isinstance(tensor, Tensor) and tensor.device.type == "cpu":
                storage = tensor.untyped_storage()
                self._live[storage._cdata] = storage
        self.peak = max(self.peak, self.now)

    @property
    def now(self) -> int:
        """The bytes of the storages that are alive."""
        return sum(storage.nbytes() for storage in self._live.values())
