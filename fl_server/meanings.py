"""What a site's error codes mean, in our words: the text that comes with one is the site's and is never kept."""

from core.messages import HELD_BACK, SITE_ERROR

# Below SITE_ERROR the codes are Flower's own (flwr.common.constant.ErrorCode).
MEANINGS = {
    1: "the site's app could not be loaded",
    2: "the site's app stopped with an error that it did not report itself",
    3: "the task expired before the site took it",
    4: "the answer expired before it arrived",
    5: "the site's node went offline",
    7: "the site did not approve this app",
    8: "the site's app stopped responding",
    SITE_ERROR: "an unexpected error at the site",
    SITE_ERROR + 2: "the site's settings are wrong",
    SITE_ERROR + 3: "scans or labels at the site cannot be used",
    SITE_ERROR + 4: "scans or labels at the site cannot be used",
    SITE_ERROR + 5: "scans or labels at the site cannot be used",
    SITE_ERROR + 6: "the site's cohort is not prepared for this study",
    SITE_ERROR + 7: "the site could not use the task: not approved there, or another release, study or model",
    SITE_ERROR + 8: "training at the site could not go on",
    SITE_ERROR + 10: "the site's records cannot be used",
    SITE_ERROR + 11: "the site's audit log is not what was written",
    SITE_ERROR + 13: "the site's trainer cannot be reached",
    SITE_ERROR + 14: "the site's privacy budget or floor does not allow this round",
    HELD_BACK: "the site's gate did not let its answer out: its ledger says why",
}


def meaning_of(code: int) -> str:
    """Say what an error reply means by its code."""
    return f"{MEANINGS.get(code, 'an error without a known meaning')} (code {code})"
