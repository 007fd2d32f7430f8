"""Recipes: the shipped ones are valid, every field explains itself, and a mistake is one helpful line."""

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel

from handbones.anatomy import BONES
from handbones.errors import UsageError
from handbones.recipe import Recipe, differences, field_names, inherit, load_recipe, parse_recipe, recipe_names
from handbones.recipe.reading import recipe_folder


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipe_is_valid_and_survives_the_round_trip(name: str) -> None:
    recipe = load_recipe(name)
    assert parse_recipe(recipe.to_yaml()) == recipe


def test_the_three_recipes_are_there() -> None:
    assert {"baseline", "small", "default"} <= set(recipe_names())


def test_baseline_is_the_starting_code() -> None:
    recipe = load_recipe("baseline")
    assert (recipe.network.decoder, recipe.network.encoder) == ("torchvision-fcn", "resnet50")
    assert (recipe.input.size, recipe.training.batch, recipe.data.folds, recipe.data.fold) == (512, 8, 5, 0)
    assert (recipe.optimiser.name, recipe.optimiser.lr, recipe.optimiser.weight_decay) == ("adam", 1e-4, 1e-6)
    assert recipe.loss.parts == {"bce": 1.0} and recipe.loss.bones == {}
    assert recipe.augment == type(recipe.augment)()


def test_every_field_says_what_it_is() -> None:
    def check(model: type[BaseModel]) -> None:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                check(field.annotation)

    check(Recipe)
    assert "training.batch" in field_names()


def test_overrides_are_yaml() -> None:
    recipe = load_recipe("small", ["optimiser.lr=1e-3", "input.train_sizes=[256, 320]", "training.ema=null"])
    assert recipe.optimiser.lr == 1e-3
    assert recipe.input.train_sizes == (256, 320)
    assert recipe.training.ema is None
    assert differences(load_recipe("small"), recipe) == ["input.train_sizes", "optimiser.lr", "training.ema"]


def test_a_precision_may_be_a_number() -> None:
    assert load_recipe("small", ["training.precision=32"]).training.precision == "32"


