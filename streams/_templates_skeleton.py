"""The skeleton of a log line: what is left when what a program formatted into it is taken out.

A function of the line alone. Values are known by how values are written (numbers, names with digits, addresses, paths,
dates, `key=value`) and by where they stand (`user X`, `from X`), not by comparing lines, so no order of lines can
change it. Values side by side are one value: a list of five and a list of two are the same event, and
`1260 bytes (1.2 KB)` is one quantity. What is written in capitals stays (`RUNNING` and `FAILED`
are two events), and so do exceptions, quoted sentences, and what follows `level=`, `status=`, `msg=` and the like.

Drain (He et al. 2017) and Brain (Yu et al. 2023) are given masks by hand for every system; here one set serves all.
Every expression is linear in the line or begins only where a word begins, and only the first 2,048 characters are read.
"""

import re

WILD = "<*>"
LINE_CHARS, TOKENS = 2048, 128
_MARK = "\x00"

_ADDRESS = re.compile(
    r"""\b[a-zA-Z][a-zA-Z0-9+.-]{0,40}://[^\s"'<>\])},;]*[^\s"'<>\])},;:.]   # with a scheme
      | (?<![\w.)\]*/$%~+@-])(?:\.{0,2}/)?(?:[\w.$%~+@-]*/){2,}[\w.$%~+@=-]*  # a path of two names or more
      | (?<![\w.)\]*/$%~+@-])\.{0,2}/[\w.$%~+@-]+                             # a path of one
    """,
    re.VERBOSE,
)
_DRIVE = re.compile(r"\b[A-Za-z]:\\[^\s\"'<>|,;]*")
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_HOST = re.compile(
    r"(?<![\w.-])(?:[\w-]+\.)+(?:[a-zA-Z][\w-]*:\d+|"
    r"(?:com|net|org|edu|gov|mil|int|info|biz|io|local|internal|lan|localdomain|arpa|[a-z]{2})(?![\w.-]))"
)
_DATE = re.compile(
    r"\b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? )?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* "
    r"{1,2}\d{1,2}\b(?:,? \d{1,2}:\d\d(?::\d\d)?)?(?: [A-Z]{3,4}\b)?(?: \d{4}\b)?"
)
_COLONS = re.compile(
    r"(?<![\w:])(?:(?:[0-9a-fA-F]{0,4}:){3,8}[0-9a-fA-F]{0,4}|"
    r"(?:[0-9a-fA-F]{2}:){3,32}[0-9a-fA-F]{2})(?![\w:])"
)
_DOTTED = re.compile(
    r"(?<![\w.-])[a-z][\w-]*(?:\.[\w$-]+){2,}"
    r"(?<!Exception)(?<!Error)(?<!\.[A-Z]{4})(?<![A-Z_]{5})(?!\.?[\w$(])"
)
_DIGITS = re.compile(r"(?<![\w$-])(?!IP[vV][46]\b)(?=[\w$-]*\d)[\w$-]+|\b[0-9a-fA-F]{16,}\b|(?<=\s)\*+(?=\s)")
_JOINED = re.compile(r"\x00(?:[^\w\s\x00\"'()\[\]{}<>|=]{0,3}\x00)+")
_UNIT = re.compile(
    r"[<>~+-]?\x00\s?(?:[kKMGTP]i?[bB]|[bB]|[bB]ytes?|[num]s|m?secs?|s|seconds?|minutes?|mins?|hours?|days?|[kMG]?Hz|"
    r"[AP]M|%)(?!\w)"
)
_SIGNED = re.compile(r"(?<![\w)\]])[<>~+-]\x00")
_LISTED = re.compile(r"\x00(?:[\s,;:./@(\[<-]{1,3}\x00[)\]>]?| \(\))+")
_SAYING = ("level", "lvl", "severity", "status", "state", "event", "msg", "message", "error", "err", "reason", "method")
"""Keys whose values say what happened."""
_VALUE = re.compile(
    r"(?=\s{0,2}=)"
    + "".join(rf"(?<!\b{key})" for key in _SAYING)
    + r"(?<![=!<>:\s])(\s{0,2}=\s{0,2})(?![=>\s]|[\w.]+\s?=|[\w.]*(?:Exception|Error)\b|[A-Z_]{2,}\b)"
    r"(?:\"[^\s\"]*\"|'[^\s']*'|[^\s,;)\]}>\"'&]+)"
)
_TOKEN = re.compile(r"[\w\x00.$/*+-]+|[^\w\s]")
_SMALL = re.compile(r"(?=.*[a-z])(?!.*(?:Exception|Error)\b)(?:[a-z_][\w.$/+-]*|\w+[.$/_-][\w.$/-]*)")
_BUILT = re.compile(r"(?=.*[a-z])(?!.*(?:Exception|Error)\b)\w+[.$/_][\w.$/-]*\w")

_PLACE = ("to", "in", "on", "at", "of", "via", "with", "name", "group", "job", "id", "class", "file", "path")
_AFTER = dict.fromkeys(("for", "from", "by", "host", "named"), _SMALL) | dict.fromkeys(_PLACE, _BUILT)
"""After some words a name in small letters is a value, after more of them one that is put together."""
_AFTER_ANY = frozenset({"user", "username", "client"})
"""After these any word is."""
_PLAIN = frozenset(re.findall(r"\w+", """
    a an the this that is are was were be been it its as no not all any each other some such if when while because
    and or but then than of in on at by for from to with into onto over under out up down off about after before
    user users host hosts client server group job name
"""))  # fmt: skip
"""Words that are language wherever they stand."""
_TRUTHS = frozenset({"true", "false", "True", "False", "TRUE", "FALSE", "null", "NULL", "nil", "None"})


def skeleton(line: str) -> tuple[str, ...]:
    """The constant words and signs of the line, and `<*>` for each value or run of values.

    >>> " ".join(skeleton("Took 20.5 seconds to reach 10.0.0.7:80"))
    'Took <*> to reach <*>'
    """
    text = line[:LINE_CHARS].replace(_MARK, " ")
    if "/" in text:
        text = _ADDRESS.sub(_MARK, text)
    if "\\" in text:
        text = _DRIVE.sub(_MARK, text)
    if "@" in text:
        text = _MAIL.sub(_MARK, text)
    if "." in text:
        text = _DOTTED.sub(_MARK, _HOST.sub(_MARK, text))
    if ":" in text:
        text = _COLONS.sub(_MARK, _DATE.sub(_MARK, text))
    text = _DIGITS.sub(_MARK, text)
    if _MARK in text:
        text = _SIGNED.sub(_MARK, _UNIT.sub(_MARK, _JOINED.sub(_MARK, text)))
        text = _LISTED.sub(_MARK, text)
    if "=" in text:
        text = _VALUE.sub("\\g<1>" + _MARK, text)
    tokens: list[str] = []
    before = ""
    for token in _TOKEN.findall(text):
        if _MARK in token or _is_value(token, before):
            if tokens and tokens[-1] == WILD:
                continue
            tokens.append(WILD)
            before = ""
        else:
            tokens.append(token)
            before = token.lower()
    return tuple(tokens[:TOKENS])


def _is_value(token: str, before: str) -> bool:
    if token in _TRUTHS:
        return True
    if before in _AFTER_ANY:
        return token[0].isalnum() and (before == token or token not in _PLAIN)
    name = _AFTER.get(before)
    return name is not None and token not in _PLAIN and name.fullmatch(token) is not None
