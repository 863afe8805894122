"""The documentation site builds without a warning."""

import re
import subprocess
import sys
from pathlib import Path

import onelip

ROOT = Path(__file__).parent.parent


def test_the_site_builds_with_warnings_as_errors(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = {path.stem for path in tmp_path.glob("*.html")}
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} <= pages
    reference = (tmp_path / "api.html").read_text(encoding="utf-8")
    for name in ("lipschitz_bound", "certified_radius", "ConvNet", "CPLConv2d"):
        assert f'id="onelip.{name}"' in reference, name


def test_every_public_layer_is_in_the_reference():
    named = set(re.findall(r"onelip\.(\w+)", (ROOT / "docs" / "api.md").read_text(encoding="utf-8")))
    layers = {name for name in dir(onelip) if name.endswith("Conv2d")}
    assert layers - {"StandardConv2d"} <= named
