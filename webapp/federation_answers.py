"""What is answered about the federation, as /openapi.json describes it."""

from marshmallow import fields, validate

from webapp.described import Answer, count, flag, free, many, moment, number, one, share, text, texts


class ProcessAnswer(Answer):
    """A process of the coordinator."""

    name = text()
    pid = fields.Integer(required=True, allow_none=True)
    since = text()
    restarts = count()
    last_exit = fields.Integer(required=True, allow_none=True)


class SiteAnswer(Answer):
    """A site, and what it does."""

    site = text()
    state = text("invited", "enrolled", "suspended", "revoked", "left")
    doing = text(says="away, waiting, idle, training, evaluating, uploading, or the state that keeps it out")
    run = text()
    round = count()
    progress = fields.List(fields.Integer(), required=True, validate=validate.Length(equal=2))
    progress_age_s = number(none=True)
    expected_end = moment(none=True)
    sent_bytes = count()
    received_bytes = count()
    cpu_s = number()
    gpu_s = number()
    device = text()
    cause = text(says="what is wrong, or empty")


class ScoresAnswer(Answer):
    """How good the incoming model is at a site."""

    loss = number(none=True)
    auc = share(none=True)


class RoundAnswer(Answer):
    """One try of a round."""

    round = count()
    counted = flag()
    sites = texts()
    left_out = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    loss = number(none=True)
    auc = share(none=True)
    by_site = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(ScoresAnswer),
        required=True,
        allow_none=True,
        metadata={"description": "null where sites do not tell"},
    )
    seconds = number()
    closed_at = moment()


class BriefRunAnswer(Answer):
    """A run in a list."""

    run = text()
    study = text()
    state = text("offered", "starting", "running", "paused", "stopped", "failed", "finished")
    cause = text()
    version = text(none=True)
    complete = fields.Boolean(required=True, metadata={"description": "every site counted in every round so far"})
    rounds_done = count()
    rounds_wanted = count()
    newest = one(RoundAnswer, none=True)


class FederationAnswer(Answer):
    """Every site and run at one moment, the newest run first."""

    processes = many(ProcessAnswer)
    sites = many(SiteAnswer)
    runs = many(BriefRunAnswer)


class EffortAnswer(Answer):
    """What a run has cost a site so far."""

    site = text()
    sent_bytes = count()
    received_bytes = count()
    cpu_s = number()
    gpu_s = number()


class CostAnswer(Answer):
    """What a run has cost, as texts with two decimals: money in the currency, GPU hours of all sites."""

    currency = text()
    is_priced = fields.Boolean(required=True, metadata={"description": "the coordinator has named prices"})
    is_timed = fields.Boolean(required=True, metadata={"description": "sites tell how long they work"})
    sites = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    coordinator = text(says="what the coordinator sends and keeps")
    total = text()
    gpu_hours = text()
    projected = text(none=True, says="the whole run; null where it has ended, or nothing is known")
    projected_gpu_hours = text(none=True)
    projected_from = text(none=True, says="the run whose rounds this is worked out from")
    budget = text(none=True, says="null: no limit")
    budget_gpu_hours = text(none=True)


class PrivacyAnswer(Answer):
    """How a study protects each patient."""

    is_on = flag()
    says = text()
    epsilon = number(none=True)
    delta = number(none=True)


class RunAnswer(BriefRunAnswer):
    """All of a run."""

    created_at = moment()
    changed_at = moment()
    wish = text("stop", "resume", none=True)
    sites = texts()
    answers = free()
    rounds = many(RoundAnswer)
    efforts = many(EffortAnswer)
    cost = one(CostAnswer)
    closes = text(says="when a round closes")
    privacy = one(PrivacyAnswer)


class RunWishAnswer(Answer):
    """What was asked of a run."""

    run = text()
    wish = text("stop", "resume")
