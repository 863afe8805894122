"""The page in a real browser: its recommender answers as the command does, its tables sort, nothing is fetched."""

import json
import re
import shutil
from pathlib import Path

import pytest
from tests.headless import BROWSER, NO_BROWSER, browse
from typer.testing import CliRunner

from onelip.bench.recommend.quantities import QUANTITIES
from onelip.bench.report.build import build_report
from onelip.cli import app

pytestmark = pytest.mark.skipif(BROWSER is None, reason=NO_BROWSER)

DRIVER = """
<script>
window.addEventListener("error", (event) => { document.title = "error: " + event.message; });
setTimeout(() => {
  const form = document.getElementById("question");
  const said = [];
  const texts = (selector) => [...document.querySelectorAll(selector)].map((one) => one.textContent);
  for (const question of QUESTIONS) {
    form.reset();
    form.elements.objective.value = question.objective;
    for (const [key, value] of Object.entries(question.limits)) {
      const input = form.querySelector(`input[data-key="${key}"]`);
      input.value = String(value / Number(input.dataset.scale));
    }
    form.elements.orthogonal.checked = question.orthogonal;
    const { batch } = form.elements;
    batch.value = [...batch.options].map((option) => option.value).at(question.batch ?? 0);
    form.dispatchEvent(new Event("input"));
    const rows = [...document.getElementById("ranking").tBodies[0].rows];
    said.push({
      data: form.elements.data.value,
      batch: Number(batch.value),
      answer: document.getElementById("answer").textContent,
      doubts: texts("#doubts li"),
      ranking: rows.map((row) => [row.dataset.method, row.dataset.status]),
      cells: rows.map((row) => [...row.cells].map((cell) => cell.textContent)),
    });
  }
  const table = document.querySelectorAll("main section:nth-of-type(2) table")[0];
  const column = () => [...table.tBodies[0].rows].map((row) => row.cells[1].firstChild.textContent.trim());
  const before = column();
  table.tHead.rows[0].cells[1].querySelector("button").click();
  const once = column();
  table.tHead.rows[0].cells[1].querySelector("button").click();
  const twice = column();
  const sorted = table.tHead.rows[0].cells[1].getAttribute("aria-sort");
  form.reset();
  const time = form.querySelector('input[data-key="train_time"]');
  time.value = "0";
  form.dispatchEvent(new Event("input"));
  const wrong = () => [
    texts("#answer")[0],
    texts("#doubts li").length + texts("#ranking tbody tr").length,
    [...form.querySelectorAll("[aria-invalid=true]")].map((input) => input.dataset.key),
  ];
  const refused = wrong();
  time.value = "";
  form.dispatchEvent(new Event("input"));
  const taken = wrong();
  const overflow = document.documentElement.scrollWidth - window.innerWidth;
  const out = document.createElement("pre");
  out.id = "driven";
  out.textContent = JSON.stringify({ said, before, once, twice, sorted, refused, taken, overflow });
  document.body.append(out);
}, 0);
</script>
</body>
"""

QUESTIONS = (
    {"objective": "cra36", "limits": {}, "orthogonal": False},
    {"objective": "cra36", "limits": {"latency": 0.02}, "orthogonal": False},
    {"objective": "cra36", "limits": {}, "orthogonal": True},
    {"objective": "latency", "limits": {"accuracy": 0.8}, "orthogonal": False},
    {"objective": "inference_memory", "limits": {}, "orthogonal": False, "batch": -1},
    {"objective": "latency", "limits": {"latency_ratio": 2}, "orthogonal": False, "batch": -1},
    {"objective": "accuracy", "limits": {"cra36": 0.99, "latency": 1e-6}, "orthogonal": False},
    {"objective": "train_time", "limits": {}, "orthogonal": False},
    {"objective": "train_memory", "limits": {"cra36": 0.3, "latency": 0.05}, "orthogonal": True},
    {"objective": "train_time", "limits": {"train_step_ratio": 2}, "orthogonal": False},
    {"objective": "latency", "limits": {"train_time": 600}, "orthogonal": True, "batch": -1},
    {"objective": "train_step_ratio", "limits": {"accuracy": 0.4, "train_time": 239}, "orthogonal": False},
)
"""None asks what formulas would have to fill in."""
UNANSWERED = {"objective": "inference_memory", "limits": {}, "orthogonal": False}


