"""What the documentation says is there."""

import re
from pathlib import Path

import pytest

from handbones.cli import VERBS

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def test_readme_names_every_verb() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [verb for verb, _ in VERBS if f"`handbones {verb}" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_verbs_in_commands_exist_and_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = {verb for verb, _ in VERBS}
    used = set(re.findall(r"^(?:\$ |)handbones ([a-z]+)", text, re.MULTILINE)) | set(
        re.findall(r"`handbones ([a-z]+)", text)
    )
    assert used <= known
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
