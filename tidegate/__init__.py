"""Tidegate: telemetry to calibrated hypotheses to policy-gated actions; the same code live and in replay.

The rooms are plain top-level packages, because Tidegate is an application with an environment of its own. So importing
it checks first that each of them is ours, and names the one that stands before it.
"""

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

PACKAGES = (
    "schemas", "streams", "detectors", "diagnosis", "actions", "learning", "simulation", "policies", "runbooks",
)  # fmt: skip


def shadowed(home: Path, packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Packages that are not beside `home`, and where Python found them instead (empty text: nowhere)."""
    found = {}
    for name in packages:
        spec = find_spec(name)
        place = Path(spec.origin).resolve().parent if spec is not None and spec.origin else None
        if place is None or place.parent != home:
            found[name] = str(place or "")
    return found


_foreign = shadowed(Path(__file__).resolve().parent.parent)
if _foreign:
    _name, _place = next(iter(_foreign.items()))
    raise ImportError(
        f"package '{_name}' comes from {_place or 'nowhere'} and is not Tidegate's. "
        "Install Tidegate into an environment of its own."
    )

try:
    __version__ = metadata.version("tidegate")
except metadata.PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0.0.0"
