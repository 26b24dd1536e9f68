"""Attributes that OpenTelemetry has renamed, under the names that they have now.

A sender that is brought up to date names the same thing otherwise (`http.status_code` became
`http.response.status_code`), and its series would be others from that day on. So labels are named as they are now, and
what is read from spans and logs is looked for under both names. That goes by the name alone and not by `schema_url`:
many senders leave that away, an unknown one must not matter, and a name that was given up is never given to something
else. Values are left as they are; a metric that was renamed has another unit mostly, and stays another metric.
Source: OpenTelemetry semantic conventions, the files of schemas 1.21 to 1.39 (`rename_attributes`), and its guides for
HTTP, database, RPC and messaging migration.
"""

import re
from collections.abc import Iterable

NOW = {
    "http.method": "http.request.method", "http.status_code": "http.response.status_code", "http.scheme": "url.scheme",
    "http.flavor": "network.protocol.version", "net.protocol.name": "network.protocol.name",
    "net.protocol.version": "network.protocol.version", "net.peer.name": "server.address",
    "net.peer.port": "server.port", "net.host.name": "server.address", "net.host.port": "server.port",
    "db.system": "db.system.name", "db.name": "db.namespace", "db.operation": "db.operation.name",
    "db.sql.table": "db.collection.name", "messaging.operation": "messaging.operation.type",
    "messaging.kafka.consumer.group": "messaging.consumer.group.name", "rpc.system": "rpc.system.name",
    "deployment.environment": "deployment.environment.name",
    "code.filepath": "code.file.path", "code.lineno": "code.line.number", "code.function": "code.function.name",
}  # fmt: skip
NEWEST = 1, 39
"""The newest version that was read for this table."""
OLD_IN_JSON = re.compile(b'"(?:%s)":' % "|".join(map(re.escape, NOW)).encode())
"""Finds a label with an old name in labels as JSON; it may also find one inside a value."""


def names_of(now: str) -> tuple[str, ...]:
    """What an attribute is called, the name that it has now first.

    >>> names_of("http.request.method")
    ('http.request.method', 'http.method')
    """
    return now, *(old for old, new in NOW.items() if new == now)


def renamed(attributes: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Labels by the names that they have now. A sender that says both means one thing; of two values both are kept.

    >>> renamed([("http.method", "GET"), ("http.request.method", "GET"), ("db.name", "a"), ("db.namespace", "b")])
    {'http.request.method': 'GET', 'db.name': 'a', 'db.namespace': 'b'}
    """
    found = dict(attributes)
    for old, now in NOW.items():
        if old in found and found.setdefault(now, found[old]) == found[old]:
            del found[old]
    return found
