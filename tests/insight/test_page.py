"""Pages: whole in one file, safe against odd text, with figures whose text stays text."""

import re

import numpy as np
import pytest

from handbones.insight.page import Page, bone_chip, svg_of


@pytest.fixture
def page() -> Page:
    return Page("Hands & <bones>", "A look at hands.")


def test_page_needs_nothing_from_elsewhere(page):
    section = page.section("Pictures", "Of hands.")
    section.gallery([(np.zeros((8, 6), np.uint8), "gray"), (np.zeros((8, 6, 3), np.uint8), "coloured")])
    section.beside(np.zeros((8, 6), np.uint8), "A card", ["Line one.", "Line two."])
    code = page.html()
    assert code.count("data:image/jpeg;base64,") == 3
    assert not re.search(r"""(src|href)=(?!["']?(data:|#))|url\(|@import|<script""", code)


def test_text_is_escaped_and_korean_kept(page):
    section = page.section("<b>", "네일있음 & more")
    section.table(("name",), [("<i>x</i>",), ("나이",)])
    section.text("a < b")
    code = page.html()
    assert "<h1>Hands &amp; &lt;bones&gt;</h1>" in code
    assert "네일있음 &amp; more" in code
    assert "&lt;i&gt;x&lt;/i&gt;" in code
    assert "<i>x" not in code
    assert "나이" in code


def test_numbers_of_tables_stand_right_and_gaps_show(page):
    section = page.section("Table")
    section.table(("bone", "Dice"), [(bone_chip("Lunate"), 0.98765), ("none", float("nan"))], "Dice", folded=True)
    code = page.html()
    assert "<th class=number>Dice</th>" in code
    assert "<td class=number>0.988</td>" in code
    assert "<td class=number>&ndash;</td>" in code
    assert "<summary>Dice</summary>" in code
    assert '<span class="bone" title="lunate">' in code


def test_sections_are_linked(page):
    for title in ("One", "Two words", "3. Three"):
        page.section(title)
    code = page.html()
    assert '<a href="#two-words">' in code
    assert '<section id="two-words">' in code


def test_figures_keep_their_text(page, tmp_path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3, 2))
    figure.add_subplot().set_title("나이 of people")
    code = svg_of(figure)
    assert code.startswith("<svg")
    assert "나이 of people" in code
    assert code == svg_of(figure)
    page.section("Figure").figure(figure, "Ages")
    page.write(tmp_path / "page.html")
    assert "<figcaption>Ages</figcaption>" in (tmp_path / "page.html").read_text(encoding="utf-8")
