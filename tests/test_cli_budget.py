"""`onelip budget`: epochs per budget follow from steps, and stand beside the published ones."""

import json

import pytest
from typer.testing import CliRunner

from onelip.bench.published import epoch_budgets
from onelip.bench.report.epochs import epochs_of, epochs_table
from onelip.cli import app

BUDGETS = {"10m": 600.0, "2h": 7200.0}


def onelip(*arguments: str):
    return CliRunner().invoke(app, ["budget", *arguments])


@pytest.fixture
def session(sample_records):
    def session(*samples: float, method: str = "aol", size: str = "XS", batch: int = 256, **changes: object):
        entry = sample_records.cost_entry(method, **changes).model_copy(update={"train_step": samples})
        record = sample_records.cost_record(entries=(entry,))
        return record.model_copy(update={"size": size, "batch_size": batch})

    return session


def rows(record, data: str = "cifar10", images: int = 50_000):
    return epochs_of(record, BUDGETS, images=images, data=data, published=epoch_budgets())


def test_epochs_follow_from_the_median_step(session):
    (row,) = rows(session(0.3, 0.1, 0.2, batch=250))
    assert row.images_per_second == pytest.approx(1250)
    assert row.epochs == pytest.approx({"10m": 600 / 40, "2h": 7200 / 40})
    assert row.step[0] < row.step[1] == 0.2 < row.step[2]
    (half,) = rows(session(0.3, 0.1, 0.2, batch=250), images=25_000)
    assert half.epochs["2h"] == pytest.approx(2 * row.epochs["2h"])


@pytest.mark.parametrize(("images", "steps"), [(499, 1), (500, 2), (749, 2), (100, 1)])
def test_an_epoch_is_that_of_the_training_loop(session, images, steps):
    (row,) = rows(session(0.5, batch=250), images=images)
    assert row.epochs["10m"] == pytest.approx(600 / (0.5 * steps))


@pytest.mark.parametrize(
    ("data", "method", "size", "published"),
    [
        ("cifar10", "aol", "XS", {"2h": 837}),
        ("cifar100", "aol", "XS", {"2h": 837}),
        ("tiny_imagenet", "aol", "XS", {"2h": 223}),
        ("cifar10", "bcop", "XS", {"2h": 127}),
        ("cifar10", "aol", "8", {}),
        ("imagenette", "aol", "XS", {}),
    ],
)
def test_published_epochs_are_those_of_the_network(session, data, method, size, published):
    (row,) = rows(session(0.1, 0.1, method=method, size=size), data=data)
    assert row.published == published, "10 m is no published budget"


@pytest.mark.parametrize("changes", [{"batch": 128}, {"padding": "zeros"}])
def test_another_batch_or_padding_has_no_published_epochs(session, changes):
    (row,) = rows(session(0.1, **changes))
    assert row.published == {}


def test_a_batch_is_no_larger_than_the_data_set():
    asked = ("--data", "digits", "--sizes", "8", "--methods", "aol", "--rounds", "2", "--budgets", "1h", "--json")
    for row in json.loads(onelip(*asked, "--batch-size", "5000").stdout):
        assert row["images_per_second"] == pytest.approx(1297 / row["step"][1])


def test_a_method_of_ones_own_has_no_published_epochs(session, sample_records):
    (row,) = rows(session(0.1, info=sample_records.method("aol", source="0123456789abcdef")))
    assert row.published == {}


def test_a_network_that_failed_says_why(session):
    record = session(status="oom", message="no memory is left")
    (row,) = rows(record)
    assert (row.step, row.epochs) == (None, {})
    (line,) = epochs_table([row], record, "CIFAR-10").lines
    assert all(cell.missing and "memory" in cell.note for cell in line.cells)


def test_the_command_measures():
    asked = ("--data", "digits", "--sizes", "8", "--methods", "aol", "--rounds", "2", "--budgets", "10m,1h")
    result = onelip(*asked, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [(row["title"], row["size"]) for row in found] == [("AOL", "8"), ("Standard", "8")]
    for row in found:
        assert row["epochs"]["1h"] == pytest.approx(6 * row["epochs"]["10m"])
        assert row["epochs"]["1h"] == pytest.approx(3600 * row["images_per_second"] / (5 * 256))
    assert "Epochs on Digits, size 8" in onelip(*asked).stdout


def test_the_table_has_both_numbers(session):
    record = session(0.2, 0.2).model_copy(update={"batch_size": 256})
    table = epochs_table(rows(record), record, "CIFAR-10")
    assert [column.title for column in table.columns] == ["Step", "Images/s", "10m", "2h"]
    assert [(cell.text, cell.note) for cell in table.lines[0].cells[2:]] == [("15.4", ""), ("185", "837")]
    assert "A100" in table.caption


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--budgets", "12epochs"), "--budgets '12epochs' is not allowed; give times"),
        (("--budgets", ","), "--budgets names none"),
        (("--budgets", "5 parsec"), "is not allowed"),
        (("--data", "cifar"), "did you mean cifar10"),
        (("--methods", "aoll"), "aol"),
        (("--sizes", "XL"), "XL"),
        (("--data", "imagenette"), "too small"),
    ],
)
def test_wrong_use(arguments, message):
    result = onelip(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
