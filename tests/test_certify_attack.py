"""Attacks find what is there, stay inside their balls, and break no certificate; broken certifiers they break."""

import sys
from fractions import Fraction

import pytest
import torch
from torch import nn

import onelip
from onelip.certify import Certifier, radius
from onelip.certify.attack import margin_attack, margin_attacks
from onelip.certify.balls import Balls
from onelip.certify.foolbox_attack import foolbox_attacks, import_foolbox
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
    # 19 steps, the input itself not counted, and the edge; from a random point 20 steps and the edge.
    assert found.tried == int((radii > 0).sum()) * 41
    some = radii.topk(6).indices
    for (foolbox_found,) in foolbox_attacks(certifier, x[some], y[some], radii[None, some]):
        assert foolbox_found.tried >= 6
        assert (foolbox_found.leads > 0).all(), foolbox_found.attack


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


def test_all_balls_are_watched_in_every_attack():
    model, x, y = trained("aol")
    certifier = Certifier(model, (1, 8, 8))
    sound = certifier.radii(x, y) > 0
    x, y, radii = x[sound], y[sound], certifier.radii(x, y)[sound]
    inner, outer, far = margin_attacks(certifier, x, y, torch.stack([radii, 3 * radii, 40 * radii]), steps=20)
    alone = margin_attack(certifier, x, y, radii, steps=20)
    assert inner.tried > alone.tried
    assert not inner.broken.any()
    assert far.broken.sum() > 0
    assert (far.leads <= outer.leads).all()
    assert (outer.leads <= inner.leads).all()
    chosen = far.chosen(far.broken)
    assert len(chosen.x) == len(chosen.labels) == len(chosen.radii) == len(chosen.inputs) == int(far.broken.sum())


def test_a_point_counts_only_strictly_inside_and_as_the_program_sees_it():
    model = linear([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    x, y, at = torch.full((1, 1, 2, 2), 0.5), torch.tensor([0]), torch.tensor([0])

    def counted(arithmetic, offset, radius):
        balls = Balls(Certifier(model, (1, 2, 2), arithmetic=arithmetic), x, y, torch.tensor([[radius]]))
        balls.probe(balls.centre + torch.tensor([offset, 0.0, 0.0, 0.0], dtype=torch.float64).view(1, 1, 2, 2), at)
        return balls.result("").tried

    assert counted("float64", -0.25, 0.25) == 0
    assert counted("float64", -0.25, 0.250001) == 1
    assert counted("float64", 0.0, 0.25) == 0
    assert counted("float64", float("nan"), 0.25) == 0
    # Half of a unit in the last place of float32 is rounded away, three quarters of it to a whole one.
    assert counted("float64", 2.0**-25, 0.1) == 1
    assert counted("real", 2.0**-25, 0.1) == 0
    assert counted("real", 0.75 * 2.0**-24, 0.8 * 2.0**-24) == 0


def test_a_tie_is_a_broken_answer():
    model = nn.Sequential(linear([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]), nn.ReLU())
    x, y = torch.full((1, 1, 2, 2), 0.5), torch.tensor([0])
    certifier = Certifier(model, (1, 2, 2))
    assert not margin_attack(certifier, x, y, certifier.radii(x, y)).broken.any()
    found = margin_attack(certifier, x, y, torch.tensor([0.6]))
    assert found.leads.tolist() == [0.0]
    assert found.broken.tolist() == [True]


NEAREST = ["foolbox DeepFool", "foolbox DDN", "foolbox Carlini-Wagner"]


@pytest.mark.parametrize("name", NEAREST)
def test_foolbox_finds_the_nearest_boundary_of_a_linear_model(name):
    model = linear([[3.0, 1.0, 0.0, -1.0], [1.0, 0.0, 2.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    x = torch.tensor([[1.0, 0.2, 0.1, -0.3], [0.9, 0.0, 0.2, 0.4]]).view(2, 1, 2, 2)
    certifier, y = Certifier(model, (1, 2, 2)), torch.tensor([0, 0])
    radii = certifier.radii(x, y)
    for inside, outside in foolbox_attacks(certifier, x, y, torch.stack([radii, 1.02 * radii])):
        assert inside.attack == outside.attack
        assert (inside.leads > 0).all()
        assert (torch.linalg.vector_norm((outside.x - x).flatten(1), dim=1) < 1.02 * radii).all()
        if inside.attack == name:
            assert outside.broken.all()
            return
    pytest.fail(f"{name} did not run")


def test_foolbox_is_not_held_back_by_bounds_of_pixels():
    model = linear([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    model[1].bias = nn.Parameter(torch.tensor([0.5, 0.0]))
    x, y = torch.tensor([1.0, 0.0, 0.0, 0.0]).view(1, 1, 2, 2), torch.tensor([0])
    found = list(foolbox_attacks(Certifier(model, (1, 2, 2)), x, y, torch.tensor([[2.0]])))
    assert [one.broken.tolist() for (one,) in found] == [[True]] * 4
    assert all(float(one.x.min()) < -0.3 for (one,) in found)


def test_foolbox_breaks_radii_that_are_too_large_and_leaves_the_random_numbers_alone():
    model, x, y = trained("aol")
    certifier = Certifier(model, (1, 8, 8))
    sound = certifier.radii(x, y) > 0
    x, y, radii = x[sound][:8], y[sound][:8], certifier.radii(x, y)[sound][:8]
    before = torch.get_rng_state()
    for one, large in foolbox_attacks(certifier, x, y, torch.stack([radii, 40 * radii]), restarts=2, seed=3):
        assert not one.broken.any()
        assert large.broken.any(), large.attack
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("arithmetic", ["float64", "real"])
def test_foolbox_computes_in_float64(arithmetic, monkeypatch):
    model, x, y = trained("aol", steps=5)
    seen, evaluated = set(), Certifier.evaluated

    def watched(self, inputs):
        seen.add(inputs.dtype)
        return evaluated(self, inputs)

    certifier, x, y = Certifier(model, (1, 8, 8), arithmetic=arithmetic), x[:3], y[:3]
    monkeypatch.setattr(Certifier, "evaluated", watched)
    found = list(foolbox_attacks(certifier, x, y, torch.full((1, len(x)), 0.1)))
    assert len(found) == 4
    assert seen == {torch.float64}


def test_without_inputs_or_radii_nothing_runs():
    model, x, y = trained("aol", steps=0)
    certifier = Certifier(model, (1, 8, 8))
    assert list(foolbox_attacks(certifier, x, y, torch.zeros(1, len(x)))) == []
    assert list(foolbox_attacks(certifier, x[:0], y[:0], torch.zeros(1, 0))) == []
    assert margin_attack(certifier, x[:0], y[:0], torch.zeros(0)).tried == 0
    nothing = margin_attack(certifier, x, y, torch.zeros(len(x)))
    assert (nothing.tried, int(nothing.broken.sum())) == (0, 0)


def test_a_missing_foolbox_is_an_import_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "foolbox", None)
    with pytest.raises(ImportError, match="foolbox"):
        import_foolbox()


def test_points_found_are_inside_in_exact_arithmetic():
    model, x, y = trained("cpl")
    certifier = Certifier(model, (1, 8, 8))
    radii = certifier.radii(x, y)
    found = margin_attack(certifier, x, y, radii, steps=10)
    for centre, point, bound in zip(found.inputs, found.x, radii.tolist(), strict=True):
        pairs = zip(centre.flatten().tolist(), point.flatten().tolist(), strict=True)
        if bound:
            assert sum((Fraction(a) - Fraction(b)) ** 2 for a, b in pairs) < Fraction(bound) ** 2
