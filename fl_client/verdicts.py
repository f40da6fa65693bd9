"""What SuperNode is told of the coordinator's answers, so that no failure ends it, and what people are told.

SuperNode 1.41 tries a call again after 502, 503, 504 or a broken connection. A 403 means to it that the run is over: it
drops the message and goes on. After any other status it stays as a process and never works again.
"""

import json
from dataclasses import dataclass

from fl_client.fleet_messages import ACTIVATE, HEARTBEAT
from fl_client.relay import Answer

# Flower's code for a node that cannot become active: unknown, or its predecessor crashed less than a minute ago.
NOT_ACTIVATED = 2004
OK, FORBIDDEN, UNAUTHORIZED, UNAVAILABLE = 200, 403, 401, 503
# The longest that is repeated of what the coordinator says.
WORDS = 300


@dataclass(frozen=True)
class Verdict:
    """What becomes of an answer.

    Attributes:
        status: what SuperNode gets; the body goes with it unchanged if it is the coordinator's own.
        problem, fix: what people are told; empty where nothing is wrong.
        refused: whether the coordinator does not want this site, so that asking again at once is no use.
    """

    status: int
    problem: str = ""
    fix: str = ""
    refused: bool = False


def verdict_on(call: str, answer: Answer) -> Verdict:
    """Judge an answer of the coordinator.

    Args:
        call: the last part of the call's path.
        answer: with any status.
    """
    if answer.status < 300:
        return Verdict(answer.status)
    code = flower_code(answer.body)
    if code is not None and answer.status < 500:
        return _of_flower(call, code)
    refusal = _refusal(answer.body)
    if refusal is not None:
        return Verdict(UNAVAILABLE, *refusal, refused=answer.status in (UNAUTHORIZED, FORBIDDEN))
    if answer.status == UNAUTHORIZED:
        return Verdict(
            UNAVAILABLE,
            "The coordinator does not accept this site's node key, or the two clocks differ",
            "run `fl-client check`: this machine's clock may be at most 5 seconds fast",
            refused=True,
        )
    return Verdict(
        UNAVAILABLE,
        f"The coordinator answered {call} with HTTP status {answer.status}",
        "it is tried again; tell the coordinator if it stays so",
    )


def _of_flower(call: str, code: int) -> Verdict:
    if code == NOT_ACTIVATED:
        return Verdict(
            UNAVAILABLE,
            "The coordinator does not let this site's node in yet",
            "wait: after a crash it takes a minute; tell the coordinator if it takes longer",
        )
    if call in (ACTIVATE, HEARTBEAT):
        return Verdict(
            UNAVAILABLE, f"The coordinator refuses this site's node (Flower's code {code})", "tell the coordinator"
        )
    # About one run, which is over or goes on without this message; the coordinator asks again if it wants to.
    return Verdict(FORBIDDEN)


def _refusal(body: bytes) -> tuple[str, str] | None:
    """Return problem and fix where the coordinator's edge refused and said why."""
    try:
        told = json.loads(body)
    except ValueError:
        return None
    if not isinstance(told, dict) or not isinstance(told.get("problem"), str) or not isinstance(told.get("fix"), str):
        return None
    return told["problem"][:WORDS], told["fix"][:WORDS]


def flower_code(answer: bytes) -> int | None:
    """Return the code of an error that Flower itself answers, or None where the answer is somebody else's."""
    try:
        told = json.loads(answer)
    except ValueError:
        return None
    if not isinstance(told, dict) or not isinstance(told.get("detail"), str):
        return None
    code = told.get("code")
    return code if isinstance(code, int) and not isinstance(code, bool) else None
