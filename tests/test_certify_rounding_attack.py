"""The rounding attack breaks radii of real arithmetic in float32, and uncharged ones in float64; no charged ones."""

from fractions import Fraction

import pytest
import torch

import onelip
from onelip.certify import Certifier, radius
from onelip.certify.rounding_attack import rounding_attack

METHODS = [name for name, method in onelip.METHODS.items() if method.traits.constrained]


def network(name, seed=0):
    """A network after a little training, inputs, and the classes that it gives them."""
    torch.manual_seed(seed)
    model = onelip.ConvNet(name, size=4, classes=3, image=(1, 8, 8), mean=[0.5])
    x, y = torch.rand(24, 1, 8, 8), torch.arange(24) % 3
    x[:, 0, 0] += 0.8 * torch.nn.functional.one_hot(y, 8)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(40):
        optimiser.zero_grad()
        onelip.MarginCrossEntropy()(model(x), y).backward()
        optimiser.step()
    return model, x, Certifier(model, (1, 8, 8)).logits(x).argmax(1)


def exactly_inside(found):
    """Which points lie strictly inside the radius, in exact arithmetic."""
    inside = []
    for centre, point, bound in zip(found.inputs, found.x, found.radii.tolist(), strict=True):
        pairs = zip(centre.flatten().tolist(), point.flatten().tolist(), strict=True)
        inside.append(sum((Fraction(a) - Fraction(b)) ** 2 for a, b in pairs) < Fraction(bound) ** 2)
    return inside


@pytest.mark.parametrize("name", METHODS)
def test_real_radii_break_in_float32_and_those_of_float64_do_not(name):
    model, x, y = network(name)
    assert len(y.unique()) > 1
    real = Certifier(model, (1, 8, 8), arithmetic="real")
    broken = rounding_attack(real, x, y)
    assert broken.broken.sum() > 0
    found = rounding_attack(Certifier(model, (1, 8, 8)), x, y)
    assert found.tried > 2000
    assert not found.broken.any()


def test_a_break_is_one_for_the_network_in_float32():
    model, x, y = network("aol")
    found = rounding_attack(Certifier(model, (1, 8, 8), arithmetic="real"), x, y)
    found = found.chosen(found.broken)
    assert all(exactly_inside(found))
    frozen = onelip.freeze(model)
    for centre, point, label, bound in zip(found.inputs, found.x, found.labels, found.radii, strict=True):
        assert torch.equal(centre, centre.float().double())
        assert torch.equal(point, point.float().double())
        assert 0 < bound < 1e-5
        # The batch of one may round otherwise than the attack's batch did, by some units in the last place.
        logits = frozen(point[None].float())[0]
        others = torch.cat([logits[:label], logits[label + 1 :]])
        assert logits[label] - others.amax() < 1e-6


@pytest.mark.parametrize("arithmetic", ["float64", "real"])
def test_points_lie_strictly_inside(arithmetic):
    model, x, y = network("cpl")
    found = rounding_attack(Certifier(model, (1, 8, 8), arithmetic=arithmetic), x, y, probes=16)
    tried = torch.isfinite(found.leads)
    assert tried.sum() > 50
    assert all(exactly_inside(found.chosen(tried)))
    assert float(found.radii[len(x) :].median()) < 1e-5


@pytest.mark.parametrize("name", ["aol", "cpl", "lot"])
def test_without_the_charge_radii_break_in_float64(name, monkeypatch):
    monkeypatch.setattr(radius, "evaluation_error", lambda chain, size: 0.0)
    model, x, y = network(name)
    found = rounding_attack(Certifier(model, (1, 8, 8)), x, y)
    found = found.chosen(found.broken)
    assert len(found.labels) > 0
    assert all(exactly_inside(found))
    assert float(found.radii.max()) < 1e-12


def test_a_seed_gives_one_attack_and_others_give_others():
    model, x, y = network("sll")
    certifier = Certifier(model, (1, 8, 8))
    first, again, other = (rounding_attack(certifier, x, y, probes=4, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.x, again.x)
    assert not torch.equal(first.inputs, other.inputs)


def test_without_another_class_only_the_edges_are_tried():
    model, x, y = network("aol")
    alike = y == y[0]
    found = rounding_attack(Certifier(model, (1, 8, 8)), x[alike], y[alike])
    assert len(found.labels) == found.tried == int(alike.sum())


def test_without_certified_inputs_nothing_is_tried():
    model, x, y = network("aol")
    found = rounding_attack(Certifier(model, (1, 8, 8)), x, (y + 1) % 3)
    assert (len(found.labels), found.tried) == (0, 0)
