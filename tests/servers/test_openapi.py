"""What the gateway says of itself holds: Schemathesis makes up requests from `/openapi.json`, good ones and bad ones.

No answer may be a 5xx, have a status or a content type that the document does not name, or let a wrong request pass.
TIDEGATE_OPENAPI_EXAMPLES is how many each operation gets, TIDEGATE_OPENAPI_KEEP where the numbers are kept.
"""

import json
import os
from pathlib import Path

from support import openapi_runs
from support.up_running import Up

EXAMPLES = int(os.environ.get("TIDEGATE_OPENAPI_EXAMPLES", "4"))
KEEP = os.environ.get("TIDEGATE_OPENAPI_KEEP", "")
TOKEN = "openapi-token-0123456789"


def test_every_answer_is_one_that_the_document_names(tmp_path: Path) -> None:
    up = Up(tmp_path / "up", TOKEN)
    try:
        found = openapi_runs.run(up.url, TOKEN, EXAMPLES)
    finally:
        up.end()
    if KEEP:
        told = {"bench": "openapi", "examples": EXAMPLES, **openapi_runs.summary(found["said"]), "code": found["code"]}
        Path(KEEP).write_text(json.dumps(told, indent=1) + "\n")
    assert found["code"] == 0, found["said"][-3000:]
