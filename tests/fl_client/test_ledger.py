"""The ledger, from events as the gate writes them."""

from fl_client.ledger import Sent, Total, departure_of, ledger_lines, sent_by_run, totals

WEIGHTS = "0123456789abcdef" * 4
EVENTS: list[tuple[str, str, dict[str, object]]] = [
    ("10:00:00", "update.sent", {"study": "glioma", "run": "glioma-1", "round": 1, "bytes": 43_210}),
    ("10:00:05", "evaluation.sent", {"study": "glioma", "run": "glioma-1", "round": 1, "bytes": 1_790}),
    ("10:01:00", "update.sent", {"study": "trial", "run": "trial-7", "round": 12, "bytes": 16_560_000}),
    ("10:02:00", "error.sent", {"study": "glioma", "run": "", "round": 0, "bytes": 0, "code": 1007}),
    ("10:03:00", "reply.refused", {"study": "glioma", "run": "", "round": 2, "reason": "The weights\n hold NaN"}),
]
DEPARTURES = [
    departure_of(
        f"2026-03-04T{at}.123456Z",
        action,
        body | ({"weights_sha256": WEIGHTS} if action == "update.sent" else {"weights_sha256": ""})
        if action != "reply.refused"
        else body,
    )
    for at, action, body in EVENTS
]


def test_each_departure_is_a_line_oldest_first_then_each_studys_total() -> None:
    assert ledger_lines(DEPARTURES) == [
        "time (UTC)           study   run       round  what             bytes  weights",
        "2026-03-04 10:00:00  glioma  glioma-1      1  update          43,210  0123456789ab",
        "2026-03-04 10:00:05  glioma  glioma-1      1  evaluation       1,790  -",
        "2026-03-04 10:01:00  trial   trial-7      12  update      16,560,000  0123456789ab",
        "2026-03-04 10:02:00  glioma  -             0  error 1007           0  -",
        "2026-03-04 10:03:00  glioma  -             2  HELD BACK            0  -  The weights? hold NaN",
        "",
        "glioma: 3 answers left, 45,000 bytes (0.04 MB); 1 HELD BACK",
        "trial: 1 answer left, 16,560,000 bytes (16.56 MB)",
    ]


def test_totals_count_what_left_and_what_did_not() -> None:
    assert totals(DEPARTURES) == [Total("glioma", 3, 45_000, 1), Total("trial", 1, 16_560_000, 0)]


def test_only_updates_and_evaluations_count_as_a_runs_answers() -> None:
    assert sent_by_run(DEPARTURES) == [Sent("glioma-1", "glioma", 2, 1), Sent("trial-7", "trial", 1, 12)]


def test_an_empty_ledger_says_so() -> None:
    assert ledger_lines([]) == ["Nothing has left this site."]
