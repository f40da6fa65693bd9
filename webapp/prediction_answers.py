"""What is answered about predictions, as /openapi.json describes it."""

from marshmallow import fields, validate

from core.imaging.volume import SEQUENCES
from webapp.described import Answer, count, flag, free, interval, many, moment, one, possible, share, text, texts
from webapp.schemas import STATES


class BriefAnswer(Answer):
    """A prediction in a list."""

    id = text()
    owner = text()
    patient = text(none=True, says="a pseudonym")
    state = text(*STATES)
    created_at = moment()
    queued_at = moment(none=True)
    finished_at = moment(none=True)
    version = text(none=True)
    files = fields.Boolean(required=True, metadata={"description": "whether the viewer's files are still there"})


class IdentityAnswer(Answer):
    """Whose scans they are."""

    record_number = text()
    name = text()


class ListedAnswer(BriefAnswer):
    """A prediction of one's own in a list."""

    identity = one(IdentityAnswer, none=True)


class PredictionsAnswer(Answer):
    """A page of predictions, newest first."""

    predictions = many(ListedAnswer)
    next = text(none=True, says="the next page's cursor")


class StudyAnswer(Answer):
    """A study in an upload."""

    key = text()
    date = text(says="YYYYMMDD, or empty")


class SeriesAnswer(Answer):
    """A series in an upload, or a NIfTI file."""

    key = text()
    study = text()
    sequence = text(*SEQUENCES, none=True)
    confidence = share()
    because = texts()
    slices = count()
    kind = text()
    description = text()
    wrong = text(says="why it cannot be taken, or empty")
    fix = text()
    thumbnail = text(none=True)


class DraftAnswer(Answer):
    """What an upload holds."""

    studies = many(StudyAnswer)
    series = many(SeriesAnswer)
    study = text(none=True, says="empty where there is but one; null where somebody must say")
    chosen = fields.Dict(keys=fields.String(validate=validate.OneOf(SEQUENCES)), values=fields.String(), required=True)
    missing = fields.List(fields.String(validate=validate.OneOf(SEQUENCES)), required=True)
    ready = flag()


class ProgressAnswer(Answer):
    """How far a prediction is."""

    step = text()
    done = count()
    of = count()
    before = fields.Integer(required=True, metadata={"description": "predictions that come first"})


class FailureAnswer(Answer):
    """Why there is no result."""

    problem = text()
    fix = text()


class QualityAnswer(Answer):
    """How good the scans are."""

    verdict = text("usable", "unreliable")
    reasons = texts()


class SourceAnswer(Answer):
    """Where a sequence came from."""

    confidence = share()
    notes = texts()


class EvidenceAnswer(Answer):
    """What Grad-CAM shows: places that speak for this answer of this head."""

    head = text("tumor", "mgmt")
    answer = flag()


class ModelAnswer(Answer):
    """The version that made a result, and what was signed of it."""

    version = text()
    approval = free()
    card = text(says="where its card is")
    heads = free()
    privacy = free()


class ResultAnswer(Answer):
    """What the model says of a patient, or why it says nothing."""

    verdict = text("usable", "unreliable")
    reasons = texts()
    tumor_probability = share(none=True)
    mgmt_probability = share(none=True)
    model_version = text()
    tumor_interval = interval()
    mgmt_interval = interval()
    tumor_decision = text("present", "absent", "undecided", none=True)
    mgmt_decision = text("methylated", "unmethylated", "undecided", none=True)
    tumor_possible = possible("present", "absent")
    mgmt_possible = possible("methylated", "unmethylated")
    tumor_threshold = share(none=True)
    mgmt_threshold = share(none=True)
    volumes_ml = fields.Dict(keys=fields.String(), values=fields.Float(), required=True)
    files = texts()
    gradcam = one(EvidenceAnswer, none=True)
    quality = one(QualityAnswer)
    sources = fields.Dict(keys=fields.String(), values=fields.Nested(SourceAnswer), required=True)
    model = one(ModelAnswer)
    seconds = fields.Dict(keys=fields.String(), values=fields.Float(), required=True)


class PredictionAnswer(ListedAnswer):
    """All of a prediction."""

    draft = one(DraftAnswer, none=True)
    progress = one(ProgressAnswer, none=True)
    failure = one(FailureAnswer, none=True)
    result = one(ResultAnswer, none=True)
