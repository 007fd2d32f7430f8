"""Reports as one HTML file: text, tables, figures and pictures, opened from disk without a network, fit to print.

page = Page("Audit of hands", "What is wrong with the labels.")
section = page.section("Worst cases", "Gross mistakes first.")
section.table(("bone", "Dice"), [(bone_chip("Lunate"), 0.95)])
section.figure(figure, "Dice of each bone.")
page.write(Path("audit.html"))
"""

import base64
import html
import io
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from handbones import __version__
from handbones.anatomy import ANATOMY, INDEX
from handbones.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cell = Any
"""What `str` makes readable, a float (rounded), None (a dash) or markup such as `bone_chip`."""


class Markup(str):
    """HTML that goes onto the page as it is; all other text is escaped."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


@dataclass
class Section:
    """A heading and what stands under it."""

    title: str
    lead: str = ""
    blocks: list[Markup] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """Name to link to."""
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")

    def text(self, text: str) -> None:
        """A paragraph."""
        self.blocks.append(Markup(f"<p>{_text(text)}</p>"))

    def heading(self, text: str) -> None:
        """A heading under that of the section."""
        self.blocks.append(Markup(f"<h3>{_text(text)}</h3>"))

    def numbers(self, values: Mapping[str, Cell]) -> None:
        """A few figures to see at once, in large letters, by what they count."""
        items = "".join(f"<div><b>{_cell(value)}</b><span>{_text(name)}</span></div>" for name, value in values.items())
        self.blocks.append(Markup(f'<div class="numbers">{items}</div>'))

    def table(
        self, header: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str = "", *, folded: bool = False
    ) -> None:
        """A table; `folded` hides a long one behind its caption until it is wanted."""
        rows = list(rows)
        right = [any(_is_number(row[column]) for row in rows) for column in range(len(header))]
        head = _row("th", map(_text, header), right)
        body = "".join(_row("td", map(_cell, row), right) for row in rows)
        table = f'<div class="wide"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'
        if folded:
            table = f"<details><summary>{_text(caption or 'Table')}</summary>{table}</details>"
        elif caption:
            table = f'<p class="caption">{_text(caption)}</p>{table}'
        self.blocks.append(Markup(table))

    def figure(self, figure: "Figure", caption: str = "") -> None:
        """A matplotlib figure, as SVG in the page itself."""
        self.blocks.append(_captioned(svg_of(figure), caption))

    def gallery(self, pictures: Iterable[tuple[npt.NDArray[np.uint8], str]], *, width: int = 240) -> None:
        """Pictures with captions side by side, each about `width` CSS pixels wide."""
        cells = "".join(_captioned(image_of(pixels, caption), caption) for pixels, caption in pictures)
        style = f"grid-template-columns:repeat(auto-fill,minmax(min({width}px,100%),1fr))"
        self.blocks.append(Markup(f'<div class="gallery" style="{style}">{cells}</div>'))

    def beside(self, picture: npt.NDArray[np.uint8], title: str, lines: Iterable[str]) -> None:
        """A card: a picture at the left; a title and lines of text at its right."""
        told = "".join(f"<p>{_text(line)}</p>" for line in lines)
        card = f'<div class="card">{image_of(picture, title)}<div><h3>{_text(title)}</h3>{told}</div></div>'
        self.blocks.append(Markup(card))


@dataclass
class Page:
    """A report."""

    title: str
    lead: str = ""
    sections: list[Section] = field(default_factory=list)

    def section(self, title: str, lead: str = "") -> Section:
        """Add a section at the end; titles must differ."""
        assert all(title != other.title for other in self.sections), title
        self.sections.append(Section(title, lead))
        return self.sections[-1]

    def html(self) -> str:
        """The whole page; needs nothing from elsewhere."""
        from jinja2 import Environment  # noqa: PLC0415 slow to load

        folder = files("handbones.insight")
        template, style = ((folder / name).read_text(encoding="utf-8") for name in ("page.html", "page.css"))
        environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        return environment.from_string(template).render(
            page=self, style=Markup(style), version=__version__, today=date.today().isoformat()
        )

    def write(self, path: Path) -> None:
        """Write the page. Raises `UserError` where the place cannot be written."""
        write_text(path, self.html())


def bone_chip(label: str) -> Markup:
    """A bone's label beside a dot in its colour, for cells of tables."""
    bone = ANATOMY[INDEX[label]]
    colour = "#{:02x}{:02x}{:02x}".format(*bone.colour)
    return Markup(f'<span class="bone" title="{bone.name}"><i style="background:{colour}"></i>{label}</span>')


def image_of(pixels: npt.NDArray[np.uint8], text: str = "") -> Markup:
    """An `<img>` with a gray (h, w) or RGB (h, w, 3) picture in it, as JPEG."""
    coded = cv2.imencode(".jpg", pixels[..., ::-1] if pixels.ndim == 3 else pixels, [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
    data = base64.b64encode(coded.tobytes()).decode("ascii")
    height, width = pixels.shape[:2]
    alt = html.escape(text, quote=True)
    return Markup(f'<img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}" alt="{alt}">')


def svg_of(figure: "Figure") -> Markup:
    """A matplotlib figure as an `<svg>` element; text stays text, so that any letters show that the reader has."""
    import matplotlib as mpl  # noqa: PLC0415 slow to load

    coded = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "handbones"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the reader's browser draws the letters
        figure.savefig(coded, format="svg", bbox_inches="tight", pad_inches=0.05, metadata={"Date": None})
    code = coded.getvalue()
    code = code[code.index("<svg") :]
    width = re.search(r'width="([\d.]+)pt"', code)
    assert width is not None
    # Points to CSS pixels; narrower where the page is.
    code = re.sub(
        r'width="[\d.]+pt" height="[\d.]+pt"', f'style="width:{float(width[1]) * 4 / 3:.0f}px"', code, count=1
    )
    return Markup(re.sub(r"<metadata>.*?</metadata>", "", code, flags=re.DOTALL))


def _captioned(content: str, caption: str) -> Markup:
    told = f"<figcaption>{_text(caption)}</figcaption>" if caption else ""
    return Markup(f"<figure>{content}{told}</figure>")


def _row(tag: str, cells: Iterable[str], right: Sequence[bool]) -> str:
    """A row of a table; columns of numbers stand at the right."""
    pairs = zip(cells, right, strict=True)
    return "<tr>" + "".join(f"<{tag}{' class=number' * number}>{cell}</{tag}>" for cell, number in pairs) + "</tr>"


def _is_number(value: Cell) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _cell(value: Cell) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "&ndash;"
    if isinstance(value, float | np.floating):
        return f"{float(value):.{3 if -10 < float(value) < 10 else 1}f}"
    return _text(str(value) if not isinstance(value, Markup) else value)


def _text(text: str) -> str:
    return text if isinstance(text, Markup) else html.escape(text)
