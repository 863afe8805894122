"""Multiply-accumulates: every formula against a count by hand, and no operation that goes by unknown."""

from collections.abc import Callable
from math import log2
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # torch's own name for it

from onelip.bench.measure import flops
from onelip.bench.measure.flops import count_macs
from onelip.errors import OnelipError, UnsupportedOperationError


def real(*shape: int) -> Tensor:
    return torch.randn(*shape)


def cplx(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex64)


def spd(*shape: int) -> Tensor:
    a = torch.randn(*shape)
    return a @ a.mT + 10 * torch.eye(shape[-1])


def lower(*shape: int) -> Tensor:
    return torch.linalg.cholesky(spd(*shape))


def check(cases: dict[str, tuple[Callable[[], object], float]]) -> None:
    counted = {name: count_macs(fn) for name, (fn, _) in cases.items()}
    assert counted == {name: round(expected) for name, (_, expected) in cases.items()}


def test_products() -> None:
    check(
        {
            "mm": (lambda: real(3, 5) @ real(5, 7), 3 * 5 * 7),
            "complex mm": (lambda: cplx(3, 5) @ cplx(5, 7), 4 * 3 * 5 * 7),
            "conjugate": (lambda: cplx(5, 3).mH @ cplx(5, 7), 4 * 3 * 5 * 7),
            "addmm": (lambda: torch.addmm(real(7), real(3, 5), real(5, 7), beta=0.5, alpha=2), 3 * 5 * 7),
            "addmm_": (lambda: real(3, 7).addmm_(real(3, 5), real(5, 7)), 3 * 5 * 7),
            "mm, out given": (lambda: torch.mm(real(3, 5), real(5, 7), out=torch.empty(3, 7)), 3 * 5 * 7),
            "bmm": (lambda: real(2, 3, 5) @ real(2, 5, 7), 2 * 3 * 5 * 7),
            "broadcast bmm": (lambda: real(2, 1, 3, 5) @ real(4, 5, 7), 2 * 4 * 3 * 5 * 7),
            "folded bmm": (lambda: real(2, 4, 3, 5) @ real(5, 7), 2 * 4 * 3 * 5 * 7),
            "baddbmm": (lambda: torch.baddbmm(real(2, 3, 7), real(2, 3, 5), real(2, 5, 7), beta=1.5), 2 * 3 * 5 * 7),
            "mv": (lambda: real(3, 5) @ real(5), 3 * 5),
            "addmv": (lambda: torch.addmv(real(3), real(3, 5), real(5)), 3 * 5),
            "batched mv": (lambda: real(2, 3, 5) @ real(5), 2 * 3 * 5),
            "dot": (lambda: real(9) @ real(9), 9),
            "vdot": (lambda: torch.vdot(cplx(9), cplx(9)), 4 * 9),
            "linear": (lambda: F.linear(real(3, 5), real(7, 5), real(7)), 3 * 5 * 7),
            "linear without bias": (lambda: F.linear(real(2, 3, 5), real(7, 5)), 2 * 3 * 5 * 7),
            "einsum": (lambda: torch.einsum("bij,bjk->ik", real(2, 3, 5), real(2, 5, 7)), 2 * 3 * 5 * 7),
            "complex einsum": (lambda: torch.einsum("bi,io->bo", cplx(2, 3), cplx(3, 5)), 4 * 2 * 3 * 5),
            "matrix power": (lambda: torch.linalg.matrix_power(real(6, 6), 4), 2 * 6**3),
            "elementwise": (lambda: real(3, 5) * real(3, 5), 0),
        }
    )


