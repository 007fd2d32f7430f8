"""Decoding one channel of three equal ones gives what OpenCV gives, and all else is left to OpenCV."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handbones import radiograph
from handbones.errors import UserError
from handbones.png import decode_equal_channels

Gray = npt.NDArray[np.uint8]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def filtered(pixels: Gray, kinds: Sequence[int]) -> bytes:
    """Rows of (H, W, 3) after the filters of the PNG specification, each with the number of its filter before it."""
    above = np.pad(pixels.astype(int), ((1, 0), (1, 0), (0, 0)))
    up, left, corner = above[:-1, 1:], above[1:, :-1], above[:-1, :-1]
    guess = left + up - corner
    distances = np.abs(np.stack([left, up, corner]) - guess)
    nearest = np.take_along_axis(np.stack([left, up, corner]), distances.argmin(axis=0)[None], axis=0)[0]
    predictions = [np.zeros_like(up), left, up, (left + up) // 2, nearest]
    rows = [bytes([kind]) + ((row - predictions[kind][y]) % 256).astype(np.uint8).tobytes()
            for y, (row, kind) in enumerate(zip(pixels.astype(int), kinds, strict=True))]  # fmt: skip
    return b"".join(rows)


def png(data: bytes, width: int, height: int, *, before: bytes = b"", parts: int = 1, tail: bytes = b"") -> bytes:
    """A file of compressed rows, in several IDAT chunks."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    step = -(-len(data) // parts)
    body = b"".join(chunk(b"IDAT", data[start : start + step]) for start in range(0, len(data), step))
    return b"\x89PNG\r\n\x1a\n" + head + before + body + chunk(b"IEND", b"") + tail


def by_opencv(content: bytes) -> Gray:
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(0, 9), st.integers(1, 5), st.sampled_from([1, 4, 256]), st.data()
)
def test_any_filters_in_any_parts(
    height: int, width: int, level: int, parts: int, grays: int, data: st.DataObject
) -> None:
    kinds = data.draw(st.lists(st.integers(0, 4), min_size=height, max_size=height))
    gray = np.random.default_rng(height * width).integers(256 - grays, 256, (height, width), np.uint8)
    content = png(zlib.compress(filtered(np.dstack([gray] * 3), kinds), level), width, height, parts=parts)
    decoded = decode_equal_channels(content)
    assert decoded is not None and decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, gray)
    np.testing.assert_array_equal(decoded, by_opencv(content))


GRAY = np.random.default_rng(0).integers(0, 256, (7, 5), np.uint8)
ROWS = filtered(np.dstack([GRAY] * 3), [4, 3, 2, 1, 0, 4, 3])
GOOD = png(zlib.compress(ROWS), 5, 7)


@pytest.mark.parametrize(
    "before",
    [
        chunk(b"pHYs", bytes(9)) + chunk(b"tEXt", b"Software\0x"),
        chunk(b"sRGB", b"\0") + chunk(b"gAMA", struct.pack(">I", 45455)),
        chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
    ],
)
def test_what_changes_no_gray_value_is_passed_over(before: bytes) -> None:
    content = png(zlib.compress(ROWS), 5, 7, before=before, tail=bytes(20))
    np.testing.assert_array_equal(decode_equal_channels(content), by_opencv(content))


def unequal() -> bytes:
    pixels = np.dstack([GRAY] * 3)
    pixels[6, 4, 2] ^= 1
    return filtered(pixels, [4, 3, 2, 1, 0, 4, 3])


LEFT_TO_OPENCV = {
    "coloured": png(zlib.compress(unequal()), 5, 7),
    "turned by EXIF": png(zlib.compress(ROWS), 5, 7, before=chunk(b"eXIf", b"II*\0" + bytes(8))),
    "a transparent gray": png(zlib.compress(ROWS), 5, 7, before=chunk(b"tRNS", bytes(6))),
    "an odd gamma": png(zlib.compress(ROWS), 5, 7, before=chunk(b"gAMA", b"\x7f\xff\xff\xff")),
    "a palette": png(zlib.compress(ROWS), 5, 7, before=chunk(b"PLTE", bytes(3))),
    "unknown and critical": png(zlib.compress(ROWS), 5, 7, before=chunk(b"BONE", bytes(3))),
    "too few rows": png(zlib.compress(ROWS[:-16]), 5, 7),
    "too many rows": png(zlib.compress(ROWS + ROWS[-16:]), 5, 7),
    "no such filter": png(zlib.compress(b"\x05" + ROWS[1:]), 5, 7),
    "rows damaged": png(zlib.compress(ROWS)[:-3] + b"\0\0\0", 5, 7),
    "rows interrupted": GOOD[:-12] + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", b"") + GOOD[-12:],
    "checksum": GOOD.replace(b"IDAT", b"IDAT\0", 1)[:-1],
    "cut in a chunk": GOOD[:50],
    "cut between chunks": GOOD[:-12],
    "two heads": GOOD[:33] + GOOD[8:],
    "rows before the head": GOOD[:8] + GOOD[33:-12] + GOOD[8:33] + GOOD[-12:],
    "no rows": GOOD[:33] + GOOD[-12:],
    "far too large": png(zlib.compress(ROWS), 2**30, 2**30),
    "interlaced": GOOD[:8] + chunk(b"IHDR", GOOD[16:28] + b"\1") + GOOD[33:],
    "gray": cv2.imencode(".png", GRAY)[1].tobytes(),
    "sixteen bits": cv2.imencode(".png", np.dstack([GRAY.astype(np.uint16)] * 3))[1].tobytes(),
    "only a beginning": GOOD[:8],
}


@pytest.mark.parametrize("what", LEFT_TO_OPENCV)
def test_all_else_is_left_to_opencv(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the picture, or the line that says what is wrong, is the same as without this way."""
    assert decode_equal_channels(LEFT_TO_OPENCV[what]) is None
    path = tmp_path / "hand.png"
    path.write_bytes(LEFT_TO_OPENCV[what])
    found = []
    for least in (0, 2**30):
        monkeypatch.setattr(radiograph, "_LARGE_BYTES", least)
        try:
            found.append(radiograph.load_radiograph(path).pixels.tolist())
        except UserError as error:
            found.append(str(error))
    assert found[0] == found[1]


def test_large_pictures_are_decoded_this_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (300, 400), np.uint8)
    cv2.imwrite(str(tmp_path / "hand.png"), np.dstack([noise] * 3))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded by OpenCV"))
    np.testing.assert_array_equal(radiograph.load_radiograph(tmp_path / "hand.png").pixels, noise)
