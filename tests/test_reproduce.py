"""Records beside the published numbers: what is laid beside what, and the verdict at its borders."""

import json
import re

import pytest
from typer.testing import CliRunner

from onelip.bench.origin import DataInfo
from onelip.bench.published import paper
from onelip.bench.records import CURVE_STEPS, Evaluation, Recipe
from onelip.bench.report.formats import percent
from onelip.bench.report.reproduce import POINTS, RULE, reproductions, without_record
from onelip.bench.results import Records
from onelip.cli import app

CIFAR10 = DataInfo(
    name="cifar10",
    title="CIFAR-10",
    digest="a3" * 32,
    image=(3, 32, 32),
    classes=10,
    train=50_000,
    test=10_000,
    augmentation="random crop with padding 4 of colour 125/123/114, mirror",
)
CIFAR100 = CIFAR10.model_copy(update={"name": "cifar100", "title": "CIFAR-100", "classes": 100})
PUBLISHED = 243 + 90
"""Of 3x3 kernels and of 1x1 kernels."""

MANY = 1_000_000
"""So many images that the Wilson interval is narrower than the points of the rule."""


def result(accuracy=68.5, cra36=55.6, cra72=0.0, images=MANY):
    """An evaluation of just these shares, in percent; nothing is certified beyond 72/255."""
    correct, near, far = (round(share * images / 100) for share in (accuracy, cra36, cra72))
    certified = tuple(near if k <= 36 else far if k <= 72 else 0 for k in range(CURVE_STEPS + 1))
    facts = {"images": images, "largest_class": images // 10, "loss": 0.5, "lipschitz": 1.0, "seconds": 1.0}
    return Evaluation(correct=correct, certified=certified, **facts)


@pytest.fixture
def run(sample_records):
    """A run of AOL-XS on CIFAR-10 with the published budget of 2 h, unless told otherwise."""

    def make(name="aol", *, budget="2h", result=result(), **changes):  # noqa: B008
        number, unit = re.fullmatch(r"([\d.]+)(\w+)", budget).groups()
        seconds = None if unit.startswith("epoch") else float(number) * {"h": 3600, "m": 60}[unit]
        return sample_records.train_record(
            name, **{"data": CIFAR10, "budget": budget, "result": result, "record_budget_seconds": seconds} | changes
        )

    return make


def beside(*runs):
    (cell,) = reproductions(Records(train=runs), paper())
    return cell


def further(cell):
    return {difference.what: (difference.ours, difference.published) for difference in cell.differences}


def number(cell, metric):
    (found,) = (number for number in cell.numbers if number.metric == metric)
    return found


@pytest.mark.parametrize(
    ("accuracy", "cra36", "verdict", "reason"),
    [
        (68.5, 55.6, "reproduced", ""),
        (68.5 + POINTS, 55.6 - POINTS, "reproduced", ""),
        (68.5 - POINTS, 55.6 + POINTS, "reproduced", ""),
        (68.5, 55.6 + POINTS + 0.1, "above", "CRA 36"),
        (68.5 - POINTS - 0.1, 55.6, "below", "Accuracy"),
        (68.5 - 5, 55.6 - 5, "below", "CRA 36 and Accuracy"),
        (68.5 + 5, 55.6 - 5, "above and below", "Accuracy above, CRA 36 below"),
    ],
)
def test_the_rule_at_its_borders(run, accuracy, cra36, verdict, reason):
    cell = beside(run(result=result(accuracy, cra36)))
    assert (cell.verdict, cell.reason) == (verdict, reason)
    assert number(cell, "cra_36").difference == pytest.approx(cra36 - 55.6, abs=1e-4)
    assert number(cell, "accuracy").difference == pytest.approx(accuracy - 68.5, abs=1e-4)
    assert (cell.published.hours, cell.published.epochs) == (2, 837)


@pytest.mark.parametrize(("images", "verdict"), [(100, "reproduced"), (1000, "reproduced"), (10_000, "above")])
def test_a_published_number_inside_the_interval_is_reproduced(run, images, verdict):
    """Two points above: the Wilson interval reaches 3 points down for 1000 images, 1 point for 10000."""
    cell = beside(run(result=result(70.5, 57.6, images=images)))
    assert cell.verdict == verdict
    ours = number(cell, "cra_36")
    assert (ours.low <= 55.6) == (verdict == "reproduced")


def test_seeds_are_averaged_and_their_range_is_the_interval(run):
    runs = [run(seed=seed, result=result(68.5, cra36)) for seed, cra36 in enumerate((55.0, 58.0, 61.0))]
    cell = beside(*runs)
    ours = number(cell, "cra_36")
    assert (ours.ours, ours.low, ours.high, ours.difference) == (pytest.approx(58.0), 55.0, 61.0, 2.4)
    assert cell.verdict == "reproduced"
    assert cell.ours.seeds == (0, 1, 2)
    assert further(cell)["seeds"] == ("3 seeds", "1 seed")
    assert beside(*runs[1:]).verdict == "above"
    at_the_end = [run(seed=seed, result=result(68.5, cra36)) for seed, cra36 in enumerate((55.6, 61.0))]
    assert beside(*at_the_end).verdict == "reproduced"


def test_failed_seeds_are_named_and_do_not_count(run):
    failed = run(seed=1, status="diverged", message="loss is NaN")
    cell = beside(run(), failed)
    assert number(cell, "cra_36").ours == pytest.approx(55.6)
    assert (cell.verdict, further(cell)["seeds"]) == ("reproduced", ("2 seeds, 1 failed", "1 seed"))
    cell = beside(failed)
    assert (cell.verdict, cell.reason) == ("no result", "diverged at step 17")
    assert (number(cell, "cra_36").ours, number(cell, "cra_36").published) == (None, 55.6)


@pytest.mark.parametrize(
    ("budget", "hours", "agrees"),
    [
        ("10m", 2, False),
        ("2h", 2, True),
        ("4h", 2, False),
        ("5h", 10, False),
        ("10h", 10, True),
        ("15h", 10, False),
        ("16h", 24, False),
        ("24h", 24, True),
        ("99h", 24, False),
        ("837epochs", 2, True),
        ("836epochs", 2, False),
        ("4185epochs", 10, True),
        ("10044epochs", 24, True),
        ("1epoch", 2, False),
    ],
)
def test_the_budget_is_the_published_one_or_the_nearest_as_a_ratio(run, budget, hours, agrees):
    cell = beside(run(budget=budget))
    assert (cell.published.hours, cell.published.epochs) == (hours, {2: 837, 10: 4185, 24: 10044}[hours])
    if agrees:
        assert cell.verdict != "not comparable"
        assert "budget" not in further(cell)
    else:
        assert cell.reason == f"budget {budget} beside {hours} h"
        assert cell.verdict == "not comparable"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"padding": "zeros"}, "padding zeros beside circular"),
        ({"data": CIFAR10.model_copy(update={"test": 500})}, "images 50000 + 500 beside 50000 + 10000"),
        ({"recipe": Recipe(augment=False)}, "augment False beside True"),
        ({"recipe": Recipe(batch_size=64)}, "batch size 64 beside 256"),
        ({"padding": "zeros", "budget": "1h"}, "budget 1h beside 2 h, padding zeros beside circular"),
    ],
)
def test_another_protocol_is_not_comparable(run, changes, reason):
    cell = beside(run(**changes))
    assert (cell.verdict, cell.reason) == ("not comparable", reason)