def test_convolutions() -> None:
    x, k = real(2, 6, 9, 8), real(10, 6, 3, 3)
    check(
        {
            "valid": (lambda: F.conv2d(x, k), 2 * 10 * 7 * 6 * 6 * 9),
            "same": (lambda: F.conv2d(x, k, real(10), padding=1), 2 * 10 * 9 * 8 * 6 * 9),
            "named same": (lambda: F.conv2d(x, k, padding="same"), 2 * 10 * 9 * 8 * 6 * 9),
            "stride": (lambda: F.conv2d(x, k, padding=1, stride=2), 2 * 10 * 5 * 4 * 6 * 9),
            "dilation": (lambda: F.conv2d(x, k, dilation=2), 2 * 10 * 5 * 4 * 6 * 9),
            "groups": (lambda: F.conv2d(x, real(10, 3, 3, 3), groups=2), 2 * 10 * 7 * 6 * 3 * 9),
            "depthwise": (lambda: F.conv2d(x, real(6, 1, 3, 3), groups=6), 2 * 6 * 7 * 6 * 9),
            "1x1": (lambda: F.conv2d(x, real(10, 6, 1, 1)), 2 * 10 * 9 * 8 * 6),
            "one dimension": (lambda: F.conv1d(real(2, 6, 9), real(10, 6, 4)), 2 * 10 * 6 * 6 * 4),
            "three dimensions": (lambda: F.conv3d(real(1, 2, 4, 4, 4), real(3, 2, 2, 2, 2)), 3 * 27 * 2 * 8),
            "no batch": (lambda: F.conv2d(x[0], k), 10 * 7 * 6 * 6 * 9),
            "transposed": (lambda: F.conv_transpose2d(x, real(6, 10, 3, 3)), 2 * 6 * 9 * 8 * 10 * 9),
            "transposed stride": (lambda: F.conv_transpose2d(x, real(6, 10, 3, 3), stride=2), 2 * 6 * 9 * 8 * 10 * 9),
            "transposed groups": (
                lambda: F.conv_transpose2d(x, real(6, 5, 3, 3), groups=2, stride=2, output_padding=1),
                2 * 6 * 9 * 8 * 5 * 9,
            ),
            "circular": (lambda: F.conv2d(F.pad(x, (1, 1, 1, 1), mode="circular"), k), 2 * 10 * 9 * 8 * 6 * 9),
        }
    )


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolutions_gradients_cost_it_again_each(transposed: bool, groups: int) -> None:
    def step(*, to_input: bool, to_kernel: bool) -> int:
        x = real(2, 6, 9, 8).requires_grad_(to_input)
        kernel = (real(6, 10 // groups, 3, 3) if transposed else real(10, 6 // groups, 3, 3)).requires_grad_(to_kernel)
        bias = real(10).requires_grad_()
        run = F.conv_transpose2d if transposed else F.conv2d
        return count_macs(lambda: run(x, kernel, bias, stride=2, groups=groups).sum().backward())

    once = 2 * 9 * (6 * 9 * 8 * 10 if transposed else 10 * 4 * 3 * 6) // groups
    assert step(to_input=False, to_kernel=False) == once
    assert step(to_input=True, to_kernel=False) == 2 * once
    assert step(to_input=False, to_kernel=True) == 2 * once
    assert step(to_input=True, to_kernel=True) == 3 * once


def test_second_derivatives_of_a_convolution_count() -> None:
    x, kernel = real(2, 3, 8, 8), real(5, 3, 3, 3).requires_grad_()
    once = 2 * 5 * 6 * 6 * 3 * 9

    def penalty() -> None:
        (grad,) = torch.autograd.grad(F.conv2d(x, kernel).square().sum(), kernel, create_graph=True)
        grad.square().sum().backward()

    assert count_macs(penalty) >= 4 * once
    assert count_macs(penalty) % once == 0


def test_fourier_transforms() -> None:
    h, w = 12, 10
    points = 3 * h * w
    x, z = real(3, h, w), cplx(3, h, w)
    both = log2(h) + log2(w)
    half = torch.fft.rfft2(x)
    check(
        {
            "real": (lambda: torch.fft.rfft(x), points * log2(w)),
            "real, other dimension": (lambda: torch.fft.rfft(x, dim=1), points * log2(h)),
            "real 2-D": (lambda: torch.fft.rfft2(x), points * both),
            "to real 2-D": (lambda: torch.fft.irfft2(half, s=(h, w)), points * both),
            "complex": (lambda: torch.fft.fft(z), 2 * points * log2(w)),
            "complex 2-D": (lambda: torch.fft.ifft2(z), 2 * points * both),
            "padded": (lambda: torch.fft.rfft2(real(3, 3, 3), s=(h, w)), points * both),
            "one point": (lambda: torch.fft.rfft(real(5, 1)), 0),
            "out given": (
                lambda: torch.fft.rfft(x, out=torch.empty(3, h, w // 2 + 1, dtype=z.dtype)),
                points * log2(w),
            ),
            "powers of two are whole": (lambda: torch.fft.rfft2(real(32, 32)), 32 * 32 * 10),
        }
    )


def test_solving() -> None:
    n, m = 6, 4
    a, z = spd(2, n, n), cplx(2, n, n) + 10 * torch.eye(n)
    lu, pivots = torch.linalg.lu_factor(a)
    triangle = lower(2, n, n)
    check(
        {
            "solve": (lambda: torch.linalg.solve(a, real(2, n, m)), 2 * (n**3 / 3 + n * n * m)),
            "complex solve": (lambda: torch.linalg.solve(z, cplx(2, n, m)), 4 * 2 * (n**3 / 3 + n * n * m)),
            "solve for a vector": (lambda: torch.linalg.solve(a[0], real(n)), n**3 / 3 + n * n),
            "solve from the right": (
                lambda: torch.linalg.solve(a, real(2, m, n), left=False),
                2 * (n**3 / 3 + n * n * m),
            ),
            "inverse": (lambda: torch.linalg.inv(a), 2 * n**3),
            "complex inverse": (lambda: torch.linalg.inv(z), 4 * 2 * n**3),
            "lu_factor": (lambda: torch.linalg.lu_factor(a), 2 * n**3 / 3),
            "lu_factor, tall": (lambda: torch.linalg.lu_factor(real(8, 6)), 36 * (24 - 6) / 6),
            "lu_factor, wide": (lambda: torch.linalg.lu_factor(real(6, 8)), 36 * (24 - 6) / 6),
            "lu": (lambda: torch.linalg.lu(a), 2 * n**3 / 3),
            "lu_solve": (lambda: torch.linalg.lu_solve(lu, pivots, real(2, n, m)), 2 * n * n * m),
            "det": (lambda: torch.linalg.det(a), 2 * n**3 / 3),
            "slogdet": (lambda: torch.linalg.slogdet(a), 2 * n**3 / 3),
            "triangular": (
                lambda: torch.linalg.solve_triangular(triangle, real(2, n, m), upper=False),
                2 * n * n * m / 2,
            ),
            "cholesky": (lambda: torch.linalg.cholesky(a), 2 * n**3 / 6),
            "cholesky_ex": (lambda: torch.linalg.cholesky_ex(a), 2 * n**3 / 6),
            "cholesky, out given": (lambda: torch.linalg.cholesky(a, out=torch.empty_like(a)), 2 * n**3 / 6),
            "solve, out given": (
                lambda: torch.linalg.solve(a, real(2, n, m), out=torch.empty(2, n, m)),
                2 * (n**3 / 3 + n * n * m),
            ),
            "cholesky_solve": (lambda: torch.cholesky_solve(real(2, n, m), triangle), 2 * n * n * m),
            "cholesky_inverse": (lambda: torch.cholesky_inverse(triangle), 2 * n**3 / 3),
        }
    )


def test_lu_agrees_with_a_count_of_its_loops() -> None:
    def loops(m: int, n: int) -> int:
        return sum((m - k - 1) * (n - k - 1) for k in range(min(m, n)))

    for m, n in [(60, 60), (90, 60), (60, 90)]:
        assert count_macs(lambda m=m, n=n: torch.linalg.lu_factor(real(m, n))) == pytest.approx(loops(m, n), rel=0.03)


def test_cholesky_agrees_with_a_count_of_its_loops() -> None:
    n = 80
    loops = sum(j for i in range(n) for j in range(i + 1))
    assert count_macs(lambda: torch.linalg.cholesky_ex(torch.eye(n))) == pytest.approx(loops, rel=0.03)


def test_orthogonal_factors() -> None:
    a, tall = real(2, 6, 6), real(9, 4)
    packed, scales = torch.geqrf(tall)
    triangle = 16 * (9 - 4 / 3)
    check(
        {
            "QR": (lambda: torch.linalg.qr(a), 2 * 2 * 36 * (6 - 2)),
            "QR, tall": (lambda: torch.linalg.qr(tall), 2 * triangle),
            "QR, complex": (lambda: torch.linalg.qr(cplx(9, 4)), 4 * 2 * triangle),
            "R only": (lambda: torch.linalg.qr(tall, mode="r"), triangle),
            "complete": (
                lambda: torch.linalg.qr(tall, mode="complete"),
                triangle + 2 * 9 * 9 * 4 - 18 * 16 + 2 / 3 * 64,
            ),
            "geqrf": (lambda: torch.geqrf(tall), triangle),
            "Householder": (lambda: torch.linalg.householder_product(packed, scales), triangle),
            "SVD": (lambda: torch.linalg.svd(tall), 8 * 9 * 4 * 4),
            "batched complex SVD": (lambda: torch.linalg.svdvals(cplx(2, 3, 5)), 4 * 2 * 8 * 3 * 5 * 3),
            "spectral norm": (lambda: torch.linalg.matrix_norm(tall, ord=2), 8 * 9 * 4 * 4),
            "eigh": (lambda: torch.linalg.eigh(spd(2, 6, 6)), 2 * 6**3 + 2 * 8 * 6**3),
            "eigvalsh": (lambda: torch.linalg.eigvalsh(torch.eye(6)), 8 * 6**3),
            "matrix_exp": (lambda: torch.linalg.matrix_exp(a), 2 * 8 * 6**3),
        }
    )


def test_what_only_moves_or_maps_numbers_is_free() -> None:
    x = real(2, 8, 6, 6)
    index = torch.randint(4, (4,))

    def forward(x: Tensor) -> Tensor:
        y = torch.stack([torch.maximum(x[:, ::2], x[:, 1::2]), torch.minimum(x[:, ::2], x[:, 1::2])], 2).flatten(1, 2)
        y = torch.where(y > 0, y, y.abs()).roll(1, -1).flip(-1).clamp(-1, 1) * 2 - 1
        y = torch.permute_copy(y.unsqueeze(0), (0, 1, 2, 4, 3)).squeeze_(0)
        assert ((index << 1) >> 1).equal(index)
        y = F.pixel_shuffle(F.pixel_unshuffle(y, 2), 2)
        y = F.pad(y, (1, 1, 1, 1)) + F.pad(y, (1, 1, 1, 1), mode="circular") + F.pad(y, (1, 1, 1, 1), mode="reflect")
        y = torch.cat([y.index_select(-1, index), y[..., index], y.gather(-1, index.expand(*y.shape[:-1], 4))])
        y = y.scatter_add(-1, index.expand(y.shape), y).cumsum(1).tril().masked_fill(y > 1, 0.0)
        y = F.avg_pool2d(F.max_pool2d(y, 2), 2) + F.adaptive_avg_pool2d(y, 2)[..., :1, :1]
        y = F.group_norm(F.relu(F.leaky_relu(F.elu(y))), 2) / torch.linalg.vector_norm(y, dim=1, keepdim=True)
        y = torch.view_as_real(torch.complex(y, y).conj() * 1j).sort(dim=1).values.amax(-1)
        return F.cross_entropy(F.dropout(y.flatten(1)), torch.zeros(len(y), dtype=torch.long)) + y.var()

    def train() -> None:
        z = x.clone().requires_grad_()
        forward(z).backward()
        optimiser = torch.optim.SGD([z], 0.1, momentum=0.9, weight_decay=1e-4)
        optimiser.step()
        torch.optim.SGD([z], 0.1, momentum=0.9, foreach=True).step()
        torch.optim.Adam([z], 0.1, foreach=True).step()
        torch.randperm(8)[torch.randint(8, (3,))].sum().item()

    train()
    assert count_macs(train) == 0


def small_network() -> tuple[nn.Sequential, int]:
    """A network and the multiply-accumulates of its forward pass of one 8 x 8 image with 3 channels."""
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular"),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.PixelUnshuffle(2),
        nn.Conv2d(32, 16, 1, bias=False),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 4, 2, stride=2),
        nn.Flatten(),
        nn.Linear(4 * 8 * 8, 10),
    )
    convolutions = 8 * 64 * 3 * 9 + 8 * 64 * 4 * 9 + 16 * 16 * 32 + 16 * 16 * 4 * 4
    return network, convolutions + 256 * 10


@pytest.mark.parametrize("batch", [1, 5])
def test_a_network_forward_and_backward(batch: int) -> None:
    network, forward = small_network()
    x = real(batch, 3, 8, 8)
    first = 8 * 64 * 3 * 9
    assert count_macs(lambda: network(x)) == batch * forward
    # The input needs no gradient, so that the first layer costs twice and all others three times.
    assert count_macs(lambda: network(x).square().sum().backward()) == batch * (3 * forward - first)


@pytest.mark.parametrize("grad_off", [torch.no_grad, torch.inference_mode])
def test_counts_the_same_without_gradients(grad_off: Callable[[], Any]) -> None:
    network, forward = small_network()
    x = real(2, 3, 8, 8)

    def infer() -> None:
        with grad_off():
            network(x)

    assert count_macs(infer) == 2 * forward


def test_a_custom_function_is_counted_by_its_parts() -> None:
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Tensor) -> Tensor:
            ctx.save_for_backward(a)
            return a @ a

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            (a,) = ctx.saved_tensors
            return grad @ a.T + a.T @ grad

    a = real(6, 6).requires_grad_()
    assert count_macs(lambda: Product.apply(a).sum().backward()) == 3 * 6**3


def test_mapped_functions_are_counted_as_they_run() -> None:
    assert count_macs(lambda: torch.vmap(torch.linalg.inv)(spd(4, 6, 6))) == 4 * 6**3 + 4 * 6**3


def test_counts_add_up_and_start_anew() -> None:
    def twice() -> None:
        real(3, 5) @ real(5, 7)
        real(3, 5) @ real(5)

    assert [count_macs(twice), count_macs(twice)] == [120, 120]
    assert count_macs(lambda: None) == 0


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (lambda: torch.linalg.eigvals(real(4, 4)), "aten._linalg_eigvals|aten.linalg_eig"),
        (lambda: torch.cdist(real(40, 4), real(40, 4)), r"aten.(_cdist_forward|_euclidean_dist)"),
        (lambda: F.bilinear(real(2, 3), real(2, 4), real(5, 3, 4)), "aten._trilinear"),
        (lambda: F.scaled_dot_product_attention(real(1, 1, 8, 8), real(1, 1, 8, 8), real(1, 1, 8, 8)), "attention"),
        (lambda: torch.linalg.lstsq(real(6, 4), real(6, 2)), "aten.linalg_lstsq"),
    ],
)
def test_refuses_an_operation_that_it_does_not_know(fn: Callable[[], object], name: str) -> None:
    with pytest.raises(UnsupportedOperationError, match=name) as refused:
        count_macs(fn)
    assert isinstance(refused.value, OnelipError)


