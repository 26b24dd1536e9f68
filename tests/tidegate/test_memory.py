"""What a long-running process leaves out."""

import subprocess
import sys

PROGRAM = """
import sys
from tidegate._memory import Trim, save_memory
save_memory(); save_memory()
import numpy as np, pyarrow as pa
assert pa.array(np.arange(3)).to_pylist() == [0, 1, 2] and pa.table({"a": [1.5]}).to_pydict() == {"a": [1.5]}
assert "pandas" not in sys.modules
trim = Trim(); trim(); trim._at = 0.0; trim()
assert trim._at > 0
"""


def test_pyarrow_does_not_bring_pandas_into_a_process_that_saves_memory() -> None:
    import pandas  # noqa: F401  # it is installed, so it could have

    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
