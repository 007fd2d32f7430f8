"""Pixels in: PNG, JPEG, TIFF, BMP, WebP and DICOM become one gray picture each, decoded once."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from handbones.dicom import Scale, dicom_scale, dicom_size, load_dicom
from handbones.errors import UserError
from handbones.files import explain
from handbones.png import decode_equal_channels

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Size = tuple[int, int]
"""Height and width in pixels."""

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".dcm", ".dicom"})
FORMATS = "PNG, JPEG, TIFF, BMP, WebP or DICOM"

_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_JPEG_HEAD, _JPEG_SCAN, _JPEG_END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"
_CUT_SHORT = "the picture is cut short: copy it again"
_SIDES, _PHOTOMETRIC, _SHORT = (256, 257), 262, 3
"""Tags of a TIFF: its sides, and which end of its values is white (0: the low one); the type of two bytes."""
_MOST_PAGES = 1000
_TAIL_BYTES = 1024
"""Within which the end mark nearly always is; some programs write a few bytes after it, phones whole films."""
_DEPTHS = np.uint8, np.uint16
_DEEP = 2**16
_FEW, _EDGES = 0.01, 0.2
"""At most what share of a picture is burned into it, and what share of that its blurred edges are."""
_ORDINARY = 0.98
"""The share of the other pixels that need not be bright for them to be a radiograph."""
_FARTHEST = 20
"""How many times as bright as all others what is burned in may be: as the white of 16 bits beside that of 12."""
_LARGE_BYTES = 2**18
"""From here on a quicker way to decode PNGs is worth the moment that it takes to load."""


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One gray picture; bone is bright."""

    pixels: Pixels
    """(height, width), uint8 or uint16."""
    spacing: tuple[float, float] | None = None
    """Millimetres per row and per column, where the file tells."""
    path: Path | None = None
    aspect: float = 1.0
    """How many times as high as wide a pixel is, where the file tells that and no spacing."""

    def __post_init__(self) -> None:
        """Raises `UserError` for other shapes and types."""
        if not isinstance(self.pixels, np.ndarray):
            raise UserError(f"a picture must be an array, not {type(self.pixels).__name__}")
        if self.pixels.dtype not in _DEPTHS:
            raise UserError(f"a picture must be uint8 or uint16, not {self.pixels.dtype}: convert it first")
        if self.pixels.ndim != 2 or not self.pixels.size:
            raise UserError(
                f"a picture must have the shape (height, width), not {self.pixels.shape}: "
                "Radiograph.from_array takes (height, width, 3), too"
            )

    def __repr__(self) -> str:
        spacing = [f"{self.spacing[0]:g} x {self.spacing[1]:g} mm"] if self.spacing else []
        path = [str(self.path)] if self.path else []
        return f"Radiograph({', '.join([f'{self.height} x {self.width} {self.pixels.dtype}', *spacing, *path])})"

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def tall(self) -> float:
        """How many times as high as wide a pixel is: by its spacing, else by `aspect`."""
        return self.spacing[0] / self.spacing[1] if self.spacing else self.aspect

    @classmethod
    def from_array(cls, pixels: npt.NDArray[Any], spacing: tuple[float, float] | None = None) -> "Radiograph":
        """From an array (height, width) or (height, width, 3 or 4) in RGB(A), uint8 or uint16, else `UserError`."""
        in_colour = isinstance(pixels, np.ndarray) and pixels.ndim == 3 and pixels.shape[2] in (3, 4)
        if in_colour and pixels.size and pixels.dtype in _DEPTHS:
            pixels = cv2.cvtColor(pixels[..., :3], cv2.COLOR_RGB2GRAY)
        return cls(pixels, spacing)

    def to_uint8(self) -> npt.NDArray[np.uint8]:
        """The pixels in 8 bits: as they are, or 16 bits spread from the darkest pixel, 0, to the brightest, 255.

        The brightest is that of the picture itself where a little, as burned-in text, stands far above it.
        """
        if self.pixels.dtype == np.uint8:
            return self.pixels.view(np.uint8)
        darkest = int(self.pixels.min())
        brightest = _brightest(self.pixels, darkest)
        grays = (np.arange(_DEEP) - darkest) * np.float32(255 / brightest)
        scaled: npt.NDArray[np.uint8] = np.rint(np.clip(grays, 0, 255)).astype(np.uint8)[self.pixels]
        return scaled


