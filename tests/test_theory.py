"""Formulas as texts: what they say, and the published table beside ours."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onelip import METHODS
from onelip.bench import published
from onelip.bench.formula import ABBREVIATIONS, SYMBOLS, exponents, formula, order, value
from onelip.bench.recommend.costs import ROOM, STEP_ROOM, Network, inference_range
from onelip.bench.report.theory import multiples
from onelip.bench.results import load_records
from onelip.bench.statistics import ratio_quartiles
from onelip.bench.theory import complexity, sheet
from onelip.bench.theory_costs import Formulas, held
from onelip.cli import app
from onelip.cost import ConvShape

ROOT = Path(__file__).parent.parent
SHAPE = ConvShape(batch=8, height=16, width=16, in_channels=32, out_channels=32, kernel_size=3, padding="circular")


def onelip(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("text", "by_hand"),
    [
        ("C", 8 * 16**2 * 32**2 * 9),
        ("(5/2) M", 2.5 * 8 * 16**2 * 32),
        ("c^3 k t + c^3 k^3", 32**3 * 3 * 20 + 32**3 * 27),
        ("4 s^2 c^3 t", 4 * 16**2 * 32**3 * 20),
        ("P + s^2 c", 32**2 * 9 + 16**2 * 32),
        ("C t1", 5 * 8 * 16**2 * 32**2 * 9),
        ("c^3 k^2 (2k-1)^2", 32**3 * 9 * 25),
        ("-", 0),
    ],
)
def test_a_formula_says_what_it_says_by_hand(text, by_hand):
    assert value(text, SHAPE, {"t": 20, "t1": 5}) == pytest.approx(by_hand)


def test_orders_have_no_constants_and_nothing_that_is_dominated():
    assert order("2C + 3 b s^2 c") == "O(b s^2 c^2 k^2)"
    assert order("9 c^3 + 5 b c") == "O(b c + c^3)"
    assert order("0") == order("-") == "O(0)"
    assert exponents("c^3 k t + c^3 k^3") == {"b": 0, "s": 0, "c": 3, "k": 3, "t": 1, "t1": 0, "t2": 0}


@pytest.mark.parametrize("row", published.complexity(), ids=lambda row: row.method)
def test_every_published_formula_is_read(row):
    for text in (row.input_macs, row.input_memory, row.parameter_macs, row.parameter_memory):
        assert formula(text).free_symbols <= set(SYMBOLS.values())
    assert row.method in METHODS, "every row is laid beside a method of ours"
    assert set(ABBREVIATIONS) == set("CMP")


POSTER = ("k", "t", "t1", "t2")


@pytest.mark.parametrize("row", published.complexity(), ids=lambda row: row.method)
def test_the_poster_says_of_the_table_what_ours_says_of_it(row):
    """Table 1 without kernel sides and iterations is the poster's column."""
    (short,) = (one for one in published.poster_complexity() if one.method == row.method)
    ones = {SYMBOLS[name]: 1 for name in POSTER}

    def orders(*texts):
        return order(" + ".join(str(formula(text).subs(ones)) for text in texts).replace("**", "^"))

    def written(text):
        """The poster's bs2c2 for b s^2 c^2."""
        return order(re.sub(r"([bsc])(\d?)", lambda match: f" {match[1]}^{match[2] or 1}", text))

    assert set(orders(row.input_macs, row.parameter_macs)[2:-1].split(" + ")) == set(
        written(short.operations)[2:-1].split(" + ")
    )


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_why_ours_differs_is_said(method):
    row, ours = complexity(method), method.theory
    pairs = (
        (ours.training, row.input_macs),
        (ours.construction, row.parameter_macs),
        (ours.training_memory, row.input_memory),
        (ours.construction_memory, row.parameter_memory),
    )
    assert any(formula(one) != formula(other) for one, other in pairs), "a method that does not differ says nothing"
    assert ours.departs


def test_ratios_are_to_the_unconstrained_convolution():
    standard = METHODS["standard"]
    for method in METHODS.values():
        found = {one.quantity.key: one for one in sheet(method, SHAPE, standard).entries}
        expected = method.cost(SHAPE).inference / standard.cost(SHAPE).inference
        assert found["inference_macs"].ratio == pytest.approx(expected)
        assert found["construction_macs"].ratio is None, "an unconstrained convolution constructs nothing"


