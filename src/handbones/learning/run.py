"""The folder of a run: what is in it, and how it is kept whole.

recipe.yaml   the resolved recipe
cases.json    which cases train and which validate
history.csv   a row for each validation
last.ckpt     all that a resume needs, renewed every few minutes
bundle/       the best model so far, usable at any time
tensorboard/  the course of loss, speed and Dice, for TensorBoard
cache/        decoded pictures, while it trains
"""

import errno
import gc
import hashlib
import json
import logging
import math
import os
import pickle
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Trainer

from handbones import __version__
from handbones.anatomy import BONES
from handbones.bundle import CARD, CASES, ONNX, RECIPE, WEIGHTS, Card, load_bundle, save_cover, trained_on
from handbones.collection import Case, Collection
from handbones.errors import UsageError, UserError
from handbones.files import atomic_path, explain, make_folder, write_csv, write_text
from handbones.folds import folds
from handbones.labels import load_labels
from handbones.learning.export import export_onnx, load_network, save_weights
from handbones.learning.networks import Network, count_parameters
from handbones.learning.validation import Scores, deciding
from handbones.learning.watch import State
from handbones.recipe import Recipe, differences, load_recipe

logger = logging.getLogger(__name__)

CHECKPOINT = "last.ckpt"
_BUNDLE = "bundle"
_MAY_CHANGE = {
    "training.epochs",
    "training.steps",
    "training.minutes",
    "training.workers",
    "training.checkpoint_minutes",
    "training.patience",
    "training.loggers",
    "phantoms.render",
    "data.cache",
    "data.cache_folder",
    "data.cache_limit",
    "validation.epochs",
    "validation.steps",
    "validation.minutes",
    "validation.batch",
}
"""Fields of the recipe that need not be the same at a resume."""


@dataclass(frozen=True)
class Split:
    """The cases of a run; none where it learns from phantoms alone."""

    train: Sequence[Case]
    valid: Sequence[Case]
    pseudo: Sequence[Case] = ()
    """Cases whose labels a model gave; they train, too."""
    earlier: Sequence[str] = ()
    """Names of others that trained the model to start from."""
    init: Mapping[str, Any] | None = None
    """That model, as `origin` tells of it."""

    @classmethod
    def of(cls, recipe: Recipe, collection: Collection | None, pseudo: Collection | None = None) -> "Split":
        """Training and validation cases of the recipe's fold. Raises `UserError` where there are too few.

        Of the pseudo-labelled cases those of people who validate are left out, and copies of pictures that do.
        """
        if collection is None:
            if recipe.phantoms.profile is None:
                raise UsageError("nothing to learn from: give DATA, or phantoms with --phantoms NAME")
            return cls([], [])
        cases = [case for case in collection.labelled if case.split == "train"]
        if not cases:
            raise UserError(f"{collection.root}: no labelled cases to learn from")
        if not any(load_labels(case.labels).bones for case in cases if case.labels):
            raise UserError(f"{collection.root}: no bone is outlined in any label file: there is nothing to learn from")
        settings = recipe.data
        pairs = folds(cases, settings.folds, stratify=settings.stratify)
        train, valid = pairs[settings.fold]
        held_out = {cases[i].person for i in valid}
        guessed = [case for case in pseudo.labelled if case.person not in held_out] if pseudo else []
        guessed = _without_copies(guessed, [cases[i] for i in valid])
        if pseudo is not None and not guessed:
            raise UserError(f"{pseudo.root}: no pseudo-labels of people who do not validate: leave --pseudo out")
        return cls([cases[i] for i in train], [cases[i] for i in valid], guessed)

    def after(self, init: Path) -> "Split":
        """The same for a training that starts from a model.

        Raises `UserError` if cases that validate have trained it: it would flatter.
        """
        known, names = trained_on(init), self.names()
        if flattered := known & set(names["validation"]):
            raise UserError(
                f"--init {init}: {len(flattered)} of the {len(self.valid)} cases held out have trained it: hold out "
                f"the same as it did, with its data.fold, data.folds and data.stratify, DATA and --exclude"
            )
        return replace(self, earlier=sorted(known.difference(names["train"], names.get("pseudo", ()))))

    def perhaps_known(self) -> set[str]:
        """IDs of people who validate and, by other pictures, have trained the model to start from.

        In another collection the same ID may be somebody else's, so that is no reason to refuse.
        """
        return {name.partition("/")[0] for name in self.earlier} & {case.person for case in self.valid}

    def names(self) -> dict[str, Any]:
        """Person and file name of each case, and what the training starts from."""
        parts = {"train": self.train, "validation": self.valid} | ({"pseudo": self.pseudo} if self.pseudo else {})
        names = {part: [case.key for case in cases] for part, cases in parts.items()}
        if self.earlier:
            names["earlier"] = list(self.earlier)
        return names | ({"init": dict(self.init)} if self.init else {})