def test_padding_and_searched_rates_that_are_the_papers_own_decide_nothing(run):
    for changes in ({"padding": "circular"}, {"recipe": Recipe(learning_rate=2.0, weight_decay=0.0)}):
        assert beside(run(**changes)).verdict == "reproduced"


@pytest.mark.parametrize(("device", "named"), [("NVIDIA A100-SXM4-80GB", False), ("NVIDIA A100-PCIE-40GB", True)])
def test_other_hardware_is_named_and_does_not_decide(run, sample_records, device, named):
    machine = sample_records.MACHINE.model_copy(update={"device": "cuda", "device_name": device})
    cell = beside(run(machine=machine))
    assert further(cell).get("hardware") == ((device, "one A100-80GB") if named else None)
    assert cell.verdict == "reproduced"


def test_a_published_run_that_collapsed_is_no_yardstick(run):
    cell = beside(run("cpl", budget="10h", size="S", width=32, data=CIFAR100))
    assert number(cell, "accuracy").published == 1.0
    assert (cell.verdict, cell.reason) == ("not comparable", "the published run collapsed")


@pytest.mark.parametrize(
    ("name", "size", "data", "metrics"),
    [
        ("aol", "XS", CIFAR10, ["cra_36", "accuracy", "cra_72", "cra_108", "cra_255"]),
        ("cayley", "L", CIFAR10, ["cra_36", "accuracy"]),
        ("aol", "XS", CIFAR100, ["cra_36", "accuracy"]),
    ],
)
def test_larger_radii_are_compared_where_they_were_logged(run, name, size, data, metrics):
    cell = beside(run(name, budget="24h", size=size, data=data))
    assert [number.metric for number in cell.numbers] == metrics