def test_iterations_are_those_of_the_comparison():
    soc = {one.quantity.key: one for one in sheet(METHODS["soc"], SHAPE, METHODS["standard"]).entries}
    assert soc["training_macs"].published_number == pytest.approx(5 * SHAPE.conv)
    assert soc["inference_macs"].published_number == pytest.approx(12 * SHAPE.conv)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_formulas_of_larger_kernels_are_not_said_of_1x1_kernels_where_they_do_not_hold(method):
    shape = replace(SHAPE, kernel_size=1, batch=64, in_channels=128, out_channels=128, padding=method.padding)
    for one in sheet(method, shape, METHODS["standard"]).entries:
        text = getattr(method.theory, one.quantity.ours)
        assert (one.formula, bool(one.order)) in ((text, True), ("", False)), one.quantity.key
        assert bool(one.absence) == (not one.formula)
        if one.formula and one.number:
            assert 0.8 < value(text, shape) / one.number < 1.25, one.quantity.key


def test_the_series_of_a_1x1_kernel_is_no_series():
    found = onelip("theory", "--method", "soc", "--kernel", 1)
    plain = " ".join(found.stdout.split())
    assert "5C" not in plain
    entries = {
        one.quantity.key: one for one in sheet(METHODS["soc"], replace(SHAPE, kernel_size=1), METHODS["aol"]).entries
    }
    assert (entries["inference_macs"].formula, entries["weights_numbers"].formula) == ("", "P")
    table = onelip("theory", "--method", "soc", "--kernel", 1, "--table", "--markdown").stdout
    assert "ours of 1x1 kernels, a formula of larger ones does not hold" in table


