import csv
from importlib import resources

import pytest

from onelip import METHODS
from onelip.bench import published
from onelip.bench.published.read import parsed
from onelip.bench.published.rows import DATA_SETS, IMAGES, Accuracy, StateOfTheArt
from onelip.errors import DataError

FOLDER = resources.files("onelip.bench.published")
TABLES = {
    "accuracy_all_budgets.csv": (published.accuracy, 243),
    "accuracy_1x1_kernels.csv": (published.accuracy_1x1, 90),
    "epoch_budgets.csv": (published.epoch_budgets, 64),
    "cifar10_24h_consolidated.csv": (published.curves, 26),
    "cifar10_24h_from_logs_all_runs.csv": (published.logged_runs, 27),
    "cifar10_24h_statistics_csv_incl_L_and_1x1.csv": (published.statistics, 58),
    "complexity.csv": (published.complexity, 8),
    "complexity_poster.csv": (published.poster_complexity, 8),
    "radar_scores.csv": (published.radar_scores, 7),
    "guidelines.csv": (published.guidelines, 8),
    "sota_in_paper.csv": (published.cited, 8),
    "sota_certified_l2.csv": (published.state_of_the_art, 72),
}
HEADER = "dataset,kernel_size,method,size,budget_h,clean_acc_pct,cra_36_255_pct,lr,weight_decay,source"
ROW = "CIFAR-10,3,AOL,XS,2,68.5,55.6,6e-2,4e-5,Table 9"


