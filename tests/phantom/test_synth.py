"""A synthetic collection on disk."""

from pathlib import Path

import cv2
import pytest

from handbones.collection import open_collection
from handbones.errors import UsageError, UserError
from handbones.phantom.settings import WILD
from handbones.phantom.synthesis import synth


def test_writes_the_competitions_layout(tmp_path: Path) -> None:
    assert synth(tmp_path, 4, seed=1, size=96, workers=1) == 8
    collection = open_collection(tmp_path)
    assert len(collection.cases) == 8
    assert collection.people == ["ID001", "ID002", "ID003", "ID004"]
    assert [case.person for case in collection.test] == ["ID004", "ID004"]
    assert all(case.labels is None for case in collection.test)
    assert all(case.metadata is not None and case.metadata.sex in ("F", "M") for case in collection.cases)
    picture = cv2.imread(str(collection.cases[0].image), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    assert picture.shape == (96, 96, 3)


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    trees = []
    for name in ("a", "b"):
        synth(tmp_path / name, 2, seed=3, size=64, workers=1)
        paths = sorted(p for p in (tmp_path / name).rglob("*") if p.is_file())
        trees.append([(p.relative_to(tmp_path / name), p.read_bytes()) for p in paths])
    assert trees[0] == trees[1]


def test_labels_of_the_test_split_on_request(tmp_path: Path) -> None:
    synth(tmp_path, 2, seed=3, test_persons=1, size=64, test_labels=True, workers=1)
    assert all(case.labels is not None for case in open_collection(tmp_path).test)


def test_mistakes_in_labels_alone_leave_pictures_and_test_as_they_are(tmp_path: Path) -> None:
    for name, share in (("whole", 0.0), ("spoilt", 0.2)):
        synth(
            *(tmp_path / name, 5, 3),
            test_persons=2,
            size=64,
            test_labels=True,
            workers=1,
            defects=share,
            labels_only=True,
        )
    whole, spoilt = (open_collection(tmp_path / name).cases for name in ("whole", "spoilt"))
    assert [case.image.read_bytes() for case in whole] == [case.image.read_bytes() for case in spoilt]
    changed = [b for a, b in zip(whole, spoilt, strict=True) if a.labels.read_bytes() != b.labels.read_bytes()]
    assert len(changed) == 2 and all(case.split == "train" for case in changed)


def test_mistakes_fit_pictures_that_show_a_part_of_a_hand(tmp_path: Path) -> None:
    synth(tmp_path, 12, 1, size=64, workers=1, settings=WILD, defects=0.5)
    assert len((tmp_path / "defects.csv").read_text().splitlines()) > 4


def test_impossible_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--test-persons 5"):
        synth(tmp_path, 4, seed=0, test_persons=5)
    with pytest.raises(UsageError, match="--size 8"):
        synth(tmp_path, 4, seed=0, size=8)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="a file of that name exists"):
        synth(tmp_path / "file", 4, seed=0)


def test_a_collection_is_not_mixed_with_another(tmp_path: Path) -> None:
    synth(tmp_path, 1, seed=0, size=64, workers=1)
    with pytest.raises(UserError, match="is not empty, and what is in it would mix"):
        synth(tmp_path, 1, seed=1, size=64, workers=1)
    with pytest.raises(UsageError, match="--seed -1"):
        synth(tmp_path / "other", 1, seed=-1)
    assert not (tmp_path / "other").exists()


def test_what_is_cut_leaves_nothing_that_looks_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("handbones.phantom.synthesis.plant", cut)
        with pytest.raises(KeyboardInterrupt):
            synth(tmp_path, 3, seed=0, size=64, workers=1, defects=0.2)
    assert not list(tmp_path.iterdir())
    synth(tmp_path, 3, seed=0, size=64, workers=1, defects=0.2)
    assert {path.name for path in tmp_path.iterdir()} == {"train", "test", "meta_data.xlsx", "defects.csv"}


def test_as_many_mistakes_as_asked_with_few_people_in_the_test(tmp_path: Path) -> None:
    synth(tmp_path, 30, 2, test_persons=1, size=64, workers=1, defects=0.2)
    assert len((tmp_path / "defects.csv").read_text().splitlines()) == pytest.approx(13, abs=1)
