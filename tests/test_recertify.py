"""What `onelip certify` writes and when, what an attack refutes, and what is left of it then."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests.test_cli_certify import onelip

from onelip.bench import attacked, executed, recertify
from onelip.bench.arithmetics import ArithmeticsRecord
from onelip.bench.broken import Promise, broken_files
from onelip.bench.report.build import build_report
from onelip.bench.results import RECORD_NAME, read_record
from onelip.bench.single import open_run
from onelip.certify import Certifier
from onelip.certify.certificate import Certificate
from onelip.certify.digests import weights_digest
from onelip.certify.program import Program
from onelip.errors import ProgramError, RecordError, UnsoundError
from onelip.files import remove

EXECUTED = ("--arithmetic", "executed")
FILES = ("certificate.json", "certificate-executed.json", "arithmetics.json")


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    """A run that is certified in float64 and as a program."""
    run = tmp_path_factory.mktemp("certified") / "run"
    assert onelip("train", "--method", "cpl", "--size", "4", "--budget", "3epochs", "--out", run).exit_code == 0
    for options in ((), EXECUTED):
        assert onelip("certify", run, *options).exit_code == 0
    assert there(run) == list(FILES)
    return run


@pytest.fixture
def run(certified, tmp_path):
    """A copy that may be changed."""
    return shutil.copytree(certified, tmp_path / "run")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Few rounds, and the attacks of onelip alone."""
    monkeypatch.setattr(executed, "ROUNDS", 2)
    monkeypatch.setattr(executed, "SINGLE_ROUNDS", 3)
    monkeypatch.setitem(sys.modules, "foolbox", None)


def there(run):
    return [name for name in FILES if (run / name).exists()]


def words(result):
    return " ".join((result.stdout + result.stderr).split())


def too_large(monkeypatch, name):
    """Has the radii of the program, or of float64 too, claim thirty times what is proved."""
    exact = getattr(Certifier, name)
    monkeypatch.setattr(Certifier, name, lambda *arguments: 30 * exact(*arguments))


def broken_in(monkeypatch, run, arithmetic, *options):
    with monkeypatch.context() as patch:
        too_large(patch, "_executed_radii" if arithmetic == "executed" else "radii_of")
        result = onelip("certify", run, "--arithmetic", arithmetic, "--attack", "24", *options)
    assert result.exit_code == 1, result.stderr
    assert "A certificate was broken" in result.stderr
    return result


def edit_weights(run, change):
    path = run / "model.safetensors"
    weights = {name: change(tensor) for name, tensor in load_file(path).items()}
    save_file(weights, path, metadata={"onelip": read_record(run / RECORD_NAME).cell.model_dump_json()})


def test_a_break_of_the_program_leaves_nothing_that_says_it(run, monkeypatch):
    result = broken_in(monkeypatch, run, "executed")
    assert there(run) == ["certificate.json"]
    assert "there is no certificate in executed arithmetic, block 16" in words(result)
    for name in FILES[1:]:
        assert str(run / name) in words(result)
    assert f"The images are in {run / 'broken-executed-16.safetensors'}" in words(result)
    assert "Certificate: " not in result.stdout
    assert "What each promise costs" not in build_report(run.parent).html.read_text(encoding="utf-8")


def test_what_images_broke_is_kept_with_them(run, monkeypatch):
    result = broken_in(monkeypatch, run, "executed", "--block", "0", "--json")
    with safe_open(run / "broken-executed-all.safetensors", framework="pt") as file:
        found = Promise.model_validate_json(file.metadata()["onelip"])
        kept = len(file.get_tensor("label"))
    attack = json.loads(result.stdout)["attack"]
    assert kept == attack["broken"] > max(one["broken"] for one in attack["attacks"]), "of all attacks"
    weights = Certificate.read(run / "certificate.json").weights
    assert found == Promise(arithmetic="executed", block=None, weights=weights)
    assert weights == weights_digest(open_run(run, method=None, data=None, data_dir=None).model)


