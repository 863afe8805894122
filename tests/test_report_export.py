"""The report in parts: figures and tables as files for papers."""

import csv
import io
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from onelip.bench.report.cells import Column, Line, Table, TableCell
from onelip.bench.report.export import LIST_NAME, export, tex, to_csv, to_latex, write_parts
from onelip.bench.report.page import page
from onelip.bench.results import load_records
from onelip.cli import app
from onelip.errors import RecordError

TABLE = Table(
    caption="A caption with 50 % and\na second line",
    head="Method",
    columns=(Column(title="CRA 36", unit="%"), Column(title="Why_so", numeric=False)),
    lines=(
        Line(head="A & B", cells=(TableCell(text="12.3", note="\u00d71.05", best=True), TableCell(text="a, b"))),
        Line(head="C", cells=(TableCell(text="\u2014", missing=True), TableCell(text='say "x"'))),
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


def test_csv_reads_back():
    rows = list(csv.reader(io.StringIO(to_csv(TABLE))))
    assert rows == [
        ["Method", "CRA 36, %", "CRA 36, %: note", "Why_so"],
        ["A & B", "12.3", "\u00d71.05", "a, b"],
        ["C", "", "", 'say "x"'],
    ]


def test_latex_says_what_the_table_says_and_nothing_breaks_it():
    text = to_latex(TABLE)
    assert text.splitlines() == [
        "% A caption with 50 % and a second line",
        r"\begin{tabular}{lrl}",
        r"\toprule",
        r"Method & CRA 36, \% & Why\_so \\",
        r"\midrule",
        r"A \& B & \textbf{12.3} ($\times$1.05) & a, b \\",
        r"C & --- & say ''x'' \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    assert tex("[<|>] \u6b63") == r"{[}\textless{}\textbar{}\textgreater{}{]} ?"
    assert tex("\\{}~^#$") == r"\textbackslash{}\{\}\textasciitilde{}\textasciicircum{}\#\$"


def test_no_sign_of_the_tables_is_unknown_to_latex(parts):
    _, written = parts
    text = "".join(path.read_text(encoding="utf-8") for path in written if path.suffix == ".tex")
    assert set(re.findall(r"[^\x00-\x7f]", text)) <= set(), "LaTeX needs packages for these"


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