def test_every_radius_counts(run):
    cell = beside(run(budget="24h", result=result(71.7, 59.1, 45.2)))
    assert (number(cell, "cra_72").published, number(cell, "cra_72").ours) == (45.24, 45.2)
    assert (cell.verdict, cell.reason) == ("below", "CRA 108 and CRA 255")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": CIFAR10.model_copy(update={"name": "digits", "title": "Digits"})}, "data set Digits"),
        ({"size": "48"}, "size 48"),
        ({"name": "standard"}, "method Unconstrained"),
        ({"name": "lot", "size": "L"}, "LOT at size L and budget 2h"),
        ({"name": "mine", "size": "7"}, "method mine and size 7"),
    ],
)
def test_what_has_no_counterpart_says_why(run, changes, reason):
    cell = beside(run(**changes))
    assert (cell.verdict, cell.reason, cell.published, cell.numbers) == ("nothing published", reason, None, ())


def test_a_method_of_ones_own_is_not_the_papers(run, sample_records):
    own = sample_records.method("aol", source="0123456789abcdef")
    assert beside(run(method=own)).reason == "method AOL"


def test_trials_on_held_out_images_are_no_results(run):
    assert reproductions(Records(train=(run(evaluate_on="validation"),)), paper()) == ()


def test_published_cells_without_a_record(run):
    found = reproductions(Records(train=(run(), run("cpl"), run(seed=1), run("lot", size="L"))), paper())
    left = without_record(found, paper())
    assert len(left) == PUBLISHED - 2
    assert {cell.verdict for cell in left} == {"no record"}
    assert not any(
        (cell.method, cell.size, cell.data, cell.kernel_size, cell.published.hours) == ("aol", "XS", "cifar10", 3, 2)
        for cell in left
    )


def test_networks_of_1x1_kernels_have_a_table_of_their_own(run):
    cell = beside(run(kernel_size=1, result=result(66.5, 52.1)))
    assert (cell.verdict, cell.kernel_size) == ("reproduced", 1)
    assert cell.published.source.endswith("Table 12")
    assert cell.published.epochs is None
    assert "1x1 kernels" in cell.ours.comparison
    assert "epochs begun" not in further(cell)
    long = beside(run(kernel_size=1, budget="24h"))
    assert [number.metric for number in long.numbers] == ["cra_36", "accuracy"], "the curves are of 3x3 kernels"
    assert beside(run(kernel_size=5)).reason == "AOL at size XS, 5x5 kernels and budget 2h"


@pytest.fixture
def folder(run, sample_records, tmp_path):
    sample_records.write(tmp_path, run(), run("cpl", budget="10m"), run("mine"), run("bcop", record_harness=99))
    return tmp_path


def onelip(*arguments):
    return CliRunner().invoke(app, ["reproduce", *map(str, arguments)], env={"COLUMNS": "160"})


