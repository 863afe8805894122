"""The marks of logarithmic axes: plain numbers, enough of them, however little an axis spans."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from onelip.bench.depth import DepthRecord
from onelip.bench.records import Recipe
from onelip.bench.report.depth_figure import depth_drawing
from onelip.bench.report.diagnosis import diagnosis_drawing
from onelip.bench.report.figures import group_styles
from onelip.bench.report.groups import comparisons
from onelip.bench.report.marks import marks, plain_marks
from onelip.bench.report.rounding_figure import rounding_drawing
from onelip.bench.report.scan_figure import scan_drawing
from onelip.bench.report.scans import scans
from onelip.bench.report.trade_off import accuracy_against_costs
from onelip.bench.results import Records

SPANS = ((0.6, 0.9), (0.19, 1.1), (0.999999, 1.0), (3.0, 3.0), (2.1, 2.9), (1e-7, 3e-7), (1e-9, 1e4))
"""From where to where values lie; between 2 and 3 matplotlib has no mark of its own."""


@given(st.floats(1e-30, 1e30), st.floats(1.2, 1e12))
def test_marks_are_in_sight_and_differ_as_printed(low, ratio):
    found = marks(low, low * ratio)
    assert 2 <= len(found) <= 8
    assert low <= min(found) < max(found) <= low * ratio
    assert len({f"{mark:g}" for mark in found}) == len(found)


def test_an_axis_that_spans_next_to_nothing_is_widened_on_both_axes():
    across, up = Figure().subplots(2, 1, sharex=True)
    for axes in (across, up):
        axes.plot([1.0, 1.0000001], [5.0, 5.0000001])
    up.set(xscale="log", yscale="log")
    for axis in (up.xaxis, up.yaxis):
        plain_marks(axis)
        low, high = axis.get_view_interval()
        assert high / low == pytest.approx(1.2)
    assert across.get_xlim() == up.get_xlim()


def depth(samples, run, low, high):
    group, look = grouped(run)
    record: DepthRecord = samples.depth_record(run, variances=(low, high), gradients=(high, low))
    return depth_drawing(group, [record], look, "name")


def rounding(samples, run, low, high):
    group, look = grouped(run)
    return rounding_drawing(
        group, [samples.arithmetics_record(run, charged=(high, high), measured=(low, high))], look, "name"
    )


def search(samples, run, low, high):
    rates = [low + (high - low) * step / 7 for step in range(8)]
    runs = [
        samples.train_record(
            "aol", recipe=Recipe(learning_rate=rate, weight_decay=1e-4 * step), evaluate_on="validation"
        )
        for step, rate in enumerate(rates, 1)
    ]
    (scan,) = scans(Records(train=tuple(runs)))
    return scan_drawing(scan, group_styles([]), "name")


def trade_off(samples, run, low, high):
    entries = [
        samples.cost_entry(name).model_copy(update={"train_bytes": round(1e6 * size) or 1})
        for name, size in (("aol", low), ("cpl", high))
    ]
    runs = run, samples.train_record("cpl")
    (group,) = comparisons(Records(train=runs, cost=(samples.cost_record(entries=entries),)))
    _, memory = accuracy_against_costs(group, group_styles([group]), "name")
    return memory


def diagnosis(samples, run, low, high):
    from onelip.certify.diagnose import LayerDiagnosis

    facts = {"kind": "Conv2d", "shape": (4, 8, 8), "parametrised": True, "growth": 1.0, "bound": 1.0}
    layers = [
        LayerDiagnosis(name=name, variance=value, gradient=value, preservation=1.0, rounding=1.0, **facts)
        for name, value in (("a", low), ("b", high))
    ]
    return diagnosis_drawing(layers, "title")


def grouped(run):
    (group,) = comparisons(Records(train=(run,)))
    return group, group_styles([group])


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("figure", [depth, rounding, search, trade_off, diagnosis])
def test_axes_have_plain_marks_however_little_they_span(sample_records, figure, span):
    made = figure(sample_records, sample_records.train_record("aol"), *span)
    assert "mathdefault" not in made.svg
    texts = {text.strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", made.svg)}
    assert not [text for text in texts if "$" in text]
    for axes in made.figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            seen = [mark for mark in axis.get_majorticklocs() if low <= mark <= high]
            assert axis.get_scale() != "log" or len(seen) >= 2, "two marks tell the scale"
            assert not [label.get_text() for label in axis.get_minorticklabels() if label.get_text()]
