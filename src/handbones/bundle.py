"""A trained model on disk: weights, recipe and card; no pickle.

A bundle is a folder

    model.safetensors   weights, to train on or to run in torch
    model.onnx          the same weights, to run in onnxruntime
    recipe.yaml         how it was trained, and what it sees of a picture
    card.json           what it is: bones, scores, data, licence

or one .onnx file that carries recipe and card in its metadata.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handbones.anatomy import BONES
from handbones.errors import UsageError, UserError
from handbones.files import explain, make_folder, write_text
from handbones.recipe import Recipe, parse_recipe

WEIGHTS, ONNX, RECIPE, CARD = "model.safetensors", "model.onnx", "recipe.yaml", "card.json"
CASES = "cases.json"
"""Beside a bundle, in the folder of its run: which cases trained it."""
FORMAT = 1
"""Raised when an older handbones could not read a bundle any more."""
PACKAGED = "default", "default-wrist"
"""The models that come with the package: of the whole hand, and its own for a closer look at the wrist."""
_MODELS = Path(__file__).parent / "models"

Card = dict[str, Any]


@dataclass(frozen=True)
class Bundle:
    """A trained model, not yet in memory."""

    path: Path
    recipe: Recipe
    card: Card
    weights: Path | None
    """model.safetensors, if it is there."""
    onnx: Path | None
    """model.onnx, or the single file, if it is there."""

    @property
    def wrist(self) -> Path | None:
        """Of the packaged model: where its network of the wrist's own is. No other bundle has one."""
        beside = _MODELS / f"{PACKAGED[1]}.onnx"
        return beside if self.path == _MODELS / f"{PACKAGED[0]}.onnx" and beside.is_file() else None

    def digest(self) -> str:
        """Of recipe and weights, which decide what it finds: 32 hexadecimal digits."""
        files = [path.read_bytes() for path in (self.weights, self.onnx) if path]
        return hashlib.sha256(b"".join([self.recipe.to_yaml().encode(), *files])).hexdigest()[:32]


def load_bundle(path: str | os.PathLike[str] | None = None) -> Bundle:
    """Read a bundle: its folder, a run folder that holds `bundle/`, or a single .onnx file.

    None is the packaged model, and so are the words of `PACKAGED` where nothing has that name. Raises `UserError`, one
    line, where it is missing, incomplete, of other bones or not a bundle at all.
    """
    name = PACKAGED[0] if path is None else str(path)
    place = packaged_model(name) if path is None or (name in PACKAGED and not Path(name).exists()) else Path(name)
    if place.is_dir():
        return _load_folder(place if (place / CARD).exists() else place / "bundle", place)
    if not place.exists():
        raise UserError(f"{place}: no such bundle: give the folder of a training run, a bundle, or an .onnx file")
    if place.suffix != ".onnx":
        raise UserError(f"{place}: not a bundle: give the folder of a training run, a bundle, or an .onnx file")
    metadata = onnx_metadata(place)
    if "recipe" not in metadata or "card" not in metadata:
        raise UserError(f"{place}: not written by handbones: its metadata has no recipe and card")
    recipe, card = _parse(metadata["recipe"], metadata["card"], place)
    return Bundle(place, recipe, card, None, place)


def trained_on(path: str | os.PathLike[str]) -> frozenset[str]:
    """`person/file` of the cases that trained a bundle, out of its run's cases.json; none where that is not there.

    Those with pseudo-labels are among them, and those that trained what it started from.
    """
    path = Path(path).absolute()
    run = run_of(path.parent if path.is_file() else path) if path.exists() else None
    try:
        names = json.loads((run / CASES).read_text(encoding="utf-8")) if run else {"train": []}
        return frozenset(map(str, [*names["train"], *names.get("pseudo", []), *names.get("earlier", [])]))
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


def origin(given: Path, bundle: Bundle) -> Card:
    """What a run keeps of the bundle that it starts from: the path given, its digest, `data` and `init` of its card."""
    of_card: Card = {name: bundle.card[name] for name in ("data", "init") if name in bundle.card}
    return {"bundle": str(given), "digest": bundle.digest(), **of_card}


def started_from(path: Path) -> Path | None:
    """The bundle that the training of a bundle started from, as it was given; None where its run does not tell."""
    run = run_of(path.parent if path.is_file() else path)
    try:
        return Path(json.loads((run / CASES).read_text(encoding="utf-8"))["init"]["bundle"]) if run else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def run_of(folder: Path) -> Path | None:
    """The run that a model in a folder is taken to be of: the folder itself, or that above it."""
    return next((place for place in (folder, folder.parent) if (place / CASES).is_file()), None)


def save_cover(folder: Path, recipe: Recipe, card: Card) -> None:
    """Write what is not weights: recipe and card, each atomically, the card last."""
    make_folder(folder)
    write_text(folder / RECIPE, recipe.to_yaml())
    write_text(folder / CARD, card_text(card) + "\n")


def card_text(card: Card) -> str:
    """The card as JSON, with the fields that every card has."""
    return json.dumps({"format": FORMAT, "bones": list(BONES), **card}, indent=2, ensure_ascii=False)


def packaged_model(name: str = PACKAGED[0]) -> Path:
    """A model that comes with the package. Raises `UsageError` where it does not."""
    path = _MODELS / f"{name}.onnx"
    if not path.is_file():
        raise UsageError("this installation has no model of its own: name one with --bundle, or train one")
    return path


def onnx_metadata(path: Path) -> dict[str, str]:
    """The metadata of an .onnx file. Raises `UserError` if it is not one."""
    import onnxruntime  # noqa: PLC0415 slow to load

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has exceptions of its own without a common base
        raise UserError(f"{path}: not a whole .onnx file: {str(error).splitlines()[0]}") from None
    return dict(session.get_modelmeta().custom_metadata_map)


def _load_folder(folder: Path, given: Path) -> Bundle:
    if not (folder / CARD).exists():
        raise UserError(f"{given}: not a bundle: it holds neither {CARD} nor bundle/{CARD}; is the training done?")
    texts = []
    for name in (RECIPE, CARD):
        try:
            texts.append((folder / name).read_text(encoding="utf-8"))
        except OSError as error:
            raise explain(error, folder / name, "read this part of the bundle") from None
        except UnicodeDecodeError:
            raise UserError(f"{folder / name}: this part of the bundle is not text") from None
    recipe, card = _parse(texts[0], texts[1], folder)
    weights, onnx = ((folder / name) if (folder / name).is_file() else None for name in (WEIGHTS, ONNX))
    if weights is None and onnx is None:
        raise UserError(f"{folder}: incomplete bundle: neither {WEIGHTS} nor {ONNX} is there")
    return Bundle(folder, recipe, card, weights, onnx)


def _parse(recipe_text: str, card_text: str, place: Path) -> tuple[Recipe, Card]:
    try:
        card = json.loads(card_text)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: the bundle's card is not JSON: {error}") from None
    if not isinstance(card, dict) or "bones" not in card:
        raise UserError(f"{place}: not a bundle of handbones: its card names no bones")
    if card["bones"] != list(BONES):
        other = [bone for bone in card["bones"] if bone not in BONES]
        which = f"for example {other[0]!r}" if other else "in another order or number"
        raise UserError(f"{place}: this bundle finds other classes than the 29 bones, {which}")
    if card.get("format", 0) > FORMAT:
        raise UserError(f"{place}: this bundle needs a newer handbones: upgrade with pip install -U handbones")
    try:
        return parse_recipe(recipe_text, source=str(place)), card
    except UsageError as error:
        raise UserError(f"{error}: the bundle is broken or from another version of handbones") from None
