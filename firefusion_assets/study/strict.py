"""What all settings have in common."""

from pathlib import Path, PurePath
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _stays_inside(path: Path | str) -> Path | str:
    if ".." in PurePath(path).parts and not PurePath(path).is_absolute():
        raise ValueError("leaves the study folder by '..'; write it as an absolute path")
    return path


InStudy = AfterValidator(_stays_inside)
"""Of paths that are relative to the study folder: they lie in it, or are absolute."""

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]


class StrictModel(BaseModel):
    """A part of a YAML file: unknown keys are errors, values don't change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_no_booleans(cls, values: Any) -> Any:
        """Python's true is 1; who writes it where a number is meant is mistaken."""
        wrong = []
        for name, value in values.items() if isinstance(values, dict) else ():
            given = value if isinstance(value, list | tuple) else [value]
            if name in cls.model_fields and any(isinstance(one, bool) for one in given):
                leaves = _leaves(cls.model_fields[name].annotation)
                if bool not in leaves and (int in leaves or float in leaves):
                    wrong.append(name)
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: is true or false, a number is meant")
        return values


def _leaves(annotation: Any) -> list[Any]:
    """Return the types that an annotation is made of."""
    parts = get_args(annotation)
    return [leaf for part in parts for leaf in _leaves(part)] if parts else [annotation]
