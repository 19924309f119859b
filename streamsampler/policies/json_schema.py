"""The JSON Schema of a policy set, for editors that complete and check while one types.

Made from the settings models, so that it says what the loader takes. It never refuses what the
loader takes; what only the loader can tell, as that names are unique, it lets through.

Source: JSON Schema, draft 2020-12.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from streamsampler.policies.block import INSTEAD, Block
from streamsampler.policies.loading import COMPONENT
from streamsampler.policies.policy_type import PolicyType
from streamsampler.policies.types import TYPES

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_DEFS: Final = "#/$defs/{model}"
_DURATION: Final = r"^[+]?(0|([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$"
_DURATIONS: Final = ("decision_wait", "completion_grace", "decision_ttl")
_SEVERAL_PARTS: Final = {"type": "array", "items": {"$ref": "#/$defs/policy"}, "minItems": 1}

_BOUNDS: Final = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}

Schema = dict[str, Any]


class _Generator(GenerateJsonSchema):
    """A field that a function of ours reads first may be written in more ways than its type."""

    def function_before_schema(
        self, schema: core_schema.BeforeValidatorFunctionSchema
    ) -> JsonSchemaValue:
        return (
            {}
            if "json_schema_input_schema" not in schema
            else super().function_before_schema(schema)
        )


def json_schema(types: Mapping[str, PolicyType] = TYPES) -> Schema:
    """Makes the schema.

    Args:
        types: The registry of types.

    Returns:
        Plain data: a schema for the bare block, the block under `tail_sampling`, and a Collector's
        configuration.
    """
    defs: Schema = {"block": _block(), "policy": _policy(types)}
    for name in sorted(types):
        defs[name] = _settings(types[name], defs)
    inner = {f"^{COMPONENT}(/.*)?$": {"$ref": "#/$defs/block"}}
    under = {"type": "object", "patternProperties": inner}
    return {
        "$schema": DIALECT,
        "title": "A policy set of streamsampler",
        "anyOf": [
            {"$ref": "#/$defs/block"},
            {**under, "required": [COMPONENT]},
            {
                "type": "object",
                "required": ["processors"],
                "properties": {"processors": under},
            },
        ],
        "$defs": defs,
    }


def _model(model: type[Any], defs: Schema) -> Schema:
    """The schema of a model; the models within it go to the definitions."""
    made = model.model_json_schema(schema_generator=_Generator, ref_template=_DEFS)
    defs.update(_plain(made.pop("$defs", {})))
    plain = _plain(made)
    assert isinstance(plain, dict)
    return plain


def _plain(schema: Any) -> Any:
    """A schema without the titles that the library makes of names, bounds by their own names."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain: Schema = {}
    for key, inner in schema.items():
        if key in ("properties", "$defs"):
            plain[key] = {name: _plain(value) for name, value in inner.items()}
        elif key == "description":
            plain[key] = " ".join(inner.split("\n\n")[0].split())
        elif key != "title":
            plain[_BOUNDS.get(str(key), str(key))] = _plain(inner)
    return plain


def _block() -> Schema:
    defs: Schema = {}
    block = _model(Block, defs)
    properties = block["properties"]
    for name in _DURATIONS:
        properties[name] = {"type": "string", "pattern": _DURATION}
    properties["policies"] = {**_SEVERAL_PARTS, "description": "in the order of their precedence"}
    for name, instead in INSTEAD.items():
        properties[name] = {"deprecated": True, "description": f"no meaning here: {instead}"}
    tenant = properties["tenant"]
    tenant.pop("$ref", None)
    tenant.pop("default", None)
    tenant.update(defs.popitem()[1])
    return block


def _policy(types: Mapping[str, PolicyType]) -> Schema:
    needing = [name for name in sorted(types) if types[name].needs_settings]
    return {
        "type": "object",
        "required": ["name", "type"],
        "properties": {
            "name": {"type": "string", "minLength": 1, "description": "unique within the set"},
            "type": {"enum": sorted(types)},
            "dry_run": {"type": "boolean", "description": "counted, and never acted on"},
            "priority": {"description": "a note; it changes nothing"},
            **{name: {"$ref": f"#/$defs/{name}"} for name in sorted(types)},
        },
        "additionalProperties": False,
        "allOf": [
            {"if": {"properties": {"type": {"const": name}}}, "then": {"required": [name]}}
            for name in needing
        ],
    }


def _settings(policy_type: PolicyType, defs: Schema) -> Schema:
    schema = _model(policy_type.settings, defs)
    if policy_type.parts:
        parts = {"$ref": "#/$defs/policy"} if policy_type.one_part else _SEVERAL_PARTS
        schema.setdefault("properties", {})[policy_type.parts] = parts
    return schema
