"""Guidelines: generated from the tables, and different where the tables are."""

import re
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from onelip import METHODS
from onelip.bench import published
from onelip.bench.recommend.facts import (
    collapse_fact,
    identity_fact,
    kernel_fact,
    overall_fact,
    resolution_fact,
    size_fact,
)
from onelip.bench.recommend.from_paper import published_choices
from onelip.bench.recommend.guidelines import SITUATIONS, VERDICTS, advise
from onelip.bench.theory import RESOLUTIONS, construction_growth
from onelip.bench.theory_costs import Formulas, method_facts
from onelip.cli import app
from onelip.nn.residual import ResidualConv2d

DATA = ("cifar10", "cifar100", "tiny_imagenet")
PAPER = {one.key: one for one in published.guidelines()}
TITLES = {method.name: method.title for method in METHODS.values()}


def advice(change=lambda row: row):
    paper = published.paper()
    paper = replace(paper, accuracy=tuple(map(change, paper.accuracy)))
    facts, book = method_facts(METHODS.values()), Formulas(tuple(METHODS.values()))
    choices = {
        image: published_choices(paper, facts, batch=1, image=image, book=book)
        for image in {situation.image for situation in SITUATIONS}
    }
    found = advise(choices, published.guidelines(), DATA)
    return {(one.situation.guideline, one.data): one for one in reversed(found) if one.situation.guideline}


def test_the_papers_guidelines_follow_from_its_numbers():
    found = advice()
    for data in ("cifar10", "cifar100"):
        assert found["compute", data].answer.fitting[0].choice.method == "soc"
        assert found["inference", data].agreement == "agrees_so_far", "formulas are not that exact"
    assert found["compute", "cifar10"].agreement == "leans", "CPL is within the spread"
    assert found["compute", "cifar100"].agreement == "agrees"
    assert found["inference", "cifar10"].agreement == "agrees_so_far", "LOT certifies more, and its time is not known"
    assert found["compute", "tiny_imagenet"].agreement == "undecided", "LOT comes first there, by less than the spread"


def test_other_numbers_contradict_them():
    def worse(row):
        return row.model_copy(update={"cra36": row.cra36 - 9}) if row.method == "soc" else row

    assert advice(worse)["compute", "cifar10"].agreement == "contradicts"


def test_every_situation_is_answered_on_every_data_set():
    assert len({situation.title for situation in SITUATIONS}) == len(SITUATIONS)
    for one in advice().values():
        assert one.headline
        assert not one.agreement or one.agreement in VERDICTS
        assert one.table.lines
        assert one.changes


def test_facts_count_the_tables_and_turn_with_them():
    results = (*published.accuracy(), *published.accuracy_1x1())
    kernels = kernel_fact(PAPER["kernels"], results)
    assert kernels.agreement == "agrees"
    assert "with 3x3 kernels, by" in kernels.sentence
    swapped = kernel_fact(PAPER["kernels"], [row.model_copy(update={"kernel": 4 - row.kernel}) for row in results])
    assert swapped.agreement == "contradicts"
    sizes = size_fact(PAPER["sizes"], published.accuracy())
    pairs, better = map(int, re.search(r"Of (\d+) pairs.* in (\d+)\.", sizes.sentence).groups())
    assert pairs / 2 < better < pairs
    assert sizes.agreement == "agrees"
    turned = {"M": "L", "L": "M"}
    exchanged = [row.model_copy(update={"size": turned.get(row.size, row.size)}) for row in published.accuracy()]
    other = size_fact(PAPER["sizes"], exchanged)
    assert int(re.search(r" in (\d+)\.", other.sentence)[1]) <= pairs - better
    assert other.agreement == "contradicts"


def test_few_pairs_do_not_decide():
    rows = [row for row in published.accuracy() if row.method == "soc" and row.data == "cifar10"]
    assert size_fact(PAPER["sizes"], rows).agreement in ("leans", "undecided")


def test_the_best_overall_follows_the_tables():
    fact = overall_fact(PAPER["overall"], published.accuracy(), published.radar_scores(), TITLES)
    assert "CPL 26" in fact.sentence
    assert "SOC 2.1" in fact.sentence
    assert fact.agreement == "depends", "by accuracy alone SOC comes first, though it is not told apart"

    def with_cpl(cra36, score):
        results = [
            row.model_copy(update={"cra36": cra36}) if row.method == "cpl" else row for row in published.accuracy()
        ]
        scores = [
            row.model_copy(update={"inference_time": score, "train_time": score}) if row.method == "cpl" else row
            for row in published.radar_scores()
        ]
        return overall_fact(PAPER["overall"], results, scores, TITLES).agreement

    assert with_cpl(90.0, 5) == "agrees"
    assert with_cpl(1.0, 5) == with_cpl(90.0, 1) == "depends"
    assert with_cpl(1.0, 1) == "contradicts"


def test_constructions_on_kernels_do_not_grow_with_the_image():
    growth = construction_growth(METHODS.values())
    fact = resolution_fact(PAPER["resolution"], growth, RESOLUTIONS, TITLES)
    assert fact.agreement == "partly", "CPL, which is named, computes its norm per frequency here"
    assert "stay what they are for AOL, BCOP, SLL and SOC" in fact.sentence
    named = dict.fromkeys(growth, 64.0) | dict.fromkeys(PAPER["resolution"].methods, 1.0)
    assert resolution_fact(PAPER["resolution"], named, RESOLUTIONS, TITLES).agreement == "agrees"
    grown = dict.fromkeys(growth, 64.0)
    assert resolution_fact(PAPER["resolution"], grown, RESOLUTIONS, TITLES).agreement == "contradicts"