def test_refuses_before_it_runs_and_in_the_backward_pass() -> None:
    ran: list[str] = []

    def backward(grad: Tensor) -> Tensor:
        torch.linalg.eig(grad)
        ran.append("eig")
        return grad

    x = real(4, 4).requires_grad_()
    x.register_hook(backward)
    with pytest.raises(UnsupportedOperationError, match=r"aten\.linalg_eig"):
        count_macs(lambda: x.sin().sum().backward())
    assert not ran


def test_an_operation_of_another_library_needs_a_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    library = torch.library.Library("onelip_test", "DEF")
    library.define("twice(Tensor a, Tensor b) -> Tensor")
    library.impl("twice", lambda a, b: 2 * (a @ b), "CPU")
    # A name that is free in PyTorch says nothing about an operation of the same name elsewhere.
    library.define("roll(Tensor a) -> Tensor")
    library.impl("roll", lambda a: a @ a, "CPU")
    library.define("negative(Tensor a) -> Tensor", tags=(torch.Tag.pointwise,))
    library.impl("negative", lambda a: -a, "CPU")
    with pytest.raises(UnsupportedOperationError, match=r"operation onelip_test.twice.default is not known"):
        count_macs(lambda: torch.ops.onelip_test.twice(real(3, 5), real(5, 7)))
    with pytest.raises(UnsupportedOperationError, match=r"onelip_test.roll"):
        count_macs(lambda: torch.ops.onelip_test.roll(real(3, 3)))
    assert count_macs(lambda: torch.ops.onelip_test.negative(real(3, 3))) == 0
    monkeypatch.setitem(flops.MACS, "onelip_test.twice", lambda out, a, _b: out.numel() * a.shape[-1])
    assert count_macs(lambda: torch.ops.onelip_test.twice(real(3, 5), real(5, 7))) == 3 * 5 * 7


def test_the_tables_name_operations_that_exist_and_do_not_overlap() -> None:
    counted = {name.removeprefix("aten.").removesuffix("_") for name in flops.MACS}
    assert not counted & flops.FREE
    for name in counted | flops.FREE:
        packet = getattr(torch.ops.aten, name, None) or getattr(torch.ops.aten, name + "_", None)
        assert packet is not None, name
    assert not any(flops._is_elementwise(name) for name in counted)
