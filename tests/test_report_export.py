"""The report in parts: figures and tables as files for papers."""

import csv
import io
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onelip.bench.report.cells import Column, Line, Table, TableCell
from onelip.bench.report.export import _TEX, LIST_NAME, _tables, export, tex, to_csv, to_latex, write_parts
from onelip.bench.report.page import page
from onelip.bench.results import load_records
from onelip.cli import app
from onelip.errors import RecordError

TABLE = Table(
    caption="A caption with 50 % and\na second line",
    head="Method",
    columns=(Column(title="CRA 36", unit="%", note="of 3 seeds"), Column(title="Why_so", numeric=False)),
    lines=(
        Line(
            head="A & B",
            cells=(
                TableCell(text="1,012.3", note="\u00d71.05", parts=(("ratio", "\u00d71.05"),), best=True),
                TableCell(text="a, b"),
            ),
        ),
        Line(head="C", cells=(TableCell(text="\u2014", note="not run", missing=True), TableCell(text='say "x"'))),
    ),
)


@pytest.fixture(scope="module")
def parts(sample_records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    sample_records.study(folder / "records")
    written = export(page(load_records(folder / "records")), folder / "out")
    return folder, written


def test_every_figure_is_there_as_svg_and_pdf(parts):
    _, written = parts
    drawn = {path.stem for path in written if path.suffix == ".svg"}
    assert drawn == {path.stem for path in written if path.suffix == ".pdf"}
    assert {"comparison-1-sheet", "comparison-1-cost-1", "comparison-1-cost-2", "comparison-1-curves"} <= drawn
    for path in written:
        if path.suffix == ".svg":
            assert ET.fromstring(path.read_text(encoding="utf-8")).tag.endswith("svg")
        if path.suffix == ".pdf":
            assert path.read_bytes().startswith(b"%PDF-")


def test_the_same_records_give_the_same_bytes(parts, tmp_path):
    folder, written = parts
    again = export(page(load_records(folder / "records")), tmp_path)
    assert [path.name for path in again] == [path.name for path in written]
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(again, written, strict=True))


def test_every_table_is_there_three_times(parts):
    _, written = parts
    names = {suffix: {path.stem for path in written if path.suffix == suffix} for suffix in (".tex", ".csv", ".md")}
    assert names[".tex"] == names[".csv"] == names[".md"]
    assert {"comparison-1-metrics", "comparison-1-runs", "machines"} <= names[".tex"]


@pytest.mark.parametrize("text", ['=HYPERLINK("http://x", "y")', "+1+1", "-2+3", "@SUM(1)", "\t=1"])
def test_a_spreadsheet_runs_nothing_of_a_csv(text):
    """In headings, heads of lines, entries and notes; numbers stay numbers."""
    cells = TableCell(text="\u2014", note=text, missing=True), TableCell(text=text)
    table = replace(
        TABLE,
        columns=(TABLE.columns[0], Column(title=text, numeric=False)),
        lines=(Line(head=text, cells=cells), Line(head="-0.5", cells=(TableCell(text="-0.5"), TableCell(text="+1e5")))),
    )
    heads, foreign, numbers = csv.reader(io.StringIO(to_csv(table), newline=""))
    assert [heads[-1], foreign[0], foreign[2], foreign[3]] == [f"'{text}"] * 4
    assert [numbers[0], numbers[1], numbers[3]] == ["-0.5", "-0.5", "+1e5"]


def test_csv_reads_back():
    rows = list(csv.reader(io.StringIO(to_csv(TABLE))))
    assert rows == [
        ["Method", *("CRA 36, % (of 3 seeds)" + name for name in ("", ": ratio", ": note")), "Why_so"],
        ["A & B", "1012.3", "1.05", "", "a, b"],
        ["C", "", "", "not run", 'say "x"'],
    ]
    assert to_csv(replace(TABLE, lines=())) == 'Method,"CRA 36, % (of 3 seeds)",Why_so\n'


def test_a_program_reads_every_number_of_a_csv(parts):
    """The metrics and the scores have numbers alone, but for notes: value, multiple, both ends of the spread."""
    folder, _ = parts
    speed = dict(_tables(page(load_records(Path(__file__).parents[1] / "results" / "speed"))))
    texts = [to_csv(speed["comparison-1-metrics"])]
    for name in ("metrics", "further", "radar", "operations"):
        texts.append((folder / "out" / f"comparison-1-{name}.csv").read_text(encoding="utf-8"))
    for text in texts:
        head, *lines = csv.reader(io.StringIO(text))
        numeric = [index for index, title in enumerate(head) if index and not re.search(": note$|^Seeds", title)]
        assert len(numeric) > 3
        for line in lines:
            assert all(line[index] == "" or float(line[index]) >= 0 for index in numeric), line
    head, *lines = csv.reader(io.StringIO((folder / "out" / "comparison-1-metrics.csv").read_text(encoding="utf-8")))
    named = {line[0]: dict(zip(head, line, strict=True)) for line in lines}
    (step,) = (title for title in head if re.fullmatch(r"Training step, ms \(quartiles.*\)", title))
    low, middle, high = (float(named["AOL"][title]) for title in (f"{step}: low", step, f"{step}: high"))
    assert low < middle < high
    assert float(named["AOL"][f"{step}: ratio"]) == pytest.approx(1.31)


