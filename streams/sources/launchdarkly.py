"""Changes of feature flags, as LaunchDarkly's webhooks post entries of its audit log.

Source: LaunchDarkly webhooks, payload as of REST API version 20240415; hex HMAC-SHA256 in `X-LD-Signature`.
"""

import re

from schemas.core import Message
from streams._decoded import Decoded
from streams._intake import Intake, Signature
from streams.sources._webhook import Fields, change, plain, service_in

_CODE = "LAUNCHDARKLY_INVALID"
_RESOURCE = re.compile(r"proj/(?P<project>[^:;/]+)[^:]*(?::env/(?P<environment>[^:;/]+)[^:]*)?")


class LaunchDarkly:
    kind = "launchdarkly"
    topics: tuple[str, ...] = ()
    intake = Intake(
        paths=("/v1/launchdarkly",),
        keeps=("x-tidegate-service",),
        signatures=(Signature("x-ld-signature"),),
    )

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError LAUNCHDARKLY_INVALID naming the field. What is no flag or segment is empty."""
        body = Fields.of(message, _CODE)
        if body.text("kind") not in ("flag", "segment"):
            return Decoded()
        name, member = body.text("name"), body.maybe("member")
        resources = body.maybe("target").raw("resources")
        first = plain(resources[0]) if isinstance(resources, list) and resources else ""
        found = _RESOURCE.match(first)
        project, environment = (found["project"], found["environment"] or "") if found else ("", "")
        version = body.maybe("currentVersion").any("_version")
        return Decoded(records=(change(
            message, "launchdarkly", (body.text("_id"),), service_in(message, {}, project), "flag", body.time("date"),
            f"{body.any('titleVerb') or 'changed'} {name}", version_from=body.maybe("previousVersion").any("_version"),
            version_to=version, reference=first or name, author=member.any("email", "_id"), environment=environment,
        ),))  # fmt: skip


PLUGIN = LaunchDarkly
