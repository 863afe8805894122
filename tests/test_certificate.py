"""Certificates as files: whole, verified by another way, and refused wherever a claim does not hold."""

import copy
import hashlib
import json
import math

import pytest
import torch
from torch import nn

import onelip
from onelip.bound import Bound
from onelip.certify import verify as verification
from onelip.certify.along import ErrorsAlong
from onelip.certify.certificate import MEANINGS, Certificate
from onelip.certify.rounding import Plan, steps
from onelip.errors import CertificateError, RecordError, UnsoundError
from onelip.nn.blocked import series_blocks

METHODS = [name for name, method in onelip.METHODS.items() if method.traits.constrained]


def network(name="bcop", seed=0):
    """A network and inputs, most of them classified correctly."""
    torch.manual_seed(seed)
    model = onelip.ConvNet(name, size=4, classes=3, image=(1, 8, 8), mean=[0.5]).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    x = torch.rand(12, 1, 8, 8)
    with torch.no_grad():
        y = model(x).argmax(1)
    y[0] = (y[0] + 1) % 3
    return model.eval(), x, y


@pytest.fixture(scope="module")
def issued():
    model, x, y = network()
    return model, x, y, onelip.issue_certificate(model, x, y)


def edited(certificate, **changes):
    """The certificate of other claims, with the digest of those."""
    return certificate.signed_off(**certificate.model_dump(exclude={"digest"}) | changes)


def verified(certificate, model, x, y):
    """What verification said last."""
    notes = []
    onelip.verify_certificate(certificate, model, x, y, note=notes.append)
    return notes[-1]


def with_input(certificate, index, **changes):
    inputs = [one.model_dump() for one in certificate.inputs]
    inputs[index] |= changes
    return edited(certificate, inputs=tuple(inputs))


@pytest.mark.parametrize("name", METHODS)
def test_what_is_issued_is_verified_and_says_what_the_library_says(name, tmp_path):
    model, x, y = network(name)
    certificate = onelip.issue_certificate(model, x, y, batch_size=5)
    radii = [one.radius for one in certificate.inputs]
    assert radii == pytest.approx(onelip.certified_radius(model, x, y).tolist(), rel=1e-12, abs=0)
    assert radii[0] == 0
    assert min(radii[1:]) > 0
    certificate.write(tmp_path / "certificate.json")
    read = onelip.Certificate.read(tmp_path / "certificate.json")
    assert read == certificate
    onelip.verify_certificate(read, model, x, y, batch_size=7)


def scaling(factor):
    layer = nn.Linear(64, 64, bias=False).double()
    layer.weight.data = factor * torch.eye(64, dtype=torch.float64)
    return layer


KINDS = ["strided", "sum", "plain", "layer", "vectors", "residual", "doubling", "nothing", "nested", "frozen", "shared"]


