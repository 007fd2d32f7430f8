"""Pseudo-labels: what is kept, what is not and why, and that no validation person's are learned from."""

import csv
import hashlib
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from handbones.anatomy import INDEX
from handbones.cli import run
from handbones.collection import Case, open_collection
from handbones.errors import UserError
from handbones.inference.pseudo import Limits, Opinion, implausible, look
from handbones.inference.segmentation import Segmentation
from handbones.labels import Labels, load_labels
from handbones.metadata import Metadata
from handbones.radiograph import Radiograph
from hands import SIZE, hand, write_hands

CASE = Case(Path("image1_R.png"), None, "ID001", "test", "right")


def found(labels: Labels, gone: str = "") -> Segmentation:
    """What a network would say that is certain of these labels."""
    logits = 20.0 * labels.masks(SIZE, SIZE).astype(np.float32) - 10
    if gone:
        logits[INDEX[gone]] = -10
    return Segmentation.from_logits(logits, SIZE, SIZE)


def opinion(segmentation: Segmentation, lowest: float = 1.0) -> Opinion:
    agreement = np.ones(29)
    agreement[INDEX["Pisiform"]] = lowest
    return Opinion(CASE, segmentation, agreement)


def test_only_what_is_sure_and_possible_is_kept() -> None:
    good, limits = found(hand(1)), Limits(agreement=0.85, confidence=0.8)
    assert opinion(good).objection(limits) == ""
    assert opinion(found(hand(1), gone="Lunate")).objection(limits) == "not found: Lunate"
    assert opinion(good, 0.8).objection(limits) == "the mirror image disagrees: Pisiform"
    assert opinion(good).objection(Limits(0.85, 0.99999)).startswith("unsure: ")
    assert opinion(found(hand(1, left=True))).objection(limits) == "the labels are of the other hand"
    polygons = hand(1).polygons
    torn = Labels(polygons | {"Capitate": [polygons["Capitate"][0], polygons["Capitate"][0] + 30]})
    assert implausible(torn, CASE) == "in several pieces: Capitate"


class Knowing:
    """Stands for a segmenter: says the labels that are known of a picture, mirrored for its mirror image."""

    def __init__(self, labels: dict[bytes, Labels]) -> None:
        self.known = labels

    def unflipped(self) -> "Knowing":
        return self

    def segment_many(self, pictures: list) -> list[Segmentation]:
        (picture, _), (mirror, _) = pictures
        plain, mirrored = picture.pixels, mirror.pixels
        assert np.array_equal(plain[:, ::-1], mirrored) and picture.spacing == mirror.spacing
        labels = self.known[plain.tobytes()]
        return [found(labels), found(labels.map(lambda points: points * (-1, 1) + (SIZE - 1, 0)))]


class Flipping(Knowing):
    """The same with a flip, which makes it lack a bone."""

    def unflipped(self) -> Knowing:
        return Knowing(self.known)

    def segment(self, picture: Radiograph, metadata: Metadata) -> Segmentation:
        return found(self.known[picture.pixels.tobytes()], gone="Lunate")


def test_agreement_is_that_of_looks_without_the_flip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = open_collection(write_hands(tmp_path, people=1, test_people=0)).cases[0]
    radiograph, labels = case.load()
    oblong = Radiograph.from_array(radiograph.pixels, (0.6, 0.3))
    monkeypatch.setattr("handbones.inference.pseudo.read", lambda _: oblong)
    assert labels is not None
    opinion = look(Flipping({radiograph.pixels.tobytes(): labels}), case)  # type: ignore[arg-type]
    assert "Lunate" not in opinion.segmentation.bones and opinion.agreement.min() > 0.95


