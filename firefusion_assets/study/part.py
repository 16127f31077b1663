"""What packages can add to: settings that name one of several parts, such as an engine, with the keys of that part."""

from abc import ABC
from typing import Annotated, Any, ClassVar, Union

from pydantic import Field, GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from firefusion_assets.study.strict import StrictModel


class Part(StrictModel, ABC):
    """A section of a study's YAML files in which one key names the class that reads the others.

    A kind of parts, such as `Engine`, derives from this class and says `group` and `named_by`; a part derives from its
    kind, declares ``KEY: Literal["NAME"]``, and is found by an entry point. A field with the kind as its type
    takes each part that is known when it is read.
    """

    group: ClassVar[str]
    """Group of entry points; each has a part's name and points at its class."""
    named_by: ClassVar[str]
    """Key that holds the name."""
    unnamed: ClassVar[str] = ""
    """Name of the part that is meant where none is named; empty if one has to be."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let a field of a kind's type take all of its parts."""
        if "named_by" in vars(cls):
            return core_schema.no_info_plain_validator_function(cls._part)
        return handler(source)

    @classmethod
    def _part(cls, value: Any) -> Any:
        from firefusion_assets.study.registry import known

        if isinstance(value, cls):
            return value
        if cls.unnamed and isinstance(value, dict):
            value = {cls.named_by: cls.unnamed} | value
        parts = tuple(known(cls).values())
        one_of = Annotated[Union[parts], Field(discriminator=cls.named_by)]  # type: ignore[valid-type]  # noqa: UP007
        return TypeAdapter(one_of).validate_python(value)
