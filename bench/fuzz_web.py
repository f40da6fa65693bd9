"""Does any request that /openapi.json allows, or nearly allows, end in a 5xx?

`python -m bench.fuzz_web --inputs 10000`
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.webapp.factories import Browser, Server, a_config, a_patient, a_server


def fuzz(server: Server, inputs: int, start: int = 0) -> tuple[Counter[tuple[str, int]], list[str]]:
    """Send so many requests, spread over all operations and users, and return what was answered and what failed."""
    schema = schemathesis.openapi.from_wsgi("/openapi.json", server.app)
    schema.config.generation.update(with_security_parameters=False)
    operations = [found.ok() for found in schema.get_all_operations()]
    tokens = [*(_token(server.browser(name)) for name in server.secrets), "of nobody"]
    seen: Counter[tuple[str, int]] = Counter()
    failed: list[str] = []
    each = -(-inputs // len(operations))
    # Signing out would end the token, so it comes last.
    operations.sort(key=lambda operation: operation.label == "DELETE /session")
    for number, operation in enumerate(operations):
        _send_to(operation, each, start + number, tokens, seen, failed)
    return seen, failed


def _send_to(
    operation: schemathesis.APIOperation,
    inputs: int,
    number: int,
    tokens: list[str],
    seen: Counter[tuple[str, int]],
    failed: list[str],
) -> None:
    name = operation.label

    @seed(number)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), token=st.sampled_from(tokens), valid=st.booleans(), data=st.data())
    def send(case: schemathesis.Case, token: str, valid: bool, data: st.DataObject) -> None:
        headers = {"Host": "localhost", "Authorization": f"Bearer {token}"}
        for name_of in [one for one in case.headers if one.lower() in ("authorization", "cookie")]:
            del case.headers[name_of]  # those that the contract's own description makes up are nobody's
        case.cookies.clear()
        if not valid and isinstance(case.body, dict):
            case.body = data.draw(_JUNK)
        answer = case.call(headers=headers, base_url="https://localhost")
        seen[name, answer.status_code] += 1
        case.validate_response(answer, checks=[response_schema_conformance])
        if answer.status_code >= 500 and name != "GET /readyz":
            failed.append(f"{name}: {answer.status_code} {case.as_curl_command()}")

    send()


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


def _token(browser: Browser) -> str:
    token: str = browser.post("/tokens", json={"label": "fuzz"}).json["token"]
    return token


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given_ = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        server = a_server(a_config(Path(name), sign_in={"failures": 20}))
        anna = server.browser("anna")
        anna.upload(a_patient(Path(name) / "p"), wait=0)
        server.work()
        seen, failed = fuzz(server, given_.inputs, given_.seed)
    by_status: Counter[int] = Counter()
    for (_, status), count in seen.items():
        by_status[status] += count
    operations = len({name for name, _ in seen})
    print(f"{sum(seen.values())} requests to {operations} operations: {dict(sorted(by_status.items()))}")
    print(f"5xx: {len(failed)}")
    for line in sorted(set(failed))[:20]:
        print(line)
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
