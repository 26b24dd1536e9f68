"""The list of days: every file of `simulation/shop_days/` that does not begin with an underscore."""

import importlib
import pkgutil

from simulation import shop_days
from simulation._shop_day import Day


def days() -> dict[str, type[Day]]:
    """Days by kind, in the order of their kinds."""
    names = [one.name for one in pkgutil.iter_modules(shop_days.__path__) if not one.name.startswith("_")]
    found: list[type[Day]] = [importlib.import_module(f"simulation.shop_days.{name}").PLUGIN for name in names]
    return {day.kind: day for day in sorted(found, key=lambda day: day.kind)}
