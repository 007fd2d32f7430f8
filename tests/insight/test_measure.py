"""What `measure` says of a picture's bones, and what it leaves empty."""

import math

import numpy as np

from handbones.inference.segmentation import Segmentation
from handbones.insight.measure import measure
from handbones.labels import Labels, masks_to_labels
from hands import SIZE, hand


def found(labels: Labels, height: int, width: int) -> Segmentation:
    """What a model would find that is sure of the labels."""
    return Segmentation.from_logits(20.0 * labels.masks(height, width) - 10, height, width)


def cut_above(labels: Labels, row: int, *, short: int = 0) -> Labels:
    """The labels in a picture that begins at a row; what the edge cuts ends `short` rows below it."""
    masks = labels.masks(SIZE, SIZE)[:, row:]
    masks[:, :short] = 0
    return masks_to_labels(masks)


def test_a_model_ends_a_cut_bone_before_the_edge() -> None:
    top = int(hand(0).polygons["finger-8"][0][:, 1].mean())
    for short, of_labels in ((0, False), (2, True)):
        labels = cut_above(hand(0), top, short=short)
        whole = {bone.label: bone.whole for bone in measure(labels, SIZE - top, SIZE).bones}
        assert whole["finger-8"] is of_labels and whole["finger-9"]
        measures = measure(found(labels, SIZE - top, SIZE), SIZE - top, SIZE)
        assert not next(bone.whole for bone in measures.bones if bone.label == "finger-8")
        assert math.isnan(measures.ratios["distal_to_middle_phalanx_3"])


def test_a_sliver_is_not_whole_wherever_it_ends() -> None:
    labels = hand(0)
    middle = labels.polygons["finger-8"][0].mean(axis=0)
    sliver = (labels.polygons["finger-8"][0] - middle) * (1, 0.1) + middle
    measures = measure(Labels({**labels.polygons, "finger-8": [sliver]}), SIZE, SIZE)
    assert [bone.label for bone in measures.bones if not bone.whole] == ["finger-8", "Radius", "Ulna"]
    assert math.isnan(measures.ratios["distal_to_middle_phalanx_3"])
    small = labels.map(lambda points: 0.3 * points)
    assert np.isfinite(measure(small, SIZE, SIZE).ratios["distal_to_middle_phalanx_3"])
