"""The certificate of payment expires: connections to it end in the handshake, and no order can be paid.

Nothing was deployed and no machine is busy. Both ends say it in their lines: checkout that the certificate has
expired, payment that the other side refuses the handshake.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from simulation._shop_day import Day, Line, Way, since
from simulation._shop_plan import ERROR, ORDER, WARN, Log
from simulation._shop_tree import unreachable

_SERVICE = "payment"
_HANDSHAKE_MS = 4.0
_EVERY_S = 2.0
_REFUSED = Log("TLS handshake error: remote error: tls: expired certificate", WARN)
_EXPIRED = Log(
    f"order {ORDER} given up: x509: certificate of payment has expired or is not yet valid", ERROR,
    "checkout/CheckoutService.java", 149,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Certificate(Day):
    """At `at_s` the certificate that payment shows is no longer valid."""

    kind: ClassVar[str] = "certificate"
    about: ClassVar[str] = "the certificate of payment expires: every handshake with it fails"
    begins: ClassVar[str] = "the certificate of payment expires"

    @property
    def cause(self) -> tuple[str, str, str] | None:
        return "certificate expired", _SERVICE, "authentication"

    @property
    def ways(self) -> tuple[Way, ...]:
        return (Way(_SERVICE, since(self.at_s, 1.0), lambda c: unreachable(c, _SERVICE, _HANDSHAKE_MS, _EXPIRED)),)

    def lines(self, service: str, slot: int, from_s: float, to_s: float) -> Iterable[Line]:
        """Handshakes of payment end in a line of its own every other second, without a request."""
        at_s = -(-max(from_s, self.at_s) // _EVERY_S) * _EVERY_S
        while service == _SERVICE and at_s < to_s:
            yield Line(at_s, _REFUSED)
            at_s += _EVERY_S


PLUGIN = Certificate
