"""Every fast way beside its slow and plain reference: 100 steps of training end at the same weights."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import onelip
from onelip.linalg import convolve, correlation, estimates, orthogonal, polynomials, series, spectral, stacks
from onelip.methods import bcop, lot, sll, soc
from onelip.models.convnet import ConvNet
from onelip.nn import activations, kernel
from onelip.nn import spectral as spectral_layers

STEPS = 100


def walked(method, steps=STEPS):
    """All parameters of a small network after some steps of training, in float64."""
    torch.manual_seed(0)
    model = ConvNet(method, size=4, classes=3, image=(1, 8, 8), dtype=torch.float64)
    loss, optimiser = onelip.MarginCrossEntropy(), torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    x, y = torch.rand(64, 1, 8, 8, dtype=torch.float64), torch.randint(3, (64,))
    for step in range(steps):
        part = slice(16 * (step % 4), 16 * (step % 4) + 16)
        optimiser.zero_grad()
        loss(model(x[part]), y[part]).backward()
        optimiser.step()
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def plain_max_min(self, x):
    even = x.shape[1] // 2 * 2
    first, second = x[:, 0:even:2], x[:, 1:even:2]
    pairs = torch.stack([torch.maximum(first, second), torch.minimum(first, second)], dim=2).flatten(1, 2)
    return torch.cat([pairs, x[:, even:]], dim=1)


def plain_circular_pad(x, padding):
    return F.pad(x, (padding,) * 4, mode="circular") if padding else x


def plain_convolve(x, weight, bias, padding):
    half = weight.shape[-1] // 2
    return F.conv2d(F.pad(x, (half,) * 4, mode=padding) if half else x, weight, bias)


def polar_by_iteration(matrices):
    """Bjorck and Bowie's iteration under autograd."""
    iterate = matrices / torch.linalg.matrix_norm(matrices).detach()[..., None, None]
    for _ in range(80):
        iterate = 1.5 * iterate - 0.5 * iterate @ iterate.mH @ iterate
    return iterate


def all_frequencies(around, device):
    count = around[0] * (around[1] // 2 + 1)
    return torch.arange(count), torch.arange(count), torch.zeros(count, dtype=torch.bool)


def one_by_one(self):
    return [layer.weights(image) for layer, image in zip(self.layers, self.inner_images, strict=True)]


def krylov_space_of_gram_matrices(matrices, start, steps):
    """Of A^H A itself, made orthogonal to all before it, twice."""
    back = matrices.back
    if start.shape[-2] == 2:
        real, imaginary = back.chunk(2, dim=-2)
        back = torch.complex(real, imaginary)
        start = torch.complex(*start.unbind(-2))[..., None, :]
    gram = back.mH @ back
    basis = torch.linalg.vector_norm(start, dim=-1, keepdim=True).reciprocal() * start
    while basis.shape[-2] < steps:
        rows = basis[..., -1:, :] @ gram.mT
        size = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
        for _ in range(2):
            rows = rows - rows @ basis.mH @ basis
        length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
        basis = torch.cat([basis, torch.where(length > 1e-12 * size, rows / length, 0)], dim=-2)
    tridiagonal = (basis @ gram.mT @ basis.mH).real
    if basis.is_complex():
        return list(torch.stack([basis.real, basis.imag], dim=-2).unbind(-3)), tridiagonal
    return list(basis[..., None, :].unbind(-3)), tridiagonal


# What is walked, and what is put in the place of the fast way.
REFERENCES = {
    "MaxMin": ("aol", activations.MaxMin, "forward", plain_max_min),
    "circular convolution": ("aol", kernel, "convolve", plain_convolve),
    "circular padding": ("aol", convolve, "circular_pad", plain_circular_pad),
    "construction of a stack": ("bcop", ConvNet, "construct", one_by_one),
    "spectral products, circular": ("cayley", spectral_layers, "apply_spectral", spectral.apply_by_library),
    "spectral products, zeros": ("lot", spectral_layers, "apply_spectral", spectral.apply_by_library),
    "mirrored frequencies": ("lot", spectral_layers, "distinct_frequencies", all_frequencies),
    "polar factors of spectra": ("lot", lot, "polar", polar_by_iteration),
    "polar factors by products": ("lot", lot, "polar", polynomials.polar_by_products),
    "polar factors of frames": ("bcop", bcop, "polar", polar_by_iteration),
    "inverses by halves": ("cayley", orthogonal, "_inverse", torch.linalg.inv),
    "absolute sums": ("sll", sll, "absolute_correlation", correlation.absolute_sums),
    "series": ("soc", soc, "convolution_series", series.series_by_terms),
    "estimates of convolutions": ("cpl", estimates, "_lanczos", krylov_space_of_gram_matrices),
    "estimates of reshaped kernels": ("soc", estimates, "_lanczos", krylov_space_of_gram_matrices),
    "shared stacks": ("lot", orthogonal, "in_parts", lambda function, stack: tuple(function(stack))),
}
# Fast ways that small matrices would not take.
ENFORCED = {
    "inverses by halves": (orthogonal, "LARGEST_INVERTED", 2),
    "shared stacks": (stacks, "WORTH", 0),
}


# Stacks are shared among threads; more of them than processors, as beside other tests, wait for one another.
THREADS = {"shared stacks": 2}


@pytest.fixture
def threads(name):
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS.get(name, before))
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("name", REFERENCES)
def test_the_fast_way_and_its_reference_train_alike(name, monkeypatch):
    method, where, attribute, reference = REFERENCES[name]
    if name in ENFORCED:
        monkeypatch.setattr(*ENFORCED[name])
    fast, calls = walked(method), []
    noted = (lambda *arguments: calls.append(1) or reference(*arguments)) if callable(reference) else reference
    monkeypatch.setattr(where, attribute, noted)
    slow = walked(method)
    assert calls or not callable(reference), "the reference was not asked"
    assert (slow - walked(method, steps=0)).abs().max() > 1e-2, "nothing was learned"
    torch.testing.assert_close(fast, slow, rtol=1e-6, atol=1e-6)
