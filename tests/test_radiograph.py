"""Every kind of picture file comes in as the same gray pixels, and what is no picture is one line."""

import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from dicoms import dicom
from handbones.errors import UserError
from handbones.radiograph import Radiograph, load_radiograph, picture_size, pixel_scale, quick_check

GRAY = np.random.default_rng(0).integers(0, 256, (40, 56), np.uint8)


def saved(path: Path, pixels: npt.NDArray[Any]) -> Path:
    assert cv2.imwrite(str(path), pixels)
    return path


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".bmp"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_gray_rgb_and_rgba_are_the_same_picture(tmp_path: Path, suffix: str, channels: int) -> None:
    planes = [GRAY] * min(channels, 3) + [np.full_like(GRAY, 9)] * (channels == 4)
    radiograph = load_radiograph(saved(tmp_path / f"hand{suffix}", np.dstack(planes)))
    assert radiograph.pixels.dtype == np.uint8
    np.testing.assert_allclose(radiograph.pixels, GRAY, atol=1 if suffix == ".bmp" else 0)
    assert picture_size(tmp_path / f"hand{suffix}") == (radiograph.height, radiograph.width) == GRAY.shape


def test_sixteen_bits_are_kept_and_scaled_by_the_brightest_pixel(tmp_path: Path) -> None:
    deep = GRAY.astype(np.uint16) * 16
    radiograph = load_radiograph(saved(tmp_path / "hand.png", deep))
    np.testing.assert_array_equal(radiograph.pixels, deep)
    np.testing.assert_array_equal(radiograph.to_uint8(), np.rint(deep / deep.max() * 255))
    assert load_radiograph(saved(tmp_path / "rgb.png", np.dstack([deep] * 3))).pixels.dtype == np.uint16


@pytest.mark.parametrize("offset", [0, 30000])
@pytest.mark.parametrize("burned", [1, 120, 2000])
def test_what_is_burned_in_far_above_takes_no_gray_from_the_picture(offset: int, burned: int) -> None:
    hand = np.random.default_rng(0).gamma(4, 400, (500, 600)).clip(0, 4000).astype(np.uint16)
    deep = hand + np.uint16(offset)
    plain = Radiograph(deep).to_uint8().astype(int)
    deep.ravel()[:burned] = 65535
    seen = Radiograph(deep).to_uint8()
    assert (seen.ravel()[:burned] == 255).all()
    assert np.abs(seen.ravel()[burned:] - plain.ravel()[burned:]).max() < 0.15 * 255


def test_a_small_bright_picture_on_black_is_no_burned_in_text() -> None:
    film = np.random.default_rng(0).integers(0, 90, (1000, 1000), np.uint16)
    film[200:260, 300:360] = np.linspace(2000, 4000, 3600).reshape(60, 60)
    np.testing.assert_allclose(Radiograph(film).to_uint8(), film * (255 / 4000), atol=0.6)


def test_pages_of_a_tiff(tmp_path: Path) -> None:
    cv2.imwritemulti(str(tmp_path / "preview.tif"), [GRAY, GRAY[::4, ::4].copy()])
    np.testing.assert_array_equal(load_radiograph(tmp_path / "preview.tif").pixels, GRAY)
    cv2.imwritemulti(str(tmp_path / "two.tif"), [GRAY, GRAY])
    with pytest.raises(UserError, match=r"two\.tif: a TIFF of 2 pages: save the one"):
        load_radiograph(tmp_path / "two.tif")


