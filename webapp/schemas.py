"""What requests may hold: marshmallow's schemas, from which /openapi.json is made. An unknown field is an error."""

from typing import ClassVar

from marshmallow import RAISE, Schema, fields, validate

from core.imaging.volume import SEQUENCES
from webapp.accounts import LONGEST_PASSWORD, ROLES
from webapp.patients import LONGEST_RECORD_NUMBER

MOMENT = r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z)?$"
_KEY = validate.Regexp(r"^[0-9a-f]{32}$")


class Strict(Schema):
    """Refuses what it does not know."""

    class Meta:
        """Of every schema here."""

        unknown = RAISE


class ErrorSchema(Strict):
    """What every failure answers."""

    problem = fields.String(required=True, metadata={"description": "what is wrong"})
    fix = fields.String(required=True, metadata={"description": "what to do about it"})


class SignInSchema(Strict):
    """A name, a password, and the code that the authenticator app shows."""

    name = fields.String(required=True, validate=validate.Length(1, 63))
    password = fields.String(required=True, validate=validate.Length(1, LONGEST_PASSWORD))
    code = fields.String(required=True, validate=validate.Regexp(r"^\d{6}$"))


class RecordNumberSchema(Strict):
    """A patient, by the number that somebody typed."""

    record_number = fields.String(required=True, validate=validate.Length(1, LONGEST_RECORD_NUMBER))


class CorrectionSchema(Strict):
    """What a user says of a draft; whatever is left out stays."""

    study = fields.String(validate=validate.Regexp(r"^[0-9a-f]{0,32}$"))
    chosen = fields.Dict(
        keys=fields.String(validate=validate.OneOf(SEQUENCES)), values=fields.String(validate=_KEY, allow_none=True)
    )
    record_number = fields.String(validate=validate.Length(1, LONGEST_RECORD_NUMBER))


class PageSchema(Strict):
    """A page of a list, newest first."""

    cursor = fields.String(validate=validate.Regexp(r"^[0-9TZ:.\-]{27}_[0-9a-f]{1,32}$"))
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 500))


class PredictionsSchema(PageSchema):
    """Which of a user's predictions."""

    state = fields.String(validate=validate.OneOf(("draft", "queued", "running", "done", "failed", "withdrawn")))


class LogSchema(PageSchema):
    """Which events of the log."""

    user = fields.String(validate=validate.Length(1, 63))
    action = fields.String(validate=validate.Length(1, 60))
    case = fields.String(validate=_KEY, metadata={"description": "a prediction's id"})
    model = fields.String(validate=validate.Length(1, 100))
    since = fields.String(validate=validate.Regexp(MOMENT))
    until = fields.String(validate=validate.Regexp(MOMENT))


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


class WishSchema(Strict):
    """What a coordinator wants of a model version."""

    wish = fields.String(required=True, validate=validate.OneOf(("approve", "retire")))