def _without_copies(cases: list[Case], of: Sequence[Case]) -> list[Case]:
    """The cases whose picture is not byte for byte one of those: under another name nothing else tells."""
    sizes = {case.image: case.image.stat().st_size for case in (*cases, *of)}
    in_both = {sizes[case.image] for case in cases} & {sizes[case.image] for case in of}

    def digest(case: Case) -> bytes | None:
        if sizes[case.image] not in in_both:
            return None
        with case.image.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()

    known = {digest(case) for case in of} - {None}
    return [case for case in cases if digest(case) not in known]


def refuse_another(folder: Path) -> None:
    """Raise `UserError` if there is a run in the folder already, or the model that one has left."""
    if (folder / CHECKPOINT).exists():
        raise UserError(f"{folder}: holds a training run: add --resume to go on, or choose another --out")
    if (folder / _BUNDLE / CARD).exists() and load_bundle(folder / _BUNDLE).card.get("training", {}).get("steps"):
        raise UserError(f"{folder}: holds the model of an earlier run: remove it, or choose another --out")


class PlainCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint where it is asked to; Lightning's own way would have it in memory and in /tmp before."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        torch.save(checkpoint, path)


class Run:
    """The files of one training run."""

    def __init__(self, folder: Path, recipe: Recipe, split: Split, *, writes: bool = True) -> None:
        """`writes`: whether this is the one among the processes of a training that writes files."""
        self.folder = folder
        self.writes = writes
        self.recipe = recipe
        self.split = split
        self.checkpoint = folder / CHECKPOINT
        self.bundle = folder / _BUNDLE
        self.cache = folder / "cache"

    def prepare(self, *, resume: bool) -> None:
        """Check that the folder is free, or fits what is to be resumed, and write the recipe and the split."""
        if resume and not self.checkpoint.exists():
            raise UserError(f"{self.folder}: nothing to resume: it holds no last.ckpt; leave --resume out")
        if not resume:
            refuse_another(self.folder)
        recipe, cases = self.folder / RECIPE, self.folder / CASES
        if resume:
            self.steps_done()  # raises where the checkpoint is damaged, before anything is written
            changed = [name for name in differences(load_recipe(recipe), self.recipe) if name not in _MAY_CHANGE]
            if changed:
                raise UsageError(
                    f"{self.folder}: was trained with another {changed[0]}: a resume cannot change that; "
                    f"without --recipe it takes the run's own"
                )
            names = _read_names(cases)
            self.split = replace(self.split, earlier=names.get("earlier", ()), init=names.get("init"))
            if names != self.split.names():
                raise UserError(
                    f"{self.folder}: was trained on other cases: give --resume the same DATA, --pseudo, --exclude and "
                    f"--skip-bad"
                )
        if not self.writes:
            return
        make_folder(self.folder)
        for unfinished in self.folder.glob(f".{self.checkpoint.stem}-*"):  # of a run that was killed while saving
            unfinished.unlink()
        if not resume:
            self.write_recipe()
        write_text(cases, json.dumps(self.split.names(), indent=1, ensure_ascii=False) + "\n")

    def newer_labels(self) -> list[Path]:
        """Label files that were written after the checkpoint."""
        saved = self.checkpoint.stat().st_mtime
        paths = [case.labels for part in (self.split.train, self.split.valid, self.split.pseudo) for case in part]
        return [path for path in paths if path and path.stat().st_mtime > saved]

    def write_recipe(self) -> None:
        """Write down what the run does from now on."""
        if self.writes:
            write_text(self.folder / RECIPE, self.recipe.to_yaml())

    def steps_done(self) -> int:
        """Steps of the optimiser in the checkpoint; 0 if there is none."""
        if not self.checkpoint.exists():
            return 0
        try:
            return int(torch.load(self.checkpoint, map_location="cpu", mmap=True, weights_only=True)["global_step"])
        except (RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
            remedy = f"begin anew with another --out, from its best model with --init {self.folder} if it has one"
            raise UserError(f"{self.checkpoint}: damaged: the run cannot be resumed; {remedy}") from error

    def save_checkpoint(self, trainer: Trainer) -> None:
        """Renew last.ckpt. All processes of a training must ask, and one writes."""
        if not self.writes:
            trainer.save_checkpoint(self.checkpoint)
            return
        with atomic_path(self.checkpoint) as temporary:
            try:
                trainer.save_checkpoint(temporary)
            except RuntimeError as error:  # what torch makes of a full disk
                raise OSError(errno.ENOSPC, str(error)) from error

    def has_model(self) -> bool:
        """Whether the best model so far is still there: somebody may have taken it away."""
        weights = (self.bundle / name for name in (WEIGHTS, ONNX))
        return (self.bundle / CARD).is_file() and any(path.is_file() for path in weights)

    def keep(
        self, network: Network, state: State, scores: Scores | None, parts: Mapping[str, float] | None = None
    ) -> None:
        """Make a network the run's bundle, but for its ONNX file; `parts` are further means for its card."""
        save_weights(self.bundle, network)
        card = self._card(network, state, scores)
        if parts:
            card["scores"] |= {name: round(value, 5) for name, value in parts.items()}
        save_cover(self.bundle, self.recipe, card)

    def write_history(self, history: list[dict[str, float]]) -> None:
        """A row for each validation, with the fields of `State`."""
        fields = list(history[0])
        write_csv(self.folder / "history.csv", [fields, *([row.get(field, "") for field in fields] for row in history)])

    def finish(self, network: Network, state: State, *, onnx: bool = True) -> None:
        """Give the bundle its ONNX file, if wanted; a run without a validation keeps `network` as it is."""
        if math.isnan(state.best) or not self.has_model():
            self.keep(network, state, None)
        if not onnx:
            return
        bundle = load_bundle(self.bundle)
        if bundle.onnx is None:
            try:
                export_onnx(load_network(bundle), bundle.recipe, bundle.card, self.bundle / ONNX)
            except UserError as error:
                logger.warning("%s: the bundle needs torch to run", error)

    def tidy(self) -> None:
        """Remove what is of use to a process that trains alone."""
        if sys.platform == "win32":
            gc.collect()  # it removes no picture that is mapped, as what is left of the loaders has some
        if self.writes:
            shutil.rmtree(self.cache, ignore_errors=True)

    def _card(self, network: Network, state: State, scores: Scores | None) -> Card:
        split = self.split
        card: Card = {
            "handbones": __version__,
            "created": time.strftime("%Y-%m-%d"),
            "network": {"parameters": count_parameters(network)},
            "training": {"steps": state.step, "epochs": round(state.epoch, 2), "minutes": round(state.minutes, 1)},
            "data": {
                "cases": len(split.train),
                "people": len({case.person for case in split.train}),
                "phantoms": self.recipe.phantoms.profile,
                **({"pseudo_labelled": len(split.pseudo)} if split.pseudo else {}),
            },
            # Without its path, which tells of a machine.
            **({"init": {name: split.init[name] for name in split.init if name != "bundle"}} if split.init else {}),
            "licence": "The code is Apache-2.0. The terms of these weights follow from the data they were trained on.",
        }
        if scores is not None:
            means = scores.mean(axis=0).round(5).tolist()
            card["scores"] = {
                "dice": round(float(scores.take(deciding(self.recipe), axis=1).mean()), 5),
                "bones": dict(zip(BONES, means, strict=True)),
                "pictures": len(scores),
                "of": "people held out from training" if split.valid else "phantoms not trained on",
            }
        return card


def _read_names(path: Path) -> dict[str, Any]:
    """What `Split.names` was when the run began. Raises `UserError`."""
    try:
        names: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise explain(error, path, "read what the run learns from") from error
    except ValueError:
        raise UserError(f"{path}: damaged: the run cannot be resumed; begin anew with another --out") from None
    return names
