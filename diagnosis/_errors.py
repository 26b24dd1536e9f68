"""Errors of the diagnosis room; `code` is the metric label.

DiagnosisError
└── StateInvalid       a snapshot of the diagnose stage cannot be read
"""


class DiagnosisError(Exception):
    """Fields say what happened and what to do; `code` is stable."""

    code = "DIAGNOSIS_ERROR"

    def __init__(self, what: str, *, todo: str = "") -> None:
        self.what, self.todo = what, todo
        super().__init__(". ".join(part.rstrip(".") for part in (what, todo) if part) + ".")


class StateInvalid(DiagnosisError):
    code = "DIAGNOSE_STATE_INVALID"
