"""Write the report beside its records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onelip.bench.report.html import to_html
from onelip.bench.report.markdown import to_markdown
from onelip.bench.report.page import page
from onelip.bench.report.svg import standalone
from onelip.bench.results import load_records
from onelip.errors import RecordError
from onelip.files import write_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPaths:
    """What was written.

    Attributes:
        radar: The first comparison's radar as a file of its own; None where there is nothing to compare.
    """

    html: Path
    markdown: Path
    radar: Path | None


def build_report(folder: Path) -> ReportPaths:
    """Build `report.html`, `report.md` and `report-radar.svg` from the records below a folder, and nothing else.

    The same records give the same bytes, on a machine without torch too.

    Raises:
        RecordError: There are no records, or the folder cannot be written.
    """
    content = page(load_records(folder))
    sheet = content.sections[0].sheet if content.sections else None
    radar = folder / "report-radar.svg"
    if sheet is not None:
        write_text(radar, standalone(sheet.svg) + "\n")
    else:
        _delete(radar)
    paths = ReportPaths(html=folder / "report.html", markdown=folder / "report.md", radar=radar if sheet else None)
    write_text(paths.markdown, to_markdown(content, radar.name if sheet else None))
    write_text(paths.html, to_html(content))
    return paths


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise RecordError(f"cannot delete {path}: {error.strerror or error}") from error
