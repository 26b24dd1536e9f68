"""The gateway's own description names every source and what it answers."""

import json

from support.up import Clock, serving, settings

from tidegate import _catalogue
from tidegate._live import Live


def test_every_path_of_every_source_is_described_with_its_types_and_answers(tmp_path):
    live = Live(tmp_path, settings(), now_ns=Clock())
    with serving(live, is_local_only=True) as call:
        document = json.loads(call("GET", "/openapi.json").body)
        described = {path for path, calls in document["paths"].items() if "post" in calls}
        sources = [one for one in _catalogue.find("sources").values() if hasattr(one, "intake")]
        assert described == {path for one in sources for path in one.intake.paths} | {"/v1/events"}
        for path in described:
            said = call("POST", path, b"x", content_type="text/x-nothing")
            assert said.status == 415 and "415" in document["paths"][path]["post"]["responses"]
        for path in ("/v1/sources", "/healthz", "/metrics"):
            assert str(call("GET", path).status) in document["paths"][path]["get"]["responses"]
    live.close()
