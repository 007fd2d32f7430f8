"""The audit finds what was planted, tells why, and leaves sound labels alone."""

import csv
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from handbones.anatomy import ANATOMY, BONES
from handbones.cli import run
from handbones.collection import Case, open_collection
from handbones.errors import UserError
from handbones.exclusion import exclude
from handbones.insight import survey as module
from handbones.insight.audit import Finding, audit, write_exclude
from handbones.insight.audit.disagreement import Judge, agreement, disagreements, open_judge
from handbones.insight.survey import survey
from handbones.labels import Labels, load_labels, save_labels
from hands import write_hands


def _renamed(labels: Labels, names: dict[str, str]) -> Labels:
    return Labels({names.get(label, label): polygons for label, polygons in labels.polygons.items()})


def _moved(labels: Labels, bone: str, change: Callable[[np.ndarray], np.ndarray]) -> Labels:
    return Labels(labels.polygons | {bone: [change(polygon) for polygon in labels.polygons[bone]]})


def _crossed(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points[:12][::-1], points[12:]])


PLANTED: dict[str, tuple[int, Callable[[Labels], Labels]]] = {
    "reversed": (1, lambda labels: _renamed(labels, dict(zip(BONES, reversed(BONES), strict=True)))),
    "swapped": (2, lambda labels: _renamed(labels, {"finger-6": "finger-10", "finger-10": "finger-6"})),
    "missing": (3, lambda labels: Labels({b: p for b, p in labels.polygons.items() if b != "Lunate"})),
    "doubled": (4, lambda ls: Labels(ls.polygons | {"finger-5": [ls.polygons["finger-5"][0] + i for i in (0, 2)]})),
    "misplaced": (5, lambda labels: _moved(labels, "Pisiform", lambda points: points + np.array([10, 45]))),
    "size": (6, lambda labels: _moved(labels, "finger-7", lambda p: p.mean(axis=0) + 0.5 * (p - p.mean(axis=0)))),
    "crossing": (7, lambda labels: _moved(labels, "finger-11", _crossed)),
}
"""Kind: the person who gets it, and how their right hand's labels are spoilt."""


def _rough(points: np.ndarray) -> np.ndarray:
    return points + np.random.default_rng(0).normal(0, 1.2, points.shape)


FINER: dict[str, tuple[int, Callable[[Labels], Labels]]] = {
    "ragged": (8, lambda labels: _moved(labels, "finger-15", _rough)),
    "off-edge": (9, lambda labels: labels.map(lambda points: np.clip(points + np.array([3, 0]), 0, 255))),
    "repeated": (14, lambda ls: Labels(ls.polygons | {"finger-5": [ls.polygons["finger-5"][0]] * 2})),
}
"""Smaller mistakes, likewise."""
RING = "ID011"
"""Who wears a ring."""


def _put_ring(picture: Path, labels: Path) -> None:
    pixels = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)
    x, y = load_labels(labels).polygons["finger-14"][0].mean(axis=0).round().astype(int).tolist()
    cv2.line(pixels, (x - 10, y), (x + 10, y), 255, 4)
    cv2.imwrite(str(picture), pixels)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_hands(tmp_path_factory.mktemp("hands"), people=14, test_people=2)
    for person, spoil in (PLANTED | FINER).values():
        path = root / "train" / "outputs_json" / f"ID{person:03d}" / f"image{999 + person}_R.json"
        save_labels(spoil(load_labels(path)), path)
    pictures = root / "train" / "DCM"
    _put_ring(pictures / RING / "image1010_R.png", root / "train" / "outputs_json" / RING / "image1010_R.json")
    shutil.copy(pictures / "ID010" / "image1009_L.png", root / "test" / "DCM" / "ID015" / "image1014_L.png")
    shutil.copy(pictures / "ID012" / "image1011_R.png", pictures / "ID013" / "image1012_R.png")
    return root


@pytest.fixture(scope="module")
def findings(root: Path) -> list[Finding]:
    return audit(survey(open_collection(root).cases, workers=1))


@pytest.mark.parametrize("kind", PLANTED)
def test_planted_mistakes_are_found(kind: str, findings: list[Finding]) -> None:
    person = f"ID{PLANTED[kind][0]:03d}"
    gross = [found.kind for found in findings if found.case.person == person and found.gross]
    assert gross == [kind]


