import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onelip.bench.depth import DEPTH_NAME
from onelip.bench.report.build import build_report
from onelip.cli import app
from onelip.errors import RecordError

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # importing torch now raises ImportError
from pathlib import Path
from rich.console import Console
from onelip.bench.report.build import build_report
from onelip.bench.report.tables import print_tables, rows_as_json
from onelip.bench.report.verdict import verdict
from onelip.bench.results import load_records

folder = Path(sys.argv[1])
build_report(folder)
records = load_records(folder)
print_tables(records, Console(width=120))
print(verdict(records), len(rows_as_json(records)))
"""


class _Page(HTMLParser):
    VOID = frozenset({"meta", "br", "hr", "input", "path", "use", "rect", "circle"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.texts = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.tags.append((tag, named))
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named[key] for key in ("href", "src", "xlink:href", "srcset") if key in named]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def study(sample_records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    sample_records.study(folder)
    return folder


@pytest.fixture(scope="module")
def built(study):
    return build_report(study)


@pytest.fixture(scope="module")
def html(built):
    return built.html.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def markdown(built):
    return built.markdown.read_text(encoding="utf-8")


def test_it_is_rebuilt_to_the_byte_elsewhere_and_without_torch(study, built, tmp_path):
    """Another process, another folder, another order of hashing: the report depends on nothing but the records."""
    copy = tmp_path / "elsewhere"
    shutil.copytree(study, copy, ignore=shutil.ignore_patterns("report*"))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(copy)],
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "The data do not decide" in done.stdout
    for path in (built.html, built.markdown, built.radar):
        assert (copy / path.name).read_bytes() == path.read_bytes()


def test_it_names_no_folder_of_this_machine(study, html, markdown):
    for text in (html, markdown):
        assert str(study) not in text
        assert str(Path.home()) not in text
        assert "onelip report ." in text


def test_the_page_is_whole_and_needs_nothing_else(html):
    page = _Page(html)
    assert page.open == []
    assert {link[0] for link in page.links} == {"#"}
    assert "http" not in html
    assert "@import" not in html
    assert not {"link", "img", "iframe"} & {tag for tag, _ in page.tags}
    assert all("src" not in named for tag, named in page.tags if tag == "script")
    assert re.findall(r"url\((?!#)", html) == []


def test_ids_are_unique_and_references_arrive(html):
    page = _Page(html)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} | set(re.findall(r"url\(#([^)]+)\)", html)) <= set(page.ids)


def test_figures_speak_and_follow_the_page_s_colours(html):
    drawings = [named for tag, named in _Page(html).tags if tag == "svg"]
    assert len(drawings) == 5 + 7 + 2 + 2 * 6, "radars of the complete methods, their keys, six figures per comparison"
    assert all(named["role"] == "img" and len(named["aria-label"]) > 20 for named in drawings)
    used = set(re.findall(r"var\(--([\w-]+)", html))
    for scheme in re.findall(r":root \{ (--ink[^}]*) \}", html):
        assert used <= set(re.findall(r"--([\w-]+):", scheme))


def test_every_part_is_there(html, markdown):
    for text in (html, markdown):
        for part in (
            "The data do not decide between CPL, SOC and LOT",
            "diverged at step 17",
            "out of memory",
            "Learning rates",
            "How to read it",
            "rounding errors",
            "harness revision 99",
            "not a whole JSON file",
            "unfinished",
            "2.13.0",
            "Multiply-accumulates",
            "TF32 off",
            "in an order drawn anew",
            "the lowest loss on the held-out images",
            "workspace of a convolution",
            "8.42e6",
        ):
            plain = text.replace("\\", "")
            assert part in plain, part


def test_the_radar_says_on_itself_which_way_is_better(html, built):
    """On the page and as a file: words in the figure, and axes that are named for what grows outwards."""
    sheet = built.radar.read_text(encoding="utf-8")
    panels = html.split('<div class="panels">')[1].split("</div>")[0]
    for drawn in (sheet, panels):
        texts = [text.strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", drawn)]
        assert {"outer = better (5)", "inner = worst (1)", "1", "5", "speed", "Low"} <= set(texts)
        assert not [text for text in texts if re.search("time|mem\\.", text)]
    assert ET.parse(built.radar).getroot().get("aria-label").startswith("Radar charts, outer = better (5)")


def test_one_heading_for_all_scans(sample_records, tmp_path):
    for budget in ("1s", "2s"):
        sample_records.write(tmp_path, sample_records.train_record("aol", evaluate_on="validation", budget=budget))
    markdown = build_report(tmp_path).markdown.read_text(encoding="utf-8")
    assert markdown.count("## Learning rates") == 1
    assert markdown.count("CRA 36 in percent on 360 held-out") == 2


def test_a_folder_without_a_diagnosis_says_once_how_to_have_one(sample_records, tmp_path):
    runs = [sample_records.train_record(name, budget=budget) for name in ("aol", "cpl") for budget in ("20s", "10m")]
    sample_records.write(tmp_path, *runs)
    told = "No run here was diagnosed: onelip diagnose RUN adds"
    assert build_report(tmp_path).html.read_text(encoding="utf-8").count(told) == 1
    command = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert " ".join(command.stdout.split()).count(told) == 1
    run = runs[0]
    depth = sample_records.depth_record(run).model_dump_json()
    (tmp_path / run.cell.id / DEPTH_NAME).write_text(depth, encoding="utf-8")
    assert told not in build_report(tmp_path).html.read_text(encoding="utf-8")
    bare = tmp_path / "bare"
    sample_records.write(bare, sample_records.cost_record())
    assert told not in build_report(bare).html.read_text(encoding="utf-8")


def test_a_schedule_that_was_cut_is_shown(sample_records, tmp_path):
    runs = [
        sample_records.train_record("aol", record_schedule_progress=0.996),
        sample_records.train_record("cpl", record_schedule_progress=0.7),
        sample_records.train_record("sll"),
    ]
    sample_records.write(tmp_path, *runs)
    markdown = build_report(tmp_path).markdown.read_text(encoding="utf-8")
    for method, share in (("AOL", "99"), ("CPL", "70"), ("SLL", "100")):
        assert re.search(rf"\| {method} \| 0 \|.*\| 240 \| 240 \| {share} \|", markdown)
    assert "in 2 runs the time was up before, at 70 % of the schedule" in markdown


def test_what_cannot_be_deleted_is_an_error_of_ours(sample_records, tmp_path):
    sample_records.write(tmp_path, sample_records.train_record("aol"))
    (tmp_path / "report-radar.svg").mkdir()
    with pytest.raises(RecordError, match=r"cannot delete .*report-radar\.svg"):
        build_report(tmp_path)


def test_sections_come_in_a_fixed_order_that_the_contents_list_shares(html):
    titles = re.findall(r'<a href="#(comparison-\d)">(CIFAR-10|Digits)', html)
    assert titles == [("comparison-1", "CIFAR-10"), ("comparison-2", "Digits")]
    assert re.findall(r"<h2>(CIFAR-10|Digits)", html) == ["CIFAR-10", "Digits"]


def test_validation_runs_stay_out_of_the_main_tables(sample_records, tmp_path):
    scan = sample_records.train_record("soc", result=sample_records.exactly(333), evaluate_on="validation")
    sample_records.write(tmp_path, sample_records.train_record("aol"), sample_records.train_record("cpl"), scan)
    page = build_report(tmp_path).html.read_text(encoding="utf-8")
    main, learning_rates = page.split('id="learning-rates"')
    assert "92.5" not in main
    assert "92.5" in learning_rates


HOSTILE = '<script>alert(1)</script> "><img src=x onerror=1> $\\frac{x}$ {{ 7 * 7 }} |pipe|\n# head </style>'


def test_foreign_text_is_only_text(sample_records, tmp_path):
    data = sample_records.DIGITS.model_copy(update={"title": HOSTILE, "name": HOSTILE})
    method = sample_records.method("aol", title=HOSTILE)
    machine = sample_records.MACHINE.model_copy(update={"device_name": HOSTILE, "processor": HOSTILE})
    first = sample_records.train_record("aol", method=method, data=data, machine=machine)
    failed = sample_records.train_record("soc", status="error", message=HOSTILE, data=data, machine=machine)
    other = sample_records.train_record("cpl", data=data, machine=machine)
    entries = [sample_records.cost_entry("aol", info=method), sample_records.cost_entry("cpl")]
    entries += [sample_records.cost_entry("standard", padding=padding) for padding in ("circular", "zeros")]
    for index, record in enumerate((first, failed, other)):
        (tmp_path / str(index)).mkdir()
        (tmp_path / str(index) / "record.json").write_text(record.model_dump_json(), encoding="utf-8")
    sample_records.write(tmp_path, sample_records.cost_record(entries=entries, machine=machine))
    paths = build_report(tmp_path)
    text = paths.html.read_text(encoding="utf-8")
    page = _Page(text)
    assert "img" not in {tag for tag, _ in page.tags}
    assert [named for tag, named in page.tags if tag == "script"] == [{"type": "application/json", "id": "choices"}, {}]
    assert text.count("</style>") == 1
    assert any("<script>alert(1)</script>" in words for words in page.texts), "it is shown, as text"
    assert "{{ 7 * 7 }}" in text
    lines = paths.markdown.read_text(encoding="utf-8").splitlines()
    assert not any(line.startswith("# head") for line in lines)
    assert not any(re.search(r"(?<!\\)<(script|img)", line) for line in lines)
    (row,) = (line for line in lines if line.startswith("| CPL | 0 |"))
    (heading,) = (line for line in lines if line.startswith("| Method | Seed |"))
    assert row.count("|") == heading.count("|")
    assert ET.parse(paths.radar).getroot().tag.endswith("svg")


def test_a_title_in_any_script_can_be_drawn(sample_records, tmp_path):
    methods = [sample_records.method("aol", title="\u6b63\u4ea4\u5c42"), sample_records.method("cpl")]
    entries = [sample_records.cost_entry(info.name, info=info) for info in methods]
    entries += [sample_records.cost_entry("standard", padding=padding) for padding in ("circular", "zeros")]
    runs = [sample_records.train_record(info.name, method=info) for info in methods]
    sample_records.write(tmp_path, *runs, sample_records.cost_record(entries=entries))
    assert "\u6b63\u4ea4\u5c42</text>" in build_report(tmp_path).html.read_text(encoding="utf-8")


def test_more_methods_than_colours(sample_records, tmp_path):
    methods = [sample_records.method(f"m{index}", title=f"Method {index}") for index in range(11)]
    sample_records.write(tmp_path, *(sample_records.train_record(info.name, method=info) for info in methods))
    assert "Method 10" in build_report(tmp_path).html.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["costs", "failures", "one", "scan", "corrupt"])
def test_poor_folders_still_have_a_page(sample_records, tmp_path, kind):
    if kind == "corrupt":
        (tmp_path / "record.json").write_text("{")
    else:
        record = {
            "costs": sample_records.cost_record(),
            "failures": sample_records.train_record("aol", status="timeout", record_history=()),
            "one": sample_records.train_record("aol"),
            "scan": sample_records.train_record("aol", evaluate_on="validation"),
        }[kind]
        sample_records.write(tmp_path, record)
    (tmp_path / "report-radar.svg").write_text("of an earlier state")
    paths = build_report(tmp_path)
    assert _Page(paths.html.read_text(encoding="utf-8")).open == []
    assert re.search("No verdict|Only AOL", paths.markdown.read_text(encoding="utf-8"))
    assert paths.radar is None
    assert not (tmp_path / "report-radar.svg").exists()
    first = paths.html.read_bytes()
    assert build_report(tmp_path).html.read_bytes() == first, "a report is not read as a record"


def test_no_records_no_report(tmp_path):
    with pytest.raises(RecordError):
        build_report(tmp_path)
    assert list(tmp_path.iterdir()) == []