def test_only_what_was_refuted_is_refuted(run, monkeypatch):
    broken_in(monkeypatch, run, "executed")
    assert onelip("certify", run).exit_code == 0, "float64"
    assert onelip("certify", run, *EXECUTED, "--block", "4").exit_code == 0, "another program"
    assert there(run) == list(FILES)
    refused = onelip("certify", run, *EXECUTED)
    assert refused.exit_code == 1
    assert f"{run / 'broken-executed-16.safetensors'} holds images that broke a certificate" in words(refused)
    assert "arithmetics.json is not written: nor is certificate-executed.json." in words(refused)
    assert there(run) == list(FILES), "what is there is of another program"
    assert ArithmeticsRecord.model_validate_json((run / FILES[2]).read_bytes()).block == 4
    broken_in(monkeypatch, run, "executed", "--block", "4")
    assert onelip("certify", run, *EXECUTED).exit_code == 1, "one break does not undo another"


def test_a_break_in_float64_refutes_float64(run, monkeypatch):
    broken_in(monkeypatch, run, "float64")
    assert there(run) == ["certificate-executed.json"]
    result = onelip("certify", run, *EXECUTED)
    assert result.exit_code == 0, result.stderr
    assert f"is not written: {run / 'broken.safetensors'} refutes what it says of float64." in words(result)
    assert there(run) == ["certificate-executed.json"]
    assert onelip("certify", run).exit_code == 1


def test_a_break_is_of_the_network_that_broke(run, monkeypatch):
    broken_in(monkeypatch, run, "float64")
    edit_weights(run, lambda tensor: tensor * 0.999)
    assert onelip("certify", run).exit_code == 0


def test_files_that_do_not_say_what_broke_refute_everything(run):
    save_file({"image": torch.zeros(1)}, run / "broken.safetensors", metadata={"onelip": "broken"})
    for options in ((), EXECUTED):
        result = onelip("certify", run, *options)
        assert result.exit_code == 1
        assert f"{run / 'broken.safetensors'} holds images" in words(result)
    assert there(run) == []


@pytest.mark.parametrize("arithmetic", ["float64", "executed"])
def test_a_new_network_is_not_refuted_by_the_old_one(run, monkeypatch, arithmetic):
    broken_in(monkeypatch, run, arithmetic)
    assert list(run.glob("broken*"))
    again = ("train", "--method", "cpl", "--size", "4", "--budget", "1epoch", "--force", "--out", run)
    assert onelip(*again).exit_code == 0
    assert not list(run.glob("broken*"))
    assert onelip("certify", run, "--arithmetic", arithmetic).exit_code == 0


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_interrupted_attack_costs_the_attack_alone(run, monkeypatch, options):
    def interrupted(*arguments, **settings):
        assert there(run) == list(FILES)
        raise KeyboardInterrupt

    for name in FILES[1:]:
        (run / name).unlink()
    monkeypatch.setattr(recertify, "besiege", interrupted)
    result = onelip("certify", run, *EXECUTED, "--attack", "8", *options)
    assert result.exit_code == 130
    assert f"stopped. Kept: {run / FILES[1]}, {run / FILES[2]}." in result.stderr
    assert there(run) == list(FILES)
    if options:
        content = json.loads(result.stdout)
        assert (content["certificate"], content["arithmetics_file"]) == (str(run / FILES[1]), str(run / FILES[2]))
        assert "attack" not in content
    else:
        assert "CRA 36/255 in each arithmetic" in result.stdout


