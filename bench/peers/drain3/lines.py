"""drain3 with its defaults: `lines.py FOLDER` prints CPU seconds of all `*.fresh`, groups of all `*.known`."""

import json
import sys
import time
from pathlib import Path

from drain3 import TemplateMiner
from drain3.template_miner_config import TemplateMinerConfig


def main(folder: Path) -> None:
    """A miner a file; a line is given to it once, in order. Reading the lines does not count."""
    spent, groups = 0.0, {}
    for file in sorted(folder.glob("*.known")):
        miner = TemplateMiner(config=TemplateMinerConfig())
        groups[file.stem] = [miner.add_log_message(row)["cluster_id"] for row in _rows(file)]
    for file in sorted(folder.glob("*.fresh")):
        miner, rows = TemplateMiner(config=TemplateMinerConfig()), _rows(file)
        begin = time.process_time()
        for row in rows:
            miner.add_log_message(row)
        spent += time.process_time() - begin
    print(json.dumps({"cpu_s": spent, "groups": groups}))


def _rows(file: Path) -> list[str]:
    return file.read_bytes().decode().split("\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
