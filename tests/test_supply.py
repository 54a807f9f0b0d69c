"""What the image installs is locked by hash, and listed in the SBOM that it contains."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_LOCKED = re.compile(r"^([a-z0-9.-]+)==([^ ;\\]+)", re.MULTILINE)


def test_the_sbom_lists_exactly_the_locked_packages() -> None:
    locked = _LOCKED.findall((ROOT / "requirements" / "run.txt").read_text(encoding="utf-8"))
    sbom = json.loads((ROOT / "requirements" / "sbom.cdx.json").read_text(encoding="utf-8"))
    assert sbom["bomFormat"] == "CycloneDX"
    listed = [(component["name"], component["version"]) for component in sbom["components"]]
    assert sorted(listed) == sorted(locked), "run make sbom"


def test_every_requirement_is_locked_by_hash() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        blocks = re.split(r"\n(?=[a-z])", path.read_text(encoding="utf-8").strip())
        assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == [], path.name


def test_the_image_contains_the_sbom() -> None:
    assert "requirements/sbom.cdx.json /app/" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "!requirements/sbom.cdx.json" in (ROOT / ".dockerignore").read_text(encoding="utf-8")


def test_no_requirement_names_a_registry() -> None:
    """Packages come from the index of the user's machine; their hashes say that they are the same."""
    for path in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in path.read_text(encoding="utf-8"), path.name
    sbom = json.loads((ROOT / "requirements" / "sbom.cdx.json").read_text(encoding="utf-8"))
    addresses = [reference["url"] for package in sbom["components"] for reference in package["externalReferences"]]
    assert [address for address in addresses if not address.startswith("pkg:pypi/")] == []
    assert "externalReferences" not in json.dumps(sbom["metadata"])
