"""What can befall a tree of calls: a service in it is slow, fails, or cannot be reached. Pure functions of trees.

Where a service fails, each caller above it stops there, answers 500 and says so in a line of its own; a tree without
the service comes back as it was.
"""

from collections.abc import Callable

from simulation._shop_plan import ERROR, Call, Log, entry


def slowed(call: Call, service: str, ms: float, log: Log | None = None) -> Call:
    """Every call of the service takes so much longer (median) of its own time; it logs the line as well."""
    calls = tuple(slowed(one, service, ms, log) for one in call.calls)
    if call.service != service:
        return call._replace(calls=calls)
    return call._replace(calls=calls, work_ms=call.work_ms + ms, logs=(*call.logs, *([log] if log else [])))


def delayed(call: Call, service: str, ms: float) -> Call:
    """The ways to and from the service take so much longer (median); itself it works as ever."""
    calls = tuple(
        one._replace(network_ms=one.network_ms + ms) if one.service == service else delayed(one, service, ms)
        for one in call.calls
    )
    return call._replace(calls=calls)


def failing(
    call: Call, service: str, status: int, log: Log, *, calls: int = 0, work_ms: float | None = None
) -> Call:  # fmt: skip
    """The service answers with the status and logs the line as its last; it makes its first `calls` calls only."""

    def fail(one: Call) -> Call:
        logs = (*one.logs[:-1], log)
        took = one.work_ms if work_ms is None else work_ms
        return one._replace(calls=one.calls[:calls], logs=logs, status=status, work_ms=took)

    return _above(call, service, fail)


def refusing(call: Call, service: str, status: int) -> Call:
    """The service finds fault with what it is asked (4xx); who calls it passes that on; no line but the access."""
    if call.service == service:
        return call._replace(calls=(), logs=(), status=status)
    for i, one in enumerate(call.calls):
        ill = refusing(one, service, status)
        if ill != one:
            calls = (*call.calls[:i], ill)
            if call.service == "gateway":
                return entry(call.name, *calls, status=status)
            return call._replace(calls=calls, logs=call.logs[:-1], status=status)
    return call


def unreachable(call: Call, service: str, ms: float, log: Log | None = None) -> Call:
    """Calls of the service never arrive; after so long (median) the caller gives up, and logs the line."""
    return _above(call, service, lambda one: one._replace(lost_ms=ms, status=0, calls=(), logs=()), log)


def _above(call: Call, service: str, change: Callable[[Call], Call], log: Log | None = None) -> Call:
    """log: of the direct caller, in place of the one that any caller writes."""
    if call.service == service:
        return change(call)
    for i, one in enumerate(call.calls):
        ill = _above(one, service, change, log)
        if ill != one:
            calls = (*call.calls[:i], ill)
            if call.service == "gateway":
                return entry(call.name, *calls, status=500)
            why = f"answered {ill.status}" if ill.status else "did not answer"
            last = call.logs[-1]
            own = last._replace(body=f"{call.name} given up: {one.service} {why}", level=ERROR, line=last.line + 9)
            line = log if log and one.service == service else own
            return call._replace(calls=calls, logs=(*call.logs[:-1], line), status=500)
    return call
