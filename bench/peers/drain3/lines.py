"""drain3 with its defaults: `lines.py FOLDER KIND...` prints CPU seconds of all `*.KIND`, groups of `*.known`."""

import json
import sys
import time
from pathlib import Path

from drain3 import TemplateMiner
from drain3.template_miner_config import TemplateMinerConfig


def main(folder: Path, kinds: list[str]) -> None:
    """A miner a file; a line is given to it once, in order. Reading the lines does not count."""
    spent, groups = dict.fromkeys(kinds, 0.0), {}
    for file in sorted(folder.glob("*.known")):
        miner = TemplateMiner(config=TemplateMinerConfig())
        groups[file.stem] = [miner.add_log_message(row)["cluster_id"] for row in _rows(file)]
    for kind in kinds:
        for file in sorted(folder.glob(f"*.{kind}")):
            miner, rows = TemplateMiner(config=TemplateMinerConfig()), _rows(file)
            begin = time.process_time()
            for row in rows:
                miner.add_log_message(row)
            spent[kind] += time.process_time() - begin
    print(json.dumps({"cpu_s": spent, "groups": groups}))


def _rows(file: Path) -> list[str]:
    return file.read_bytes().decode().split("\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