@pytest.mark.parametrize("kind", [*KINDS, "huge"])
def test_models_of_many_shapes_are_issued_and_verified(kind):
    torch.manual_seed(0)
    models = {
        "strided": nn.Sequential(
            onelip.AOLConv2d(1, 4, 3, stride=2), onelip.MaxMin(), onelip.LOTConv2d(4, 4, 3, stride=2),
            nn.Flatten(), onelip.BCOPLinear(16, 3),
        ),
        "sum": nn.Sequential(
            onelip.Sum(nn.Identity(), onelip.CPLConv2d(1, 1, 3), weights=(0.5, -0.25)),
            nn.Flatten(), nn.Linear(64, 3),
        ),
        "plain": nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(128, 3)),
        "layer": nn.Sequential(nn.Flatten(), nn.Linear(64, 3)),
        "vectors": onelip.AOLLinear(6, 3),
        "residual": nn.Sequential(
            nn.Flatten(), onelip.Sum(nn.Identity(), onelip.LOTLinear(64, 64), weights=(0.5, 0.5)),
            onelip.LOTLinear(64, 3),
        ),
        "doubling": nn.Sequential(nn.Flatten(), *(onelip.Sum(nn.Identity(), nn.ReLU()) for _ in range(8))),
        "nothing": nn.Sequential(nn.Flatten()),
        "nested": nn.Sequential(onelip.ConvNet("aol", size=4, classes=3, image=(1, 8, 8))),
        "frozen": onelip.freeze(onelip.ConvNet("lot", size=4, classes=3, image=(1, 8, 8))),
        "shared": nn.Sequential(block := nn.Sequential(onelip.AOLConv2d(1, 1, 3), onelip.Abs()), block, nn.Flatten()),
        "huge": nn.Sequential(nn.Flatten(), scaling(1e150), scaling(1e-150)),
    }  # fmt: skip
    model, x = models[kind], torch.rand(100, 6) if kind == "vectors" else torch.rand(100, 1, 8, 8)
    x = x.double() if kind == "huge" else x
    with torch.no_grad():
        y = copy.deepcopy(model).eval()(x.clone()).argmax(1)
    certificate = onelip.issue_certificate(model, x, y)
    assert sum(one.radius > 0 for one in certificate.inputs) >= 95
    onelip.verify_certificate(certificate, model, x, y.to(torch.uint8), batch_size=64)
    worst = max(range(100), key=lambda index: certificate.inputs[index].radius)
    with pytest.raises(CertificateError, match=f"input {worst} claims the radius"):
        onelip.verify_certificate(
            with_input(certificate, worst, radius=1.001 * certificate.inputs[worst].radius), model, x, y
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"radius": 0.9}, "input 3 claims the radius 0.9"),
        ({"margin": 0.9}, "input 3 claims the margin 0.9"),
        ({"label": 7}, "input 3 has the label"),
        ({"prediction": 7}, "input 3 claims the class 7"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_false_claim_for_an_input_is_named_also_where_the_digest_was_made_anew(issued, changes, words):
    model, x, y, certificate = issued
    with pytest.raises(CertificateError, match=words):
        onelip.verify_certificate(with_input(certificate, 3, **changes), model, x, y)


def test_another_class_than_the_predicted_one_is_refused(issued):
    model, x, y, certificate = issued
    other = (certificate.inputs[0].prediction + 1) % 3
    with pytest.raises(CertificateError, match=f"input 0 claims the class {other}"):
        onelip.verify_certificate(with_input(certificate, 0, prediction=other), model, x, y)


def test_a_smaller_radius_holds_too(issued):
    model, x, y, certificate = issued
    smaller = with_input(certificate, 3, radius=0.5 * certificate.inputs[3].radius)
    assert smaller.digest != certificate.digest
    assert verified(smaller, model, x, y) == "12 of 12 inputs verified"


def test_false_claims_for_layers_are_named(issued):
    model, x, y, certificate = issued
    layers = [one.model_dump() for one in certificate.layers]
    index = next(i for i, one in enumerate(layers) if "Conv2d" in one["kind"])
    lower = [one | {"bound": 0.9 * one["bound"]} if i == index else one for i, one in enumerate(layers)]
    with pytest.raises(CertificateError, match=f"layers: {layers[index]['name']}, .* claims the bound"):
        onelip.verify_certificate(edited(certificate, layers=tuple(lower)), model, x, y)
    with pytest.raises(CertificateError, match=f"layers: {layers[index]['name']}, .* is not in the certificate"):
        onelip.verify_certificate(edited(certificate, layers=tuple(layers[:index] + layers[index + 1 :])), model, x, y)
    more = [*layers, layers[0] | {"name": "99"}]
    with pytest.raises(CertificateError, match="99, Center, which the model does not have"):
        onelip.verify_certificate(edited(certificate, layers=tuple(more)), model, x, y)
    with pytest.raises(CertificateError, match="lipschitz: it claims"):
        onelip.verify_certificate(edited(certificate, lipschitz=0.9 * certificate.lipschitz), model, x, y)


def test_other_weights_data_labels_and_counts_are_refused(issued):
    model, x, y, certificate = issued
    other = copy.deepcopy(model)
    next(other.layers[0].parameters()).data.view(-1)[0] += 1e-6
    with pytest.raises(CertificateError, match="weights: it speaks of"):
        onelip.verify_certificate(certificate, other, x, y)
    for inputs, labels in ((x + 1e-6, y), (x, (y + 1) % 3), (x[:5], y[:5])):
        with pytest.raises(CertificateError, match="data: it speaks of"):
            onelip.verify_certificate(certificate, model, inputs, labels)
    with pytest.raises(CertificateError, match="inputs: it speaks of 11"):
        onelip.verify_certificate(edited(certificate, inputs=certificate.inputs[:-1]), model, x, y)
    with pytest.raises(CertificateError, match="classes: it speaks of 4"):
        onelip.verify_certificate(edited(certificate, classes=4), model, x, y)


def test_an_edit_without_a_new_digest_is_refused(issued, tmp_path):
    model, x, y, certificate = issued
    path = tmp_path / "certificate.json"
    certificate.write(path)
    text = path.read_text()
    path.write_text(text.replace(f'"radius": {certificate.inputs[3].radius!r}', '"radius": 0.0'))
    with pytest.raises(CertificateError, match="was edited"):
        onelip.Certificate.read(path)
    forged = certificate.model_copy(update={"lipschitz": 2.0})
    with pytest.raises(CertificateError, match="digest: the certificate was edited"):
        onelip.verify_certificate(forged, model, x, y)
    path.write_text(json.dumps(json.loads(text), indent=7))  # spaces are not content
    assert onelip.Certificate.read(path) == certificate


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"onelip certificate"', '"another"'),
        lambda text: text.replace('"schema_version": 1', '"schema_version": 2'),
        lambda text: text.replace('"lipschitz": ', '"lipschitz": -'),
        lambda text: text.replace('"lipschitz": ', '"more": 1, "lipschitz": '),
        lambda text: text.replace('"error_at_zero": ', '"error_at_zero": NaN, "x": '),
        lambda text: text.replace('"schema_version": 1', f'"schema_version": {"1" * 5000}'),
        lambda text: text.replace('"lipschitz": ', f'"lipschitz": -{"9" * 5000}, "x": '),
    ],
    ids=["cut", "empty", "list", "foreign", "schema", "negative", "more", "nan", "digits", "negative digits"],
)
def test_a_file_that_is_no_certificate_is_refused(issued, tmp_path, spoil):
    path = tmp_path / "certificate.json"
    issued[3].write(path)
    path.write_text(spoil(path.read_text()))
    with pytest.raises(CertificateError, match="is no certificate"):
        onelip.Certificate.read(path)
    with pytest.raises(RecordError, match="cannot be read"):
        onelip.Certificate.read(tmp_path / "none.json")


