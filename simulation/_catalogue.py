"""The catalogue of bugs: every file of `simulation/bugs/` that does not begin with an underscore."""

import importlib
import pkgutil

from simulation import bugs
from simulation._bugs import Bug


def catalogue() -> list[Bug]:
    """All bugs, in order of their files."""
    files = sorted(one.name for one in pkgutil.iter_modules(bugs.__path__) if not one.name.startswith("_"))
    found: list[Bug] = []
    for name in files:
        found += importlib.import_module(f"simulation.bugs.{name}").BUGS
    return found
