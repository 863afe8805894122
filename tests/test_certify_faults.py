"""Faults planted where certificates are made, and what catches each.

| fault | caught by |
| --- | --- |
| CPL normalised by an estimate of one step | the bound; attacks, where it is believed to be 1 |
| a norm taken at another image size | the bound; attacks, where it is believed to be 1 |
| an epsilon on the wrong side | the bound; attacks, where it is believed to be 1 |
| weights x 1e4 in a Cayley layer made in float32 | the bound; attacks, where it is believed to be 1 |
| a bound of the cropped kernel | the bound of the frozen layer; attacks, where the cropped one is believed |
| a bound that was kept from other weights | the bound of the frozen layer; attacks, where the kept one is believed |
| a stale memo | the certifier, which does not read it |
| a tie counted as robust | attacks: a tie is no answer |
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import onelip
from onelip.bound import Bound
from onelip.certify import Certifier
from onelip.certify.attack import margin_attack
from onelip.linalg.conv import spectral_matrices
from onelip.linalg.estimates import conv_norm_estimate
from onelip.methods.aol import AOLConv2d
from onelip.methods.cayley import CayleyConv2d
from onelip.methods.cpl import CPLConv2d, cpl_scale
from onelip.methods.sll import SLLConv2d
from onelip.methods.standard import StandardConv2d
from onelip.nn.memo import Memo
from onelip.nn.residual import ResidualConv2d


class OneStep(CPLConv2d):
    def scale(self, raw, image):
        return cpl_scale(conv_norm_estimate(raw[0], image, "circular", steps=1, refining=1))[..., None]


class NormOfAnotherImage(CPLConv2d):
    def scale(self, raw, image):
        return super().scale(raw, (1, 1))


class EpsilonOnTheWrongSide(SLLConv2d):
    def scale(self, raw, image):
        return super().scale(raw, image) + 1e-6


class MadeInFloat32(CayleyConv2d):
    def construct(self, raw, image):
        free = spectral_matrices(self.free_kernel(raw), self.spectral_image(image))
        skew, identity = free - free.mH, torch.eye(free.shape[-1])
        matrices = torch.linalg.inv(identity + skew) @ (identity - skew)
        return (torch.stack([matrices.real, matrices.imag], dim=-4),)


class BoundOfTheCroppedKernel(StandardConv2d):
    def realised_bound(self, weights, image, *, enough=0.0):
        spectrum = torch.fft.fft2(weights[0].double(), s=image).movedim((-2, -1), (0, 1))
        return Bound(float(torch.linalg.svdvals(spectrum).amax()) * (1 + 1e-9), "the transform crops larger kernels")


class KeptBound(StandardConv2d):
    def realised_bound(self, weights, image, *, enough=0.0):
        return super().realised_bound((weights[0] / 3,), image)


ONE = 1 + 1e-6
"""What a healthy layer in float32 does not exceed."""


@dataclass(frozen=True)
class Fault:
    """A faulty layer in the place of a healthy one, where it shows, and the bound that is believed of it."""

    faulty: type
    healthy: type
    image: tuple[int, int, int] = (2, 6, 6)
    kernel: int = 3
    change: Callable[[torch.Tensor], torch.Tensor] = lambda weight: weight
    believed: Callable[[nn.Module, tuple[int, int]], float] = lambda layer, image: ONE


def its_own(layer, image):
    return float(layer.bound(image))


FAULTS = {
    "CPL normalised by an estimate of one step": Fault(OneStep, CPLConv2d),
    "a norm taken at another image size": Fault(NormOfAnotherImage, CPLConv2d),
    "an epsilon on the wrong side": Fault(
        EpsilonOnTheWrongSide, SLLConv2d, (1, 6, 6), 1, lambda weight: 3 + 0 * weight
    ),
    "weights x 1e4 in a Cayley layer made in float32": Fault(
        MadeInFloat32, CayleyConv2d, (4, 6, 6), change=lambda weight: 1e4 * weight
    ),
    "a bound of the cropped kernel": Fault(
        BoundOfTheCroppedKernel, StandardConv2d, (2, 3, 3), 5, torch.abs, believed=its_own
    ),
    "a bound that was kept from other weights": Fault(KeptBound, StandardConv2d, believed=its_own),
}


def network(kind, fault):
    """A layer and a head of two classes, with an input on the steepest way from one class to the other."""
    torch.manual_seed(0)
    channels = fault.image[0]
    layer = kind(channels, channels, fault.kernel, padding_mode="circular")
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.copy_(fault.change(parameter) if name in ("weight", "alpha") else parameter)
        # What is inside the ReLU of a residual layer is positive around the input, so that the layer is linear there.
        layer.bias.fill_(100.0 if isinstance(layer, ResidualConv2d) else 0.0)
    frozen, zero = onelip.freeze(layer, fault.image).double(), torch.zeros(1, *fault.image, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(frozen, zero).reshape(zero.numel(), zero.numel())
    left, _, right = torch.linalg.svd(jacobian)
    head = nn.Linear(zero.numel(), 2)
    with torch.no_grad():
        head.weight.copy_(torch.stack([left[:, 0], -left[:, 0]]) / 2)
        head.bias.copy_(-head.weight.double() @ frozen(zero).flatten())
    return nn.Sequential(layer, nn.Flatten(), head), right[0].view(1, *fault.image)


def broken(certifier, x):
    y = torch.tensor([0])
    radii = certifier.radii(x, y)
    found = margin_attack(certifier, x, y, radii)
    assert found.tried > 0
    return bool(found.broken.any())


def believing(fault, kind):
    """A certifier that takes for the layer's bound what the fault makes of it, and an input."""
    model, x = network(kind, fault)
    certifier = Certifier(model, fault.image)
    claimed = Bound(fault.believed(model[0], fault.image[1:]), "claimed")
    certifier.bound = Bound.product([claimed, *certifier.bound.parts[1:]])
    return certifier, x


