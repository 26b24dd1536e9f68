"""Where in the code a log line was written, and how severe it is, as far as its text says so by convention.

A code location is the steadiest key a log line has: text and values change, `Class#line` names the statement.
Sources: OpenTelemetry log data model (severity numbers); Logback and Log4j layouts (`HH:mm:ss.SSS LEVEL logger#line`,
`%F:%L`), as in the Nezha data set.
"""

import re

_HEAD = 400  # a prefix is short; a long line is not searched
_SEVERITY = {
    "TRACE": 1, "FINEST": 1, "DEBUG": 5, "FINE": 5, "INFO": 9, "INFORMATION": 9, "NOTICE": 10, "WARN": 13,
    "WARNING": 13, "ERROR": 17, "ERR": 17, "SEVERE": 17, "CRITICAL": 21, "CRIT": 21, "FATAL": 21, "ALERT": 21,
    "EMERGENCY": 24, "PANIC": 24,
}  # fmt: skip
_LEVEL = "|".join(sorted(_SEVERITY, key=len, reverse=True))
_THREAD = r"(?:\[[^\]\s]{1,80}\]\s{1,8})?"
_PREFIX = re.compile(
    r"\s{0,8}"
    r"(?:\[?(?:\d{4}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?\]?\s{1,8})?"  # a time
    + _THREAD
    + r"(?:\[?(?P<level>"
    + _LEVEL
    + r")\]?(?=[\s:|#\[-])[\s:|-]{1,8})?"
    + _THREAD
    + r"(?:(?P<place>[^\s#:()\"'{}]{1,200}#\d{1,7}|[\w$./\\-]{1,200}\.[A-Za-z]{1,5}:\d{1,7})(?![\w.]))?",
)
_TEXT = re.compile(r"\s*(" + _LEVEL + r")([1-4]?)\b", re.IGNORECASE)


def code_location(body: str) -> tuple[str, int]:
    """Location and OpenTelemetry severity number that a line begins with; "" and 0 where it does not say.

    A location is `logger#line` or `File.ext:line`, as written; a level counts only in capitals.
    Raises nothing; linear in the length of the line.

    >>> code_location("18:19:19.694 INFO  o.s.OrderOtherServiceImpl#384 TraceID: 80df")
    ('o.s.OrderOtherServiceImpl#384', 9)
    >>> code_location("OrderService.java:123 saved"), code_location("user paid")
    (('OrderService.java:123', 0), ('', 0))
    """
    found = _PREFIX.match(body[:_HEAD])
    if found is None:
        return "", 0
    return found["place"] or "", _SEVERITY.get((found["level"] or "").upper(), 0)


def severity_of(text: str) -> int:
    """The OpenTelemetry severity number (1 to 24) of a severity text; 0 if it is none that is known.

    >>> severity_of("warning"), severity_of("INFO2"), severity_of("E"), severity_of("")
    (13, 10, 0, 0)
    """
    found = _TEXT.match(text[:40])
    if found is None:
        return 0
    return _SEVERITY[found[1].upper()] + (int(found[2]) - 1 if found[2] else 0)
