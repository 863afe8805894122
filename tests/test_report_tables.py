import io
import json
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from onelip.bench.report import formats, sheets
from onelip.bench.report.build import build_report
from onelip.bench.report.groups import comparisons
from onelip.bench.report.metrics import METRICS, SIX
from onelip.bench.report.radar import radar
from onelip.bench.report.tables import print_tables, rows_as_json
from onelip.bench.results import Records, load_records


def _printed(records, width):
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    print_tables(records, console)
    return console.file.getvalue()


def _line(table, head):
    (line,) = (line for line in table.lines if line.head == head)
    return line.cells


@pytest.fixture
def demo(sample_records, tmp_path):
    sample_records.demo(tmp_path)
    return load_records(tmp_path)


@given(st.floats(1e-9, 1e9))
def test_three_digits_are_right_to_half_a_unit_of_the_third(number):
    text = formats.three_digits(number)
    assert "e" not in text
    assert abs(float(text) - number) <= 0.005 * number * (1 + 1e-9)
    assert number >= 99.95 or len(text.replace(".", "").lstrip("0")) == 3


@given(st.floats(1e-12, 1e12))
@example(0.1)
@example(1e-9)
@example(999.6)
def test_a_printed_bound_is_still_a_bound(bound):
    """Compared as rational numbers: a text that only rounds to the bound is below it."""
    printed = Fraction(formats.bound_digits(bound))
    assert Fraction(bound) <= printed <= Fraction(bound) * Fraction("1.011") + Fraction("1e-6")


def test_formats():
    shown = {key: METRICS[key].format for key in METRICS}
    assert shown["cra_36"](0.4567) == "45.7"
    assert shown["train_step_seconds"](0.0123456) == "12.3"
    assert shown["train_bytes"](123_456_789) == "123"
    assert shown["train_step_ratio"](2.0049) == "2.00"
    assert shown["parameters"](1_572_288) == "1,572,288"


def test_the_main_table_holds_what_the_records_say(demo):
    table = sheets.six_metrics(comparisons(demo)[0])
    constrained = ["CPL", "LOT", "SLL", "BCOP", "AOL", "Cayley", "SOC"]
    assert [line.head for line in table.lines] == [*constrained, "Unconstrained, circular", "Unconstrained, zeros"]
    assert [column.title for column in table.columns] == [METRICS[key].title for key in SIX]
    accuracy = _line(table, "CPL")[1]
    assert (accuracy.text, accuracy.note, accuracy.best) == ("96.1", "93.6\u201397.7", True)
    train = _line(table, "AOL")[2]
    assert (train.text, train.best) == ("28.0", True)
    assert train.note.startswith("\u00d71.31")
    yardsticks = [cell for line in table.lines[-2:] for cell in line.cells]
    assert not any(cell.best for cell in yardsticks), "the yardstick is not in the competition"


def test_ratios_are_to_the_unconstrained_network_of_the_same_padding(sample_records):
    runs = tuple(sample_records.train_record(name) for name in ("aol", "cpl"))
    rows = comparisons(Records(train=runs, cost=(sample_records.cost_record(("aol", "cpl")),)))[0].rows
    ratios = {row.label: METRICS["train_step_ratio"].of(row).value for row in rows}
    yardsticks = {"Unconstrained, circular": 1.0, "Unconstrained, zeros": 1.0}
    assert ratios == pytest.approx({"AOL": 1.31, "CPL": 2.02, **yardsticks})
    by_label = {row.label: row for row in rows}
    assert by_label["CPL"].yardstick == by_label["Unconstrained, zeros"].cost
    assert by_label["AOL"].yardstick == by_label["Unconstrained, circular"].cost


def test_a_ratio_of_times_is_taken_within_the_rounds(sample_records):
    """The machine slows down tenfold half-way: round by round the ratio is 2, but each median is of other rounds."""
    slow = [1.0, 1.0, 10.0, 10.0, 10.0]
    entry, one = sample_records.cost_entry("aol"), sample_records.cost_entry("standard")
    for drift, samples, expected in (
        (slow, tuple(2 * time for time in slow), (2.0, 2.0, 2.0)),
        (slow[:4], (2.0, 2.0, 20.0, 2.2, 20.0), (2.0 / 5.5, 2.2 / 5.5, 20.0 / 5.5)),
    ):
        entries = [entry.model_copy(update={"train_step": samples}), one.model_copy(update={"train_step": drift})]
        records = Records(
            train=(sample_records.train_record("aol"),), cost=(sample_records.cost_record(entries=entries),)
        )
        value = METRICS["train_step_ratio"].of(comparisons(records)[0].rows[0])
        assert (value.low, value.value, value.high) == pytest.approx(expected)


