"""Errors of the roof; `code` is stable and printed by every command.

TidegateError
├── CatalogueError   plug-ins do not fit together
├── SettingsError    a setting is unknown or of the wrong kind
├── RunError         a run directory is missing or unreadable
├── NotFoundError    an id names nothing
├── PlaceError       a file or directory that was named cannot be used
├── LiveError        a directory of `up` cannot be gone on with as asked
├── GatewayError     the gateway cannot listen as asked
├── PlayError        what is played is not accepted
├── AuditLogError    an audit log cannot be read, written or trusted
├── LookError        a Prometheus cannot be read, or there is nothing in it
├── SchemaRegistryError  a schema registry refuses or cannot be asked
├── ApproveError     an approval, a token or a call that is not taken
└── ActGatewayError  the gateway of actions cannot run, or does not take an order
"""

from schemas import sentence


class TidegateError(Exception):
    """Fields say what happened, where, and what to do."""

    code = "TIDEGATE_ERROR"

    def __init__(self, what: str, *, where: str = "", todo: str = "", code: str = "") -> None:
        self.what, self.where, self.todo = what, where, todo
        self.code = code or type(self).code
        super().__init__(sentence(what, where, todo))


class CatalogueError(TidegateError):
    code = "CATALOGUE_INVALID"


class SettingsError(TidegateError):
    code = "SETTINGS_INVALID"


class RunError(TidegateError):
    code = "RUN_UNREADABLE"


class NotFoundError(TidegateError):
    code = "NOT_FOUND"


class PlaceError(TidegateError):
    code = "PLACE_UNUSABLE"


class LiveError(TidegateError):
    code = "LIVE_UNUSABLE"


class GatewayError(TidegateError):
    code = "GATEWAY_UNUSABLE"


class PlayError(TidegateError):
    code = "PLAY_FAILED"


class AuditLogError(TidegateError):
    code = "AUDIT_LOG_UNUSABLE"


class ApproveError(TidegateError):
    code = "NOT_APPROVED"


class ActGatewayError(TidegateError):
    code = "ACT_GATEWAY_UNUSABLE"


class LookError(TidegateError):
    code = "LOOK_FAILED"


class SchemaRegistryError(TidegateError):
    code = "SCHEMA_REGISTRY_UNUSABLE"
