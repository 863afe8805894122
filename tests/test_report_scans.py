"""The learning-rate scan: what was tried, what was chosen, what decided."""

import pytest

from onelip.bench.report.build import build_report
from onelip.bench.report.groups import comparisons
from onelip.bench.report.scan_figure import scan_drawing
from onelip.bench.report.scans import group_warnings, scans
from onelip.bench.results import Records


def _line(table, head):
    (line,) = (line for line in table.lines if line.head == head)
    return line.cells


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
        ("CRA 36", False),
        ("0.1", False),
    ]
    assert cells[1].note == "loss 0.5"
    assert scan.warnings == ()
    (scan,) = scans(Records(train=tuple(inside[:2])))
    (warning,) = scan.warnings
    assert warning.endswith("a better one may lie beyond: AOL (0.1).")
    (scan,) = scans(Records(train=tuple(inside[:1])))
    assert scan.warnings == (), "a single learning rate has no border"


def test_a_scan_without_learning_says_that_the_loss_decided(sample_records):
    def tried(name, rate, loss):
        return sample_records.train_record(
            name,
            recipe=sample_records.Recipe(learning_rate=rate),
            result=sample_records.exactly(36, loss=loss),
            evaluate_on="validation",
        )

    losses = ((0.01, 3.0), (0.1, 1.5), (1.0, 1e300))
    (scan,) = scans(Records(train=tuple(tried(name, *pair) for name in ("aol", "standard") for pair in losses)))
    cells = _line(scan.table, "AOL")
    assert [cell.best for cell in cells[:3]] == [False, True, False]
    assert [cell.note for cell in cells[:3]] == ["loss 3", "loss 1.5", "loss 1e+300"]
    assert cells[3].text == "loss"
    assert "where none is, the lowest loss on the held-out images" in scan.table.caption
    (warning,) = scan.warnings
    assert warning == "The scan was too short to decide by certified accuracy, and the loss decided: AOL."


@pytest.fixture
def searched(sample_records):
    """Nine trials each, the weight decay at 1e-5 or 1e-4; SOC's best is the last but one, and its last diverged."""

    def trial(name, number):
        recipe = sample_records.Recipe(learning_rate=0.01 * 2**number, weight_decay=10.0 ** -(4 + number % 2))
        if (name, number) == ("soc", 8):
            return sample_records.train_record(name, recipe=recipe, status="diverged", evaluate_on="validation")
        result = sample_records.exactly(20 * number + 40 if name == "soc" else 20 + number, loss=1 / (1 + number))
        return sample_records.train_record(name, recipe=recipe, result=result, evaluate_on="validation")

    return tuple(trial(name, number) for name in ("aol", "soc") for number in range(9))


def test_a_search_has_what_was_chosen_in_a_table_and_the_rest_in_a_figure(searched, tmp_path, sample_records):
    (scan,) = scans(Records(train=searched))
    assert scan.is_drawn
    assert [column.title for column in scan.table.columns] == [
        "Trials",
        "Learning rate",
        "Weight decay",
        "CRA 36",
        "Loss",
        "Decided by",
        "Used",
    ]
    cells = _line(scan.table, "SOC")
    assert [cell.text for cell in cells[:6]] == ["9", "1.28", "1e-05", "50.0", "0.125", "CRA 36"]
    assert cells[0].note == "1 diverged"
    drawn = scan_drawing(scan, {}, "name")
    assert "Chosen: AOL 2.56, CRA 36 7.8 %, loss 0.111; SOC 1.28, CRA 36 50.0 %, loss 0.125." in drawn.svg
    assert _line(scan.table, "AOL")[5].text == "loss"
    assert [warning.partition(":")[0] for warning in scan.warnings] == [
        "At the border of the learning rates tried, so that a better one may lie beyond",
        "At the border of the weight decays tried, so that a better one may lie beyond",
        "The scan was too short to decide by certified accuracy, and the loss decided",
    ]
    drawn = scan_drawing(scan, {}, "scan-1")
    assert drawn.svg.startswith("<svg")
    assert "the large mark is the one chosen" in drawn.caption
    sample_records.write(tmp_path, *searched)
    page = build_report(tmp_path).html.read_text(encoding="utf-8")
    assert page.count(">What the search tried<") == 1


def test_few_learning_rates_need_no_figure(sample_records):
    trial = sample_records.train_record("aol", evaluate_on="validation")
    (scan,) = scans(Records(train=(trial,)))
    assert not scan.is_drawn
    assert scan_drawing(scan, {}, "scan-1") is None


def test_a_search_in_which_everything_failed_is_a_table(searched):
    failed = tuple(run.model_copy(update={"status": "diverged", "evaluation": None}) for run in searched)
    (scan,) = scans(Records(train=failed))
    cells = _line(scan.table, "AOL")
    assert [cell.text for cell in cells] == ["9", "", "", "", "", "", ""]
    assert cells[0].note == "9 diverged"
    assert scan_drawing(scan, {}, "scan-1") is None


def test_every_search_has_a_border_of_its_own(sample_records):
    """That another one in the folder went further does not make a choice at the end of this one trustworthy."""

    def tried(rate, certified, budget):
        recipe = sample_records.Recipe(learning_rate=rate)
        return sample_records.train_record(
            "aol", recipe=recipe, result=sample_records.exactly(certified), evaluate_on="validation", budget=budget
        )

    narrow = [tried(0.1, 90, "20s"), tried(1.0, 180, "20s")]
    wide = [tried(rate, certified, "1s") for rate, certified in ((0.01, 80), (1.0, 120), (10.0, 90))]
    (group,) = comparisons(Records(train=(*narrow, *wide, sample_records.train_record("aol"))))
    (warning,) = group_warnings(group)
    assert warning == "At the border of the learning rates tried, so that a better one may lie beyond: AOL (1)."