def test_what_cannot_be_certified_has_no_certificate(issued, tmp_path):
    model, x, y, certificate = issued
    spoiled = x.clone()
    spoiled[2, 0, 0, 0] = float("nan")
    with pytest.raises(UnsoundError, match="input 2 holds NaN"):
        onelip.issue_certificate(model, spoiled, y)
    with pytest.raises(UnsoundError, match="no input"):
        onelip.issue_certificate(model, x[:0], y[:0])
    with pytest.raises(ValueError, match="labels"):
        onelip.issue_certificate(model, x, y + 2)
    broken = copy.deepcopy(model)
    next(broken.layers[1].parameters()).data[0] = float("nan")
    with pytest.raises(UnsoundError):
        onelip.issue_certificate(broken, x, y)
    with pytest.raises(UnsoundError, match="NegateUnknown"):
        onelip.issue_certificate(nn.Sequential(nn.Flatten(), NegateUnknown()), x, y)
    with pytest.raises(RecordError, match="cannot write"):
        certificate.write(tmp_path)


class NegateUnknown(nn.Module):
    def forward(self, x):
        return -x


def test_inputs_without_a_sound_answer_have_radius_zero_and_are_verified():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False))
    model[1].weight.data = torch.tensor([[1.0, 0, 0, 0], [1.0, 0, 0, 0], [0, 1.0, 0, 0]])
    x = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [1e30, 0, 0, 0]])[:, None, None, :]
    certificate = onelip.issue_certificate(model, x, torch.tensor([0, 2, 0]))
    assert [one.radius > 0 for one in certificate.inputs] == [False, True, False]
    onelip.verify_certificate(certificate, model, x, torch.tensor([0, 2, 0]))


# Verification must not share the faults of what it verifies


def test_kept_weights_and_the_frozen_copy_play_no_part(issued, monkeypatch):
    model, x, y, certificate = issued

    def read(*_, **__):
        raise AssertionError("kept weights, or the frozen copy, were asked for")

    for place in ("nn.freeze.freeze", "certify.radius.freeze", "nn.memo.Memo.get"):
        monkeypatch.setattr(f"onelip.{place}", read)
    with pytest.raises(AssertionError, match="kept weights"), torch.no_grad():
        model(x)
    assert verified(certificate, model, x, y) == "12 of 12 inputs verified"


def test_radii_of_a_certifier_that_takes_layers_at_their_word_are_refused(monkeypatch):
    model, x, y = network(seed=1)
    monkeypatch.setattr("onelip.certify.radius.Bound.product", classmethod(lambda cls, parts: Bound(0.5, "claimed")))
    certificate = onelip.issue_certificate(model, x, y)
    monkeypatch.undo()
    with pytest.raises(CertificateError, match=r"lipschitz|claims the radius"):
        onelip.verify_certificate(certificate, model, x, y)