def test_what_broke_before_an_interrupt_counts(run, monkeypatch):
    """All is done at the first break: what ends the process without a word costs nothing of it."""
    kept = run / "broken-executed-16.safetensors"

    def interrupted(*arguments, **settings):
        assert kept.exists()
        assert there(run) == ["certificate.json"]
        raise KeyboardInterrupt

    def evidence_first(path):
        assert kept.exists()
        remove(path)

    monkeypatch.setattr(recertify, "remove", evidence_first)
    too_large(monkeypatch, "_executed_radii")
    monkeypatch.setattr(attacked, "rounding_attack", interrupted)
    result = onelip("certify", run, *EXECUTED, "--attack", "24")
    assert result.exit_code == 130
    assert "A certificate was broken" in result.stderr
    assert "stopped. There is no certificate in executed arithmetic, block 16." in result.stderr
    for name in FILES[1:]:
        assert str(run / name) in words(result), "what was removed is said also where nothing was left to remove"
    assert (there(run), kept.exists()) == (["certificate.json"], True)


def test_a_program_that_errs_by_too_much_under_attack_has_no_certificate(run, monkeypatch):
    """Nor another time: the inputs at which it does are kept, as what breaks it is."""
    seen = []

    def errs(certifier, x, y, **settings):
        seen.append(x[2:4])
        logits = certifier.logits(x)
        logits[2:4] += 1
        certifier.radii_of(logits, x, y)

    with monkeypatch.context() as patch:
        patch.setattr(attacked, "rounding_attack", errs)
        result = onelip("certify", run, *EXECUTED, "--attack", "8")
    kept = run / "broken-executed-16.safetensors"
    assert result.exit_code == 1
    assert "A certificate was broken: the float32 program errs by" in words(result)
    assert f"there is no certificate in executed arithmetic, block 16 (removed: {run / FILES[1]}" in words(result)
    assert there(run) == ["certificate.json"]
    tensors = load_file(kept)
    assert torch.equal(tensors["image"], seen[0].double())
    assert torch.equal(tensors["attacked"], seen[0].double())
    assert (tensors["radius"].tolist(), tensors["label"].shape) == ([0, 0], (2,))
    again = onelip("certify", run, *EXECUTED)
    assert again.exit_code == 1
    assert f"{kept} holds images that broke a certificate" in words(again)


def errs_by_too_much(monkeypatch, seen):
    """Has a program err by 1 at the fourth image of a batch."""
    exact = Certifier.evaluated

    def evaluated_otherwise(certifier, x):
        logits = exact(certifier, x)
        if certifier.program is not None:
            seen.append(x[3:4])
            logits[3] += 1
        return logits

    monkeypatch.setattr(Certifier, "evaluated", evaluated_otherwise)


@pytest.mark.parametrize("options", [(), ("--json",), ("--attack", "8"), ("--attack", "8", "--json")])
def test_a_program_that_errs_by_too_much_has_no_certificate(run, monkeypatch, options):
    """Also where it is met before anything is attacked, which then is not."""
    seen = []
    with monkeypatch.context() as patch:
        errs_by_too_much(patch, seen)
        result = onelip("certify", run, *EXECUTED, *options)
    kept = run / "broken-executed-16.safetensors"
    assert result.exit_code == 1, result.exception
    assert "A certificate was broken: the float32 program errs by" in words(result)
    assert f"there is no certificate in executed arithmetic, block 16 (removed: {run / FILES[1]}" in words(result)
    assert f"The images are in {kept}" in words(result)
    assert there(run) == ["certificate.json"]
    assert len(seen) == 1
    assert torch.equal(load_file(kept)["image"], seen[0].double())
    if "--json" in options:
        content = json.loads(result.stdout)
        assert "the float32 program errs by" in content["broken"][0]
        assert (content["certificate"], content["arithmetic"]) == (None, "executed")
        assert content.keys().isdisjoint({"images", "certified", "arithmetics", "attack"})
    else:
        assert result.stdout == ""
    again = onelip("certify", run, *EXECUTED)
    assert again.exit_code == 1
    assert f"{kept} holds images that broke a certificate" in words(again)


def test_nor_does_it_hold(run, monkeypatch):
    errs_by_too_much(monkeypatch, [])
    forward = Program.forward
    monkeypatch.setattr(Program, "forward", lambda program, x: forward(program, x) + 1)
    result = onelip("verify", run / FILES[1])
    assert result.exit_code == 1
    assert "does not hold: inputs: the float32 program errs by" in words(result)


