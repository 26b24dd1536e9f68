"""A change of configuration: the limit of a page is raised for catalogue, and lists get slow and partly fail.

No version changes; the record of the change says `config`. An innocent deploy of shipping goes before it.
"""

from dataclasses import dataclass
from typing import ClassVar

from simulation._shop_day import Day, Deploy, Way, since
from simulation._shop_plan import ERROR, ORDER, Log
from simulation._shop_tree import failing, slowed

_SERVICE = "catalogue"
_TOO_LARGE = Log(f"page {ORDER} is larger than the cache takes: 10000 products", ERROR)


@dataclass(frozen=True, slots=True)
class ConfigurationChange(Day):
    """At `at_s` the page size of catalogue goes from 50 to 10,000."""

    kind: ClassVar[str] = "configuration_change"
    about: ClassVar[str] = "a setting of catalogue is changed, no version is: its lists get slow and partly fail"
    begins: ClassVar[str] = "the page size of catalogue is set to 10,000"

    innocent_s: float = 120.0

    @property
    def deploys(self) -> tuple[Deploy, ...]:
        innocent = Deploy(self.at_s - self.innocent_s, "deploy #871", "shipping", "1.1.4")
        return innocent, Deploy(self.at_s, "page_size 50 to 10000", _SERVICE, "config-18", kind="config")

    @property
    def cause(self) -> tuple[str, str, str] | None:
        return "page_size 50 to 10000", _SERVICE, "change"

    @property
    def ways(self) -> tuple[Way, ...]:
        return (
            Way(_SERVICE, since(self.at_s, 0.1), lambda call: failing(call, _SERVICE, 500, _TOO_LARGE)),
            Way(_SERVICE, since(self.at_s, 0.6), lambda call: slowed(call, _SERVICE, 350.0)),
        )


PLUGIN = ConfigurationChange
