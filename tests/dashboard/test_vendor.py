"""The files of others in the dashboard are those that VENDOR.json names, and nothing is fetched from elsewhere."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

STATIC = Path(__file__).resolve().parents[2] / "service" / "dashboard" / "static"
TEMPLATES = STATIC.parent / "templates"
VENDOR = STATIC / "vendor"


def test_every_vendored_file_has_its_checksum_and_its_licence() -> None:
    listed = json.loads((VENDOR / "VENDOR.json").read_text())
    scripts = {path.name for path in VENDOR.iterdir() if path.suffix in (".js", ".css")}
    assert scripts == set(listed)
    for name, described in listed.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == described["sha256"]
        assert (VENDOR / described["licence"].split(", ")[1]).stat().st_size > 0
        assert b"sourceMappingURL" not in (VENDOR / name).read_bytes(), (
            "a browser would ask for a file that is not there"
        )


def test_no_page_style_or_script_names_another_host() -> None:
    own = [*TEMPLATES.glob("*.html"), *STATIC.glob("*.css"), *STATIC.glob("*.js"), *STATIC.glob("*.svg")]
    assert len(own) > 5
    for path in own:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(?:src|href|url\(|import)[^>\n]{0,20}https?://", text), path.name


def test_no_template_has_inline_script_or_style() -> None:
    for path in TEMPLATES.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", text), path.name
        assert "| safe" not in text, "values of customers are hostile text"
