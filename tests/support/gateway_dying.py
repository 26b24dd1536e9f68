"""The gateway process that kills itself when it first passes a named point of an attempt."""

import os
import signal
import sys
from pathlib import Path

from tidegate._action_gateway import ActionGateway
from tidegate._action_gateway_serve import run_action_gateway
from tidegate._action_gateway_settings import ActGateway

POINTS = ("asked", "begun", "written", "answered")


def main(settings: Path, point: str) -> None:
    def at_point(name: str) -> None:
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    run_action_gateway(ActionGateway(ActGateway.read(settings), at_point=at_point))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
