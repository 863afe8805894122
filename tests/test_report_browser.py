"""The page in a real browser: its recommender answers as the command does, its tables sort, nothing is fetched."""

import json
import re

import pytest
from tests.headless import BROWSER, NO_BROWSER, browse

from onelip.bench.recommend.answer import Constraint, Orthogonal, Question, answer
from onelip.bench.recommend.measured import measured_choices
from onelip.bench.recommend.quantities import QUANTITIES
from onelip.bench.report.build import build_report
from onelip.bench.results import load_records

pytestmark = pytest.mark.skipif(BROWSER is None, reason=NO_BROWSER)

DRIVER = """
<script>
window.addEventListener("error", (event) => { document.title = "error: " + event.message; });
setTimeout(() => {
  const form = document.getElementById("question");
  const said = [];
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
      batch: Number(batch.value),
      answer: document.getElementById("answer").textContent,
      ranking: rows.map((row) => [row.dataset.method, row.dataset.status]),
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
  const refused = document.getElementById("answer").textContent;
  const overflow = document.documentElement.scrollWidth - window.innerWidth;
  const out = document.createElement("pre");
  out.id = "driven";
  out.textContent = JSON.stringify({ said, before, once, twice, sorted, refused, overflow });
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
)


@pytest.fixture(scope="module")
def study(sample_records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    sample_records.study(folder)
    build_report(folder)
    return folder


def drive(study, size):
    """What the page said to all questions, how a table was sorted, and how far the page is wider than the window."""
    page = (study / "report.html").read_text(encoding="utf-8")
    driver = DRIVER.replace("QUESTIONS", json.dumps(QUESTIONS))
    path = study / "driven.html"
    path.write_text(page.replace("</body>", driver), encoding="utf-8")
    dom = browse(path, f"--window-size={size}", "--virtual-time-budget=5000", "--dump-dom")
    found = re.search(r'<pre id="driven">(.*?)</pre>', dom, re.DOTALL)
    assert found, re.findall(r"<title>.*?</title>", dom)
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


@pytest.fixture(scope="module")
def driven(study):
    return drive(study, "1280,900")


@pytest.mark.parametrize("index", range(len(QUESTIONS)))
def test_the_page_answers_as_the_command_does(index, driven, study):
    asked, said = QUESTIONS[index], driven["said"][index]
    limits = [Constraint(quantity=QUANTITIES[key], limit=value) for key, value in asked["limits"].items()]
    limits += [Orthogonal()] * asked["orthogonal"]
    question = Question(objective=QUANTITIES[asked["objective"]], constraints=tuple(limits))
    choices = measured_choices(load_records(study), batch=said["batch"], book=None)
    expected = answer(question, [one for one in choices if one.data == choices[0].data])
    assert said["ranking"] == [[one.choice.method, one.status] for one in expected.ranking]
    if expected.fitting:
        assert said["answer"].startswith("Take ") == (len(expected.tied) == 1)
        assert expected.fitting[0].choice.label in said["answer"]
    else:
        assert said["answer"].startswith("Nothing")


def test_a_table_is_sorted_by_a_heading_and_back(driven):
    def numbers(texts):
        return [float(text) for text in texts if re.fullmatch(r"[\d.]+", text)]

    assert sorted(driven["before"]) == sorted(driven["once"]) == sorted(driven["twice"])
    assert numbers(driven["once"]) == sorted(numbers(driven["once"]))
    assert numbers(driven["twice"]) == sorted(numbers(driven["twice"]), reverse=True)
    assert numbers(driven["once"]) != numbers(driven["twice"])


def test_a_limit_that_rules_out_everything_is_refused(driven):
    assert driven["refused"].startswith("Training time: a number above 0")


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