@pytest.fixture(scope="module")
def study(sample_records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    sample_records.study(folder)
    build_report(folder)
    return folder


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """A copy of the records that the README rests on."""
    folder = tmp_path_factory.mktemp("committed") / "cpu"
    shutil.copytree(Path(__file__).parents[1] / "results" / "cpu", folder, ignore=shutil.ignore_patterns("report*"))
    build_report(folder)
    return folder


@pytest.fixture(scope="module")
def halves(sample_records, tmp_path_factory):
    """Shares that lie halfway between two that are printed: 24.25 % and 32.75 %."""
    folder = tmp_path_factory.mktemp("halves")
    data = sample_records.DIGITS.model_copy(update={"test": 10000})
    for name, count in {"aol": 2425, "cpl": 3275}.items():
        result = sample_records.exactly(count, 10000)
        sample_records.write(folder, sample_records.train_record(name, result=result, data=data))
    sample_records.write(folder, sample_records.cost_record(data=data))
    build_report(folder)
    return folder


@pytest.fixture(scope="module")
def odd(sample_records, tmp_path_factory):
    """The fastest diverged; a method of whose settings none is chosen, times of three rounds, two sessions."""
    folder = tmp_path_factory.mktemp("odd")
    rates = [sample_records.Recipe(learning_rate=rate) for rate in (0.1, 0.2)]
    runs = [sample_records.train_record("aol", recipe=recipe) for recipe in rates]
    runs += [sample_records.train_record("sll", status="diverged", message="the loss is not finite")]
    runs += [sample_records.train_record(name) for name in ("bcop", "cpl", "lot")]
    kinds = ("train_step", "inference", "latency")
    entries = sample_records.cost_record().entries
    share = {"sll": 0.1}
    entries = [
        one.model_copy(
            update={
                kind: tuple(time * share.get(one.method.name, 1) for time in getattr(one, kind)[:3]) for kind in kinds
            }
        )
        for one in entries
    ]
    other = sample_records.cost_record(("bcop", "cpl"), batch_size=8, started="2025-06-01T09:00:00+00:00")
    sample_records.write(folder, *runs, sample_records.cost_record(entries=entries), other)
    build_report(folder)
    return folder


@pytest.fixture(scope="module")
def single(sample_records, tmp_path_factory):
    """One method with two budgets."""
    folder = tmp_path_factory.mktemp("single")
    runs = [sample_records.train_record("cpl", budget=budget) for budget in ("20s", "40s")]
    sample_records.write(folder, *runs, sample_records.cost_record(("cpl",)))
    build_report(folder)
    return folder


def drive(study, size):
    """What the page said to all questions, how a table was sorted, and how far the page is wider than the window."""
    page = (study / "report.html").read_text(encoding="utf-8")
    driver = DRIVER.replace("QUESTIONS", json.dumps([*QUESTIONS, UNANSWERED]))
    path = study / "driven.html"
    path.write_text(page.replace("</body>", driver), encoding="utf-8")
    dom = browse(path, f"--window-size={size}", "--virtual-time-budget=5000", "--dump-dom")
    found = re.search(r'<pre id="driven">(.*?)</pre>', dom, re.DOTALL)
    assert found, re.findall(r"<title>.*?</title>", dom)
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


@pytest.fixture(scope="module")
def driven(study):
    return drive(study, "1280,900")


@pytest.fixture(scope="module", params=["study", "committed", "halves", "odd", "single"])
def answered(request):
    """A folder, and what its page said to all questions."""
    folder = request.getfixturevalue(request.param)
    return folder, drive(folder, "1280,900")["said"]


def command(folder, asked, said, *how):
    """What `onelip recommend` answers to the same question."""
    units = {"share": "", "ratio": "", "time": "s", "size": "B"}
    quantities = {QUANTITIES[key]: value for key, value in asked["limits"].items()}
    limits = [word for one, value in quantities.items() for word in (one.option, f"{value:.9f}{units[one.kind]}")]
    sought = QUANTITIES[asked["objective"]]
    limits += [f"--{'maximise' if sought.higher_is_better else 'minimise'}", sought.key]
    limits += ["--orthogonal"] * asked["orthogonal"]
    where = [str(folder), "--records", "measured", "--data", said["data"], "--batch", str(said["batch"])]
    found = CliRunner().invoke(app, ["recommend", *where, *limits, *how])
    assert found.exit_code in {0, 1}, found.stderr
    return found.stdout


@pytest.mark.parametrize("index", range(len(QUESTIONS)))
def test_the_page_answers_as_the_command_does(index, answered):
    """Who comes in which place, who is tied, every number of the headline, and every doubt."""
    folder, pages = answered
    asked, said = QUESTIONS[index], pages[index]
    expected = json.loads(command(folder, asked, said, "--json"))
    assert said["ranking"] == [[row["method"], row["status"]] for row in expected["ranking"]]
    assert said["answer"] == expected["answer"]
    beyond = [line for line in expected["details"] if "meets the limit, but" in line]
    assert [line for line in said["doubts"] if "meets the limit, but" in line] == beyond
    missing = [line for line in expected["details"] if re.match("No .* of ", line)]
    assert len(missing) == len(said["doubts"]) - len(beyond)
    assert all(line.startswith(told.rstrip(".")) for line, told in zip(missing, said["doubts"], strict=False))
    for row, cells in zip(expected["ranking"], said["cells"], strict=True):
        unsure = [one for one in row["judgements"].values() if one["margin"] is not None and not one["sure"]]
        assert sum(map(cells[2].count, ("within its spread", "of too few samples"))) == len(unsure), row["title"]


@pytest.mark.parametrize("index", [5, 6, 10])
def test_the_page_prints_numbers_and_margins_as_the_command_does(index, answered):
    folder, pages = answered
    asked, said = QUESTIONS[index], pages[index]
    table = command(folder, asked, said, "--markdown", "--all").replace("\\", "")
    for label, sought, notes, _ in said["cells"]:
        (row,) = (line for line in table.splitlines() if line.startswith(f"| {label} |"))
        plain = row.replace("*", "")
        number, spread = re.fullmatch(r"(.*?)(?: (\S+ to .*))?", sought).groups()
        told = "\u2014" if number == "\u2014" else f"{number} ({f'{spread}, ' if spread else ''}measured)"
        assert f"| {label} | {told}" in plain
        for note in notes.split("; "):
            if ": " in note:
                assert f"\u2014 ({note.partition(': ')[2]})" in plain
                continue
            if note in ("keeps norms", "keeps no norms"):
                assert f"| {'yes' if note == 'keeps norms' else 'no'} |" in plain
                continue
            value, margin = re.search(r"(\u00d7?[\d.]+(?: \S+)?), (.*)", note).groups()
            margin, within = re.fullmatch(r"(.*?)(, within its spread|, of too few samples)?", margin).groups()
            assert f"| {value} ({margin}, measured{within or ''}) |" in plain, note


def test_what_is_not_known_of_one_image_is_said_to_be_known_of_more(driven):
    said = driven["said"][-1]
    assert said["batch"] == 1
    assert said["answer"].startswith("Nothing is known to meet everything")
    (why,) = said["doubts"]
    assert why.startswith("No inference memory of ")
    assert why.endswith(": measured for batches of 256, not of 1; it is known of 256 inferred at a time.")


def test_why_it_is_not_known_whether_norms_are_kept(committed):
    said = drive(committed, "1280,900")["said"][2]
    why = "No promise to keep norms of LOT: promised with circular padding only, and this network has zero padding."
    assert why in said["doubts"]
    notes = {method: cells[2] for (method, _), cells in zip(said["ranking"], said["cells"], strict=True)}
    assert notes["lot"].startswith("not known to keep norms: promised with circular padding only")
    assert notes["soc"] == "keeps norms"


def test_a_table_is_sorted_by_a_heading_and_back(driven):
    def numbers(texts):
        return [float(text) for text in texts if re.fullmatch(r"[\d.]+", text)]

    assert sorted(driven["before"]) == sorted(driven["once"]) == sorted(driven["twice"])
    assert numbers(driven["once"]) == sorted(numbers(driven["once"]))
    assert numbers(driven["twice"]) == sorted(numbers(driven["twice"]), reverse=True)
    assert numbers(driven["once"]) != numbers(driven["twice"])


def test_a_limit_that_rules_out_everything_is_refused(driven):
    said, left, invalid = driven["refused"]
    assert said.startswith("Training time: a number above 0")
    assert left == 0, "an old ranking would be taken for the answer"
    assert invalid == ["train_time"]
    said, left, invalid = driven["taken"]
    assert "comes first" in said or said.startswith("Take")
    assert left > 2
    assert invalid == []


def test_headings_say_how_a_table_is_sorted(driven):
    assert driven["sorted"] == "descending"


@pytest.mark.parametrize("size", ["1280,900", "500,900"])
def test_no_page_is_wider_than_its_window(size, study):
    assert drive(study, size)["overflow"] <= 0


@pytest.mark.parametrize(("name", "size"), [("wide", "1280,2400"), ("phone", "390,3200")])
def test_a_screenshot_is_no_blank_page(name, size, study):
    from PIL import Image

    target = study / f"{name}.png"
    browse(study / "report.html", f"--window-size={size}", f"--screenshot={target}")
    with Image.open(target) as picture:
        assert picture.width == int(size.split(",")[0])
        colours = picture.convert("RGB").getcolors(maxcolors=2**24)
        assert colours is not None
        assert len(colours) > 50