def _brightest(pixels: Pixels, darkest: int) -> int:
    """How far above the darkest the value lies that is to become white.

    It is the highest, or where there are few pixels above the double of a value and hardly any between, the edges of
    those, the value that has least between; unless what is left were dark, as around a small bright picture.
    """
    counts = cv2.calcHist([pixels], [0], None, [_DEEP], [0, _DEEP]).ravel()[darkest:].astype(np.float64)
    highest = int(np.flatnonzero(counts)[-1])
    upto = np.cumsum(counts)
    limit = white = max(highest, 1)
    least = np.inf
    while (limit := limit * 7 // 8) > highest // _FARTHEST:
        double = upto[min(2 * limit, highest)]
        above, between = upto[-1] - double, double - upto[limit]
        ordinary = int(np.searchsorted(upto, _ORDINARY * upto[limit]))
        if 0 < above <= _FEW * upto[-1] and between <= min(_EDGES * above, least) and 2 * ordinary >= limit:
            white, least = limit, between
    return white


def load_radiograph(path: str | os.PathLike[str], content: bytes | None = None) -> Radiograph:
    """Read a picture as gray: 8 or 16 bit, colour, alpha (ignored), palette; DICOM with its rescaling applied.

    `content`: that of the file, where it has been read already. Raises `UserError` where the file cannot be read, is
    cut short or is no picture.
    """
    path = Path(path)
    try:
        content = path.read_bytes() if content is None else content
    except OSError as error:
        raise explain(error, path, "read") from error
    if _is_dicom(path, content):
        values, (spacing, aspect) = load_dicom(path, content)
        return Radiograph(_unsigned(values), spacing, path, aspect)
    fault = _fault(content, content[-_TAIL_BYTES:])
    if fault == _CUT_SHORT:
        fault = _fault(content, content)
    if fault:
        raise UserError(f"{path}: {fault}")
    if content.startswith(_PNG_HEAD) and len(content) >= _LARGE_BYTES:
        gray = decode_equal_channels(content)
        if gray is not None:
            return Radiograph(gray, None, path)
    pages = _pages(content)
    alike = sum(all(page.get(side) == pages[0].get(side) for side in _SIDES) for page in pages)  # others are previews
    if alike > 1:
        raise UserError(f"{path}: a TIFF of {alike} pages: save the one that you want as a file of its own")
    how = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
    if content.startswith(_PNG_HEAD):
        how |= cv2.IMREAD_IGNORE_ORIENTATION  # as its header and the quicker way above have it
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), how)
    except cv2.error as error:
        raise UserError(f"{path}: cannot be decoded: {error.err}") from error
    if pixels is None:
        raise UserError(f"{path}: the picture is damaged, or of a rare kind: copy it again, or save it as PNG")
    if pixels.dtype == np.uint16 and pages and pages[0].get(_PHOTOMETRIC) == 0:
        pixels = pixels.max() - pixels  # as OpenCV does by itself with 8 bits
    return Radiograph(_unsigned(pixels), None, path)


def quick_check(path: str | os.PathLike[str]) -> str | None:
    """What is wrong with a picture file as far as its first and last bytes tell, or None; decodes nothing.

    A file without an end mark where it belongs is read whole.
    """
    try:
        head, tail = _ends(path)
        if _is_dicom(Path(path), head):
            return None
        fault = _fault(head, tail)
        if fault == _CUT_SHORT:
            content = Path(path).read_bytes()
            fault = _fault(content, content)
    except OSError as error:
        return str(explain(error, path, "read")).removeprefix(f"{path}: ")
    return fault


def is_dicom(path: Path) -> bool:
    """Whether there is a file that begins as DICOM does, whatever its name; no for one that cannot be read."""
    try:
        return path.is_file() and _is_dicom(path, _ends(path)[0])
    except OSError:
        return False


