"""Errors of the actions room; `code` is stable and is also the reason of a refusal and a metric label.

ActionsError
├── UnknownVerb          a verb that no plug-in declares
├── ParametersInvalid    parameters that do not fit their verb
├── SelectorInvalid      a target that is empty or would mean more than one thing
├── ReferenceUnresolved  a reference of a runbook that the hypothesis cannot answer
├── RunbookError         a runbook file that cannot be used
├── PolicyError          a policy file that cannot be used
├── StateInvalid         bytes that are not a state of this stage
├── AuditInvalid         bytes that are not an entry of an audit log, or what has no place in one
├── NoteInvalid          text that is not a checkpoint or key of this log
└── ApprovalsError       keys, nonces or questions that cannot be used for approvals
"""


class ActionsError(Exception):
    """Fields say what happened, where, and what to do; `code` is stable."""

    code = "ACTIONS_ERROR"

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        self.what, self.where, self.todo = what, where, todo
        head = f"{where}: {what}" if where else what
        super().__init__(
            " ".join(part if part.endswith("?") else part.rstrip(".") + "." for part in (head, todo) if part)
        )


class UnknownVerb(ActionsError):
    code = "UNKNOWN_VERB"


class ParametersInvalid(ActionsError):
    code = "PARAMETERS_INVALID"


class SelectorInvalid(ActionsError):
    code = "SELECTOR_INVALID"


class ReferenceUnresolved(ActionsError):
    code = "REFERENCE_UNRESOLVED"


class RunbookError(ActionsError):
    code = "RUNBOOK_INVALID"


class PolicyError(ActionsError):
    code = "POLICY_INVALID"


class StateInvalid(ActionsError):
    code = "STATE_INVALID"


class AuditInvalid(ActionsError):
    code = "AUDIT_INVALID"


class NoteInvalid(ActionsError):
    code = "NOTE_INVALID"


class ApprovalsError(ActionsError):
    code = "APPROVALS_INVALID"
