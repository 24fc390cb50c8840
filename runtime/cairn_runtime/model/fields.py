"""What the fields of a manifest have in common: the base of the models, and the types of names and texts.

The models proper are in `workflow`, `steps` and `running`; other rooms import them from `workflow`.
"""

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import core_schema

if TYPE_CHECKING:
    from cairn_runtime.model import values

    JSONValue: TypeAlias = values.JSONValue
else:
    JSONValue = Any  # pydantic would walk every value again; what comes here was read as JSON already

LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
"""A label of RFC 1123, as Kubernetes wants in names of pods and values of labels."""

Reducer: TypeAlias = Annotated[str, Field(max_length=265)]
Text: TypeAlias = Annotated[str, Field(max_length=4096)]
Expression: TypeAlias = Annotated[str, Field(min_length=1, max_length=1024)]
StepName: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=45, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
]
ChannelName: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")
]
FunctionRef: TypeAlias = Annotated[
    str,
    Field(
        max_length=256,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$",
    ),
]
ErrorName: TypeAlias = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Key: TypeAlias = Annotated[str, Field(min_length=1, max_length=317)]
"""Key of a label or annotation: prefix, slash, name."""
Tags: TypeAlias = dict[
    Annotated[str, Field(min_length=1, max_length=63)], Annotated[str, Field(max_length=256)]
]
Labels: TypeAlias = dict[Key, Annotated[str, Field(max_length=63)]]
Annotations: TypeAlias = dict[Key, Annotated[str, Field(max_length=65536)]]


class Model(BaseModel):
    """What all parts of a manifest share: camelCase, no unknown fields, null counts as left out, frozen."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        defer_build=True,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        strict=True,
    )

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Put the rule for nulls first; as a decorator it would be inspected anew for every model."""
        return core_schema.no_info_before_validator_function(_without_nulls, handler(source))


def _without_nulls(data: Any) -> Any:  # noqa: ANN401 - whatever stands there
    if isinstance(data, dict) and None in data.values():
        return {key: value for key, value in data.items() if value is not None}
    return data
