"""Bounds compose upwards and refuse what is not a bound."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onelip import Bound
from onelip.errors import UnsoundError

values = st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=8)


@given(values)
def test_a_product_is_never_below_the_exact_one(numbers):
    exact = math.prod((Fraction(number) for number in numbers), start=Fraction(1))
    bound = Bound.product(Bound(number, "") for number in numbers)
    assert Fraction(float(bound)) >= exact


@given(st.lists(st.floats(1e-30, 1e30), min_size=1, max_size=8))
def test_a_product_is_tight_where_nothing_underflows(numbers):
    exact = math.prod((Fraction(number) for number in numbers), start=Fraction(1))
    bound = Bound.product(Bound(number, "") for number in numbers)
    assert Fraction(float(bound)) <= exact * (1 + Fraction(len(numbers), 10**14))


@given(values)
def test_a_sum_is_never_below_the_exact_one(numbers):
    exact = sum((Fraction(number) for number in numbers), start=Fraction(0))
    bound = Bound.sum(Bound(number, "") for number in numbers)
    assert exact <= Fraction(float(bound)) <= exact * (1 + Fraction(len(numbers), 10**14)) + Fraction(1, 10**300)


def test_ones_multiply_to_exactly_one():
    assert float(Bound.product(Bound(1.0, "") for _ in range(1000))) == 1.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1e-9])
def test_what_is_not_a_bound_is_refused(value):
    with pytest.raises(UnsoundError, match="finite number"):
        Bound(value, "a test")


def test_parts_and_reasons_are_kept():
    bound = Bound.product([Bound(2.0, "first"), Bound(3.0, "second")])
    assert [part.why for part in bound.parts] == ["first", "second"]
    assert float(bound) == pytest.approx(6.0)
