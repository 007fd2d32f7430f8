"""Several processes that train together: shares of the work, one writer, and exactly the Dice of one process."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

import numpy as np
import torch

from drawn import write_collection
from handbones.bundle import load_bundle
from handbones.collection import open_collection
from handbones.errors import UserError
from handbones.learning.cache import PictureCache
from handbones.learning.export import load_network
from handbones.learning.run import Split
from handbones.learning.validation import ValidationSet, validate, validation_loader
from handbones.learning.world import World
from handbones.recipe import load_recipe

pytestmark = pytest.mark.train

TORCHRUN = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "6", "LOCAL_WORLD_SIZE": "2", "RANK": "3"}


def test_place_among_the_processes_comes_from_torchrun() -> None:
    assert World.of_environment({}) == World()
    assert World.of_environment({"WORLD_SIZE": "4", "SLURM_NTASKS": "4"}) == World()
    world = World.of_environment(TORCHRUN)
    assert (world.rank, world.size, world.nodes, world.writes) == (3, 6, 3, False)
    with pytest.raises(UserError, match="equally many on each"):
        World.of_environment({**TORCHRUN, "LOCAL_WORLD_SIZE": "4"})
    alone = World()
    assert alone.largest([1.5, 2]) == [1.5, 2] and alone.gather("x") == ["x"]


@pytest.mark.parametrize("size", [2, 3, 5])
def test_shards_hold_every_case_once_in_whole_batches(drawn: Path, size: int) -> None:
    recipe = load_recipe("small", ["input.size=64", "validation.batch=2", "validation.limit=5"])
    dataset = ValidationSet(recipe, open_collection(drawn).labelled, PictureCache(None))
    shards = [list(validation_loader(dataset, 0, World(rank, size)).batch_sampler or []) for rank in range(size)]
    assert sorted(batch for shard in shards for batch in shard) == [[0, 1], [2, 3], [4]]
    empty = validate(lambda _: pytest.fail("nothing to see"), validation_loader(dataset, 0, World(9, 10)), 0.5)
    assert empty.shape == (0, 29)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_find_the_dice_of_one(tmp_path: Path) -> None:
    data, out = write_collection(tmp_path / "data", people=4), tmp_path / "run"
    overrides = [
        "network.encoder=test_efficientnet.r160_in1k", "network.weights=none", "network.head_bias=0", "input.size=64",
        'training.precision="32"', "training.minutes=null", "training.steps=4", "training.batch=1",
        "training.workers=1", "validation.minutes=null", "validation.steps=2", "validation.batch=1",
        "validation.limit=3", "data.folds=2", "training.loggers=[tensorboard]",
    ]  # fmt: skip
    settings = [word for override in overrides for word in ("--set", override)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--no-python"]
    handbones = [sys.executable, "-c", "from handbones.cli import main; main()"]
    command = [*torchrun, *handbones, "train", str(data), "--recipe", "small", "--out", str(out), *settings]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("model:") == done.stdout.count("learns from") == 1

    rows = list(csv.DictReader((out / "history.csv").open()))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert float(rows[-1]["epoch"]) == 2  # a pass takes 2 steps of 2 processes: no case twice
    assert load_bundle(out).card["scores"]["pictures"] == 3
    assert not list(out.glob(".*")) and len(list((out / "tensorboard").glob("events*"))) == 1

    recipe = load_recipe("small", overrides)
    valid = Split.of(recipe, open_collection(data)).valid
    names = json.loads((out / "cases.json").read_text())["validation"]
    assert [case.key for case in valid] == names
    network = load_network(load_bundle(out)).eval().to(memory_format=torch.channels_last)

    def forward(pictures: torch.Tensor) -> torch.Tensor:
        return network(pictures.contiguous(memory_format=torch.channels_last))

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as torchrun's processes have
    scores = validate(forward, validation_loader(ValidationSet(recipe, valid, PictureCache(None)), 0), 0.5)
    torch.set_num_threads(threads)
    assert scores.shape == (3, 29) and len(np.unique(scores)) > 29
    assert float(scores.mean()) == max(float(row["dice"]) for row in rows)