def test_how_far_schedules_came_is_a_number_with_its_unit_above(parts):
    folder, _ = parts
    runs = csv.DictReader(io.StringIO((folder / "out" / "comparison-2-runs.csv").read_text(encoding="utf-8")))
    assert {line["Schedule, %"] for line in runs} == {"100", "10"}


def test_exports_say_what_spreads_and_columns_are(parts):
    folder, _ = parts
    for suffix in ("csv", "tex"):
        text = (folder / "out" / f"comparison-1-metrics.{suffix}").read_text(encoding="utf-8")
        assert "(quartiles, 30 samples)" in text
        assert "lowest" in text
        assert "(in the comparison)" in (folder / "out" / f"scan-1.{suffix}").read_text(encoding="utf-8")


def test_latex_says_what_the_table_says_and_nothing_breaks_it():
    text = to_latex(TABLE)
    assert text.splitlines() == [
        "% A caption with 50 % and a second line",
        r"\begin{tabular}{lrl}",
        r"\toprule",
        r"Method & CRA 36, \% (of 3 seeds) & Why\_so \\",
        r"\midrule",
        r"A \& B & \textbf{1,012.3} ($\times$1.05) & a, b \\",
        r"C & --- (not run) & say ''x'' \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    assert tex("[<|>] \u6b63") == r"{[}\textless{}\textbar{}\textgreater{}{]} ?"
    assert tex("\\{}~^#$") == r"\textbackslash{}\{\}\textasciitilde{}\textasciicircum{}\#\$"


def test_no_sign_of_the_tables_is_unknown_to_latex(parts):
    """What LaTeX's fonts lack would be printed as a question mark."""
    folder, _ = parts
    tables = dict(_tables(page(load_records(folder / "records"))))
    assert len(tables) > 8
    texts = []
    for table in tables.values():
        texts += [table.caption, table.head]
        texts += [text for column in table.columns for text in (column.title, column.unit, column.note)]
        texts += [text for line in table.lines for cell in line.cells for text in (cell.text, cell.note)]
        texts += [line.head for line in table.lines]
    assert {sign for text in texts for sign in text if not sign.isascii()} <= set(_TEX)
    assert all(one.isascii() for one in _TEX.values())


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(parts, tmp_path):
    _, written = parts
    tables = "\n\n".join(path.read_text(encoding="utf-8") for path in written if path.suffix == ".tex")
    whole = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{tables}\end{{document}}"
    (tmp_path / "tables.tex").write_text(whole, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)


def test_the_command_exports(parts, tmp_path):
    folder, written = parts
    found = CliRunner().invoke(app, ["report", str(folder / "records"), "--export", str(tmp_path / "parts")])
    assert found.exit_code == 0, found.stderr
    assert f"{len(written)} files" in found.stdout
    assert len(list((tmp_path / "parts").iterdir())) == len(written) + 1  # the list of them


def test_an_export_removes_what_the_one_before_left_and_nothing_else(parts, tmp_path):
    folder, written = parts
    whole = page(load_records(folder / "records"))
    export(whole, tmp_path)
    (tmp_path / "mine.svg").write_text("mine")
    fewer = export(replace(whole, sections=(), scans=()), tmp_path)
    assert {path.name for path in fewer} < {path.name for path in written}
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in fewer} | {LIST_NAME, "mine.svg"}
    again = export(whole, tmp_path)
    assert [path.name for path in again] == [path.name for path in written]
    write_parts((), {"theory": TABLE}, tmp_path, maker="theory")
    assert all(path.exists() for path in again), "another maker's files stay"
    export(replace(whole, sections=(), scans=()), tmp_path)
    assert (tmp_path / "theory.csv").exists()
    write_parts((), {}, tmp_path, maker="theory")
    assert not (tmp_path / "theory.csv").exists()


@pytest.mark.parametrize(
    "content", ["cut", "[]", '{"report": ["../elsewhere.svg"]}', '{"report": ["notes.txt"]}', '{"a": [3]}', '{"a": 3}']
)
def test_a_list_of_anything_else_removes_nothing(parts, tmp_path, content):
    folder, _ = parts
    (tmp_path / LIST_NAME).write_text(content)
    with pytest.raises(RecordError, match=re.escape(str(tmp_path / LIST_NAME))):
        export(page(load_records(folder / "records")), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [LIST_NAME]