def test_evidence_is_not_written_over(run, monkeypatch):
    """Neither that of more images, nor that of other weights, nor what refutes everything."""
    broken_in(monkeypatch, run, "executed")
    weights, first = (run / "model.safetensors").read_bytes(), run / "broken-executed-16.safetensors"
    before = first.read_bytes()
    (run / "broken-executed-16-2.safetensors").mkdir()
    edit_weights(run, lambda tensor: tensor * 0.999)
    result = broken_in(monkeypatch, run, "executed")
    assert f"The images are in {run / 'broken-executed-16-3.safetensors'}" in words(result)
    assert first.read_bytes() == before
    (run / "broken-executed-16-2.safetensors").rmdir()
    (run / "model.safetensors").write_bytes(weights)
    refused = onelip("certify", run, *EXECUTED)
    assert refused.exit_code == 1
    assert f"{first} holds images" in words(refused)
    (run / "broken.safetensors").write_bytes(b"refutes everything")
    broken_in(monkeypatch, run, "float64")
    assert (run / "broken.safetensors").read_bytes() == b"refutes everything"
    assert Promise.model_validate_json(promised(run / "broken-2.safetensors")).arithmetic == "float64"


def test_nor_by_what_comes_after(run, monkeypatch):
    """Whoever attacks what was broken before breaks it again, with other images."""

    def errs(value):
        def evaluated(*arguments, **settings):
            raise ProgramError("errs", torch.full((1, 1, 8, 8), value), torch.zeros(1, dtype=torch.int64))

        return evaluated

    opened = open_run(run, method=None, data=None, data_dir=None)
    found = recertify.to_be_certified(opened, run, device=torch.device("cpu"), arithmetic="executed")
    monkeypatch.setattr(recertify, "certify_again", errs(1.0))
    monkeypatch.setattr(recertify, "besiege", errs(2.0))
    recertify.recertify(found)
    recertify.attack(found, images=8)
    kept = [load_file(path)["image"].unique().tolist() for path in broken_files(run)]
    assert sorted(kept) == [[1.0], [2.0]]


@pytest.mark.parametrize("arithmetic", ["real", "float64"])
def test_a_program_refutes_no_other_promise(run, monkeypatch, arithmetic):
    """As where the record of a run is in executed arithmetic."""

    def errs(*arguments, **settings):
        raise ProgramError("it errs", torch.zeros(1, 1, 8, 8), torch.zeros(1, dtype=torch.int64))

    monkeypatch.setattr(recertify, "certify_again", errs)
    result = onelip("certify", run, "--arithmetic", arithmetic)
    assert result.exit_code == 2
    assert result.stderr.strip() == "onelip: it errs"
    assert there(run) == list(FILES)
    assert not broken_files(run)


