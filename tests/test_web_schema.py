"""Requests of all kinds, drawn from the API's own description: never a 5xx, answers as described.

`CTSEARCH_SCHEMATHESIS_S=600 pytest tests/test_web_schema.py -s` asks for longer and shows what was found.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.tiny_model import write_tiny_model
from tests.web_app import running
from tests.web_archive import fill_archive
from web.access.access_tokens import AccessTokens
from web.access.accounts import Accounts

SECONDS = int(os.environ.get("CTSEARCH_SCHEMATHESIS_S", "20"))  # a role
LEFT_OUT = "/accounts|/events|/tokens"  # may end the run's own access; a stream lasts as long as its job
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.slow
@pytest.mark.parametrize("role", ["admin", "reader"])
def test_no_request_that_the_description_allows_or_forbids_breaks_the_server(
    engine: Engine, tmp_path: Path, role: str
) -> None:
    write_tiny_model(tmp_path / "tiny")
    fill_archive(engine, tmp_path / "tiny")
    Accounts(engine, actor="tests").add("somebody", role=role)
    token, _ = AccessTokens(engine, actor="tests").make("somebody", label="schemathesis", days=1)
    with running(engine, requests_per_minute=10**6) as address:
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{address}/api/v1/openapi.json"),
                *("-H", f"Authorization: Bearer {token}", "--checks", CHECKS, "--continue-on-failure"),
                *("--phases", "examples,coverage,fuzzing", "--seed", "1", "--max-time", str(SECONDS)),
                *("--exclude-path-regex", LEFT_OUT, "--request-timeout", "30"),
            ],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=os.environ | {"PYTHONIOENCODING": "utf-8"},
            cwd=tmp_path,
            check=False,
        )
    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", ran.stdout)
    if SECONDS > 60:
        sys.stdout.write(said)
    assert ran.returncode == 0, said[-8000:] + ran.stderr[-2000:]