def test_bold_follows_the_radar(demo, sample_records):
    """Both rank the numbers themselves. SLL has zeros, whose unconstrained network is faster than the circular one."""
    entries = [entry for entry in demo.cost[0].entries if entry.method.name != "sll"]
    entries.append(sample_records.cost_entry("sll").model_copy(update={"train_step": sample_records.samples(0.0275)}))
    group = comparisons(Records(train=demo.train, cost=(sample_records.cost_record(entries=entries),)))[0]
    ratios = {row.label: METRICS["train_step_ratio"].of(row).value for row in group.constrained}
    assert ratios["SLL"] > ratios["AOL"]
    table = sheets.six_metrics(group)
    assert [line.head for line in table.lines if line.cells[2].best] == ["SLL"]
    for axis in range(6):
        scores = {row.label: of_row[axis] for row, of_row in radar(group).scores}
        bold = {line.head for line in table.lines if line.cells[axis].best}
        assert {max(scores, key=scores.get)} & bold, table.columns[axis].title


def test_nothing_is_bold_where_all_look_the_same(sample_records):
    costs = sample_records.cost_record(("aol", "bcop", "cpl"))
    runs = [sample_records.train_record(name, result=sample_records.exactly(200)) for name in ("aol", "bcop")]
    table = sheets.six_metrics(comparisons(Records(train=tuple(runs), cost=(costs,)))[0])
    bold = [[cell.best for cell in _line(table, head)] for head in ("AOL", "BCOP")]
    assert bold[0] == [False, False, True, True, True, True]
    assert bold[1] == [False, False, False, False, False, True], "as printed: the memory of both is 7.21 MB"
    costs = sample_records.cost_record(("aol", "bcop"))
    table = sheets.six_metrics(comparisons(Records(train=tuple(runs), cost=(costs,)))[0])
    assert not any(_line(table, head)[5].best for head in ("AOL", "BCOP"))


def test_a_constant_answer_ranks_last_and_is_never_bold(sample_records):
    """It certifies 36 of 360 images at any radius, more than an honest network at a large one."""
    constant = sample_records.exactly(36).model_copy(update={"certified": (36,) * 513})
    runs = [sample_records.train_record("cpl", result=constant), sample_records.train_record("soc", status="oom")]
    runs += [
        sample_records.train_record(name, result=sample_records.exactly(n)) for name, n in (("aol", 90), ("sll", 80))
    ]
    group = comparisons(Records(train=tuple(runs)))[0]
    assert [row.label for row in group.rows] == ["AOL", "SLL", "CPL", "SOC"]
    assert _line(sheets.six_metrics(group), "AOL")[0].best
    assert not any(line.cells[2].best for line in sheets.further_numbers(group).lines), "CRA 255: 10.0 against 0.0"
    seeds = [sample_records.train_record("bcop", result=sample_records.exactly(n), seed=n) for n in (0, 60)]
    group = comparisons(Records(train=(*runs, *seeds)))[0]
    assert [row.label for row in group.rows] == ["AOL", "SLL", "BCOP", "CPL", "SOC"], "8.3 % is learned, 10.0 % is not"


def test_missing_cells_say_why(demo, sample_records):
    table = sheets.six_metrics(comparisons(demo)[0])
    soc, lot = _line(table, "SOC"), _line(table, "LOT")
    assert [(cell.text, cell.note) for cell in soc[:2]] == [("\u2014", "diverged at step 17")] * 2
    assert {(cell.text, cell.note) for cell in lot[2:]} == {("\u2014", "out of memory")}
    records = Records(
        train=(sample_records.train_record("aol"),),
        cost=(sample_records.cost_record(("aol", "cpl", "sll")),),
        unfinished=(sample_records.train_record("sll").cell,),
    )
    table = sheets.six_metrics(comparisons(records)[0])
    assert _line(table, "CPL")[0].note == "not run"
    assert _line(table, "SLL")[0].note == "started, not finished"