def promised(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata()["onelip"]


def test_where_images_are_kept_is_said_also_when_later_ones_are_not(run, monkeypatch):
    saved, save = [], attacked.write_tensors

    def once(tensors, path, **settings):
        if saved:
            raise RecordError(f"cannot write {path}: No space left on device")
        saved.append(len(tensors["label"]))
        save(tensors, path, **settings)

    monkeypatch.setattr(attacked, "write_tensors", once)
    result = broken_in(monkeypatch, run, "executed")
    kept = run / "broken-executed-16.safetensors"
    assert f"{saved[0]} of " in words(result)
    assert f" images are in {kept}; the others are not kept: cannot write {kept}: No space" in words(result)
    kept.unlink()
    saved.append(0)
    result = broken_in(monkeypatch, run, "executed")
    assert f"The images that broke it are not kept: cannot write {kept}" in words(result)


def test_whatever_keeps_images_from_being_kept_nothing_that_says_what_they_broke_is(run, monkeypatch):
    def full(tensors, path, **settings):
        raise MemoryError

    monkeypatch.setattr(attacked, "write_tensors", full)
    too_large(monkeypatch, "_executed_radii")
    result = onelip("certify", run, *EXECUTED, "--attack", "24")
    assert isinstance(result.exception, MemoryError)
    assert "A certificate was broken" in result.stderr
    assert "The images that broke it are not kept" in result.stderr
    assert there(run) == ["certificate.json"]


def test_images_in_another_order_of_memory_are_kept(tmp_path):
    images = torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)
    siege = attacked.Siege(arithmetic="executed")
    siege.exceed(ProgramError("it errs", images, torch.zeros(2, dtype=torch.int64)))
    path = tmp_path / "broken.safetensors"
    siege.save(path, Promise(arithmetic="executed", block=16, weights="0" * 64))
    assert torch.equal(load_file(path)["image"], images.double())


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_broke_before_an_error_is_the_answer(run, monkeypatch, options):
    """The error is said besides."""

    def unknown(*arguments, **settings):
        raise UnsoundError("the attack came to no end")

    too_large(monkeypatch, "_executed_radii")
    monkeypatch.setattr(attacked, "rounding_attack", unknown)
    result = onelip("certify", run, *EXECUTED, "--attack", "24", *options)
    assert result.exit_code == 1
    assert "A certificate was broken" in result.stderr
    assert "the attack came to no end" in result.stderr
    assert there(run) == ["certificate.json"]
    if options:
        content = json.loads(result.stdout)
        assert "A certificate was broken" in content["broken"][0]
        assert content["refuted"] is None
        assert "attack" not in content
        again = json.loads(onelip("certify", run, *EXECUTED, *options).stdout)
        assert str(run / "broken-executed-16.safetensors") in again["refuted"]
        assert again["broken"] == []


@pytest.mark.parametrize("arithmetic", ["real", "executed"])
def test_an_error_that_is_no_break_removes_nothing(run, monkeypatch, arithmetic):
    def unknown(*arguments, **settings):
        raise UnsoundError("the attack came to no end")

    monkeypatch.setattr(attacked, "rounding_attack", unknown)
    result = onelip("certify", run, "--arithmetic", arithmetic, "--attack", "8")
    assert result.exit_code == 2
    assert result.stderr.strip() == "onelip: the attack came to no end"
    assert there(run) == list(FILES)
    assert not list(run.glob("broken*"))


def test_weights_of_another_network_do_not_get_into_the_report(run):
    before = (run / "arithmetics.json").read_bytes()
    edit_weights(run, lambda tensor: tensor * torch.linspace(-1, 1, tensor.numel()).view_as(tensor))
    result = onelip("certify", run, *EXECUTED)
    assert result.exit_code == 0, result.stderr
    assert "The record has other numbers" in words(result)
    assert "arithmetics.json is not written: it would stand beside a record of other numbers." in words(result)
    assert (run / "arithmetics.json").read_bytes() == before
    assert json.loads(onelip("certify", run, *EXECUTED, "--json").stdout)["arithmetics_file"] is None


@pytest.mark.parametrize("blocked", FILES[1:])
def test_what_was_written_is_named_whatever_else_cannot_be(run, blocked):
    (run / blocked).unlink()
    (run / blocked).mkdir()
    result = onelip("certify", run, *EXECUTED)
    assert result.exit_code == 2
    assert f"cannot write {run / blocked}" in result.stderr
    assert (f"Certificate: {run / FILES[1]}" in result.stdout) is (blocked == FILES[2])


