"""How a field of a recipe is written down: default, meaning, unit, limits."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from handbones.anatomy import BONES, GROUPS

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Size = Annotated[int, Field(ge=32, le=8192, multiple_of=32)]

NAMES_WANTED = f"give labels of bones, or groups: {', '.join(GROUPS)}"


def setting(default: Any, description: str, unit: str = "", **limits: Any) -> Any:
    """A field of a recipe: default, meaning, unit ("" for none), and pydantic's limits (ge, le, gt, ...)."""
    return Field(default, description=description, json_schema_extra={"unit": unit}, **limits)


class Settings(BaseModel):
    """A part of a recipe: immutable, refuses unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


def bones_or_groups(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names as they are, for a validator. Raises `ValueError` on one that is neither a bone's nor a group's."""
    if any(name not in BONES and name not in GROUPS for name in names):
        raise ValueError(NAMES_WANTED)
    return names
