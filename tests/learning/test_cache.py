"""The cache of decoded pictures: exact, shared, renewed with the content, bounded, plain about a full disk."""

import errno
import os
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from handbones.collection import Case, open_collection
from handbones.errors import UserError
from handbones.learning.cache import PictureCache


@pytest.fixture
def case(drawn: Path, tmp_path: Path) -> Case:
    """A case whose picture may be changed."""
    original = open_collection(drawn).labelled[0]
    return replace(original, image=Path(shutil.copy(original.image, tmp_path / "picture.png")))


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.npy"))


def test_the_same_pixels_from_disk_and_from_the_map(case: Case, tmp_path: Path) -> None:
    cache = PictureCache(tmp_path / "cache")
    first, again, other = cache.load(case), cache.load(case), PictureCache(tmp_path / "cache").load(case)
    assert again is first and isinstance(other, np.memmap)
    assert np.array_equal(first, case.load()[0].pixels) and np.array_equal(first, other)
    assert not list((tmp_path / "cache").glob(".*"))
    sent = pickle.loads(pickle.dumps(cache))
    assert len(pickle.dumps(cache)) < 500 and np.array_equal(sent.load(case), first)


def test_another_content_of_the_same_size_and_time_is_noticed(case: Case, tmp_path: Path) -> None:
    cache = PictureCache(tmp_path / "cache")
    before = cache.load(case).copy()
    facts = case.image.stat()
    cv2.imwrite(str(case.image), np.full((64, 64), 7, np.uint8))
    with case.image.open("ab") as file:
        file.write(bytes(facts.st_size - case.image.stat().st_size))
    os.utime(case.image, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert (case.image.stat().st_size, case.image.stat().st_mtime_ns) == (facts.st_size, facts.st_mtime_ns)
    assert (cache.load(case) == 7).all() and not (before == 7).all()


def test_a_copy_is_not_decoded_again(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = PictureCache(tmp_path / "cache")
    cache.load(case)
    copy = replace(case, image=Path(shutil.copy(case.image, tmp_path / "copy.png")))
    monkeypatch.setattr("handbones.learning.cache.load_radiograph", lambda *_: pytest.fail("decoded again"))
    assert np.array_equal(cache.load(copy), cache.load(case))
    assert len(kept(tmp_path / "cache")) == 1


def test_several_processes_share_a_folder(drawn: Path, tmp_path: Path) -> None:
    cases = open_collection(drawn).labelled
    cache = PictureCache(tmp_path / "cache")
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        pictures = list(pool.map(cache.load, cases * 2))
    assert all(np.array_equal(a, case.load()[0].pixels) for a, case in zip(pictures, cases * 2, strict=True))
    assert len(kept(tmp_path / "cache")) == len(cases)


def test_a_picture_that_another_process_has_kept_meanwhile_is_taken(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows replaces no file that the other one reads."""
    folder = tmp_path / "cache"

    def lose(place: Path) -> None:
        monkeypatch.undo()
        PictureCache(folder).load(case)
        raise PermissionError(errno.EACCES, "in use", str(place))

    monkeypatch.setattr("handbones.learning.cache.np.save", lambda place, _: lose(place))
    assert np.array_equal(PictureCache(folder).load(case), case.load()[0].pixels)
    assert len(kept(folder)) == 1


def test_no_more_than_the_limit_is_kept(drawn: Path, tmp_path: Path) -> None:
    cases = open_collection(drawn).labelled
    cache = PictureCache(tmp_path / "cache", limit=3 * (64 * 64 + 200) + 500)
    assert all(np.array_equal(cache.load(case), case.load()[0].pixels) for case in cases)
    assert len(kept(tmp_path / "cache")) == 3


def test_the_folder_is_not_counted_for_each_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    whole = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: counted.append(path) or whole(path))
    cache = PictureCache(tmp_path, limit=20_000_000)

    def fill(first: int, last: int) -> int:
        for number in range(first, last):
            if not cache._has_room(1000):
                return number - first
            (tmp_path / f"{number}.npy").write_bytes(bytes(1000))
        return last - first

    assert fill(0, 500) == 500 and 1 < len(counted) < 20
    (tmp_path / "another.npy").write_bytes(bytes(19_500_000))  # of another process, which is noticed
    assert fill(500, 1000) < 100


def test_more_pictures_than_files_that_may_be_open(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (4, 4))
    cases, cache = open_collection(drawn).labelled, PictureCache(tmp_path / "cache")
    for case in cases * 2:
        np.testing.assert_array_equal(cache.load(case), case.load()[0].pixels)
        assert len(cache._open) <= 2


@pytest.mark.parametrize("reason", [(errno.ENOSPC, "No space left on device"), ("4096 requested and 999 written",)])
def test_a_full_disk_is_one_line(
    case: Case, tmp_path: Path, reason: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(*reason)

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(UserError, match=r"cache: the disk is full.*data\.cache_limit.*data\.cache=false"):
        PictureCache(tmp_path / "cache").load(case)
    assert not kept(tmp_path / "cache") and not list((tmp_path / "cache").glob(".*npy"))
    missing = replace(case, image=tmp_path / "none.png")
    with pytest.raises(UserError, match=r"none\.png: cannot read"):
        PictureCache(tmp_path / "cache").load(missing)