def test_weights_whose_products_overflow_cost_no_evaluation(run, tmp_path):
    """The record is made as it would be beside that of such a network."""
    edit_weights(run, lambda tensor: tensor * 1e30)
    result = onelip("certify", run, *EXECUTED, "--json")
    assert result.exit_code == 0, result.exception
    content = json.loads(result.stdout)
    assert content["images"] == 500
    prices = content["arithmetics"]
    assert prices["measured"] is None
    assert any(one["measured"] is None for one in prices["modules"])
    said = " ".join(onelip("certify", run, *EXECUTED).stdout.split())
    assert "Its logits err by more than float32 can hold on 64 images; more than is known is charged" in said
    prices["cell"] = read_record(run / RECORD_NAME).cell.model_dump(mode="json")
    (run / "arithmetics.json").write_text(json.dumps(prices))
    text = build_report(tmp_path).markdown.read_text(encoding="utf-8")
    _, _, table = text.partition("CRA 36, executed")
    line = next(line for line in table.splitlines() if line.startswith("| CPL"))
    assert [cell.strip() for cell in line.split("|")][-3:-1] == ["\u2014", "\u2014"]


@pytest.mark.parametrize(("given", "timed"), [(16, 16), (1000, 500)])
def test_as_many_images_are_timed_as_there_are(tmp_path, given, timed):
    run = tmp_path / "run"
    train = ("train", "--method", "aol", "--size", "4", "--budget", "1epoch", "--batch-size", given, "--out", run)
    assert onelip(*train).exit_code == 0
    result = onelip("certify", run, *EXECUTED)
    assert result.exit_code == 0, result.stderr
    assert f"plain frozen network for {timed} images" in words(result)
    record = ArithmeticsRecord.model_validate_json((run / "arithmetics.json").read_bytes())
    assert (record.timed, record.images) == (timed, 64)
    assert [len(record.plain), len(record.program)] == [2, 2]
    assert [len(record.plain_single), len(record.program_single)] == [3, 3]
    assert f"Inference of {timed}" in build_report(tmp_path).markdown.read_text(encoding="utf-8")
    earlier = ArithmeticsRecord.model_validate(record.model_dump(exclude={"timed"}))
    assert (earlier.timed, earlier.batch) == (None, timed)


def test_batches_and_single_images_are_timed_apart():
    seen = {"plain": [], "program": []}
    models = {name: lambda x, sizes=sizes: sizes.append(len(x)) or x for name, sizes in seen.items()}
    seconds = executed._times(models, torch.zeros(5, 3), torch.device("cpu"))
    assert {name: len(samples) for name, samples in seconds.items()} == {
        "plain": 2, "program": 2, "plain_single": 3, "program_single": 3
    }  # fmt: skip
    for sizes in seen.values():
        assert sorted(set(sizes)) == [1, 5]
        assert sizes == sorted(sizes, reverse=True), "no batch between single images"


@pytest.mark.parametrize(
    ("given", "sums"),
    [
        ("1", "up to 1 input channel at a time, later terms of series over more (block 1)."),
        ("1000", "up to 1000 input channels at a time, later terms of series over more (block 1000)."),
        ("0", "all input channels at once (block all)."),
    ],
)
def test_the_block_of_a_certificate_is_said(run, given, sums):
    printed = words(onelip("certify", run, *EXECUTED, "--block", given))
    checked = words(onelip("verify", run / "certificate-executed.json"))
    for text in (printed, checked):
        assert f"What it sums in float32 it sums over {sums}" in text
    content = json.loads(onelip("certify", run, *EXECUTED, "--block", given, "--json").stdout)
    assert content["arithmetic_means"].endswith(f" it sums over {sums}")
    for text in (words(onelip("certify", run)), words(onelip("verify", run / "certificate.json"))):
        assert "(block " not in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--block", "16"), ("--block 16", "float64", "--arithmetic executed")),
        (("--block", "0", "--arithmetic", "real"), ("--block 0", "real", "--arithmetic executed")),
        (("--attack-restarts", "1"), ("--attack-restarts 1", "--attack,")),
        (("--attack-restarts", "4", "--attack", "0"), ("--attack-restarts 4", "--attack,")),
    ],
)
def test_options_that_would_do_nothing_are_refused(run, options, said):
    result = onelip("certify", run, *options)
    assert result.exit_code == 2
    assert all(part in result.stderr for part in said), result.stderr
    assert result.stdout == ""
