"""Multiply-accumulates of a callable, counted operation by operation as PyTorch runs them.

One real multiplication followed by one real addition counts as 1; complex arithmetic counts as 4 times the real one.
With n, m, k, p sizes, N points in all, and K = min(m, n), M = max(m, n), the real counts are

    product of m x k with k x n                       m k n
    convolution                                       output numbers x input channels per group x kernel points
    transposed convolution                            input numbers x output channels per group x kernel points
    gradient of either                                the same again for each of input and kernel that is asked for
    Fourier transform of N real points                N log2 N (from or to a half spectrum), summed over dimensions
    Fourier transform of N complex points             2 N log2 N, summed over dimensions
    LU factors of n x n (and determinant)             n^3 / 3, of m x n: K^2 (3 M - K) / 6
    solve for k right sides, by LU factors            n^3 / 3 + n^2 k, n^2 k if factored before
    solve for k right sides, by a triangle            n^2 k / 2
    inverse                                           n^3
    Cholesky factor, inverse and solve from it        n^3 / 6, n^3 / 3, n^2 k
    QR of m x n                                       K^2 (M - K/3) for R, 2 m p k - (m + p) k^2 + 2/3 k^3 for an
                                                      m x p matrix Q of k reflections
    singular values, symmetric eigenvalues            8 m n K, with or without vectors (nominal: they iterate)
    matrix exponential                                8 n^3 (nominal: five products and three squarings)

A convolution counts its padding's zeros like other inputs. Fractions are rounded once per operation. Elementwise
operations, reductions, views, copies, indexing, pooling, normalisation, comparisons and random numbers count nothing.
Every other operation is refused: a count that skips what it does not know looks like a cheap method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log2, prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from onelip.errors import UnsupportedOperationError

FREE_TAGS = (torch.Tag.pointwise, torch.Tag.inplace_view, torch.Tag.view_copy)

Formula = Callable[..., float]
"""Called with an operation's result and then its own arguments, an `out=` included."""


def count_macs(fn: Callable[[], object]) -> int:
    """Multiply-accumulates of everything that a callable runs, its backward passes included, by the module's table.

    An operation of another library takes part once its formula stands in `MACS` under its name, such as
    "library.operation".

    Args:
        fn: What to run, once; not compiled, since a compiled kernel does not tell its parts. Run it before: the first
            step of an optimiser makes PyTorch import parts of itself that run operations of their own.

    Raises:
        UnsupportedOperationError: For an operation whose count is not known, before it runs.
    """
    counter = Counter()
    with counter:
        fn()
    return counter.macs


