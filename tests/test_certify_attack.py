"""Attacks find what is there, stay inside their balls, and break no certificate; broken certifiers they break."""

import pytest
import torch
from torch import nn

import onelip
from onelip.certify import Certifier, radius
from onelip.certify.attack import margin_attack
from onelip.methods.aol import AOLConv2d

METHODS = [name for name, method in onelip.METHODS.items() if method.traits.constrained]


def linear(rows):
    layer = nn.Linear(4, len(rows), bias=False)
    layer.weight.data = torch.tensor(rows)
    return nn.Sequential(nn.Flatten(), layer)


def test_of_a_linear_model_the_attack_finds_the_nearest_boundary():
    model = linear([[3.0, 1.0, 0.0, -1.0], [1.0, 0.0, 2.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    x = torch.tensor([[1.0, 0.2, 0.1, -0.3], [0.9, 0.0, 0.2, 0.4]]).view(2, 1, 2, 2)
    certifier, y = Certifier(model, (1, 2, 2)), torch.tensor([0, 0])
    radii = certifier.radii(x, y)
    assert (radii > 0).all()
    inside = margin_attack(certifier, x, y, radii)
    assert ((inside.leads > 0) & (inside.leads < 1e-9)).all()
    outside = margin_attack(certifier, x, y, radii * (1 + 1e-6))
    assert (outside.leads < 0).all()
    for found, size in ((inside, radii), (outside, radii * (1 + 1e-6))):
        assert (torch.linalg.vector_norm((found.x - x).flatten(1), dim=1) < size).all()


def trained(name, steps=60):
    torch.manual_seed(0)
    model = onelip.ConvNet(name, size=6, classes=3, image=(1, 8, 8), mean=[0.5])
    x, y = torch.rand(48, 1, 8, 8), torch.arange(48) % 3
    x[:, 0, 0] += 0.8 * torch.nn.functional.one_hot(y, 8)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(steps):
        optimiser.zero_grad()
        onelip.MarginCrossEntropy()(model(x), y).backward()
        optimiser.step()
    return model, x, y


@pytest.mark.parametrize("name", METHODS)
def test_no_certificate_is_broken(name):
    model, x, y = trained(name)
    certifier = Certifier(model, (1, 8, 8))
    radii = certifier.radii(x, y)
    assert (radii > 0).sum() > 10
    found = margin_attack(certifier, x[radii > 0], y[radii > 0], radii[radii > 0], steps=20)
    assert (found.leads > 0).all()
    assert found.tried == int((radii > 0).sum()) * 43


def certified_and_attacked(model, x, y, enlarge=1.0):
    certifier = Certifier(model, (1, 8, 8))
    radii = enlarge * certifier.radii(x, y)
    found = margin_attack(certifier, x[radii > 0], y[radii > 0], radii[radii > 0], steps=20)
    return int((found.leads <= 0).sum())


class Underestimates(AOLConv2d):
    """AOL with row sums that are taken for too small."""

    def kernel(self, raw):
        return 1.3 * super().kernel(raw)


def test_a_certifier_that_takes_layers_at_their_word_is_broken(monkeypatch):
    model, x, y = trained("aol")
    for layer in model.layers[:-1]:
        layer.__class__ = Underestimates
    assert float(Certifier(model, (1, 8, 8)).bound) > 5
    assert certified_and_attacked(model, x, y) == 0
    monkeypatch.setattr(radius.Bound, "product", classmethod(lambda cls, parts: onelip.Bound(1.0, "claimed")))
    assert certified_and_attacked(model, x, y) > 0


@pytest.mark.parametrize("name", ["aol", "lot", "sll"])
def test_radii_that_are_too_large_are_broken(name):
    model, x, y = trained(name)
    assert certified_and_attacked(model, x, y) == 0
    assert certified_and_attacked(model, x, y, enlarge=40.0) > 0
