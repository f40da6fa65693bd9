"""Fields with which answers are described in /openapi.json: each is always there, and may be null where it says so."""

from typing import Any

from marshmallow import RAISE, Schema, fields, validate

# A file.
BYTES = {"type": "string", "format": "binary"}


def text(*values: str, none: bool = False, says: str = "") -> fields.String:
    """A text, or one of these."""
    check = validate.OneOf((*values, None) if none else values) if values else None
    return fields.String(
        required=True, allow_none=none, validate=check, metadata={"description": says} if says else None
    )


def moment(*, none: bool = False) -> fields.String:
    """A moment."""
    return text(none=none, says="UTC, as 2026-01-31T23:59:59.999999Z")


def count() -> fields.Integer:
    """A whole number."""
    return fields.Integer(required=True)


def number(*, none: bool = False) -> fields.Float:
    """A number."""
    return fields.Float(required=True, allow_none=none)


def flag() -> fields.Boolean:
    """Yes or no."""
    return fields.Boolean(required=True)


def share(*, none: bool = False) -> fields.Float:
    """A number in [0, 1]."""
    return fields.Float(required=True, allow_none=none, validate=validate.Range(0, 1))


def interval() -> fields.List[Any]:
    """Two numbers in [0, 1], or null."""
    share = fields.Float(validate=validate.Range(0, 1))
    return fields.List(share, required=True, allow_none=True, validate=validate.Length(equal=2))


def possible(*answers: str) -> fields.List[Any]:
    """Those of these answers that cannot be excluded, or null."""
    described = {"description": "at 90 %; absent from results of earlier releases"}
    return fields.List(fields.String(validate=validate.OneOf(answers)), allow_none=True, metadata=described)


def texts() -> fields.List[Any]:
    """A list of texts."""
    return fields.List(fields.String(), required=True)


def free() -> fields.Dict:
    """An object of any kind."""
    return fields.Dict(required=True)


def one(schema: type[Schema], *, none: bool = False) -> fields.Nested:
    """An object of a schema."""
    return fields.Nested(schema, required=True, allow_none=none)


def many(schema: type[Schema]) -> fields.List[Any]:
    """A list of them."""
    return fields.List(fields.Nested(schema), required=True)


class Answer(Schema):
    """Holds what it says, all of it and nothing else."""

    class Meta:
        """Of every schema here."""

        unknown = RAISE
