"""Errors of the machine and the ledger; part of the tree of `actions/_errors.py`.

ActionsError
├── IllegalTransition  an event that the action's state does not allow; the action is unchanged
├── LedgerFault        the store cannot promise durability (disk full, failed sync, wrong settings): nothing may act
└── RecordBroken       bytes in the ledger that are no action
"""

from actions._errors import ActionsError


class IllegalTransition(ActionsError):
    """The event came in a state, for an epoch or with a digest that does not fit; the action is as it was."""

    code = "ILLEGAL_TRANSITION"


class LedgerFault(ActionsError):
    """What was submitted is not known to be durable. Open the ledger anew and read it before anything else."""

    code = "LEDGER_FAULT"


class RecordBroken(ActionsError):
    code = "RECORD_BROKEN"
