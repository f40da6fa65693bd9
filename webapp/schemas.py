"""What requests may hold: marshmallow's schemas, from which /openapi.json is made. An unknown field is an error."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import RAISE, Schema, ValidationError, fields, pre_load, validate

from core.imaging.volume import SEQUENCES
from webapp.accounts import ROLES
from webapp.passwords import LONGEST_PASSWORD
from webapp.patients import LONGEST_RECORD_NUMBER

MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z)?$"
STATES = ("draft", "queued", "running", "done", "failed", "withdrawn")
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


class Whole(validate.Regexp):
    """A pattern that the whole text has: `$` alone would let a line's end follow."""

    def __call__(self, value: str) -> str:  # type: ignore[override]
        """Return the text if it has the pattern."""
        if re.fullmatch(str(self.regex.pattern), value) is None:
            raise ValidationError(self._format_error(value))
        return value


_KEY = Whole(r"^[0-9a-f]{32}$")
_CODE = Whole(r"^[0-9]{6}$")


class Strict(Schema):
    """Refuses what it does not know, and text that no database and no hash takes: JSON may hold half a character."""

    class Meta:
        """Of every schema here."""

        unknown = RAISE

    @pre_load
    def refuse_half_characters(self, data: Any, **_: object) -> Any:  # noqa: ANN401 (whatever was sent)
        """Raise where a text could not be written down."""
        values = data.values() if isinstance(data, Mapping) else ()
        texts = [inner for value in values for inner in (value.values() if isinstance(value, Mapping) else [value])]
        if any(isinstance(text, str) and _HALF_CHARACTER.search(text) for text in texts):
            raise ValidationError("A text holds half a character")
        return data


class ErrorSchema(Strict):
    """What every failure answers."""

    problem = fields.String(required=True, metadata={"description": "what is wrong"})
    fix = fields.String(required=True, metadata={"description": "what to do about it"})


class SignInSchema(Strict):
    """A name, a password, and the code that the authenticator app shows."""

    name = fields.String(required=True, validate=validate.Length(1, 63))
    password = fields.String(required=True, validate=validate.Length(1, LONGEST_PASSWORD))
    code = fields.String(required=True, validate=_CODE)


class NewPasswordSchema(Strict):
    """Another password of one's own; the old one and a code show that it is oneself."""

    password = fields.String(required=True, validate=validate.Length(1, LONGEST_PASSWORD))
    code = fields.String(required=True, validate=_CODE)
    new_password = fields.String(required=True, validate=validate.Length(1, LONGEST_PASSWORD))


class RecordNumberSchema(Strict):
    """A patient, by the number that somebody typed."""

    record_number = fields.String(required=True, validate=validate.Length(1, LONGEST_RECORD_NUMBER))


class CorrectionSchema(Strict):
    """What a user says of a draft; whatever is left out stays."""

    study = fields.String(validate=Whole(r"^[0-9a-f]{0,32}$"))
    chosen = fields.Dict(
        keys=fields.String(validate=validate.OneOf(SEQUENCES)), values=fields.String(validate=_KEY, allow_none=True)
    )
    record_number = fields.String(validate=validate.Length(1, LONGEST_RECORD_NUMBER))


class PageSchema(Strict):
    """A page of a list, newest first."""

    cursor = fields.String(validate=Whole(r"^[0-9TZ:.\-]{27}_[0-9a-f]{1,32}$"))
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 500))


class PredictionsSchema(PageSchema):
    """Which of a user's predictions."""

    state = fields.String(validate=validate.OneOf(STATES))
    since = fields.String(validate=Whole(MOMENT))
    until = fields.String(validate=Whole(MOMENT))


class LogSchema(PageSchema):
    """Which events of the log."""

    cursor = fields.String(validate=Whole(r"^[0-9TZ:.\-]{27}_[0-9]{1,18}$"))

    user = fields.String(validate=validate.Length(1, 63))
    action = fields.String(validate=validate.Length(1, 60))
    case = fields.String(validate=_KEY, metadata={"description": "a prediction's id"})
    model = fields.String(validate=validate.Length(1, 100))
    since = fields.String(validate=Whole(MOMENT))
    until = fields.String(validate=Whole(MOMENT))


class ExportSchema(LogSchema):
    """The same, as a file."""

    form = fields.String(load_default="csv", validate=validate.OneOf(("csv", "jsonl")))


class SaidSchema(Strict):
    """What a user did with a result."""

    ACTIONS: ClassVar = ("viewed", "downloaded", "agreed", "disagreed")

    prediction = fields.String(required=True, validate=_KEY)
    action = fields.String(required=True, validate=validate.OneOf(ACTIONS))
    comment = fields.String(validate=validate.Length(1, 4000))


class NewUserSchema(Strict):
    """Somebody who shall be able to sign in."""

    name = fields.String(required=True, validate=validate.Length(1, 63))
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    password = fields.String(required=True, validate=validate.Length(1, LONGEST_PASSWORD))


class UserChangeSchema(Strict):
    """What an administrator changes of a user."""

    role = fields.String(validate=validate.OneOf(ROLES))
    disabled = fields.Boolean()
    unlock = fields.Boolean(validate=validate.Equal(True))
    password = fields.String(validate=validate.Length(1, LONGEST_PASSWORD))
    renew_second_factor = fields.Boolean(validate=validate.Equal(True))


class NewTokenSchema(Strict):
    """A token for a machine, with the role of whoever makes it."""

    label = fields.String(required=True, validate=validate.Length(1, 100))
    days = fields.Integer(load_default=90, validate=validate.Range(1, 366))


class RunWishSchema(Strict):
    """What a coordinator wants of a run."""

    wish = fields.String(required=True, validate=validate.OneOf(("stop", "resume")))


class WishSchema(Strict):
    """What a coordinator wants of a model version."""

    wish = fields.String(required=True, validate=validate.OneOf(("approve", "retire")))
