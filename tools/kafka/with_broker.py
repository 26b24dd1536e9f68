"""Runs a Python command beside a broker of its own: `python -m tools.kafka.with_broker -m MODULE ARGS...`.

The command gets `--brokers HOST:PORT` at its end; its exit code is ours.
"""

import subprocess
import sys
from pathlib import Path


def main() -> int:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
    from support.kafka import Broker

    with Broker() as broker:
        return subprocess.run([sys.executable, *sys.argv[1:], "--brokers", broker.bootstrap], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
