"""A recipe of which a training takes seconds."""

import os
import signal

from handbones.learning.watch import State, Watch
from handbones.recipe import Recipe, load_recipe

TINY = [
    "network.encoder=test_efficientnet.r160_in1k",
    "network.weights=none",
    "input.size=64",
    "training.minutes=null",
    "training.steps=4",
    "training.batch=2",
    "training.workers=0",
    "validation.minutes=null",
    "validation.steps=2",
    "data.folds=3",
    "training.loggers=[]",
]


def tiny(*overrides: str) -> Recipe:
    return load_recipe("small", [*TINY, *overrides])


class Interrupter(Watch):
    """Presses Ctrl-C at the first validation."""

    def validated(self, state: State, bones: dict[str, float]) -> None:
        os.kill(os.getpid(), signal.SIGINT)
