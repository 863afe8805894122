"""Budgets: what is read, what is refused, and that equal budgets have one text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onelip.bench.train.budget import Budget
from onelip.errors import OnelipError


@pytest.mark.parametrize(
    ("text", "seconds", "epochs"),
    [
        ("20s", 20, None),
        ("1.5m", 90, None),
        ("10m", 600, None),
        ("2h", 7200, None),
        ("0.25s", 0.25, None),
        ("12epochs", None, 12),
        ("1epoch", None, 1),
    ],
)
def test_reads(text: str, seconds: float | None, epochs: int | None) -> None:
    assert Budget.parse(text) == Budget(seconds=seconds, epochs=epochs)


@pytest.mark.parametrize(
    "text", ["20s", "10m", "2h", "0.25s", "90s", "1epoch", "12epochs", "999999999s", "1000000000epochs"]
)
def test_canonical_text_is_kept(text: str) -> None:
    assert str(Budget.parse(text)) == text


@pytest.mark.parametrize(("first", "second"), [("60s", "1m"), ("1.5m", "90s"), ("0.5h", "30m"), ("1epochs", "1epoch")])
def test_equal_budgets_have_one_text(first: str, second: str) -> None:
    assert str(Budget.parse(first)) == str(Budget.parse(second))


@given(st.decimals("0.000000001", "277777", places=9), st.sampled_from("smh"))
def test_text_of_a_time_gives_the_same_budget(count: object, unit: str) -> None:
    budget = Budget.parse(f"{count:f}{unit}")
    assert Budget.parse(str(budget)) == budget


REFUSED = [
    "",
    "20",
    "s",
    "-3s",
    "0s",
    "0.0h",
    "0epochs",
    "1.5epochs",
    "5 parsec",
    "20 s",
    "1e3s",
    "nans",
    "infs",
    "1h30m",
]


@pytest.mark.parametrize("text", [*REFUSED, "20S", "٣s", "20s\n", "9" * 400 + "s"])
def test_anything_else_is_refused_and_the_message_says_what_is_allowed(text: str) -> None:
    with pytest.raises(OnelipError, match=r'"20s", "1\.5m" or "2h", or a number of epochs') as refusal:
        Budget.parse(text)
    assert repr(text) in str(refusal.value)


@pytest.mark.parametrize(
    ("seconds", "epochs"),
    [
        (None, None),
        (1.0, 1),
        (1e10, None),
        (0.0, None),
        (-1.0, None),
        (float("inf"), None),
        (float("nan"), None),
        (None, 0),
    ],
)
def test_a_budget_is_one_positive_number(seconds: float | None, epochs: int | None) -> None:
    with pytest.raises(OnelipError, match="either seconds or epochs"):
        Budget(seconds=seconds, epochs=epochs)