@pytest.mark.parametrize("kind", FINER)
def test_smaller_mistakes_are_found(kind: str, findings: list[Finding]) -> None:
    person = f"ID{FINER[kind][0]:03d}"
    assert kind in [
        found.kind for found in findings if found.case.name.endswith("R.png") and found.case.person == person
    ]


def test_a_ring_is_found(findings: list[Finding]) -> None:
    assert [(f.case.person, f.bones) for f in findings if f.kind == "ring"] == [(RING, ("finger-14",))]


def test_copies_are_found(findings: list[Finding]) -> None:
    pairs = {(f.kind, f.case.full_name, f.other.full_name) for f in findings if f.other and f.kind != "person"}
    assert ("leak", "ID010/image1009_L.png", "ID015/image1014_L.png") in pairs
    assert ("duplicate", "ID013/image1012_R.png", "ID012/image1011_R.png") in pairs
    assert len(pairs) == 2


def test_sound_labels_are_left_alone_and_gross_comes_first(findings: list[Finding]) -> None:
    spoilt = {f"ID{person:03d}" for person, _ in PLANTED.values()} | {"ID010", "ID012", "ID013", "ID015"}
    assert {found.case.person for found in findings if found.gross} <= spoilt
    assert [found.gross for found in findings] == sorted((found.gross for found in findings), reverse=True)


