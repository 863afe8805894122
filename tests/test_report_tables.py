import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from onelip.bench.report import metrics, sheets
from onelip.bench.report.groups import comparisons
from onelip.bench.report.metrics import METRICS, SIX
from onelip.bench.report.scans import scans
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
    text = metrics.three_digits(number)
    assert "e" not in text
    assert abs(float(text) - number) <= 0.005 * number * (1 + 1e-9)
    assert number >= 99.95 or len(text.replace(".", "").lstrip("0")) == 3


@given(st.floats(1e-3, 1e12))
def test_a_printed_bound_is_still_a_bound(bound):
    printed = float(metrics.bound_digits(bound))
    assert bound <= printed <= 1.011 * bound or bound < 1e-2


def test_formats():
    shown = {key: METRICS[key].format for key in METRICS}
    assert shown["cra_36"](0.4567) == "45.7"
    assert shown["train_step_seconds"](0.0123456) == "12.3"
    assert shown["train_bytes"](123_456_789) == "123"
    assert shown["train_step_ratio"](2.0049) == "2.00"
    assert shown["parameters"](1_572_288) == "1,572,288"


def test_the_main_table_holds_what_the_records_say(demo):
    table = sheets.six_metrics(comparisons(demo)[0])
    assert [line.head for line in table.lines] == ["CPL", "LOT", "SLL", "BCOP", "AOL", "Cayley", "SOC", "Unconstrained"]
    assert [column.title for column in table.columns] == [METRICS[key].title for key in SIX]
    accuracy = _line(table, "CPL")[1]
    assert (accuracy.text, accuracy.note, accuracy.best) == ("96.1", "93.6\u201397.7", True)
    train = _line(table, "AOL")[2]
    assert (train.text, train.best) == ("28.0", True)
    assert train.note.startswith("\u00d71.31")
    assert not any(cell.best for cell in table.lines[-1].cells), "the yardstick is not in the competition"


def test_ratios_are_to_the_unconstrained_network_of_the_same_padding(sample_records):
    runs = tuple(sample_records.train_record(name) for name in ("aol", "cpl"))
    rows = comparisons(Records(train=runs, cost=(sample_records.cost_record(("aol", "cpl")),)))[0].rows
    ratios = {row.label: METRICS["train_step_ratio"].of(row).value for row in rows}
    assert ratios == pytest.approx({"AOL": 1.31, "CPL": 2.02, "Unconstrained": 1.0})
    by_name = {row.method.name: row for row in rows}
    assert by_name["cpl"].yardstick.padding == "zeros"
    assert by_name["aol"].yardstick.padding == "circular"


def test_one_padding_for_all_takes_the_costs_of_that_padding(sample_records):
    run = sample_records.train_record("cpl", padding="circular")
    entries = [sample_records.cost_entry("cpl"), sample_records.cost_entry("standard")]
    (row, _) = comparisons(Records(train=(run,), cost=(sample_records.cost_record(entries=entries),)))[0].rows
    assert METRICS["train_step_seconds"].of(row).missing == "not measured", "only the costs with zeros are there"
    entries.append(sample_records.cost_entry("cpl", padding="circular"))
    (row, _) = comparisons(Records(train=(run,), cost=(sample_records.cost_record(entries=entries),)))[0].rows
    assert row.cost.padding == "circular"


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


def test_two_learning_rates_are_two_rows(sample_records):
    recipe = sample_records.Recipe(learning_rate=0.03)
    runs = (sample_records.train_record("aol"), sample_records.train_record("aol", recipe=recipe))
    rows = comparisons(Records(train=runs))[0].rows
    assert sorted(row.label for row in rows) == ["AOL, lr 0.03, wd 1e-05", "AOL, lr 0.1, wd 1e-05"]


def test_costs_of_another_revision_are_not_shown(sample_records):
    run = sample_records.train_record("aol", method=sample_records.method("aol", revision=2))
    (row, _) = comparisons(Records(train=(run,), cost=(sample_records.cost_record(("aol",)),)))[0].rows
    assert METRICS["train_bytes"].of(row).missing == "measured at revision 1, trained at 2"


def test_sessions_of_another_network_are_not_mixed_in(sample_records):
    run, session = sample_records.train_record("aol"), sample_records.cost_record(("aol",), width=32, size="S")
    trained, costs = comparisons(Records(train=(run,), cost=(session,)))
    assert trained.session is None
    assert costs.title == "Costs only, size S, images 1x8x8"
    assert METRICS["train_step_ratio"].of(costs.rows[0]).value == pytest.approx(1.31)


def test_the_scan_marks_the_best_and_warns_at_the_border(sample_records):
    def tried(rate, certified):
        recipe = sample_records.Recipe(learning_rate=rate)
        result = sample_records.exactly(certified)
        return sample_records.train_record("aol", recipe=recipe, result=result, evaluate_on="validation")

    inside = [tried(0.01, 90), tried(0.1, 180), tried(1.0, 120)]
    (scan,) = scans(Records(train=(*inside, sample_records.train_record("aol"))))
    cells = _line(scan.table, "AOL")
    assert [(cell.text, cell.best) for cell in cells] == [
        ("25.0", False),
        ("50.0", True),
        ("33.3", False),
        ("0.1", False),
    ]
    assert scan.warnings == ()
    (scan,) = scans(Records(train=tuple(inside[:2])))
    assert scan.warnings == ("AOL: the best learning rate, 0.1, lies at the border of those tried.",)


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
    assert by_name["soc"]["cra_36"] is None
    assert by_name["soc"]["missing"]["cra_36"] == "diverged at step 17"
    assert by_name["lot"]["missing"]["train_bytes"] == "out of memory"