def test_what_collapsed_is_counted_by_method():
    paper = published.paper()
    results = paper.accuracy
    fact = collapse_fact(PAPER["collapse"], paper, TITLES)
    assert "these collapsed: CPL 6 of 49 and SLL 8 of 52; none of another" in fact.sentence
    low = next(one for one in results if one.collapsed)
    shares = {"accuracy": low.accuracy, "cra36": low.cra36}
    worse = [one.model_copy(update=shares) if (one.method, one.data) == ("lot", low.data) else one for one in results]
    assert "LOT" in collapse_fact(PAPER["collapse"], replace(paper, accuracy=tuple(worse)), TITLES).sentence


def test_what_is_said_of_the_identity_and_of_skips_is_so_here():
    torch.manual_seed(0)
    images = torch.randn(2, 4, 8, 8)
    layers = {name: method.conv2d(4, 4, 3).eval() for name, method in METHODS.items()}
    begins = {name for name, layer in layers.items() if torch.allclose(layer(images), images, atol=1e-4)}
    skips = {name for name, layer in layers.items() if isinstance(layer, ResidualConv2d)}
    assert begins
    assert skips
    assert not begins & skips
    assert begins | skips < set(METHODS)
    said = identity_fact(PAPER["identity"])
    assert said.agreement == "untested"
    assert "some methods begin with layers at the identity, and others have a skip connection in" in said.sentence
    assert "none of our records" not in said.sentence


def test_nothing_is_decided_by_nothing():
    assert kernel_fact(PAPER["kernels"], published.accuracy()).agreement == "undecided"
    assert size_fact(PAPER["sizes"], []).agreement == "undecided"


def test_the_command_writes_markdown():
    found = CliRunner().invoke(app, ["guidelines"])
    assert found.exit_code == 0, found.stderr
    assert all(f"## {situation.title}" in found.stdout for situation in SITUATIONS)
    assert "The paper: SOC where compute is plentiful. On CIFAR-10 the data lean that way" in found.stdout
    assert "on CIFAR-100 the data agree" in found.stdout
    assert "| Method, size, budget |" in found.stdout
    assert "The paper: No kernels of 1x1. The data agree." in found.stdout
    assert "onelip recommend --records published --data cifar10 --image 256" in found.stdout


@pytest.fixture(scope="module")
def whole():
    return CliRunner().invoke(app, ["guidelines"]).stdout


@pytest.mark.parametrize("title", [situation.title for situation in SITUATIONS])
def test_a_section_answers_as_its_command_does(title, whole):
    """With the same networks to choose from: those of methods that onelip has."""
    section = whole.split(f"## {title}\n")[1].split("\n## ")[0]
    command = re.search(r"^    onelip (recommend .*cifar10\b.*)$", section, re.MULTILINE)[1]
    answered = CliRunner().invoke(app, [*command.split(), "--markdown"])
    assert answered.exit_code == 0, answered.stderr
    _, head, table, lines = answered.stdout.strip().split("\n\n")
    said = section.split("### CIFAR-10\n")[1].split("### ")[0]
    assert head in said
    assert table in said
    (more, *others) = [line for line in said.splitlines() if line.startswith("- ")]
    assert more.startswith("- The next method is ")
    assert others == lines.splitlines()
    assert "BNB" not in whole.split("## The radar plot")[0]


def test_guidelines_of_a_folder_rest_on_what_was_measured_there(sample_records, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sample_records.write(tmp_path / "mine", *(sample_records.train_record(name) for name in ("aol", "cpl")))
    found = CliRunner().invoke(app, ["guidelines", "mine"])
    assert found.exit_code == 0, found.stderr
    assert "onelip recommend mine --records measured --data digits" in found.stdout
    assert "## In short\n\n| You need | Digits |" in found.stdout


def test_nothing_is_said_of_advice_for_methods_that_were_not_trained(sample_records, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, names in enumerate((("cpl",), ("cpl", "aol"))):
        runs = [sample_records.train_record(name, budget="2h", record_seconds=7200.0) for name in names]
        sample_records.write(tmp_path / f"own{number}", *runs)
        found = CliRunner().invoke(app, ["guidelines", f"own{number}"])
        assert found.exit_code == 0, found.stderr
        first = found.stdout.split("## The highest certified accuracy")[1].split("\n## ")[0]
        assert "The paper: SOC where compute is plentiful." in first
        assert "contradict" not in first


def test_guidelines_leave_out_what_onelip_does_not_have(sample_records, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = sample_records.train_record("mine", method=sample_records.method("mine"))
    sample_records.write(tmp_path / "own", own)
    refused = CliRunner().invoke(app, ["guidelines", "own"])
    assert refused.exit_code == 2
    assert "no network of aol, bcop" in refused.stderr
    sample_records.write(tmp_path / "own", sample_records.train_record("aol"))
    found = CliRunner().invoke(app, ["guidelines", "own"])
    assert found.exit_code == 0, found.stderr
    assert "| AOL XS, 20s |" in found.stdout