def test_json_is_a_list_of_typed_cells(folder):
    found = onelip(folder, "--json")
    assert found.exit_code == 0
    cells = {cell["method"]: cell for cell in json.loads(found.stdout)}
    assert {name: cell["verdict"] for name, cell in cells.items()} == {
        "aol": "reproduced",
        "cpl": "not comparable",
        "mine": "nothing published",
    }
    first = cells["aol"]
    assert first["numbers"][0] | {"low": 0, "high": 0} == {
        "metric": "cra_36",
        "ours": pytest.approx(55.6),
        "low": 0,
        "high": 0,
        "published": 55.6,
        "difference": 0.0,
    }
    assert first["published"]["source"] == "arXiv 2311.16833 full text Table 9"
    assert (first["published"]["hours"], first["ours"]["padding"], first["ours"]["seeds"]) == (2, "circular", [0])
    assert cells["cpl"]["differences"][0] == {
        "what": "budget",
        "ours": "10m",
        "published": "2 h",
        "decisive": True,
    }
    everything = json.loads(onelip(folder, "--json", "--all").stdout)
    assert [cell["verdict"] for cell in everything].count("no record") == PUBLISHED - 2
    assert len(everything) == PUBLISHED + 1


def test_the_tables_say_the_same(folder):
    markdown = onelip(folder, "--markdown").stdout
    assert "| AOL | 55.6 / 55.6 (+0.0) | 68.5 / 68.5 (+0.0) | 2 h (Table 9) | reproduced |" in markdown
    assert "not comparable: budget 10m beside 2 h" in markdown
    flat = " ".join(markdown.split())
    assert f"lay beside: mine (method mine). {PUBLISHED - 2} of {PUBLISHED} published cells" in flat
    assert RULE in flat
    terminal = onelip(folder).stdout
    assert re.search(r"AOL +55\.6 / 55\.6 +68\.5 / 68\.5 +2 h +reproduced", terminal)
    assert RULE in " ".join(terminal.split())
    assert "Published, without a record" not in terminal
    listed = onelip(folder, "--markdown", "--all").stdout
    assert "| soc | M | cifar10 | 66.3 | 76.9 | 53.4 | 40.0 | 6.7 | 24 h (Table 9) |" in listed
    assert (
        sum(line.startswith("| ") for line in listed.splitlines())
        == sum(line.startswith("| ") for line in markdown.splitlines()) + PUBLISHED
    )


def test_shares_are_printed_as_in_the_report(run, sample_records, tmp_path):
    """24.35 % is a little less in binary: both round it down."""
    sample_records.write(tmp_path, run(result=result(50.0, 24.35, images=10_000)))
    assert percent(2435 / 10_000) == "24.3"
    assert "| 24.3 / 55.6 (" in onelip(tmp_path, "--markdown").stdout


def test_records_that_are_not_used_are_named_beside_the_output(folder):
    found = onelip(folder, "--json")
    assert re.fullmatch(r"Not used: bcop-\S+/record\.json: harness revision 99; .*\n", found.stderr)


@pytest.mark.parametrize("content", [None, "empty"])
def test_a_folder_without_records_is_refused(tmp_path, content):
    folder = tmp_path / "nothing"
    if content:
        folder.mkdir()
    found = onelip(folder)
    assert found.exit_code == 2
    assert re.fullmatch(r"onelip: folder \S+ (does not exist|holds no).*\n", found.stderr)


def test_costs_alone_have_nothing_to_lay_beside(sample_records, tmp_path):
    sample_records.write(tmp_path, sample_records.cost_record())
    assert json.loads(onelip(tmp_path, "--json").stdout) == []
    assert f"{PUBLISHED} of {PUBLISHED} published cells have no record" in " ".join(onelip(tmp_path).stdout.split())


@pytest.mark.parametrize(
    ("said", "shown"),
    [("", "not recorded"), ("random crop with padding 4, mirror", "random crop with padding 4, mirror")],
)
def test_another_augmentation_decides(said, shown, run):
    cell = beside(run(data=CIFAR10.model_copy(update={"augmentation": said})))
    assert further(cell)["augmentation"] == (shown, "random crop with padding 4 of the mean colour, mirror")
    assert cell.verdict != "reproduced"
    assert "augmentation" not in further(beside(run()))
