"""The page in a real browser: its recommender answers as the command does, its tables sort, nothing is fetched."""

import json
import re
import shutil
import subprocess

import pytest

from onelip.bench.recommend.answer import Constraint, Orthogonal, Question, answer
from onelip.bench.recommend.measured import measured_choices
from onelip.bench.recommend.quantities import QUANTITIES
from onelip.bench.report.build import build_report
from onelip.bench.results import load_records

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"no browser is installed: none of {', '.join(BROWSERS)}")

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
    form.dispatchEvent(new Event("input"));
    const rows = [...document.getElementById("ranking").tBodies[0].rows];
    said.push({
      answer: document.getElementById("answer").textContent,
      ranking: rows.map((row) => [row.dataset.method, row.dataset.status]),
    });
  }
  const heading = document.querySelector("section table thead th:nth-child(2) button.sort");
  const table = document.querySelectorAll("main section:nth-of-type(2) table")[0];
  const column = () => [...table.tBodies[0].rows].map((row) => row.cells[1].firstChild.textContent.trim());
  const before = column();
  table.tHead.rows[0].cells[1].querySelector("button").click();
  const once = column();
  table.tHead.rows[0].cells[1].querySelector("button").click();
  const twice = column();
  const out = document.createElement("pre");
  out.id = "driven";
  out.textContent = JSON.stringify({ said, before, once, twice });
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
    {"objective": "accuracy", "limits": {"cra36": 0.99, "latency": 1e-6}, "orthogonal": False},
    {"objective": "train_memory", "limits": {"cra36": 0.3, "latency": 0.05}, "orthogonal": True},
)


def browse(path, *options):
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={path.parent / 'profile'}"]
    command += [*options, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.fixture(scope="module")
def study(sample_records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    sample_records.study(folder)
    build_report(folder)
    return folder


@pytest.fixture(scope="module")
def driven(study):
    """What the page said to all questions, and how a table was sorted."""
    page = (study / "report.html").read_text(encoding="utf-8")
    driver = DRIVER.replace("QUESTIONS", json.dumps(QUESTIONS))
    path = study / "driven.html"
    path.write_text(page.replace("</body>", driver), encoding="utf-8")
    dom = browse(path, "--virtual-time-budget=5000", "--dump-dom")
    found = re.search(r'<pre id="driven">(.*?)</pre>', dom, re.DOTALL)
    assert found, re.findall(r"<title>.*?</title>", dom)
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


@pytest.mark.parametrize("index", range(len(QUESTIONS)))
def test_the_page_answers_as_the_command_does(index, driven, study):
    asked, said = QUESTIONS[index], driven["said"][index]
    limits = [Constraint(quantity=QUANTITIES[key], limit=value) for key, value in asked["limits"].items()]
    limits += [Orthogonal()] * asked["orthogonal"]
    question = Question(objective=QUANTITIES[asked["objective"]], constraints=tuple(limits))
    choices = measured_choices(load_records(study), batch=1, book=None)
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
