"""Metadata as numbers: known scales, unknown zeros, and nothing that drowns a picture."""

import math

import numpy as np
import pytest

from handbones.encoding import encode
from handbones.errors import UsageError
from handbones.metadata import UNKNOWN, Metadata
from handbones.recipe import load_recipe

ALL = ("age", "sex", "height", "weight", "side", "tilt")


def test_values_come_with_whether_they_are_known() -> None:
    person = Metadata(age=65, sex="M", height=155, side="left")
    assert encode(person, ALL).tolist() == [1, 1, -1, 0, -1, 0, 1, 1, 1, 0, 1, 0]
    assert encode(person, ("height", "age")).tolist() == [-1, 1, 1, 1]
    assert encode(person, ALL).dtype == np.float32
    assert encode(person, ()).shape == (0,)


def test_unknown_is_all_zeros() -> None:
    assert not encode(UNKNOWN, ALL).any()
    assert not encode(Metadata(age=math.nan), ALL).any()
    with pytest.raises(UsageError, match="sex 'female': must be F or M"):
        encode(Metadata(sex="female"), ("sex",))


def test_a_height_in_metres_is_held_in_bounds() -> None:
    assert encode(Metadata(height=1.7, weight=1e9), ("height", "weight")).tolist() == [-3, 3, 1, 1]


def test_a_mirror_swaps_the_side_alone() -> None:
    person = Metadata(age=30, side="left", tilt=12)
    assert person.mirrored() == Metadata(age=30, side="right", tilt=12)
    assert person.mirrored().mirrored() == person
    assert UNKNOWN.mirrored() == UNKNOWN


def test_recipes_ask_for_what_there_is() -> None:
    recipe = load_recipe("small", ["metadata.inputs=[age, side]", "metadata.targets=[tilt]"])
    assert recipe.metadata.inputs == ("age", "side")
    assert load_recipe("small").metadata.inputs == load_recipe("small").metadata.targets == ()
    for wrong in ("metadata.inputs=[tilt]", "metadata.targets=[shoe]", "metadata.inputs=[age, age]"):
        with pytest.raises(UsageError, match=r"metadata\.") as caught:
            load_recipe("small", [wrong])
        assert "\n" not in str(caught.value)
    assert math.isclose(load_recipe("small").metadata.dropout, 0.2)