@pytest.mark.parametrize("name", FAULTS)
def test_the_bound_catches(name):
    fault = FAULTS[name]
    model, x = network(fault.faulty, fault)
    healthy, _ = network(fault.healthy, fault)
    claimed = [fault.believed(m[0], fault.image[1:]) for m in (model, healthy)]
    real = [float(Certifier(m, fault.image).bound.parts[0]) for m in (model, healthy)]
    assert real[0] > claimed[0] * (1 + 1e-7)
    assert real[1] <= claimed[1] * (1 + 1e-9)
    assert not broken(Certifier(model, fault.image), x)


@pytest.mark.parametrize("name", FAULTS)
def test_attacks_catch_who_believes_otherwise(name):
    fault = FAULTS[name]
    assert broken(*believing(fault, fault.faulty))
    assert not broken(*believing(fault, fault.healthy))


class StaleMemo(Memo):
    def get(self, raw, image):
        return self._kept[image][1] if image in self._kept else None


def test_the_certifier_does_not_read_a_stale_memo():
    torch.manual_seed(0)
    layer, x = AOLConv2d(2, 2, 3).eval(), torch.randn(4, 2, 6, 6)
    layer._memo = StaleMemo()
    with torch.no_grad():
        layer(x)
        layer.weight.copy_(torch.randn_like(layer.weight))
        fresh = AOLConv2d(2, 2, 3).eval()
        fresh.load_state_dict(layer.state_dict())
        assert not torch.allclose(layer(x), fresh(x), atol=1e-2)
    certifiers = [Certifier(nn.Sequential(one, nn.Flatten()), (2, 6, 6)) for one in (layer, fresh)]
    assert torch.equal(*(certifier.logits(x) for certifier in certifiers))
    assert float(certifiers[0].bound) == float(certifiers[1].bound)


class TiesAreRobust(Certifier):
    def radii_of(self, logits_BK, x, y):
        top = logits_BK.topk(2).values
        return torch.where(top[:, 0] == top[:, 1], 0.1, super().radii_of(logits_BK, x, y))


def test_attacks_catch_ties_that_count_as_robust():
    head = nn.Linear(4, 2)
    nn.init.ones_(head.weight)
    nn.init.zeros_(head.bias)
    x, y = torch.rand(3, 4), torch.tensor([0, 1, 0])
    assert Certifier(head, (4,)).radii(x, y).tolist() == [0.0] * 3
    believing = TiesAreRobust(head, (4,))
    assert margin_attack(believing, x, y, believing.radii(x, y)).broken.all()