def test_radii_without_the_charge_for_rounding_are_refused_at_the_edge(monkeypatch):
    """Inputs whose margin is next to nothing: only the charge tells whether they have a radius."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(50, 2).double())
    x = 100 * torch.randn(32, 50, dtype=torch.float64)
    apart = (model[1].weight[0] - model[1].weight[1]).detach()
    x = x - ((x @ apart + model[1].bias[0] - model[1].bias[1]) / (apart @ apart)).detach()[:, None] * apart
    x = x + 1e-14 * apart
    y = torch.zeros(32, dtype=torch.long)
    onelip.verify_certificate(onelip.issue_certificate(model, x, y), model, x, y)
    monkeypatch.setattr("onelip.certify.radius.evaluation_error", lambda chain, size: 0.0)
    certificate = onelip.issue_certificate(model, x, y)
    monkeypatch.undo()
    assert any(one.radius > 0 for one in certificate.inputs)
    with pytest.raises(CertificateError, match="error_at_zero: it claims"):
        onelip.verify_certificate(certificate, model, x, y)
    with pytest.raises(CertificateError, match="claims the radius"):
        onelip.verify_certificate(edited(certificate, error_at_zero=1.0, error_per_norm=1.0), model, x, y)


@pytest.mark.parametrize("name", METHODS)
def test_the_errors_that_verification_bounds_are_no_larger_than_those_that_were_paid_for(name):
    model, x, y = network(name)
    certificate = onelip.issue_certificate(model, x, y)
    plan = Plan(verification._as_float64, verification._claims(certificate))
    errors = ErrorsAlong(steps(model, (1, 8, 8), plan))
    errors.coefficients = math.inf, math.inf  # those along the way alone
    found = errors.at(x.double(), torch.full((len(x),), 0.1, dtype=torch.float64))
    sizes = torch.linalg.vector_norm(x.double().flatten(1), dim=1) + 0.1
    paid = certificate.error_at_zero + certificate.error_per_norm * sizes
    assert (found.error > 0).all()
    assert (found.error < found.around).all()
    assert (found.around <= paid * (1 + 1e-9)).all()


# Forgeries: claims that look like others


def test_claims_that_make_up_for_each_other_are_refused(issued):
    model, x, y, certificate = issued
    layers = [one.model_dump() for one in certificate.layers]
    index = next(i for i, one in enumerate(layers) if "Conv2d" in one["kind"])
    low = layers[index] | {"bound": layers[index]["bound"] / 1024}
    for name in (low["name"], f"{low['name']}.ghost"):
        forged = [*layers[:index], low, low | {"name": name, "bound": 2000.0}, *layers[index + 1 :]]
        with pytest.raises(CertificateError, match=f"layers: {low['name']}, .* claims the bound"):
            onelip.verify_certificate(edited(certificate, layers=tuple(forged)), model, x, y)
    exchanged = [*layers[:2], layers[3], layers[2], *layers[4:]]
    with pytest.raises(CertificateError, match="is not in the certificate"):
        onelip.verify_certificate(edited(certificate, layers=tuple(exchanged)), model, x, y)


def test_a_claim_for_a_sum_is_proved():
    model = nn.Sequential(onelip.Sum(nn.Identity(), nn.ReLU()), nn.Flatten(), nn.Linear(4, 3))
    x, y = torch.rand(3, 1, 2, 2), torch.zeros(3, dtype=torch.long)
    certificate = onelip.issue_certificate(model, x, y)
    assert [one.name for one in certificate.layers] == ["0.branches.0", "0.branches.1", "0", "1", "2"]
    layers = [one.model_dump() for one in certificate.layers]
    layers[2]["bound"] = 0.0
    with pytest.raises(CertificateError, match=r"layers: 0, Sum, claims the bound 0\.0"):
        onelip.verify_certificate(edited(certificate, layers=tuple(layers)), model, x, y)


def test_nothing_is_left_unchecked(issued, tmp_path):
    model, x, y, certificate = issued
    false = with_input(certificate, 3, radius=1e6)
    with pytest.raises(ValueError, match="batch_size=-1"):
        onelip.verify_certificate(false, model, x, y, batch_size=-1)
    for name in ("error_at_zero", "error_per_norm"):
        with pytest.raises(CertificateError, match=f"{name}: it claims 0.0"):
            onelip.verify_certificate(edited(certificate, **{name: 0.0}), model, x, y)
    with pytest.raises(ValueError, match="meaning"):
        edited(certificate, meaning="No change of at most 8/255 of any pixel changes an answer.")
    with pytest.raises(ValueError, match="labels"):
        onelip.verify_certificate(certificate, model, x, y.double())
    path = tmp_path / "certificate.json"
    certificate.write(path)
    path.write_text(path.read_text().replace('"radius": ', '"radius": 1000.0, "radius": ', 1))
    with pytest.raises(CertificateError, match="a key is repeated"):
        onelip.Certificate.read(path)


@pytest.mark.parametrize("bound", [1e200, 1e308])
def test_huge_claims_are_true_and_do_no_harm(issued, bound):
    model, x, y, certificate = issued
    layers = tuple(one.model_dump() | {"bound": bound} for one in certificate.layers)
    with pytest.raises(CertificateError, match="lipschitz: it claims"):
        onelip.verify_certificate(edited(certificate, layers=layers, lipschitz=0.5), model, x, y)


def test_what_could_overflow_or_is_too_large_has_no_certificate():
    y = torch.zeros(2, dtype=torch.long)
    with pytest.raises(UnsoundError, match="could overflow"):
        onelip.issue_certificate(nn.Sequential(nn.Flatten(), scaling(1e200)), torch.rand(2, 1, 8, 8).double(), y)
    with pytest.raises(UnsoundError, match="a norm of"):
        onelip.issue_certificate(nn.Sequential(nn.Flatten()), 1e99 * torch.ones(2, 1, 8, 8).double() * 10, y)


def test_a_claim_inside_a_module_that_has_none_inside_is_refused(issued):
    model, x, y, certificate = issued
    layers = [one.model_dump() for one in certificate.layers]
    evil = layers[0] | {"name": f"{layers[0]['name']}.x", "kind": "Evil", "bound": 1.0}
    for place in (0, 1):
        forged = edited(certificate, layers=(*layers[:place], evil, *layers[place:]))
        with pytest.raises(CertificateError, match=r"it speaks of 0\.x, Evil, which the model does not have"):
            verified(forged, model, x, y)


def test_the_words_of_a_meaning_are_part_of_the_schema():
    """Who rewords it makes all earlier certificates unreadable, and should know it; change this digest with them."""
    words = hashlib.sha256(json.dumps(dict(MEANINGS), sort_keys=True).encode()).hexdigest()
    assert words == "66c9f7456d9099ace66817f38a3f4d24a761b3895cbbb8d4d187175553583f05"


def test_so_is_how_a_program_sums_by_its_block():
    """Who changes it makes another program of a certificate's block; change the words and the REVISION with it."""
    assert series_blocks(16, 12) == (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
    assert series_blocks(1, 5) == (1, 1, 1, 2, 4)
    layer = onelip.certified_program(nn.Conv2d(40, 2, 3, padding=1), (40, 4, 4)).model
    assert (layer.block, layer.count, layer.roundings) == (16, 3, 9 * 16 + 2 + 2)


@pytest.mark.parametrize("position", [0, 1])
def test_a_verifier_may_come_to_other_last_digits_of_the_rounding_error(issued, position, monkeypatch):
    model, x, y, certificate = issued
    room = 1.0

    class Elsewhere(ErrorsAlong):
        def __init__(self, *args):
            super().__init__(*args)
            found = list(self.coefficients)
            found[position] *= room
            self.coefficients = tuple(found)

    monkeypatch.setattr(verification, "ErrorsAlong", Elsewhere)
    room = 1 + 2.0**-21
    onelip.verify_certificate(certificate, model, x, y)
    room = 1 + 2.0**-19
    with pytest.raises(CertificateError, match=["error_at_zero", "error_per_norm"][position]):
        onelip.verify_certificate(certificate, model, x, y)


def test_words_of_another_version_are_said_to_be_that(issued, tmp_path):
    content = json.loads(issued[3].model_dump_json(exclude={"digest", "block"}))
    content |= {"onelip": "0.0.9", "meaning": "Radii are what they were before."}
    whole = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(content | {"digest": hashlib.sha256(whole).hexdigest()}))
    with pytest.raises(CertificateError, match=r"written by another version \(it says 0\.0\.9\); certify again"):
        Certificate.read(path)