def picture_size(path: str | os.PathLike[str]) -> Size:
    """Height and width: from the header of a PNG or DICOM, by decoding otherwise. Raises `UserError`."""
    fault = quick_check(path)
    if fault:
        raise UserError(f"{path}: {fault}")
    head, _ = _ends(path)
    if head.startswith(_PNG_HEAD):
        return int.from_bytes(head[20:24]), int.from_bytes(head[16:20])
    if _is_dicom(Path(path), head):
        return dicom_size(Path(path))
    radiograph = load_radiograph(path)
    return radiograph.height, radiograph.width


def pixel_scale(path: Path) -> Scale:
    """What the header of a DICOM tells of the size of pixels; nothing, and 1, of other files. Raises `UserError`."""
    return dicom_scale(path) if is_dicom(path) else (None, 1.0)


def _ends(path: str | os.PathLike[str]) -> tuple[bytes, bytes]:
    with Path(path).open("rb") as file:
        head = file.read(_TAIL_BYTES)
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        return head, file.read()


def _fault(head: bytes, tail: bytes) -> str | None:
    """What the first and the last bytes of a file that is no DICOM say against it."""
    if not head:
        return "the file is empty"
    if head.startswith(_PNG_HEAD):
        if head[12:16] != b"IHDR" or not (any(head[16:20]) and any(head[20:24])):
            return "the PNG header is broken: copy it again"
        return None if _PNG_END in tail else _CUT_SHORT
    if head.startswith(_JPEG_HEAD):
        return None if _JPEG_END in tail[_scan_of(tail) :] else _CUT_SHORT
    known = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM", b"RIFF", b"GIF8", b"P5", b"P6", b"\0\0\0\x0cjP")
    return None if head.startswith(known) else _not_a_picture(head)


def _scan_of(content: bytes) -> int:
    """Where the pixels of a JPEG begin: end marks before are those of the small pictures in its headers.

    0 where `content` is not a whole file.
    """
    if not content.startswith(_JPEG_HEAD):
        return 0
    at = 2
    while content[at : at + 1] == b"\xff" and content[at : at + 2] != _JPEG_SCAN:
        at += 2 + int.from_bytes(content[at + 2 : at + 4])
    return at


def _not_a_picture(head: bytes) -> str:
    kind = "it is a text file, perhaps a label file" if head.lstrip()[:1] in (b"{", b"[") else f"give {FORMATS}"
    return f"cannot be read as a picture: {kind}"


def _pages(content: bytes) -> list[dict[int, int]]:
    """The tags of each picture of a TIFF, first values alone; none for other files."""
    pages: list[dict[int, int]] = []
    order: Literal["little", "big"] = "little" if content[:2] == b"II" else "big"
    start = int.from_bytes(content[4:8], order) if content[:4] in (b"II*\0", b"MM\0*") else 0
    while 0 < start < len(content) and len(pages) < _MOST_PAGES:  # a damaged one may lead in circles
        end = start + 2 + 12 * int.from_bytes(content[start : start + 2], order)
        pages.append({})
        for at in range(start + 2, end, 12):
            tag, kind = (int.from_bytes(content[i : i + 2], order) for i in (at, at + 2))
            pages[-1][tag] = int.from_bytes(content[at + 8 : at + (10 if kind == _SHORT else 12)], order)
        start = int.from_bytes(content[end : end + 4], order)
    return pages


def _is_dicom(path: Path, head: bytes) -> bool:
    return head[128:132] == b"DICM" or (path.suffix.lower() in (".dcm", ".dicom") and bool(head))


def _unsigned(values: npt.NDArray[Any]) -> Pixels:
    """uint8 and uint16 as they are; signed, wide or fractional values moved and scaled into uint16."""
    if values.dtype == np.uint8:
        return values.view(np.uint8)
    if values.dtype == np.uint16:
        return values.view(np.uint16)
    values = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0)
    values -= min(0.0, values.min())
    top = values.max()
    if top > np.iinfo(np.uint16).max or (values % 1).any():
        values *= np.iinfo(np.uint16).max / top
    scaled: npt.NDArray[np.uint16] = np.rint(values).astype(np.uint16)
    return scaled