class Counter(TorchDispatchMode):
    """Adds up the multiply-accumulates of the operations that it sees."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0

    def see(self, func: Any, macs: int, inputs: tuple[tuple[object, ...], dict[str, object]], out: object) -> None:
        """An operation has run."""
        self.macs += macs

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
    ) -> object:
        """Run the operation and count it, or its parts if it is composed of others."""
        kwargs = kwargs or {}
        formula = MACS.get(str(func.overloadpacket))
        if formula is None and not _is_free(func):
            return self._run_parts(func, args, kwargs)
        out = func(*args, **kwargs)
        self.see(func, 0 if formula is None else round(formula(out, *args, **kwargs)), (args, kwargs), out)
        return out

    def _run_parts(self, func: Any, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        """Run a composite operation by its parts; tensors of inference mode arrive in such."""
        with self:
            out = func.decompose(*args, **kwargs)
        if out is NotImplemented:
            raise UnsupportedOperationError(
                f"operation {func} is not known to the counter; add its formula to onelip.bench.measure.flops.MACS"
            )
        return out


def _is_free(func: Any) -> bool:
    """Whether an operation moves, compares, reduces or maps numbers one by one, and so counts nothing.

    PyTorch itself tags elementwise operations and marks views, but not on every variant of an operation.
    """
    if func.is_view or func.namespace == "profiler" or any(tag in func.tags for tag in FREE_TAGS):
        return True
    name = str(func.overloadpacket).removeprefix("aten.").removeprefix("_foreach_")
    return any(variant in FREE or _is_elementwise(variant) for variant in (name, name.removesuffix("_")))


def _is_elementwise(name: str) -> bool:
    """Whether PyTorch tags any variant of the operation as elementwise."""
    packet = getattr(torch.ops.aten, name, None)
    return packet is not None and any(torch.Tag.pointwise in getattr(packet, o).tags for o in packet.overloads())


def _arithmetic(x: Tensor) -> int:
    """Real multiply-accumulates in one of this number type."""
    return 4 if x.is_complex() else 1


def _product(out: Tensor, a: Tensor, /, *_: object, **__: object) -> int:
    """Every number of the result sums over the last dimension of the first factor."""
    return _arithmetic(a) * out.numel() * a.shape[-1]


def _added_product(out: Tensor, _added: Tensor, a: Tensor, /, *_: object, **__: object) -> int:
    return _product(out, a)


def _convolution(out: Tensor, x: Tensor, kernel: Tensor, _bias: object, /, *settings: Any, **__: object) -> int:
    _stride, _padding, _dilation, transposed, *_ = settings
    return _per_kernel_point(x if transposed else out, kernel)


def _convolution_backward(
    _out: object, grad: Tensor, x: Tensor, kernel: Tensor, _bias: object, /, *settings: Any, **__: object
) -> int:
    _stride, _padding, _dilation, transposed, _output_padding, _groups, wanted = settings
    return _per_kernel_point(x if transposed else grad, kernel) * sum(map(int, wanted[:2]))


def _per_kernel_point(side: Tensor, kernel: Tensor) -> int:
    """Each number on one side of a convolution meets the whole kernel except for its first dimension."""
    return _arithmetic(kernel) * side.numel() * prod(kernel.shape[1:])


def _real_transform(points: Tensor, dims: Sequence[int]) -> float:
    return points.numel() * sum(log2(points.shape[dim]) for dim in dims)


def _fourier_from_real(_out: Tensor, x: Tensor, dims: Sequence[int], /, *_: object, **__: object) -> float:
    return _real_transform(x, dims)


def _fourier_to_real(out: Tensor, _x: Tensor, dims: Sequence[int], /, *_: object, **__: object) -> float:
    return _real_transform(out, dims)


def _fourier_complex(out: Tensor, _x: Tensor, dims: Sequence[int], /, *_: object, **__: object) -> float:
    return 2 * _real_transform(out, dims)


def _per_entry(share: float) -> Formula:
    """Of a square matrix: `share` times its size, for each of its entries."""
    return lambda _out, a, /, *_, **__: share * _arithmetic(a) * a.numel() * a.shape[-1]


def _per_solution(share: float) -> Formula:
    """Of a solve: `share` times the size of the square factor (first argument), for each number of the solution."""
    return lambda out, factor, /, *_, **__: share * _arithmetic(factor) * out.numel() * factor.shape[-1]


def _cholesky_solve(out: Tensor, _right: Tensor, factor: Tensor, /, *_: object, **__: object) -> float:
    return _per_solution(1)(out, factor)


def _solve(out: Sequence[Tensor], a: Tensor, /, *_: object, **__: object) -> float:
    solution, factors = out[:2]
    return _per_entry(1 / 3)(out, factors) + _per_solution(1)(solution, a)


def _lu(_out: object, a: Tensor, /, *_: object, **__: object) -> float:
    small, large = sorted(a.shape[-2:])
    return _arithmetic(a) * prod(a.shape[:-2]) * small**2 * (3 * large - small) / 6


def _triangle_of_qr(_out: object, a: Tensor, /, *_: object, **__: object) -> float:
    small, large = sorted(a.shape[-2:])
    return _arithmetic(a) * prod(a.shape[:-2]) * small**2 * (large - small / 3)


def _reflections(q: Tensor, count: int) -> float:
    """Multiplying that many reflections out to the matrix Q."""
    m, p = q.shape[-2:]
    return _arithmetic(q) * prod(q.shape[:-2]) * (2 * m * p * count - (m + p) * count**2 + 2 / 3 * count**3)


def _reflection_product(out: Tensor, _a: Tensor, scales: Tensor, /, *_: object, **__: object) -> float:
    return _reflections(out, scales.shape[-1])


def _qr(out: Sequence[Tensor], a: Tensor, /, mode: str = "reduced", **__: object) -> float:
    return _triangle_of_qr(out, a) + (0 if mode == "r" else _reflections(out[0], min(a.shape[-2:])))


def _spectrum(_out: object, a: Tensor, /, *_: object, **__: object) -> int:
    return 8 * _arithmetic(a) * a.numel() * min(a.shape[-2:])


MACS: dict[str, Formula] = {
    **dict.fromkeys(("aten.mm", "aten.bmm", "aten.mv", "aten.dot", "aten.vdot"), _product),
    **dict.fromkeys(("aten.addmm", "aten.addmm_", "aten.baddbmm", "aten.baddbmm_"), _added_product),
    **dict.fromkeys(("aten.addmv", "aten.addmv_"), _added_product),
    "aten.convolution": _convolution,
    "aten.convolution_backward": _convolution_backward,
    "aten._fft_r2c": _fourier_from_real,
    "aten._fft_c2r": _fourier_to_real,
    "aten._fft_c2c": _fourier_complex,
    "aten._linalg_solve_ex": _solve,
    "aten.linalg_lu_factor_ex": _lu,
    "aten.linalg_lu": _lu,
    "aten.linalg_lu_solve": _per_solution(1),
    "aten.linalg_solve_triangular": _per_solution(1 / 2),
    "aten.linalg_inv_ex": _per_entry(1),
    "aten._linalg_det": _per_entry(1 / 3),
    "aten._linalg_slogdet": _per_entry(1 / 3),
    "aten.linalg_cholesky_ex": _per_entry(1 / 6),
    "aten.cholesky_inverse": _per_entry(1 / 3),
    "aten.cholesky_solve": _cholesky_solve,
    "aten.geqrf": _triangle_of_qr,
    "aten.linalg_householder_product": _reflection_product,
    "aten.linalg_qr": _qr,
    "aten._linalg_svd": _spectrum,
    "aten._linalg_eigh": _spectrum,
    "aten.linalg_matrix_exp": _per_entry(8),
}
"""What counts: the formula of each operation, by the operation's name. It is called with the result, then the arguments
as in the operation's schema."""

