"""Defences that are off while another one is tried."""

from typing import Any

from actions._gateway import Verdict
from actions._verify import Finding
from schemas.core import NS
from simulation._bugs import Swap, always

HOUR = 3600 * NS
YES = Verdict("MAY_WRITE")
G = "actions._gateway"


def without(*reasons: str) -> Any:
    """A check that does not know these reasons."""

    def make(original: Any) -> Any:
        def check(*told: Any) -> Verdict:
            verdict: Verdict = original(*told)
            return YES if verdict.reason in reasons else verdict

        return check

    return make


def _blind_targets(*reasons: str) -> Any:
    """`check_target` ends with its first fault, so what it would have found after that is looked for by itself."""

    def make(original: Any) -> Any:
        def check_target(trust: Any, verb: Any, effect: Any, permit: Any, reading: Any) -> Verdict:
            verdict: Verdict = original(trust, verb, effect, permit, reading)
            return YES if verdict.reason in reasons else verdict

        return check_target

    return make


ALREADY_SO = Swap(
    f"{G}:check_target", _blind_targets("ALREADY_SO", "NOT_AS_EXPECTED", "OTHER_DRY_RUN", "VERSION_MOVED")
)
ANY_VERSION = ALREADY_SO
NOBODY_S_MARK = Swap(f"{G}:check_target", _blind_targets("NOT_OUR_MARK", "NOT_AS_EXPECTED", "ALREADY_SO"))


def _long_lived(original: Any) -> Any:
    return lambda request, **named: original(request._replace(until_ns=request.until_ns + HOUR), **named)


PATIENT_PERMITS = (
    Swap(f"{G}:_times", always(YES)),
    Swap("actions._permit:mint", _long_lived),
    Swap("actions._permit:LONGEST_MS", lambda original: 1 << 40),
)
DEAF_GATEWAY = Swap(f"{G}:check_kill", always(YES))
DEAF_WORKER = Swap("actions._perform:Performer._held", always(""))
BLIND_TO_EPOCHS = Swap(f"{G}:_epoch", always(YES))
NEW_TO_IT = Swap(f"{G}:_epoch", without("SENT_BEFORE"))
SEEING_NO_MASS = Swap("actions._safety:mass_illness", always(None))
NO_FLOOR = Swap(f"{G}:_floor", always(YES))
RECOVERED = Finding("recovered", "BELIEVED", 1.0, 1.0)
