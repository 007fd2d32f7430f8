"""The package's own names are functions, whatever was imported before."""

import handbones.phantom
import handbones.phantom.drawing
import handbones.phantom.synthesis


def test_names_are_functions() -> None:
    assert callable(handbones.phantom.make) and callable(handbones.phantom.synth)
    assert handbones.phantom.make is handbones.phantom.drawing.make
