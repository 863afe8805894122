"""What is asked to be certified: labels of every integer type, no inputs at all, complex ones, and missing modules."""

import pytest
import torch
from torch import nn

import onelip
from onelip.certify import Certifier
from onelip.certify.attack import margin_attack
from onelip.certify.digests import inputs_digest
from onelip.nn.reshape import FitChannels

INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.uint16, torch.uint32, torch.uint64]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_labels_of_any_integer_type_mean_the_same(dtype):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 10))
    x, y = torch.randn(10, 4), torch.full((10,), 9)
    for arithmetic in ("float64", "real"):
        radii = onelip.certified_radius(model, x, y.to(dtype), arithmetic=arithmetic)
        assert torch.equal(radii, onelip.certified_radius(model, x, y, arithmetic=arithmetic))
    certificate = onelip.issue_certificate(model, x, y.to(dtype))
    assert certificate == onelip.issue_certificate(model, x, y)
    onelip.verify_certificate(certificate, model, x, y.to(dtype))


def test_a_label_that_wraps_around_is_none():
    with pytest.raises(ValueError, match="labels must lie in"):
        onelip.certified_radius(nn.Linear(4, 3), torch.rand(1, 4), torch.tensor([2**64 - 1], dtype=torch.uint64))


def test_complex_inputs_are_refused():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    x, y = torch.rand(2, 1, 2, 2, dtype=torch.complex128), torch.tensor([0, 1])
    certificate = onelip.issue_certificate(model, x.real, y)
    content = certificate.model_dump(exclude={"digest"}) | {"data": inputs_digest(x, y)}
    certifier = Certifier(model, (1, 2, 2))
    for use in (
        lambda: onelip.certified_radius(model, x, y),
        lambda: onelip.certified_radius(model, x, y, arithmetic="real"),
        lambda: onelip.issue_certificate(model, x, y),
        lambda: onelip.verify_certificate(certificate.signed_off(**content), model, x, y),
        lambda: onelip.diagnose(model, x, y),
        lambda: certifier.logits(x),
        lambda: margin_attack(certifier, x, y, torch.ones(2)),
    ):
        with pytest.raises(onelip.errors.UnsoundError, match="inputs must be real numbers"):
            use()


def test_a_missing_module_is_named():
    model = nn.Sequential(nn.Flatten(), nn.Sequential(nn.ReLU(), nn.ReLU()), nn.Linear(4, 3))
    x, y = torch.rand(2, 1, 2, 2), torch.tensor([0, 1])
    certificate = onelip.issue_certificate(model, x, y)
    model[1]._modules["1"] = None
    for use in (
        lambda: onelip.freeze(model, (1, 2, 2)),
        lambda: onelip.certified_radius(model, x, y),
        lambda: onelip.issue_certificate(model, x, y),
        lambda: onelip.verify_certificate(certificate, model, x, y),
        lambda: onelip.diagnose(model, x, y),
    ):
        with pytest.raises(onelip.errors.UnsoundError, match=r"module 1\.1 is None"):
            use()
    with pytest.raises(onelip.errors.UnsoundError, match="module 1 is None"):
        onelip.lipschitz_bound(nn.Sequential(nn.ReLU(), None), (4,))


@pytest.mark.parametrize("arithmetic", ["float64", "real"])
def test_no_inputs_have_no_radii(arithmetic):
    for model, image in (
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), (1, 2, 2)),
        (nn.Sequential(nn.Linear(4, 3), FitChannels(2)), (4,)),
        (onelip.ConvNet("aol", size=4, classes=4, image=(1, 8, 8)), (1, 8, 8)),
    ):
        x, y = torch.rand(0, *image), torch.zeros(0, dtype=torch.long)
        radii = onelip.certified_radius(model, x, y, arithmetic=arithmetic)
        assert (radii.shape, radii.dtype) == ((0,), torch.float64)