def test_a_collection_of_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = write_hands(tmp_path / "data", people=3, test_people=2), tmp_path / "pseudo"
    test = [case for case in open_collection(data).cases if case.split == "test"]
    known = {}
    for case in test:
        radiograph, labels = case.load()
        assert labels is not None
        if case is test[0]:
            labels = Labels({k: v for k, v in labels.polygons.items() if k != "Hamate"})
        known[radiograph.pixels.tobytes()] = labels
    (data / "test" / "outputs_json").rename(tmp_path / "away")

    import_module("handbones.commands.pseudo")  # its options are those of the real one
    monkeypatch.setattr("handbones.commands.options.open_segmenter", lambda *_, **__: Knowing(known))
    words = ["pseudo", "BUNDLE", str(data), "--out", str(out)]
    capsys.readouterr()
    assert run([*words, "--confidence", "1", "--agreement", "1"]) == 0  # and again, since nothing was kept
    said = capsys.readouterr().out
    assert "0 of 4 pictures kept" in said and "lower --agreement" in said and "learn:" not in said
    cut = out / ".unfinished" / "train" / "left.png"  # of a round that was killed
    cut.parent.mkdir(parents=True)
    cut.touch()
    (out / "meta_data.xlsx").touch()
    assert run(words) == 0
    assert not cut.exists() and not (out / ".unfinished").exists()
    rows = list(csv.DictReader((out / "pseudo.csv").open(encoding="utf-8")))
    assert [row["kept"] for row in rows] == ["0", "1", "1", "1"]
    assert rows[0]["reason"] == "not found: Hamate" and float(rows[1]["agreement"]) > 0.95
    made = open_collection(out).labelled
    assert [case.name for case in made] == [case.name for case in test[1:]]
    assert made[0].image.samefile(test[1].image) and made[0].metadata is not None
    assert made[0].labels is not None and len(load_labels(made[0].labels).bones) == 29
    assert run(words) == 1  # never into what is there


@pytest.mark.train
def test_no_person_who_validates_is_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from handbones.learning.run import Split
    from handbones.recipe import load_recipe

    collection = open_collection(write_hands(tmp_path / "data", people=3, test_people=1))
    split = Split.of(load_recipe("small", ["data.folds=3"]), collection, collection)
    held_out = {case.person for case in split.valid}
    assert held_out and not held_out & {case.person for case in split.pseudo}
    assert {case.person for case in split.pseudo} | held_out == set(collection.people)
    assert list(split.names()) == ["train", "validation", "pseudo"]
    flat = tmp_path / "flat"  # where nothing but the content tells who it is of
    flat.mkdir()
    for number, case in enumerate(collection.labelled):
        for path, ending in ((case.image, "png"), (case.labels, "json")):
            shutil.copy(str(path), flat / f"{number}.{ending}")
    digested, whole = [], hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, kind: digested.append(file.name) or whole(file, kind))
    copied = Split.of(load_recipe("small", ["data.folds=3"]), collection, open_collection(flat))
    assert len(copied.pseudo) == len(collection.labelled) - len(copied.valid)
    assert digested and len(digested) == len(set(digested))  # not each with each
    only = open_collection(split.valid[0].image)
    with pytest.raises(UserError, match="no pseudo-labels of people who do not validate"):
        Split.of(load_recipe("small", ["data.folds=3"]), collection, only)


def test_pictures_that_lack_labels_among_others_are_labelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = write_hands(tmp_path / "data", people=2, test_people=0), tmp_path / "pseudo"
    radiograph, labels = (case := open_collection(data).labelled[1]).load()
    assert labels is not None and case.labels is not None
    case.labels.unlink()
    import_module("handbones.commands.pseudo")  # its options are those of the real one
    known = Knowing({radiograph.pixels.tobytes(): labels})
    monkeypatch.setattr("handbones.commands.options.open_segmenter", lambda *_, **__: known)
    assert run(["pseudo", "BUNDLE", str(data), "--out", str(out)]) == 0
    assert "1 of 1 pictures kept" in capsys.readouterr().out
    with pytest.raises(UserError, match="no labels: expected"):
        open_collection(data)


def test_nothing_to_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_hands(tmp_path / "data", people=1, test_people=0)
    assert run(["pseudo", "BUNDLE", str(data), "--out", str(tmp_path / "out")]) == 1
    assert "every picture has labels" in capsys.readouterr().err