def test_where_nothing_was_run_the_costs_are_the_table(sample_records, tmp_path):
    """Not a column of dashes for every number that a run would have given."""
    sample_records.write(tmp_path, sample_records.cost_record())
    records = load_records(tmp_path)
    printed = _printed(records, 116)
    build_report(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    for text in (printed, page, markdown):
        for heading in ("Accuracy", "CRA 36", "Learning rate", "not run"):
            assert heading not in text.split("How to read it")[0], heading
    assert "Construct" in printed
    assert "Time and memory" in page
    line = next(line for line in markdown.splitlines() if line.startswith("| AOL"))
    assert line.count(" u)") == 5  # three times and two memories, over the unconstrained network


def test_several_seeds_show_their_number_and_range(sample_records):
    runs = [
        sample_records.train_record("aol", result=sample_records.exactly(count), seed=seed)
        for seed, count in enumerate((90, 180, 270))
    ]
    runs.append(sample_records.train_record("cpl", result=sample_records.exactly(100)))
    table = sheets.six_metrics(comparisons(Records(train=tuple(runs)))[0])
    assert (_line(table, "AOL")[0].text, _line(table, "AOL")[0].note) == ("50.0", "25.0\u201375.0 \u00b7 n = 3")
    assert _line(table, "CPL")[0].note.endswith("n = 1")
    assert table.columns[0].note == "lowest\u2013highest (one seed: 95 % Wilson)"


def test_failed_seeds_are_counted(sample_records):
    runs = (sample_records.train_record("aol"), sample_records.train_record("aol", seed=1, status="error"))
    seeds = _line(sheets.further_numbers(comparisons(Records(train=runs))[0]), "AOL")[-1]
    assert (seeds.text, seeds.note) == ("1 of 2", "stopped by an error")


@pytest.mark.parametrize("width", [120, 80])
def test_the_six_metrics_fit_the_terminal(demo, width):
    printed = _printed(demo, width)
    assert max(len(line) for line in printed.splitlines()) <= width
    assert "\u2026" not in printed, "nothing is cut off"
    for number in (
        "91.4",
        "88.0\u201393.9",
        "96.1",
        "93.6\u201397.7",
        "Unconstrained",
        "37.2",
        "\u00d72.02",
        "51.2",
        "\u00d71.63",
        "8.94",
    ):
        assert number in printed
    assert "SOC: diverged at step 17; no CRA 36 or Accuracy." in " ".join(printed.split())


def test_wide_rows_are_single_lines(demo):
    (line,) = (line for line in _printed(demo, 120).splitlines() if line.strip().startswith("BCOP"))
    assert "88.6 84.9\u201391.5" in line
    assert "\u00d71.97" in line


def test_foreign_text_has_no_effect_on_the_terminal(sample_records):
    method = sample_records.method("aol", title="[red]AOL\x1b[31m")
    run = sample_records.train_record("aol", method=method, status="error", message="\x1b]0;gone\x07[/red]")
    printed = _printed(Records(train=(run, sample_records.train_record("cpl"))), 200)
    assert "\x1b" not in printed
    assert "\x07" not in printed
    (row,) = (line for line in printed.splitlines() if line.rstrip().endswith("\u2014/\u2014"))
    assert row.startswith("[red]AOL")
    assert "[/red]" in printed


def test_json_rows_are_complete_and_serialisable(demo):
    rows = rows_as_json(demo)
    assert json.loads(json.dumps(rows)) == rows
    by_name = {row["method"]: row for row in rows}
    assert set(METRICS) <= set(by_name["cpl"])
    assert by_name["cpl"]["cra_36"] == pytest.approx(329 / 360)
    assert by_name["cpl"]["cra_36_n"] == 1
    assert by_name["cpl"]["train_step_seconds_low"] < by_name["cpl"]["train_step_seconds"]
    assert by_name["cpl"]["batch_size"] == 256
    assert by_name["cpl"]["augment"] is True
    assert by_name["cpl"]["place"] == ["cpu", "x86_64 server processor", "x86_64 server processor", "2"]
    assert [row["layer_padding"] for row in rows if not row["constrained"]] == ["circular", "zeros"]
    assert by_name["soc"]["cra_36"] is None
    assert by_name["soc"]["missing"]["cra_36"] == "diverged at step 17"
    assert by_name["lot"]["missing"]["train_bytes"] == "out of memory"
