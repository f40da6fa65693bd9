"""What is answered, predictions aside, as /openapi.json describes it."""

from marshmallow import fields

from webapp.accounts import ROLES
from webapp.described import Answer, count, flag, free, many, moment, one, share, text, texts
from webapp.prediction_answers import BriefAnswer, IdentityAnswer


class AliveAnswer(Answer):
    """The process answers."""

    alive = flag()


class ReadyAnswer(Answer):
    """Whether predictions can be made."""

    ready = flag()
    lacking = texts()


class WhoAnswer(Answer):
    """Who is signed in, and as what."""

    user = text()
    role = text(*ROLES)
    has_password = fields.Boolean(
        required=True, metadata={"description": "of their own; who has none comes by the hospital's sign-on"}
    )
    credential = text(says="the id of the session or token that asks, as /tokens lists it")
    csrf = text(none=True, says="to be sent as `X-CSRF-Token` with every change; null for a token's owner")
    serves = text("hospital", "coordinator")
    predicts = flag()
    upload_mb = fields.Integer(required=True, metadata={"description": "what one upload may hold, in 10^6 bytes"})


class WaysAnswer(Answer):
    """How one can sign in here, beside name, password and code."""

    openid = flag()
    signed_in = fields.Boolean(
        required=True, metadata={"description": "so that a page need not ask who it is where that would be denied"}
    )


class TokenAnswer(Answer):
    """A session or token."""

    id = text()
    kind = text("session", "token")
    label = text()
    created_at = moment()
    seen_at = moment()
    expires_at = moment()


class TokensAnswer(Answer):
    """Sessions and tokens that are valid, oldest first."""

    tokens = many(TokenAnswer)


class NewTokenAnswer(Answer):
    """A token, shown once."""

    id = text()
    token = text()


class SaidAnswer(Answer):
    """The number of an event of the log."""

    seq = count()


class EventAnswer(Answer):
    """An event of the log."""

    seq = count()
    at = moment()
    user = text(none=True)
    action = text()
    prediction = text(none=True)
    model = text(none=True)
    tumor_probability = share(none=True)
    mgmt_probability = share(none=True)
    told = fields.Dict(required=True, allow_none=True)
    hash = text(none=True)
    comment = text(none=True)


class LogAnswer(Answer):
    """A page of the log, newest first."""

    events = many(EventAnswer)
    next = text(none=True, says="the next page's cursor")


class VerifiedAnswer(Answer):
    """Whether the log is what was written; a broken one names its first bad event."""

    intact = flag()
    events = fields.Integer()
    signed_heads = fields.Integer()
    problem = fields.String()
    fix = fields.String()


class PatientAnswer(Answer):
    """A patient's predictions."""

    patient = text()
    predictions = many(BriefAnswer)
    access = text(says="to be sent as `X-Patient-Access`")


class ExportAnswer(Answer):
    """What is stored of a patient."""

    identity = one(IdentityAnswer)
    known_since = moment()
    predictions = fields.List(fields.Dict(), required=True)


class ErasedAnswer(Answer):
    """How many predictions a patient had."""

    predictions = count()


class UserAnswer(Answer):
    """A user."""

    name = text()
    role = text(*ROLES)
    created_at = moment()
    disabled = flag()
    locked = flag()
    signs_in_with = text()


class UsersAnswer(Answer):
    """All users."""

    users = many(UserAnswer)


class NewUserAnswer(Answer):
    """A user, with the address for the authenticator app, shown once."""

    name = text()
    totp_uri = text()


class ChangedUserAnswer(Answer):
    """A user who was changed; with the authenticator's new address, if it is new."""

    name = text()
    totp_uri = fields.String()


class VersionAnswer(Answer):
    """A model version; what a coordinator sees of it has more."""

    name = text()
    state = text("candidate", "approved", "retired")
    current = flag()
    created_at = fields.String()
    wish = fields.String(allow_none=True)
    cause = fields.String(allow_none=True)


class VersionsAnswer(Answer):
    """The model versions, oldest first."""

    current = text(none=True)
    versions = many(VersionAnswer)


class CardAnswer(Answer):
    """A version's card."""

    name = text()
    card = free()


class WishAnswer(Answer):
    """What was asked of a version."""

    name = text()
    wish = text("approve", "retire")


class QueueAnswer(Answer):
    """Predictions that are not done."""

    draft = count()
    queued = count()
    running = count()


class LogStateAnswer(Answer):
    """How long the log is."""

    events = count()
    signed_heads = count()


class KeysAnswer(Answer):
    """The keys that seal, by number; older ones are there while a rotation is not done."""

    newest = count()
    older = fields.List(fields.Integer(), required=True)
    rotated_at = moment(none=True)


class ServerAnswer(Answer):
    """How the server is set up and does."""

    release = text()
    serves = text("hospital", "coordinator")
    predicts = flag()
    database = text()
    lacking = texts()
    queue = one(QueueAnswer)
    log = one(LogStateAnswer)
    keys = one(KeysAnswer)
    backup_at = moment(none=True)
    retention = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    sign_in = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    openid = text(none=True, says="the issuer of the hospital's own sign-on")
    limits = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
