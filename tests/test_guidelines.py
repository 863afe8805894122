"""Guidelines: generated from the tables, and different where the tables are."""

import re
from dataclasses import replace

from typer.testing import CliRunner

from onelip import METHODS
from onelip.bench import published
from onelip.bench.recommend.from_paper import published_choices
from onelip.bench.recommend.guidelines import (
    SITUATIONS,
    advise,
    kernel_sentence,
    overall_sentence,
    size_sentence,
)
from onelip.bench.theory_costs import Formulas, method_facts
from onelip.cli import app

DATA = ("cifar10", "cifar100", "tiny_imagenet")
TITLES = {method.name: method.title for method in METHODS.values()}


def advice(change=lambda row: row):
    paper = published.paper()
    paper = replace(paper, accuracy=tuple(map(change, paper.accuracy)))
    choices = published_choices(
        paper,
        published.complexity(),
        method_facts(METHODS.values()),
        batch=1,
        image=None,
        book=Formulas(tuple(METHODS.values())),
    )
    found = advise(choices, published.guidelines(), DATA)
    return {(one.situation.guideline, one.data): one for one in found if one.situation.guideline}


def test_the_papers_guidelines_follow_from_its_numbers():
    found = advice()
    for data in ("cifar10", "cifar100"):
        assert found["compute", data].answer.fitting[0].choice.method == "soc"
        assert found["compute", data].agreement == "leans", "CPL is within the spread"
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
        assert one.table.lines
        assert one.changes


def test_sentences_count_the_tables():
    results = (*published.accuracy(), *published.accuracy_1x1())
    said = kernel_sentence(results)
    assert "with 3x3 kernels, by" in said
    swapped = [row.model_copy(update={"kernel": 4 - row.kernel}) for row in results]
    assert kernel_sentence(swapped) != said
    better, pairs = map(
        int, re.search(r"Of (\d+) pairs.* in (\d+)\.", size_sentence(published.accuracy())).groups()[::-1]
    )
    assert pairs / 2 < better < pairs
    turned = {"M": "L", "L": "M"}
    exchanged = [row.model_copy(update={"size": turned.get(row.size, row.size)}) for row in published.accuracy()]
    fewer, _ = map(int, re.search(r"Of (\d+) pairs.* in (\d+)\.", size_sentence(exchanged)).groups()[::-1])
    assert fewer <= pairs - better
    overall = overall_sentence(published.accuracy(), published.radar_scores(), TITLES)
    assert "CPL 26" in overall
    assert "SOC 2.1" in overall


def test_the_command_writes_markdown():
    found = CliRunner().invoke(app, ["guidelines"])
    assert found.exit_code == 0, found.stderr
    assert all(f"## {situation.title}" in found.stdout for situation in SITUATIONS)
    assert "The paper: SOC where compute is plentiful. On CIFAR-10 the data lean that way" in found.stdout
    assert "| Method, size, budget |" in found.stdout
