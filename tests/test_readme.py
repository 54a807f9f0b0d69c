"""The README and the page of settings agree with the program."""

from __future__ import annotations

import re

import pytest

from service.cli import parser_for
from service.demo import _CRM, _ECOM
from service.raw_settings import PREFIX
from service.settings import Settings
from tests.worlds import CASES, ROOT, House

README = (ROOT / "README.md").read_text(encoding="utf-8")
SETTINGS_PAGE = ROOT / "docs" / "settings.md"
SETTINGS_TEXT = SETTINGS_PAGE.read_text(encoding="utf-8")
BEGIN, END = "| variable | default | meaning |\n|---|---|---|\n", "<!-- /settings -->"


def settings_table() -> str:
    """The rows of the settings table, from the class."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = str(field.default).lower() if isinstance(field.default, bool) else field.default
        rows.append(f"| `{PREFIX}{name.upper()}` | `{default}` | {field.description} |\n")
    return "".join(rows)


def test_the_settings_table_is_that_of_the_class() -> None:
    begin = SETTINGS_TEXT.index(BEGIN) + len(BEGIN)
    assert SETTINGS_TEXT[begin : SETTINGS_TEXT.index(END)] == settings_table(), "run: python -m tests.test_readme"


def test_the_readme_lists_every_verb() -> None:
    help_text = parser_for([]).format_help()
    for verb in re.findall(r"^    ([\w-]+) ", help_text, flags=re.MULTILINE):
        assert re.search(rf"^\| `{verb}[` ]", README, flags=re.MULTILINE), f"the README does not list {verb}"


@pytest.mark.slow
def test_the_demo_shows_what_the_readme_shows(house: House) -> None:
    printed = README[README.index("```text\n") + 8 :]
    printed = printed[: printed.index("```")]
    shown = "".join(line for line in house.run_cold("demo").out.splitlines(keepends=True) if not line.startswith('{"'))
    dateless = [re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d", "", text).split() for text in (printed, shown)]
    assert dateless[0] == dateless[1]


def test_the_demo_shows_the_sample() -> None:
    assert (CASES / "the_sample/crm_customers.csv").read_text(encoding="utf-8") == _CRM
    assert _ECOM.rstrip() == (CASES / "the_sample/ecommerce_customers.json").read_text(encoding="utf-8").rstrip()


def test_the_version_is_one() -> None:
    from service import __version__

    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


if __name__ == "__main__":
    begin, end = SETTINGS_TEXT.index(BEGIN) + len(BEGIN), SETTINGS_TEXT.index(END)
    SETTINGS_PAGE.write_text(SETTINGS_TEXT[:begin] + settings_table() + SETTINGS_TEXT[end:], encoding="utf-8")
