"""Lightning's loggers, as a recipe wants them. None of them needs a network."""

import importlib.util
import os
from pathlib import Path
from typing import Any

from handbones.errors import UserError
from handbones.recipe import Recipe

_EXTRAS = {"tensorboard": "train", "wandb": "tracking", "mlflow": "tracking"}


def build_loggers(recipe: Recipe, folder: Path) -> list[Any]:
    """The loggers of a run in `folder`. Raises `UserError` where a package is missing.

    W&B stays offline unless WANDB_MODE says otherwise; MLflow writes into the run unless MLFLOW_TRACKING_URI does.
    """
    return [_build(name, recipe, folder) for name in dict.fromkeys(recipe.training.loggers)]


def _build(name: str, recipe: Recipe, folder: Path) -> Any:
    from lightning.pytorch import loggers  # noqa: PLC0415

    if importlib.util.find_spec(name) is None:
        extra = _EXTRAS[name]
        raise UserError(
            f"training.loggers: {name} is not installed: pip install 'handbones[{extra}]', "
            f"or leave it out with --set training.loggers=[]"
        )
    if name == "tensorboard":
        return loggers.TensorBoardLogger(folder, name="", version="tensorboard", default_hp_metric=False)
    if name == "wandb":
        offline = os.environ.get("WANDB_MODE", "offline") == "offline"
        logger: Any = loggers.WandbLogger(folder.name, save_dir=folder, project="handbones", offline=offline)
    else:
        place = os.environ.get("MLFLOW_TRACKING_URI") or (folder / "mlruns").resolve().as_uri()
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # a folder needs no database package
        logger = loggers.MLFlowLogger("handbones", run_name=folder.name, tracking_uri=place)
    logger.log_hyperparams(recipe.model_dump(mode="json"))
    return logger
