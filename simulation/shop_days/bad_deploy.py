"""The bad deploy of the demo: a new version of checkout, some of whose orders fail; an innocent deploy goes before."""

from dataclasses import dataclass
from typing import ClassVar

from simulation._shop_day import Day, Deploy, Way, since
from simulation._shop_plan import ERROR, ORDER, Call, Log
from simulation._shop_tree import failing

_STACK = """java.lang.IllegalStateException: no discount table for currency CHF
\tat shop.checkout.Discounts.lookup(Discounts.java:57)
\tat shop.checkout.CheckoutService.price(CheckoutService.java:118)
\tat shop.checkout.CheckoutController.place(CheckoutController.java:91)"""
_THROWN = Log(f"order {ORDER} failed\n{_STACK}", ERROR, "checkout/Discounts.java", 57)


@dataclass(frozen=True, slots=True)
class BadDeploy(Day):
    """At `at_s` checkout 1.9.0 is deployed; `error_ratio` of the orders that it serves fail. Catalogue goes before."""

    kind: ClassVar[str] = "bad_deploy"
    about: ClassVar[str] = "a new version of checkout fails some orders; an innocent deploy goes before it"
    begins: ClassVar[str] = "checkout 1.9.0 is deployed"

    error_ratio: float = 0.05
    innocent_s: float = 120.0
    """How long before it the innocent deploy happens."""

    @property
    def deploys(self) -> tuple[Deploy, ...]:
        innocent = Deploy(self.at_s - self.innocent_s, "deploy #4520", "catalogue", "2.3.1")
        return innocent, Deploy(self.at_s, "deploy #4521", "checkout", "1.9.0")

    @property
    def cause(self) -> tuple[str, str, str] | None:
        return "deploy #4521", "checkout", "bad_deploy"

    @property
    def ways(self) -> tuple[Way, ...]:
        return (Way("checkout", since(self.at_s, self.error_ratio), _broken, is_new_only=True),)


def _broken(call: Call) -> Call:
    return failing(call, "checkout", 500, _THROWN, calls=2, work_ms=9.0)


PLUGIN = BadDeploy
