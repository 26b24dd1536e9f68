"""A process that drives actions on a durable ledger and kills itself at the n-th passing of a named point.

Each effect goes to an append-only file, one line each, synced, as a target would keep it. After the kill the test
starts it again without a point; it takes every open action up and goes to the end.
"""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from support.actions import NS, plan_of, seal, step_of

from actions._drive import advance, open_action, read_action
from actions._ledger import write
from actions._ledger_sqlite import SqliteLedger
from actions._machine_types import (
    Answered,
    Apply,
    Fence,
    Fenced,
    Gate,
    Gated,
    Measured,
    Probe,
    Read,
    Recovered,
    Renewed,
    Reserve,
    Reserved,
    TakeEpoch,
    Verify,
)

ROOT = Path(__file__).resolve().parents[2]
POINTS = (
    "before_begin", "after_action", "after_intent", "after_outbox", "before_commit", "after_commit", "before_command",
    "after_effect",
)  # fmt: skip
PLANS = [
    plan_of(step_of("t/flag/a"), step_of("t/flag/b")),
    plan_of(step_of("t/flag/c", undo_on_no_effect=True)),
    plan_of(step_of("t/flag/d"), step_of("t/flag/e"), step_of("t/flag/f")),
]


def main(path: Path, point: str, count: int, passed: Counter[str] | None = None) -> None:
    """Drive all plans to their end, or to the kill; `passed` counts the passings of each point."""
    left = [count]

    def at_point(name: str) -> None:
        if passed is not None:
            passed[name] += 1
        if name == point:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    ledger = SqliteLedger(path, seal, at_point)
    log = path.with_suffix(".effects")
    now = ledger.last_ns() + NS
    for number, plan in enumerate(PLANS):
        if ledger.latest(plan.change_key) is None:
            prepared = open_action(plan, 0, now)
            write(ledger, prepared.transaction)
            follow(ledger, log, at_point, prepared.action.key, list(prepared.commands), number)
    for key in ledger.open_actions():
        commands, _ = advance(ledger, key, Recovered(ledger.last_ns() + NS))
        number = [plan.change_key for plan in PLANS].index(read_action(ledger, key).plan.change_key)
        follow(ledger, log, at_point, key, list(commands), number)


def follow(ledger, log, at_point, key, commands, number) -> None:
    """Perform the commands of one action until it wants nothing more."""
    while commands:
        at_point("before_command")
        now = ledger.last_ns() + NS
        match commands.pop(0):
            case Gate():
                event = Gated(now, "permit", "RULE", "act", now)
            case Reserve():
                event = Reserved(now, read_action(ledger, key).plan.digest, now + 20 * NS, now)
            case TakeEpoch(target):
                event = Renewed(now, target, ledger.target(target).epoch + 1)
            case Apply(step, direction, target, epoch, _):
                append(log, f"{key} {step} {direction} {epoch}")
                at_point("after_effect")
                event = Answered(now, target, epoch, "applied")
            case Fence(target, epoch):
                event = Fenced(now, target, epoch)
            case Probe(step, target, epoch):
                event = Read(now, target, epoch, "applied" if is_on(log, key, step) else "not_applied")
            case Verify():
                event = Measured(now, ("recovered", "not_recovered", "regressed")[number], 1.0, 1.0)
        more, _ = advance(ledger, key, event)
        commands += more


def places(path: Path) -> list[tuple[str, int]]:
    """Each passing of each point in a run that nobody kills: the points in turn, earlier passings first."""
    passed = Counter[str]()
    main(path, "", 0, passed)
    return [(point, n) for n in range(1, max(passed.values()) + 1) for point in POINTS if n <= passed[point]]


def kill_and_resume(path: Path, point: str, count: int, fork: bool = False) -> list[str]:
    """Kill it there, start it again, and say what is wrong with the targets and the ledger; empty is right.

    `fork`: a process that is a copy of this one, which must have no threads.
    """
    start = _fork if fork else _start
    killed, resumed = (start(path, *told) for told in ((point, count), ("", 0)))
    wrong = [f"ended with {killed}, then {resumed}"] if (killed, resumed) != (-signal.SIGKILL, 0) else []
    log, ledger = path.with_suffix(".effects"), SqliteLedger(path, seal)
    logical = Counter(tuple(line.split()[:3]) for line in log.read_text().splitlines())
    wrong += [f"{times} times: {name}" for name, times in logical.items() if times > 1]
    wrong += [f"not ended: {key}" for key in ledger.open_actions()]
    for row in ledger.contents().actions:
        action = read_action(ledger, row.key)
        steps = set(range(len(action.plan.steps)))
        said = steps if row.state == "succeeded" else {one.step for one in action.residue}
        if said != {step for step in steps if is_on(log, row.key, step)}:
            wrong.append(f"{row.key} is {row.state} and says {said} is applied")
    ledger.close()
    return wrong


def _start(path: Path, point: str, count: int) -> int:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    told = [sys.executable, "-m", "support.actions_dying", str(path), point, str(count)]
    return subprocess.run(told, env=environment, cwd=ROOT, timeout=240).returncode


def _fork(path: Path, point: str, count: int) -> int:
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        main(path, point, count)
        os._exit(0)
    finally:
        os._exit(1)


def append(log: Path, line: str) -> None:
    with log.open("a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def is_on(log: Path, key: str, step: int) -> bool:
    lines = log.read_text().splitlines() if log.exists() else []
    mine = [line.split()[2] for line in lines if line.startswith(f"{key} {step} ")]
    return bool(mine) and mine[-1] == "do"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
