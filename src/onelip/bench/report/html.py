"""The report as one self-contained HTML page."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from onelip.bench.report.page import Page
from onelip.bench.report.palette import css_variables


def to_html(page: Page) -> str:
    """Lay the page out as HTML: no scripts, no fonts, no pictures from elsewhere. Foreign text is escaped."""
    return _template().render(page=page, light=Markup(css_variables(dark=False)), dark=Markup(css_variables(dark=True)))


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("onelip.bench.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html.j2")
