"""The paper's counts, by its tables, and where its figure does not follow them."""

import pytest

from onelip import METHODS
from onelip.bench import published
from onelip.bench.report.paper_radar import counts, inversions, radar_sentences, radar_table

TITLES = {method.name: method.title for method in METHODS.values()}


def test_counts_are_those_of_the_tables():
    robust = counts(published.accuracy(), "cra36")
    assert {method: sum(number) for method, number in robust.items()} == {
        "aol": 5,
        "bcop": 1,
        "cayley": 0,
        "cpl": 11,
        "lot": 8,
        "sll": 1,
        "soc": 16,
    }
    assert robust["soc"] == (2, 6, 8)
    clean = counts(published.accuracy(), "accuracy")
    assert clean["soc"] == (3, 7, 8), "two share the first place of a data set"
    assert [sum(clean[name]) for name in ("soc", "cpl", "lot", "cayley", "aol", "bcop", "sll")] == [
        18,
        10,
        9,
        4,
        3,
        1,
        1,
    ]


@pytest.mark.parametrize("share", ["cra36", "accuracy"])
def test_equal_numbers_share_a_place(share):
    one = next(row for row in published.accuracy() if row.hours == 24)
    alike = [one.model_copy(update={"method": name}) for name in "abcd"]
    assert counts(alike, share) == dict.fromkeys("abcd", (1, 1, 1))


def test_the_known_inconsistency_is_said():
    robust, clean = radar_sentences(published.accuracy(), published.radar_scores(), TITLES)[1:]
    assert "AOL has 5 points and a lower score than SLL with 1" in robust
    assert clean == "The axis of accuracy follows the counts."


def test_a_changed_table_changes_what_is_said():
    changed = [
        row.model_copy(update={"accuracy": 99.0}) if (row.method, row.hours) == ("bcop", 24) else row
        for row in published.accuracy()
    ]
    _, clean = radar_sentences(changed, published.radar_scores(), TITLES)[1:]
    assert "BCOP has" in clean


def test_inversions_are_pairs_in_the_wrong_order():
    assert inversions({"a": 3, "b": 2, "c": 2}, {"a": 1, "b": 2, "c": 1}) == (("a", "b"),)


def test_the_table_has_every_method():
    table = radar_table(published.accuracy(), published.radar_scores(), TITLES)
    sums = {line.head: line.cells[-1].text for line in table.lines}
    assert sums["CPL"] == "26"
    assert set(sums) == {method.title for method in METHODS.values() if method.traits.constrained}
