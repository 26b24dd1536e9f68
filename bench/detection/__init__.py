"""How well anomalies and log templates are found on labelled public sets: `python -m bench.detection --data PATH`.

One file a set, found by scanning this folder: its name is the name of the set and of its folder below PATH. It has
`measure(data) -> dict` (the keys of the set; `data` is the folder of the set) and `table(found) -> list[str]` (lines
to print). A set whose folder is not there is left out.
"""

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType


def sets() -> dict[str, ModuleType]:
    """Every set by name."""
    names = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    return {name: importlib.import_module(f"bench.detection.{name}") for name in names if not name.startswith("_")}