def test_published_formulas_say_nothing_of_other_than_square_layers(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shape = replace(SHAPE, out_channels=16)
    for one in sheet(METHODS["cpl"], shape, METHODS["standard"]).entries:
        assert one.published_number is None
        assert one.published_absence == ("published for as many outputs as inputs" if one.published else "")
    found = onelip("theory", "--method", "cpl", "--out-channels", 16)
    assert "published for as many" in " ".join(found.stdout.split())


def test_a_method_of_ones_own_has_numbers_and_no_formulas():
    mine = replace(METHODS["aol"], name="mine", theory=None)
    for one in sheet(mine, SHAPE, METHODS["standard"]).entries:
        assert (one.formula, one.published, one.published_number) == ("", "", None)
        assert one.number == one.quantity.of(mine.cost(SHAPE))


def test_the_command_prints_numbers_for_scripts():
    found = onelip("theory", "--method", "cpl,soc", "--batch", 8, "--image", "16", "--channels", 32, "--json")
    assert found.exit_code == 0, found.stderr
    rows = {row["method"]: row for row in json.loads(found.stdout)}
    assert rows["cpl"]["costs"]["training_macs"]["number"] == 2 * SHAPE.conv
    assert rows["cpl"]["costs"]["training_macs"]["published"] == "2C"
    assert rows["soc"]["shape"]["padding"] == "zeros"
    alike = onelip("theory", "--methods", "cpl,soc", "--batch", 8, "--image", "16", "--channels", 32, "--json")
    assert alike.stdout == found.stdout, "as other commands name methods"


@pytest.fixture
def measured(tmp_path):
    """A session of two small networks and the unconstrained one."""
    found = onelip(
        "measure",
        "--sizes",
        "4",
        "--image",
        "1x8x8",
        "--batch-size",
        64,
        "--methods",
        "cpl,cayley",
        "--rounds",
        1,
        "--out",
        tmp_path / "session",
    )
    assert found.exit_code == 0, found.stderr
    return tmp_path / "session"


def test_formulas_stand_beside_what_was_measured(measured, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    found = onelip("theory", "--against", measured, "--out", tmp_path / "out")
    assert found.exit_code == 0, found.stderr
    table = (tmp_path / "out" / "theory.md").read_text()
    assert "CPL, zeros" in table
    assert "Standard, circular" in table
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {f"theory{kind}" for kind in (".svg", ".pdf", ".md", ".tex", ".csv")} | {"export.json"}
    assert "<svg" in (tmp_path / "out" / "theory.svg").read_text()
    shown = onelip("theory", "--method", "cpl", "--against", measured)
    assert "by formula" in shown.stdout
    assert "Cayley" not in shown.stdout
    rows = json.loads(onelip("theory", "--against", measured, "--json").stdout)
    (session,) = load_records(measured).cost
    entries = {(entry.method.name, entry.padding): entry for entry in session.entries}
    for row in rows:
        entry = entries[row["method"], row["padding"]]
        for name in ("train_bytes", "inference_bytes"):
            assert row[name] == pytest.approx(getattr(entry, name), rel=ROOM), (row["method"], name)


@pytest.mark.parametrize("folder", ["speed", "cpu"])
def test_what_formulas_say_of_steps_is_given_room_enough_for_what_was_measured(folder):
    below, above = STEP_ROOM
    (session,) = load_records(ROOT / "results" / folder).cost
    constrained = [one for one in held(session, tuple(METHODS.values())) if one.entry.method.constrained]
    assert len(constrained) >= 7
    for one in constrained:
        found = multiples(one)["train_step"]
        assert 1 - below <= found["measured"] / found["by_formula"] <= 1 + above, one.entry.method.title


@pytest.mark.parametrize("folder", ["speed", "cpu"])
def test_what_formulas_say_of_inference_is_given_room_enough_for_what_was_measured(folder):
    """Not of layers that act per frequency: of them nothing is said, for they took longer than any of that room."""
    (session,) = load_records(ROOT / "results" / folder).cost
    book = Formulas(tuple(METHODS.values()))
    beyond = []
    for one in held(session, tuple(METHODS.values())):
        if not one.entry.method.constrained:
            continue
        for batch, kind in ((256, "inference"), (1, "latency")):
            network = Network(
                method=one.entry.method.name,
                padding=one.entry.padding,
                size=session.size,
                image=session.image,
                classes=session.classes,
                kernel_size=session.kernel_size,
            )
            said = book(network, train_batch=256, batch=batch).inference_ratio
            measured = ratio_quartiles(getattr(one.entry, kind), getattr(one.unit, kind))[1]
            low, high = inference_range(said or one.said.inference_macs / one.unit_said.inference_macs)
            if said is None:
                beyond.append(one.entry.method.name)
                assert measured > 1.5 * high
            else:
                assert low <= measured <= high, (one.entry.method.name, kind)
    assert set(beyond) == {"cayley", "lot"}


@pytest.mark.parametrize("how", [(), ("--table",), ("--markdown",), ("--table", "--markdown")])
def test_the_command_says_formulas_orders_and_reasons(how, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    found = onelip("theory", "--method", "cayley", *how)
    assert found.exit_code == 0, found.stderr
    plain = " ".join(found.stdout.replace("\\", "").split())
    assert "2 b s^2 c^2 + 6 b s^3 c" in plain
    assert "b s^2 c^2" in plain
    assert "half the spectrum" in plain
    everything = onelip("theory", *how)
    assert everything.exit_code == 0, everything.stderr
    assert all(method.title in everything.stdout for method in METHODS.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--method", "cpll"), "did you mean cpl?"),
        (("--image", "32x32x3"), "--image '32x32x3' is not allowed"),
        (("--image", "0"), "--image '0' is not allowed"),
        (("--kernel", "2"), "kernel_size=2"),
        (("--padding", "none"), "padding 'none' is not one of"),
        (("--json", "--markdown"), "exclude each other"),
        (("--out", "there"), "--out belongs to --against"),
        (("--against", "nowhere"), "nowhere does not exist"),
        (("--method", "standard", "--against", ROOT / "results" / "speed"), "holds no constrained network"),
        (("--kernel", "3", "--against", "nowhere"), "--kernel: --against speaks of the networks that were measured"),
        (("--out-channels", "8", "--table", "--against", "nowhere"), "--out-channels, --table: --against speaks"),
        (("--markdown", "--against", "nowhere"), "--markdown: --against speaks"),
    ],
)
def test_wrong_options_are_refused(arguments, message):
    refused = onelip("theory", *arguments)
    assert refused.exit_code == 2
    assert message in refused.stderr