def test_a_bones_own_weight_goes_before_its_groups() -> None:
    recipe = load_recipe("small", ["loss.bones={carpals: 2, Pisiform: 4}"])
    weights = dict(zip(BONES, recipe.loss.bone_weights, strict=True))
    assert (weights["Ulna"], weights["Lunate"], weights["Pisiform"]) == (1, 2, 4)
    assert differences(load_recipe("small"), recipe) == ["loss.bones.carpals", "loss.bones.Pisiform"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.bacth=3", "unknown field 'training.bacth'; did you mean 'training.batch'"),
        ("batch=3", "did you mean 'training.batch'"),
        ("training.epochs=.inf", "training.epochs: input should be a finite number, got inf"),
        ("training.batch=0", "training.batch: input should be greater than or equal to 1, got 0"),
        ("training.batch=x", "training.batch"),
        ("training=3", "training: input should be"),
        ("data.fold=5", "fold 5 does not exist"),
        ("input.size=100", "multiple of 32"),
        ("augment.scale=[2, 1]", "scale needs 0 < low <= high"),
        ("augment.wrist_tilt=[50, 30]", "wrist_tilt needs -60 <= low <= high <= 60"),
        ("training.minutes=null", "no budget"),
        ("phantoms.profile=wilder", "there are the presets"),
        ("network.decoder=vnet", "network.decoder"),
        ("loss.bones.Pisifrom=2", "loss.bones: give labels of bones, or groups: fingers, carpals, forearm"),
        ("loss.bones={carpals: -1}", "loss.bones.carpals: input should be greater than or equal to 0"),
        ("loss.bones={fingers: 0, carpals: 0, forearm: 0}", "every bone has weight 0"),
        ("loss.softmax=1", "set loss.bce=0"),
        ("network.decoder_channels=[1, 2]", "five whole numbers"),
        ("training.minutes=[", "not YAML"),
        ("training.batch", "write it as field=value"),
    ],
)
def test_mistake_is_one_line(override: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe("small", [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'small'"):
        load_recipe("smal")
    with pytest.raises(UsageError, match="no such file"):
        load_recipe("nowhere/mine.yaml")
    with pytest.raises(UsageError, match="holds no fields"):
        parse_recipe("just words")


def test_what_a_recipe_leaves_open_is_that_of_the_model_it_goes_on_from() -> None:
    origin = load_recipe("default", ["input.size=768", "input.train_sizes=[384, 640]", "input.hand=auto"])
    tuned = inherit(load_recipe("finetune"), origin)
    assert tuned.input.size == 768 and tuned.input.train_sizes == (384, 640)
    assert tuned.hand == "find"  # there from the phantoms, which this recipe does not learn from
    assert tuned.network == origin.network.model_copy(update={"weights": "none"})
    assert tuned.optimiser == load_recipe("finetune").optimiser
    smaller = inherit(load_recipe("finetune", ["input.size=384", "input.hand=whole"]), origin)
    assert (smaller.input.train_sizes, smaller.hand) == ((192, 320), "whole")
    packaged = ["input.size=896", "input.hand_length=544", "input.train_sizes=[320, 832]", "validation.threshold=0.65"]
    origin = load_recipe("default", packaged)
    larger = inherit(load_recipe("finetune", ["input.size=1344"]), origin)
    assert (larger.input.hand_length, larger.input.train_sizes) == (816, (480, 1248))
    assert larger.validation.threshold == 0.65
    wrist = inherit(load_recipe("wrist"), origin)  # whose sizes say nothing about wrists
    assert (wrist.input.size, wrist.input.train_sizes, wrist.input.hand_length) == (192, (), None)
    assert inherit(load_recipe("finetune"), wrist).input.size == 192
    assert inherit(tuned, load_recipe("small")) == tuned  # nothing is open any more
    held_out = ["data.fold=3", "data.folds=4", "data.stratify=tilt", "data.tilted=0.4"]
    data = inherit(load_recipe("wrist", ["data.folds=5"]), load_recipe("balanced", held_out)).data
    assert (data.fold, data.folds, data.stratify, data.tilted) == (3, 5, "tilt", None)
    told = load_recipe("small", ["metadata.inputs=[age, sex]"])
    assert inherit(load_recipe("finetune"), told).metadata.inputs == ("age", "sex")
    assert inherit(load_recipe("finetune", ["metadata.inputs=[]"]), told).metadata.inputs == ()
    with pytest.raises(UsageError, match="inputs: age, height, but what it goes on from is told age, sex"):
        inherit(load_recipe("finetune", ["metadata.inputs=[age, height]"]), told)
    with pytest.raises(UsageError, match="goes on from: patches"):
        inherit(load_recipe("finetune", ["patches.size=512"]), origin)


def test_the_winner_passes_on_options_and_names_with_spaces(tmp_path: Path) -> None:
    (tmp_path / "handbones").write_text('#!/bin/sh\nfor word in "$@"; do printf "%s|" "$word"; done\necho\n')
    (tmp_path / "handbones").chmod(0o755)
    command = ["sh", recipe_folder() / "winner.sh", "my data", "my runs", "3", "--exclude", "my list.txt", "--skip-bad"]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    given = "--out|my runs/strong-3|--exclude|my list.txt|--skip-bad|"
    assert said[0] == f"train|my data|--recipe|strong|--fold|3|{given}"
    bundles = "|".join(f"--bundle|my runs/{recipe}-3" for recipe in ("strong", "balanced", "deeplab"))
    assert f"{bundles}|--skip-bad|--tile|" in said[3]
    for cut in ("strong-3/last.ckpt", "prediction/submission.csv.part"):
        file = tmp_path / "my runs" / cut
        file.parent.mkdir(parents=True)
        file.touch()
    again = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert ["--resume" in line.split("|") for line in again] == [True, False, False, True, False]


def test_the_winner_is_made_of_shipped_recipes() -> None:
    script = recipe_folder() / "winner.sh"
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
    families = re.search(r"for recipe in (.+); do", script.read_text(encoding="utf-8"))
    assert families is not None and set(families[1].split()) <= set(recipe_names())


def test_pictures_grow_in_few_steps() -> None:
    large = load_recipe("small", ["input.size=1024"]).input
    sizes = {large.size_of(1024, grown) for grown in np.linspace(0, 1, 500)}
    assert len(sizes) <= 9 and {160, 1024} <= sizes and not any(size % 32 for size in sizes)
    small = load_recipe("small").input
    assert sorted({small.size_of(320, grown) for grown in np.linspace(0, 1, 500)}) == [160, 192, 224, 256, 288, 320]
