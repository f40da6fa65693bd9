"""What /openapi.json says, and whether an answer is what it says.

`python -m tests.webapp.contract` prints it: the pages' client is made from that.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import jsonschema_rs
from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse


def check_answer(app: Flask, answer: TestResponse) -> None:
    """Fail where an answer has a status, a type or a body that its operation's description does not have."""
    operation = _operation(app, answer.request.path, answer.request.method)
    if operation is None:
        return
    described = operation["responses"]
    is_failure = answer.status_code >= 400 and str(answer.status_code) not in described
    told = described["default"] if is_failure else described[str(answer.status_code)]
    if "$ref" in told:
        told = _contract(app)["components"]["responses"][told["$ref"].rpartition("/")[2]]
    content = told.get("content")
    if not content:
        assert not answer.data or answer.status_code in (302,), f"{answer.request.path} answers more than it says"
        return
    assert answer.mimetype in content, f"{answer.request.path} answers {answer.mimetype}"
    if answer.mimetype == "application/json":
        whole = {**content["application/json"]["schema"], "components": _contract(app)["components"]}
        errors = [f"{error.instance_path}: {error.message}" for error in jsonschema_rs.iter_errors(whole, answer.json)]
        assert not errors, f"{answer.request.method} {answer.request.path}: {errors[:3]}"


def _operation(app: Flask, path: str, method: str) -> dict[str, Any] | None:
    try:
        rule, _ = app.url_map.bind("localhost").match(path, method, return_rule=True)
    except HTTPException:
        return None
    described = _contract(app)["paths"].get(rule.rule.replace("<string:", "{").replace(">", "}"), {})
    found: dict[str, Any] | None = described.get(method.lower())
    return found


def _contract(app: Flask) -> dict[str, Any]:
    if "gliofed-contract" not in app.extensions:
        app.extensions["gliofed-contract"] = app.test_client().get("/openapi.json", base_url="https://localhost").json
    contract: dict[str, Any] = app.extensions["gliofed-contract"]
    return contract


def main() -> None:
    from webapp.app import create_app
    from webapp.config import WebConfig

    with tempfile.TemporaryDirectory() as folder:
        app = create_app(WebConfig(data=Path(folder)))
        sys.stdout.write(json.dumps(_contract(app), indent=1) + "\n")


if __name__ == "__main__":
    main()