_MAPPING = """
    complex polar __lshift__ __rshift__ __ilshift__ __irshift__ _conj_physical _prelu_kernel _prelu_kernel_backward
    elu_backward glu glu_backward hardsigmoid_backward hardswish hardswish_backward hardtanh_backward leaky_relu
    leaky_relu_backward log_sigmoid_forward log_sigmoid_backward softplus_backward _softmax _softmax_backward_data
    _log_softmax _log_softmax_backward_data nll_loss_forward nll_loss_backward nll_loss2d_forward nll_loss2d_backward
    mse_loss mse_loss_backward smooth_l1_loss smooth_l1_loss_backward huber_loss huber_loss_backward
    binary_cross_entropy binary_cross_entropy_backward binary_cross_entropy_with_logits floor_divide
    hardshrink_backward softshrink_backward linalg_cross soft_margin_loss soft_margin_loss_backward multi_margin_loss
    multi_margin_loss_backward
"""
_REDUCING = """
    sum mean prod amax amin aminmax argmax argmin any all norm linalg_vector_norm var std var_mean std_mean logsumexp
    cumsum cumprod cummax cummin median nanmedian nansum count_nonzero trace mode kthvalue topk sort bincount histc
    unique_dim _unique2 unique_consecutive bucketize searchsorted isin equal is_same_size allclose dist logcumsumexp
"""
_MOVING = """
    fill zero copy _to_copy _unsafe_view lift resize resize_as set _local_scalar_dense cat stack repeat
    repeat_interleave flip roll rot90 constant_pad_nd pixel_shuffle pixel_unshuffle channel_shuffle reflection_pad1d
    reflection_pad1d_backward reflection_pad2d reflection_pad2d_backward replication_pad1d replication_pad1d_backward
    replication_pad2d replication_pad2d_backward im2col col2im unfold_backward block_diag diag_embed tril triu
    tril_indices triu_indices index index_put _index_put_impl _unsafe_index _unsafe_index_put index_select index_add
    index_copy index_fill gather scatter scatter_add scatter_reduce take put nonzero masked_scatter masked_select
    embedding embedding_dense_backward slice_backward select_backward diagonal_backward slice_scatter select_scatter
    diagonal_scatter as_strided_scatter upsample_nearest2d upsample_nearest2d_backward lu_unpack index_reduce
    masked_scatter_backward unsafe_split unsafe_split_with_sizes
"""
_MAKING = """
    empty empty_strided empty_like zeros zeros_like ones ones_like full full_like new_empty new_empty_strided
    new_zeros new_ones new_full arange linspace logspace eye scalar_tensor _efficientzerotensor rand rand_like
    randn randn_like randint randint_like randperm bernoulli normal uniform multinomial exponential random
    log_normal native_dropout
"""
_NORMALISING = """
    avg_pool2d avg_pool2d_backward max_pool2d_with_indices max_pool2d_with_indices_backward _adaptive_avg_pool2d
    _adaptive_avg_pool2d_backward native_batch_norm native_batch_norm_backward cudnn_batch_norm
    cudnn_batch_norm_backward batch_norm_backward _native_batch_norm_legit _native_batch_norm_legit_no_training
    _batch_norm_with_update _batch_norm_no_update native_layer_norm native_layer_norm_backward native_group_norm
    native_group_norm_backward _weight_norm_interface _weight_norm_interface_backward _fused_sgd _fused_adam
    _fused_adamw _linalg_check_errors _assert_async _is_all_true _is_any_true adaptive_max_pool2d
    adaptive_max_pool2d_backward max_unpool2d renorm
"""

FREE = frozenset(" ".join((_MAPPING, _REDUCING, _MOVING, _MAKING, _NORMALISING)).split())
"""What counts nothing although PyTorch does not tag it as elementwise: operations of `aten`, without a final "_"."""