def test_exclude_file_feeds_training(root: Path, findings: list[Finding], tmp_path: Path) -> None:
    path, collection = tmp_path / "exclude.txt", open_collection(root)
    count = write_exclude(path, findings)
    left = exclude(collection, path)
    assert len(collection.cases) - len(left.cases) == count >= len(PLANTED)
    assert "ID003/image1002_R.png" not in {case.full_name for case in left.cases}
    path.write_text("ID004  # all of this person\n", encoding="utf-8")
    assert len(exclude(collection, path).cases) == len(collection.cases) - 2
    path.write_text("ID001/image1000_R.png\nID099\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"exclude.txt: line 2: ID099: no such case in "):
        exclude(collection, path)
    path.write_text("\n".join(collection.people), encoding="utf-8")
    with pytest.raises(UserError, match="leaves out every case"):
        exclude(collection, path)


def test_verb_writes_table_page_and_exclude_file(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["audit", str(root), "--out", str(tmp_path), "--cache", str(tmp_path / "cache"), "--workers", "1"]
    assert run([*arguments, "--pictures", "3", "--write-exclude", str(tmp_path / "exclude.txt")]) == 0
    rows = list(csv.DictReader((tmp_path / "findings.csv").open(encoding="utf-8")))
    assert [row["rank"] for row in rows] == [str(i + 1) for i in range(len(rows))]
    assert {"reversed", "swapped", "missing", "leak"} <= {row["kind"] for row in rows}
    assert (tmp_path / "audit.html").read_text(encoding="utf-8").count("data:image/jpeg") == 3
    assert "ID003/image1002_R.png  # missing bone" in (tmp_path / "exclude.txt").read_text(encoding="utf-8")
    assert "findings: " in capsys.readouterr().out
    assert list((tmp_path / "cache" / "facts").glob("*.npz"))


def test_too_few_hands_are_not_judged_by_geometry(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    cases = [case for case in open_collection(root).cases if case.person < "ID005" or case.person == "ID014"]
    findings = audit(survey(cases, workers=1))
    found = [(f.case.person, f.kind, f.bones) for f in findings if f.kind in (*PLANTED, "repeated")]
    assert sorted(found) == [
        ("ID003", "missing", ("Lunate",)),
        ("ID004", "doubled", ("finger-5",)),
        ("ID014", "repeated", ("finger-5",)),
    ]
    assert "reversed, swapped, misplaced and size were not judged: 10 labelled hands are too few" in caplog.text


def test_crossings_do_not_hide_each_other(tmp_path: Path) -> None:
    (case, *_) = open_collection(write_hands(tmp_path, people=1, test_people=0)).cases
    assert case.labels is not None
    crossed = ["finger-2", "finger-11"]
    labels = load_labels(case.labels)
    for bone in crossed:
        labels = _moved(labels, bone, _crossed)
    save_labels(labels, case.labels)
    found = [found.bones[0] for found in audit(survey([case], workers=1)) if found.kind == "crossing"]
    assert sorted(found) == sorted(crossed)


def _kept(path: Path, bones: Iterable[str]) -> None:
    labels = load_labels(path)
    save_labels(Labels({bone: polygons for bone, polygons in labels.polygons.items() if bone in bones}), path)


CARPALS = [bone.label for bone in ANATOMY if bone.group == "carpals"]


@pytest.fixture
def incomplete(tmp_path: Path) -> list[Case]:
    """Hands to take labels from; in the last one, two bones bear each other's labels."""
    cases = open_collection(write_hands(tmp_path, people=13, test_people=0)).cases
    path = cases[-1].labels
    assert path is not None
    save_labels(PLANTED["swapped"][1](load_labels(path)), path)
    return cases


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_hands_of_few_bones_lack_bones_and_others_are_judged_as_ever(incomplete: list[Case]) -> None:
    left = {1: [], 4: ["finger-11"], 6: ["finger-11", "Ulna"], 9: [*CARPALS, "Radius", "Ulna"], 12: BONES[:12]}
    for hand, bones in left.items():
        _kept(Path(str(incomplete[hand].labels)), bones)
    findings = [found for found in audit(survey(incomplete, workers=1)) if found.gross]
    told = {(found.case.full_name, found.kind, bone) for found in findings for bone in found.bones}
    missing = {
        (incomplete[hand].full_name, "missing", bone)
        for hand, bones in left.items()
        for bone in set(BONES) - set(bones) - {"Radius", "Ulna"}
    }
    forearms = {found for found in told if found[2] in ("Radius", "Ulna")}  # their place may be cut by the picture
    swapped = {(incomplete[-1].full_name, "swapped", bone) for bone in ("finger-6", "finger-10")}
    assert told - forearms == missing | swapped
    assert {found[:2] for found in forearms} <= {found[:2] for found in missing}


def test_names_exchanged_and_labels_of_other_pictures(tmp_path: Path) -> None:
    cases = open_collection(write_hands(tmp_path, people=13, test_people=0)).cases
    paths = [Path(str(case.labels)) for case in cases]
    fingers = {f"finger-{8 + i}": f"finger-{12 + i}" for i in range(4)}
    carpals = {"Triquetrum": "Pisiform"}
    for hand, names in ((2, fingers), (4, carpals)):
        both = names | {other: one for one, other in names.items()}
        save_labels(_renamed(load_labels(paths[hand]), both), paths[hand])
    save_labels(load_labels(paths[8]), paths[6], filename=cases[8].name)
    _kept(paths[10], [])
    found = {
        (f.case.name, f.kind, f.reason) for f in audit(survey(open_collection(tmp_path).cases, workers=1)) if f.gross
    }
    assert found == {
        (cases[2].name, "swapped", "finger-8 to finger-11 and finger-12 to finger-15 bear each other's labels."),
        (cases[4].name, "swapped", "Triquetrum and Pisiform bear each other's labels."),
        (
            cases[6].name,
            "mismatch",
            "The outlines lie nowhere near the edges of the picture. "
            f"The label file says that it is of {cases[8].name}.",
        ),
        (cases[10].name, "missing", "No bone is drawn."),
    }


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("bones", [[bone for bone in BONES if bone != "Pisiform"], CARPALS])
def test_bones_that_nobody_drew_are_not_missed(bones: list[str], incomplete: list[Case]) -> None:
    for case in incomplete:
        _kept(Path(str(case.labels)), bones)
    _kept(Path(str(incomplete[3].labels)), set(bones) - {"Lunate"})
    found = {(f.case.name, f.kind, f.bones) for f in audit(survey(incomplete, workers=1)) if f.gross}
    expected = {(incomplete[3].name, "missing", ("Lunate",))}
    if "finger-6" in bones:
        expected.add((incomplete[-1].name, "swapped", ("finger-6", "finger-10")))
    assert found == expected


def test_disagreement_tells_bones_and_lost_pictures(root: Path) -> None:
    cases = open_collection(root).cases[:30]
    dice = 0.96 + np.random.default_rng(0).normal(0, 0.004, (30, 29))
    dice[3, 5], dice[7], dice[9] = 0.2, 0.3, np.nan
    told = list(disagreements(cases, dice))
    assert [(found.case, found.bones) for found in told] == [(cases[3], ("finger-6",)), (cases[7], ())]
    assert "Dice of 0.20; usual is 0.96" in told[0].reason


@pytest.mark.train
def test_models_judge_only_what_they_did_not_learn(bundle: Path, drawn: Path, tmp_path: Path) -> None:
    cases = open_collection(drawn).labelled
    run_folder = tmp_path / "run"
    shutil.copytree(bundle, run_folder / "bundle")
    (run_folder / "cases.json").write_text(json.dumps({"train": [case.key for case in cases[2:]]}))
    judge = open_judge(run_folder)
    dice = agreement(cases, [judge])
    assert np.isnan(dice[2:]).all() and not np.isnan(dice[:2]).any()
    everything = agreement(cases, [judge, open_judge(bundle)])
    np.testing.assert_array_equal(everything[:2], dice[:2])
    assert not np.isnan(everything).any()
    (run_folder / "cases.json").write_text(json.dumps({"train": [case.key for case in cases]}))
    with pytest.raises(UserError, match="trained on every one of these cases"):
        agreement(cases, [open_judge(run_folder / "bundle")])


def test_a_model_does_not_judge_what_it_learnt_where_files_have_one_name(drawn: Path, tmp_path: Path) -> None:
    for person, stem in (("ID001", "image1000_R"), ("ID002", "image1001_R")):
        for place, into, ending in (("DCM", "images", "png"), ("outputs_json", "labels", "json")):
            (tmp_path / into / person).mkdir(parents=True)
            shutil.copy(
                drawn / "train" / place / person / f"{stem}.{ending}", tmp_path / into / person / f"hand.{ending}"
            )
    cases = open_collection(tmp_path).labelled
    assert [case.full_name for case in cases] == ["ID001/ID001_hand.png", "ID002/ID002_hand.png"]
    segmenter: Any = SimpleNamespace(segment_many=list)
    judge = Judge(segmenter, frozenset(case.key for case in cases))
    with pytest.raises(UserError, match="trained on every one of these cases"):
        agreement(cases, [judge])


def test_of_a_picture_that_took_the_place_of_another_the_sound_one_is_kept(tmp_path: Path) -> None:
    collection = open_collection(write_hands(tmp_path, people=20, test_people=0))
    right = [case for case in collection.cases if case.side == "right"]
    damaged, sound = right[1], right[7]
    shutil.copy(sound.image, damaged.image)
    [found] = [one for one in audit(survey(open_collection(tmp_path).cases, workers=1)) if one.kind == "duplicate"]
    assert found.other is not None
    assert (found.case.name, found.other.name) == (damaged.name, sound.name)
    assert f"the same picture as {sound.full_name}" in found.reason and "of another picture" in found.reason


def test_a_forearm_bone_drawn_over_the_other_is_one_mistake(tmp_path: Path) -> None:
    case = open_collection(write_hands(tmp_path, people=20, test_people=0)).cases[4]
    assert case.labels is not None
    polygons = load_labels(case.labels).polygons
    both = [*polygons["Radius"], *polygons["Ulna"]]
    save_labels(Labels({k: v for k, v in polygons.items() if k != "Ulna"} | {"Radius": both}), case.labels)
    found = [
        one
        for one in audit(survey(open_collection(tmp_path).cases, workers=1))
        if one.case.name == case.name and one.gross
    ]
    assert [(one.kind, one.bones) for one in found] == [("doubled", ("Radius", "Ulna"))]


def test_a_file_that_changes_while_it_is_looked_at_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = open_collection(write_hands(tmp_path / "data", people=1, test_people=0)).cases[0]
    assert case.labels is not None
    look = module.look

    def slow(case: Case) -> module.Facts:
        facts = look(case)
        assert case.labels is not None
        polygons = load_labels(case.labels).polygons
        polygons.pop("Lunate", None)
        save_labels(Labels(polygons), case.labels)
        return facts

    with monkeypatch.context() as patch:
        patch.setattr(module, "look", slow)
        survey([case], cache=tmp_path / "cache")
    shapes = survey([case], cache=tmp_path / "cache").facts[0].shapes
    assert shapes is not None and np.isnan(shapes.centre[BONES.index("Lunate")]).all()
