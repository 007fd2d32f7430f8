"""Sides and wrist tilt from labels whose geometry is known, and the side from drawn hands."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from handbones.labels import Labels
from handbones.sides import detect_side, side_from_labels, side_from_name, wrist_tilt

Points = npt.NDArray[np.float64]


def bar(start: tuple[float, float], end: tuple[float, float], width: float = 10.0) -> Points:
    """A rectangle along a line."""
    a, b = np.array(start), np.array(end)
    along = (b - a) / np.linalg.norm(b - a)
    side = np.array([-along[1], along[0]]) * width / 2
    return np.array([a + side, b + side, b - side, a - side])


def right_hand(tilt: float) -> Labels:
    """A right hand in PA view whose hand is turned on its forearm by `tilt` degrees towards the little finger."""
    turn = np.radians(tilt)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    hand = {
        "finger-3": bar((60, 160), (40, 120)),
        "finger-11": bar((100, 170), (100, 100)),
        "finger-8": bar((100, 40), (100, 20)),
        "finger-19": bar((125, 170), (135, 110)),
    }
    wrist = np.array([100.0, 190.0])
    polygons = {label: [(points - wrist) @ matrix + wrist] for label, points in hand.items()}
    forearm = {"Radius": [bar((90, 290), (90, 200), 20)], "Ulna": [bar((115, 290), (115, 205), 12)]}
    return Labels(polygons | forearm)


@pytest.mark.parametrize("tilt", [-10, 0, 25, 50])
@pytest.mark.parametrize("turned", [0, 30, 180])
def test_tilt_and_side_whichever_way_the_picture_lies(tilt: float, turned: float) -> None:
    angle = np.radians(turned)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    labels = right_hand(tilt).map(lambda points: points @ matrix)
    assert wrist_tilt(labels) == pytest.approx(tilt, abs=0.01)
    assert side_from_labels(labels) == "right"
    mirrored = labels.map(lambda points: points * (-1, 1))
    assert wrist_tilt(mirrored) == pytest.approx(tilt, abs=0.01)
    assert side_from_labels(mirrored) == "left"


def test_what_is_not_there_tells_nothing() -> None:
    polygons = right_hand(0).polygons
    without = [Labels({k: v for k, v in polygons.items() if k != bone}) for bone in ("finger-11", "finger-19")]
    assert wrist_tilt(without[0]) is None
    assert wrist_tilt(without[1]) is None
    assert side_from_labels(Labels({})) is None


@pytest.mark.parametrize(
    ("stem", "side"),
    [("image1661130828152_R", "right"), ("image1_L", "left"), ("hand-r", "right"), ("image1", None), ("BALL", None)],
)
def test_side_from_name(stem: str, side: str | None) -> None:
    assert side_from_name(stem) == side


def drawn_hand(tilt: float) -> npt.NDArray[np.uint8]:
    """A right hand of thick strokes, 400 x 400: soft tissue and bones on a dark background."""
    tips = [(100, 190), (160, 80), (200, 60), (238, 75), (275, 120)]
    roots = [(175, 270), (175, 200), (200, 195), (222, 200), (240, 215)]
    turn = cv2.getRotationMatrix2D((200, 290), -tilt, 1)
    picture = np.full((400, 400), 20, np.uint8)
    for width, value in ((34, 70), (12, 180)):
        for root, tip in zip(roots, tips, strict=True):
            a, b = (np.rint(turn @ (*point, 1)).astype(int).tolist() for point in (root, tip))
            cv2.line(picture, a, b, value, width)
            cv2.line(picture, (200, 290), a, value, width + (20 if value == 70 else 0))
        cv2.line(picture, (200, 290), (200, 400), value, 60 if value == 70 else 40)
    return picture


@pytest.mark.parametrize("tilt", [0, 20, 40])
def test_side_from_the_picture(tilt: float) -> None:
    picture = drawn_hand(tilt)
    assert detect_side(picture) == "right"
    assert detect_side(np.ascontiguousarray(picture[:, ::-1])) == "left"


def test_a_picture_of_no_hand_has_no_side() -> None:
    assert detect_side(np.zeros((1, 1), np.uint8)) is None
    assert detect_side(np.full((300, 300), 90, np.uint8)) is None
    disc = np.zeros((300, 300), np.uint8)
    cv2.circle(disc, (150, 150), 80, 200, -1)
    assert detect_side(disc) is None


def test_a_stub_of_the_forearm_tells_no_tilt() -> None:
    polygons = right_hand(10).polygons
    stub = {"Radius": [bar((90, 215), (90, 200), 20)]}
    assert wrist_tilt(Labels(polygons | stub)) == pytest.approx(10, abs=0.01)  # by the ulna
    assert wrist_tilt(Labels({k: v for k, v in (polygons | stub).items() if k != "Ulna"})) is None