def test_a_dicom_that_cannot_be_decoded_is_known_by_its_head(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    path = dicom(tmp_path / "a.dcm", GRAY)
    dataset = pydicom.dcmread(path)
    dataset.NumberOfFrames = 3
    dataset.save_as(path)
    for look in (picture_size, load_radiograph):
        with pytest.raises(UserError, match="several frames"):
            look(path)
    dataset.NumberOfFrames = 1
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
    dataset.PixelData = pydicom.encaps.encapsulate([b"nothing"])
    dataset.save_as(path)
    for look in (picture_size, load_radiograph):
        with pytest.raises(UserError, match="its pixels are in MPEG2"):
            look(path)


def test_palette_one_bit_and_gray_alpha_png(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.fromarray(GRAY).convert("P").save(tmp_path / "palette.png")
    image.fromarray(np.dstack([GRAY, GRAY // 2]), "LA").save(tmp_path / "alpha.png")
    for name in ("palette.png", "alpha.png"):
        np.testing.assert_array_equal(load_radiograph(tmp_path / name).pixels, GRAY)
    image.fromarray(GRAY > 99).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(load_radiograph(tmp_path / "bits.png").pixels, (GRAY > 99) * 255)


def test_a_png_is_as_large_as_its_head_says(tmp_path: Path) -> None:
    """An orientation, which hardly any program heeds there, turns it nowhere."""
    content = saved(tmp_path / "plain.png", GRAY).read_bytes()
    turned = b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    chunk = b"eXIf" + turned
    chunk = len(turned).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4)
    path = tmp_path / "a.png"
    path.write_bytes(content[:33] + chunk + content[33:])
    assert picture_size(path) == GRAY.shape
    np.testing.assert_array_equal(load_radiograph(path).pixels, GRAY)


def test_lossy_pictures_and_a_single_pixel(tmp_path: Path) -> None:
    smooth = cv2.GaussianBlur(GRAY, (0, 0), 4)
    for name in ("hand.jpg", "hand.webp"):
        loaded = load_radiograph(saved(tmp_path / name, smooth))
        assert np.abs(loaded.pixels.astype(int) - smooth).max() < 16
        assert picture_size(tmp_path / name) == smooth.shape
    assert load_radiograph(saved(tmp_path / "dot.png", GRAY[:1, :1])).pixels.shape == (1, 1)


def test_a_long_trailer_is_not_taken_for_a_cut(tmp_path: Path) -> None:
    for name in ("hand.jpg", "hand.png"):
        whole = saved(tmp_path / name, GRAY).read_bytes()
        (tmp_path / name).write_bytes(whole + b"x" * 5000)
        assert quick_check(tmp_path / name) is None
        assert load_radiograph(tmp_path / name).pixels.shape == GRAY.shape
    thumbnail = b"\xff\xd8\xff\xda\xff\xd9"
    whole = (tmp_path / "hand.jpg").read_bytes()[:-5002]
    cut = whole[:2] + b"\xff\xe1" + (2 + len(thumbnail)).to_bytes(2) + thumbnail + whole[2 : len(whole) // 2]
    (tmp_path / "hand.jpg").write_bytes(cut + b"x" * 5000)
    assert "cut short" in str(quick_check(tmp_path / "hand.jpg"))


def test_float_tiff_is_scaled_into_sixteen_bits(tmp_path: Path) -> None:
    pixels = load_radiograph(saved(tmp_path / "float.tif", GRAY.astype(np.float32) / 255)).pixels
    assert pixels.dtype == np.uint16
    np.testing.assert_allclose(pixels / 65535, GRAY / GRAY.max(), atol=1e-4)


def test_dicom_turns_monochrome1_over_and_tells_the_spacing(tmp_path: Path) -> None:
    plain = load_radiograph(dicom(tmp_path / "a.dcm", GRAY, PixelSpacing=[0.1, 0.2]))
    np.testing.assert_array_equal(plain.pixels, GRAY - GRAY.min())
    assert plain.spacing == (0.1, 0.2)
    turned = load_radiograph(dicom(tmp_path / "no-suffix", GRAY, "MONOCHROME1", ImagerPixelSpacing=[0.3, 0.3]))
    np.testing.assert_array_equal(turned.pixels, GRAY.max() - GRAY)
    assert turned.spacing == (0.3, 0.3)
    assert picture_size(tmp_path / "no-suffix") == GRAY.shape


def test_dicom_rescaling_is_applied(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", GRAY.astype(np.uint16), RescaleSlope=2, RescaleIntercept=-100, RescaleType="US")
    np.testing.assert_array_equal(load_radiograph(path).pixels, (GRAY - GRAY.min()).astype(int) * 2)


def test_dicom_of_a_detector_that_counts_from_far_above_zero(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", GRAY.astype(np.uint16) + 30000)
    np.testing.assert_array_equal(load_radiograph(path).pixels, GRAY - GRAY.min())


def test_dicom_of_signed_values_far_apart(tmp_path: Path) -> None:
    ramp = np.linspace(-20000, 20000, GRAY.size).reshape(GRAY.shape).astype(np.int16)
    np.testing.assert_array_equal(load_radiograph(dicom(tmp_path / "a.dcm", ramp)).pixels, ramp.astype(int) + 20000)
    turned = load_radiograph(dicom(tmp_path / "b.dcm", ramp, "MONOCHROME1"))
    np.testing.assert_array_equal(turned.pixels, 20000 - ramp.astype(int))


@pytest.mark.parametrize("implicit", [True, False])
def test_a_dicom_without_a_head_is_read(tmp_path: Path, implicit: bool) -> None:
    pydicom = pytest.importorskip("pydicom")
    dataset = pydicom.dcmread(dicom(tmp_path / "whole.dcm", GRAY))
    del dataset.file_meta
    dataset.preamble = None
    path = tmp_path / "a.dcm"
    dataset.save_as(path, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    assert path.read_bytes()[128:132] != b"DICM"
    assert picture_size(path) == GRAY.shape
    np.testing.assert_array_equal(load_radiograph(path).pixels, GRAY - GRAY.min())


@pytest.mark.parametrize(("photometric", "value"), [("MONOCHROME1", 65535), ("MONOCHROME2", 65535), ("MONOCHROME2", 0)])
def test_padding_of_a_dicom_is_black_and_moves_no_other_value(tmp_path: Path, photometric: str, value: int) -> None:
    stored, padded = GRAY.astype(np.uint16) + 500, np.zeros(GRAY.shape, bool)
    padded[:, :5] = True
    path = dicom(tmp_path / "a.dcm", np.where(padded, np.uint16(value), stored), photometric, PixelPaddingValue=value)
    seen = stored[~padded]
    expected = np.where(padded, 0, stored - seen.min())
    if photometric == "MONOCHROME1":
        expected = np.where(padded, 0, seen.max() - stored)
    np.testing.assert_array_equal(load_radiograph(path).pixels, expected)


def test_from_array_takes_gray_and_colour() -> None:
    np.testing.assert_array_equal(Radiograph.from_array(np.dstack([GRAY] * 4)).pixels, GRAY)
    with pytest.raises(UserError, match="uint8 or uint16, not float64"):
        Radiograph.from_array(GRAY / 255)
    with pytest.raises(UserError, match=r"not \(2, 40, 56\)"):
        Radiograph.from_array(np.stack([GRAY, GRAY]))
    with pytest.raises(UserError, match="must be an array, not list"):
        Radiograph.from_array(GRAY.tolist())


def test_a_radiograph_is_gray_and_whole_numbers() -> None:
    with pytest.raises(UserError, match="uint8 or uint16, not float64"):
        Radiograph(GRAY / 255)
    with pytest.raises(UserError, match=r"not \(40, 56, 3\): Radiograph.from_array takes"):
        Radiograph(np.dstack([GRAY] * 3))
    with pytest.raises(UserError, match="must be an array, not list"):
        Radiograph(GRAY.tolist())


def break_png(good: bytes) -> dict[str, bytes]:
    half = len(good) // 2
    return {
        "cut short": good[:half],
        "cut short: copy": good[:-12],
        "header is broken": good[:12] + b"XXXX" + good[16:],
        "the file is empty": b"",
        "perhaps a label file": b'{"annotations": []}',
        "give PNG, JPEG": b"MZ\x90\0 a program",
    }


@pytest.mark.parametrize("message", break_png(b"").keys())
def test_a_file_that_is_no_whole_picture(tmp_path: Path, message: str) -> None:
    path = tmp_path / "hand.png"
    path.write_bytes(break_png(saved(path, GRAY).read_bytes())[message])
    assert message in (quick_check(path) or "")
    for read in (load_radiograph, picture_size):
        with pytest.raises(UserError, match=message) as error:
            read(path)
        assert str(error.value).startswith(f"{path}: ")


def test_damage_in_the_middle_is_found_by_decoding(tmp_path: Path) -> None:
    path = saved(tmp_path / "hand.png", GRAY)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    assert quick_check(path) is None
    with pytest.raises(UserError, match="the picture is damaged"):
        load_radiograph(path)


def test_missing_file_folder_and_broken_dicom(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_radiograph(tmp_path / "none.png")
    assert "no such file" in (quick_check(tmp_path / "none.png") or "")
    with pytest.raises(UserError, match="it is a folder"):
        load_radiograph(tmp_path)
    (tmp_path / "x.dcm").write_bytes(b"\0" * 400)
    with pytest.raises(UserError, match="cannot be read as DICOM"):
        load_radiograph(tmp_path / "x.dcm")


def test_a_dicom_may_tell_the_shape_of_its_pixels_alone(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", GRAY, PixelAspectRatio=[2, 1])
    assert (load_radiograph(path).spacing, load_radiograph(path).tall) == pixel_scale(path) == (None, 2)
    path = dicom(tmp_path / "b.dcm", GRAY, PixelAspectRatio=[2, 1], PixelSpacing=[0.1, 0.1])
    assert load_radiograph(path).tall == pixel_scale(path)[1] == 1
    assert load_radiograph(dicom(tmp_path / "c.dcm", GRAY, PixelAspectRatio=[0, 1])).tall == 1


@pytest.mark.parametrize("spacing", [0.1, [0, 0], [0.1, 0.2, 0.3]])
def test_a_dicom_whose_spacing_makes_no_sense_has_none(tmp_path: Path, spacing: Any) -> None:
    assert load_radiograph(dicom(tmp_path / "a.dcm", GRAY, PixelSpacing=spacing)).spacing is None


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_tiff_whose_white_is_zero_is_turned_over(tmp_path: Path, kind: type) -> None:
    pixels = GRAY.astype(kind)
    saved(tmp_path / "a.tif", pixels)
    content = bytearray((tmp_path / "a.tif").read_bytes())
    assert content[:2] == b"II"
    entry = content.index((262).to_bytes(2, "little") + (3).to_bytes(2, "little"))
    content[entry + 8 : entry + 10] = bytes(2)
    (tmp_path / "b.tif").write_bytes(content)
    turned = load_radiograph(tmp_path / "b.tif").pixels.astype(int)
    np.testing.assert_array_equal(np.ptp(turned + pixels), 0)
