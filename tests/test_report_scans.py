"""The learning-rate scan: what was tried, what was chosen, what decided."""

from onelip.bench.report.scans import scans
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
