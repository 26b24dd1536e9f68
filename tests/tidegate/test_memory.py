"""What a long-running process leaves out."""

import os
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


def test_a_command_has_arrow_take_its_memory_from_the_c_library_unless_told_otherwise() -> None:
    program = "import tidegate.cli, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    for told, expected in ((None, "system"), ("mimalloc", "mimalloc")):
        env = {k: v for k, v in os.environ.items() if k != "ARROW_DEFAULT_MEMORY_POOL"}
        env |= {"ARROW_DEFAULT_MEMORY_POOL": told} if told else {}
        found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=env)
        assert found.stdout.strip() == expected