def _raw(name):
    with FOLDER.joinpath(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _is_what_was_printed(text, value):
    if value is None:
        return text == ""
    if isinstance(value, (bool, str)):
        return str(value).lower() == text.lower() or (value,) == DATA_SETS.get(text)
    if isinstance(value, tuple):
        return value == DATA_SETS.get(text) or value == tuple(filter(None, text.lower().split(";")))
    return float(text) == value


def test_every_file_of_the_package_is_read():
    assert {file.name for file in FOLDER.iterdir() if file.name.endswith(".csv")} == set(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_every_entry_of_every_row_is_read(name):
    read, count = TABLES[name]
    rows, raw = read(), _raw(name)
    assert len(rows) == len(raw) == count
    for row, entries in zip(rows, raw, strict=True):
        columns = {field.alias or key: getattr(row, key) for key, field in type(row).model_fields.items()}
        assert columns.keys() == entries.keys()
        assert all(_is_what_was_printed(entries[column], value) for column, value in columns.items()), entries


def test_some_numbers_of_each_table():
    """Typed in from the paper's tables, not from the code."""
    accuracies = {(row.data, row.method, row.size, row.hours): row for row in published.accuracy()}
    found = {key: (row.accuracy, row.cra36) for key, row in accuracies.items()}
    assert found["cifar10", "soc", "M", 24] == (76.9, 66.3)
    assert found["cifar10", "aol", "XS", 2] == (68.5, 55.6)
    assert found["cifar100", "cpl", "S", 10] == (1.0, 0.0)
    assert found["tiny_imagenet", "lot", "S", 24] == (32.5, 21.9)
    row = accuracies["cifar10", "cpl", "L", 24]
    assert (row.learning_rate, row.weight_decay, row.kernel) == (0.05, 3e-4, 3)
    budgets = {(row.method, row.size, row.data): row for row in published.epoch_budgets()}
    assert budgets["lot", "M", ("cifar10", "cifar100")].epochs_24h == 132
    assert budgets["lot", "L", ("tiny_imagenet",)].epochs_2h is None
    assert {(row.method, row.size): row.cra255 for row in published.curves()}["soc", "M"] == 6.72
    assert sum(run.nan_epoch is not None for run in published.logged_runs()) == 5
    assert max(run.wall_hours for run in published.logged_runs()) == 88.87
    assert {row.method: row.robust_accuracy for row in published.radar_scores()}["soc"] == 5
    assert max(row.cra36 for row in published.cited()) == 67.0
    assert {row.method: row.parameter_macs for row in published.complexity()}["aol"] == "c^3 k^4"


def test_the_results_cover_all_that_the_paper_has():
    """Seven methods, four sizes, three data sets and budgets; LOT at size L did not fit, Imagenette is not printed."""
    methods = [name for name, method in METHODS.items() if method.traits.constrained]
    expected = {
        (method, size, data, hours)
        for method in methods
        for size in ("XS", "S", "M", "L")
        for data in ("cifar10", "cifar100", "tiny_imagenet")
        for hours in (2, 10, 24)
        if (method, size) != ("lot", "L")
    }
    rows = published.accuracy()
    assert {(row.method, row.size, row.data, row.hours) for row in rows} == expected
    assert len(expected) == len(rows) == 7 * 4 * 3 * 3 - 9
    assert {row.data for row in rows} == set(IMAGES)
    assert all(published.paper().epochs(row) for row in rows)


@pytest.mark.parametrize("row", [row for row in published.epoch_budgets() if row.epochs_2h], ids=lambda row: row.method)
def test_longer_budgets_are_multiples(row):
    assert (row.epochs_10h, row.epochs_24h) == (5 * row.epochs_2h, 12 * row.epochs_2h)


def test_the_logs_are_of_the_runs_that_table_9_prints():
    paper = published.paper()
    for curve in paper.curves:
        result = next(row for row in paper.results(curve.method, curve.size, "cifar10", 3) if row.hours == 24)
        assert paper.curve(result) is curve
        assert (curve.printed_accuracy, curve.printed_cra36) == (result.accuracy, result.cra36)
        assert abs(curve.cra36 - result.cra36) <= 0.05 + 1e-9
        assert abs(curve.accuracy - result.accuracy) <= 0.05 + 1e-9
        assert curve.accuracy > curve.cra36 > curve.cra72 > curve.cra108 > curve.cra255


def test_every_number_has_a_source_that_others_can_find():
    for read, _ in TABLES.values():
        for row in read():
            assert not any(part in row.source for part in ("/tmp", "/home", "/root")), row


@pytest.mark.parametrize(
    ("row", "named"),
    [
        (ROW.replace("68.5", "high"), ("line 2", "clean_acc_pct", "'high'")),
        (ROW.replace("68.5", ""), ("clean_acc_pct",)),
        (ROW.replace("55.6", "101"), ("cra_36_255_pct", "100")),
        (ROW.replace("55.6", "nan"), ("cra_36_255_pct",)),
        (ROW.replace("CIFAR-10", "MNIST"), ("dataset", "'MNIST'", "CIFAR-100")),
        (ROW.replace("CIFAR-10", "CIFAR"), ("dataset", "cifar10 and cifar100")),
        (ROW.replace(",2,", ",12,"), ("budget_h", "2, 10 or 24")),
        (ROW.replace("XS", "XXL"), ("size", "'XS', 'S', 'M' or 'L'")),
        (ROW.rpartition(",")[0], ("line 2", "9 entries", "10 columns")),
    ],
)
def test_a_wrong_entry_is_refused_by_name(row, named):
    with pytest.raises(DataError) as error:
        list(parsed(Accuracy, "a.csv", f"{HEADER}\n{row}\n"))
    assert all(part in str(error.value) for part in ("a.csv", *named)), error.value


@pytest.mark.parametrize(("old", "new"), [("lr", "rate"), (",lr", "")])
def test_other_columns_are_refused_by_name(old, new):
    row = ROW if new else ROW.replace(",6e-2", "")
    with pytest.raises(DataError, match="column lr: Field required"):
        list(parsed(Accuracy, "a.csv", f"{HEADER.replace(old, new)}\n{row}\n"))
    with pytest.raises(DataError, match="column more: Extra inputs"):
        list(parsed(Accuracy, "a.csv", f"{HEADER},more\n{ROW},1\n"))


def test_a_file_that_is_not_there():
    from onelip.bench.published.read import shipped

    with pytest.raises(DataError, match=r"nowhere\.csv"):
        shipped(StateOfTheArt, "nowhere.csv")
