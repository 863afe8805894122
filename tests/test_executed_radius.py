"""Radii of the float32 program: sound under attack, paid for, certified in files and verified."""

from __future__ import annotations

import pytest
import torch
from tests.test_certificate import METHODS, edited, network, verified, with_input
from tests.test_certify_rounding_attack import network as of_many_classes

import onelip
from onelip import Certifier, certified_program, certified_radius
from onelip.certify import along
from onelip.certify.rounding_attack import rounding_attack
from onelip.certify.tightness import rounding_by_module
from onelip.errors import CertificateError, UnsoundError
from onelip.linalg import float32


@pytest.mark.parametrize("name", METHODS)
def test_radii_pay_for_float32_and_for_nothing_else(name):
    model, x, y = network(name)
    exact, paid = certified_radius(model, x, y), certified_radius(model, x, y, arithmetic="executed")
    assert bool((paid <= exact).all())
    certifier = Certifier(model, (1, 8, 8), arithmetic="executed")
    charge = 2**0.5 * certifier.errors(x, paid) / float(certifier.bound)
    positive = paid > 0
    assert int(positive.sum()) >= len(x) // 2
    assert bool((exact - paid <= 1.1 * charge + 1e-6 * exact)[positive].all())
    assert torch.equal(certifier.logits(x), certified_program(model)(x).double())


def test_fewer_channels_at_a_time_certify_more():
    model, x, y = network("bcop")
    some = [certified_radius(model, x, y, arithmetic="executed", block=block) for block in (None, 4, 1)]
    assert bool((some[0] < some[1])[some[1] > 0].all())
    assert bool((some[1] < some[2])[some[2] > 0].all())


def test_a_radius_speaks_of_the_input_as_it_is_given():
    """The program sees the nearest float32 numbers: what lies between is taken off."""
    model, x, y = network("aol")
    wide = x.double() + 2e-9 * torch.rand(x.shape, dtype=torch.float64)
    away = (wide - wide.float().double()).flatten(1).norm(dim=1)
    assert bool((away > 0).all())
    narrow, given = (certified_radius(model, z, y, arithmetic="executed") for z in (wide.float(), wide))
    positive = given > 0
    assert torch.allclose((narrow - given)[positive], away[positive], rtol=1e-3)


def test_wrong_answers_and_inputs_that_are_no_numbers_have_no_radius():
    model, x, y = network("aol")
    wrong = certified_radius(model, x, (y + 1) % 3, arithmetic="executed")
    assert int((wrong > 0).sum()) <= 1  # the first label was wrong before
    x = x.clone()
    x[1, 0, 0, 0], x[2, 0, 0, 0], x[3] = float("nan"), float("inf"), 1e38
    radii = certified_radius(model, x, y, arithmetic="executed")
    assert radii[1:4].tolist() == [0.0] * 3
    assert bool((radii[4:] > 0).any())
    assert certified_radius(model, x[:0], y[:0], arithmetic="executed").shape == (0,)


@pytest.mark.parametrize("name", ["aol", "cpl", "cayley"])
def test_the_rounding_attack_breaks_none_and_would_without_the_charge(name, monkeypatch):
    model, x, y = of_many_classes(name)
    found = rounding_attack(Certifier(model, (1, 8, 8), arithmetic="executed"), x, y)
    assert found.tried > 100
    assert not found.broken.any()
    monkeypatch.setattr(along, "charge_of", lambda *_: lambda __, ___, far_B: torch.zeros_like(far_B))
    # Nor can it be noticed then that the program errs by more than is charged.
    monkeypatch.setattr("onelip.certify.radius.check_program", lambda *_: None)
    assert rounding_attack(Certifier(model, (1, 8, 8), arithmetic="executed"), x, y).broken.any()


@pytest.mark.parametrize("name", METHODS)
def test_what_is_issued_is_verified(name, tmp_path):
    model, x, y = network(name)
    certificate = onelip.issue_certificate(model, x, y, arithmetic="executed", batch_size=5)
    assert (certificate.arithmetic, certificate.block) == ("executed", 16)
    assert [one.radius for one in certificate.inputs] == pytest.approx(
        certified_radius(model, x, y, arithmetic="executed").tolist(), rel=1e-6
    )
    path = tmp_path / "certificate.json"
    certificate.write(path)
    assert verified(onelip.Certificate.read(path), model, x, y) == "12 of 12 inputs verified"


@pytest.fixture(scope="module")
def issued():
    model, x, y = network("bcop")
    return model, x, y, onelip.issue_certificate(model, x, y, arithmetic="executed")


def test_more_than_can_be_proved_is_refused(issued):
    model, x, y, certificate = issued
    index = max(range(len(x)), key=lambda one: certificate.inputs[one].radius)
    radius = certificate.inputs[index].radius
    with pytest.raises(CertificateError, match=f"input {index} claims the radius"):
        verified(with_input(certificate, index, radius=radius * 1.0001), model, x, y)
    with pytest.raises(CertificateError, match="claims the radius"):
        verified(edited(certificate, block=None), model, x, y)
    with pytest.raises(CertificateError, match=f"input {index} claims the margin"):
        verified(with_input(certificate, index, margin=certificate.inputs[index].margin + 0.1), model, x, y)
    assert "verified" in verified(edited(certificate, block=2), model, x, y), "shorter sums prove it as well"


def test_a_promise_is_what_it_means(issued):
    model, x, y, certificate = issued
    with pytest.raises(ValueError, match="its meaning is not that of radii in float64 arithmetic here: it was edited"):
        edited(certificate, arithmetic="float64")
    with pytest.raises(UnsoundError, match="not sound for any program"):
        onelip.issue_certificate(model, x, y, arithmetic="real")


def test_a_certificate_in_float64_keeps_its_digest():
    """The block is not written where there is none, so that certificates of earlier versions are whole."""
    model, x, y = network("aol")
    certificate = onelip.issue_certificate(model, x, y)
    assert '"block"' not in certificate.model_dump_json(exclude_none=True)
    assert certificate.digest == certificate.expected_digest()


@pytest.mark.parametrize("name", METHODS)
def test_each_module_errs_by_less_than_is_charged_for_it(name):
    model, x, _ = network(name)
    certifier = Certifier(model, (1, 8, 8), arithmetic="executed")
    found = rounding_by_module(certifier, x)
    assert [one.name for one in found] == [step.name for step in certifier.steps]
    assert all(one.measured <= one.bound + 1e-13 for one in found)
    assert (
        sum(one.bound * one.passed_on for one in found) <= 1.01 * float(certifier.errors(x, torch.zeros(12)).amax()) * 2
    )
    with pytest.raises(ValueError, match="no float32 program"):
        rounding_by_module(Certifier(model, (1, 8, 8)), x)


def test_a_gamma_of_too_many_terms_is_infinite():
    assert float32.gamma(2**24) == float("inf")
