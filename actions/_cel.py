"""CEL as a tree: the part of the language that policies are written in, with its types, so that rules can be checked.

The engine compiles conditions but shows no tree, so checks that must see inside a condition parse it here. What the
engine says is never replaced: every finding is tried on it, and rules are evaluated by it alone. Comprehensions, maps,
messages and bytes are outside (`NotAnalysed`). Grammar: CEL language definition, "Syntax".
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from actions._names import NAMES
from actions._policies import nearest

NodeKind = Literal["literal", "name", "not", "and", "or", "if", "compare", "in", "list", "call", "arith", "index"]


class NotAnalysed(Exception):
    """A part of CEL that these checks do not understand; the engine may."""


class TypeProblem(Exception):
    """A condition that cannot mean what was intended; the text says why."""


class Node(NamedTuple):
    """value: of a literal; else the operator, the name, or the function. begin and end: where it stands."""

    kind: NodeKind
    value: object
    args: tuple["Node", ...]
    begin: int
    end: int


class Token(NamedTuple):
    kind: str
    text: str
    begin: int
    end: int


_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    |(?P<double>\d+\.\d+(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)
    |(?P<int>0[xX][0-9a-fA-F]+|\d+(?![\w.]))
    |(?P<string>"(?:[^"\\\n]|\\["'\\nt])*"(?!")|'(?:[^'\\\n]|\\["'\\nt])*'(?!'))
    |(?P<word>[A-Za-z_]\w*)
    |(?P<sign>\|\||&&|==|!=|<=|>=|[-<>!()\[\],?:+*/%.])""",
    re.VERBOSE,
)
_ESCAPES = {"\\n": "\n", "\\t": "\t"}
_COMPARE = {"==", "!=", "<", "<=", ">", ">="}
_FLAT = {"true": True, "false": False, "null": None}


def parse(text: str) -> Node:
    """The tree of a condition. Raises NotAnalysed.

    >>> parse("a > 0.5 && !b").kind
    'and'
    """
    reader = _Reader(text)
    node = reader.expression()
    reader.take("end")
    return node


def names_in(node: Node) -> frozenset[str]:
    """The names of the snapshot that a part reads."""
    return frozenset(str(part.value) for part in walk(node) if part.kind == "name")


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, left to right."""
    yield node
    for child in node.args:
        yield from walk(child)


class _Reader:
    """Recursive descent; each method reads what its name says and everything that binds tighter."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.tokens = text, 0, list[Token]()
        place = 0
        while place < len(text):
            found = _TOKEN.match(text, place)
            if found is None:
                raise NotAnalysed(f"`{text[place : place + 20]}`")
            place = found.end()
            if found.lastgroup != "space":
                kind = found.lastgroup if found.lastgroup != "sign" else found.group()
                self.tokens.append(Token(str(kind), found.group(), found.start(), found.end()))
        self.tokens.append(Token("end", "the end", len(text), len(text)))

    def peek(self) -> Token:
        return self.tokens[self.at]

    def take(self, *kinds: str) -> Token:
        token = self.peek()
        if kinds and token.kind not in kinds:
            raise NotAnalysed(f"`{token.text}` where one of {', '.join(kinds)} was expected")
        self.at += 1
        return token

    def expression(self) -> Node:
        condition = self.binary(("||",), "or")
        if self.peek().kind != "?":
            return condition
        self.take("?")
        yes = self.binary(("||",), "or")
        self.take(":")
        no = self.expression()
        return Node("if", "?", (condition, yes, no), condition.begin, no.end)

    def binary(self, signs: tuple[str, ...], kind: NodeKind) -> Node:
        inner = self.relation if kind == "and" else lambda: self.binary(("&&",), "and")
        left = inner()
        while self.peek().kind in signs:
            sign = self.take().text
            right = inner()
            left = Node(kind, sign, (left, right), left.begin, right.end)
        return left

    def relation(self) -> Node:
        left = self.sum()
        while self.peek().kind in _COMPARE or self.peek().text == "in":
            sign = self.take().text
            right = self.sum()
            kind: NodeKind = "in" if sign == "in" else "compare"
            left = Node(kind, sign, (left, right), left.begin, right.end)
        return left

    def sum(self) -> Node:
        left = self.product()
        while self.peek().kind in ("+", "-"):
            sign = self.take().text
            right = self.product()
            left = Node("arith", sign, (left, right), left.begin, right.end)
        return left

    def product(self) -> Node:
        left = self.unary()
        while self.peek().kind in ("*", "/", "%"):
            sign = self.take().text
            right = self.unary()
            left = Node("arith", sign, (left, right), left.begin, right.end)
        return left

    def unary(self) -> Node:
        token = self.peek()
        if token.kind == "!":
            self.take()
            inner = self.unary()
            return Node("not", "!", (inner,), token.begin, inner.end)
        if token.kind == "-":
            self.take()
            inner = self.unary()
            if inner.kind == "literal" and isinstance(inner.value, int | float) and not isinstance(inner.value, bool):
                return inner._replace(value=-inner.value, begin=token.begin)
            return Node("arith", "neg", (inner,), token.begin, inner.end)
        return self.member()

    def member(self) -> Node:
        node = self.primary()
        while self.peek().kind in (".", "["):
            if self.take().kind == "[":
                index = self.expression()
                end = self.take("]").end
                node = Node("index", "[]", (node, index), node.begin, end)
                continue
            word = self.take("word")
            if self.peek().kind != "(":
                raise NotAnalysed(f"the field `{word.text}`")
            args, end = self.arguments("(", ")")
            node = Node("call", word.text, (node, *args), node.begin, end)
        return node

    def arguments(self, opening: str, closing: str) -> tuple[tuple[Node, ...], int]:
        self.take(opening)
        found = list[Node]()
        while self.peek().kind != closing:
            found.append(self.expression())
            if self.peek().kind != closing:
                self.take(",")
        return tuple(found), self.take(closing).end

    def primary(self) -> Node:
        token = self.peek()
        if token.kind == "[":
            items, end = self.arguments("[", "]")
            return Node("list", "[]", items, token.begin, end)
        self.take("(", "word", "double", "int", "string")
        if token.kind == "(":
            inner = self.expression()
            return inner._replace(begin=token.begin, end=self.take(")").end)
        if token.kind == "word":
            if token.text in _FLAT:
                return Node("literal", _FLAT[token.text], (), token.begin, token.end)
            if self.peek().kind == "(":
                args, end = self.arguments("(", ")")
                return Node("call", token.text, args, token.begin, end)
            if self.peek().kind == "string":
                raise NotAnalysed(f"the prefix `{token.text}` of a string")
            return Node("name", token.text, (), token.begin, token.end)
        return Node("literal", _value(token), (), token.begin, token.end)


def _value(token: Token) -> object:
    if token.kind == "double":
        return float(token.text)
    if token.kind == "int":
        return int(token.text, 0)
    return re.sub(r"\\.", lambda found: _ESCAPES.get(found.group(), found.group()[1]), token.text[1:-1])


Type = str
"""`bool`, `int`, `double`, `string`, `null`, or `list of` one of them."""
_NUMBERS = ("int", "double")
_TEXT_TESTS = ("startsWith", "endsWith", "contains", "matches")


def type_of(node: Node) -> Type:
    """The type of a part. Raises TypeProblem where the engine would fail or a literal can never match, NotAnalysed."""
    match node.kind:
        case "literal":
            kinds = {bool: "bool", int: "int", float: "double", str: "string"}
            return kinds.get(type(node.value), "null")
        case "name":
            spec = NAMES.get(str(node.value))
            if spec is None:
                raise TypeProblem(f"unknown name '{node.value}'. {nearest(str(node.value))}")
            return "list of string" if spec.kind == "list" else spec.kind
        case "not" | "and" | "or":
            for child in node.args:
                _expect(child, "bool", str(node.value))
            return "bool"
        case "if":
            _expect(node.args[0], "bool", "?")
            yes, no = type_of(node.args[1]), type_of(node.args[2])
            if not _alike(yes, no):
                raise TypeProblem(f"`?` gives {yes} or {no}")
            return yes
        case "compare" | "in":
            return _type_of_comparison(node)
        case "list":
            kinds_found = {type_of(child) for child in node.args}
            if len(kinds_found) > 1 and not kinds_found <= set(_NUMBERS):
                raise TypeProblem(f"a list holds {' and '.join(sorted(kinds_found))}")
            return f"list of {min(kinds_found, default='string')}"
        case "arith":
            return _type_of_arithmetic(node)
        case "index":
            inside = type_of(node.args[0])
            if not inside.startswith("list of ") or type_of(node.args[1]) != "int":
                raise TypeProblem(f"`[]` on {inside}")
            return inside.removeprefix("list of ")
        case "call":
            return _type_of_call(node)


def _type_of_comparison(node: Node) -> Type:
    left, right = (type_of(child) for child in node.args)
    sign = str(node.value)
    if sign == "in":
        if not right.startswith("list of ") or (node.args[1].args and not _alike(left, right.removeprefix("list of "))):
            raise TypeProblem(f"`in` between {left} and {right}")
        for item in node.args[1].args if node.args[1].kind == "list" else ():
            _check_domain(node.args[0], item)
        if node.args[1].kind == "name":
            _check_item(node.args[1], node.args[0])
        return "bool"
    if not _alike(left, right) or (sign not in ("==", "!=") and left not in (*_NUMBERS, "string")):
        raise TypeProblem(f"`{sign}` between {left} and {right}")
    _check_domain(node.args[0], node.args[1])
    _check_domain(node.args[1], node.args[0])
    return "bool"


def _type_of_arithmetic(node: Node) -> Type:
    kinds = [type_of(child) for child in node.args]
    sign = str(node.value)
    allowed = {"+": ("int", "double", "string"), "%": ("int",)}.get(sign, _NUMBERS)
    if len(set(kinds)) > 1 or kinds[0] not in allowed:
        raise TypeProblem(f"`{sign}` on {' and '.join(kinds)}; CEL does not convert between numbers")
    return kinds[0]


def _type_of_call(node: Node) -> Type:
    name, kinds = str(node.value), [type_of(child) for child in node.args]
    if name in _TEXT_TESTS and len(kinds) == 2:
        if kinds != ["string", "string"]:
            raise TypeProblem(f"{name} on {' and '.join(kinds)}")
        return "bool"
    if name == "size" and len(kinds) == 1:
        if kinds[0] != "string" and not kinds[0].startswith("list of "):
            raise TypeProblem(f"size of {kinds[0]}")
        return "int"
    if name in ("int", "double", "string") and len(kinds) == 1:
        return name
    raise NotAnalysed(f"the function `{name}`")


def _expect(node: Node, kind: Type, sign: str) -> None:
    if (found := type_of(node)) != kind:
        raise TypeProblem(f"`{sign}` on {found}, where {kind} is needed")


def _alike(left: Type, right: Type) -> bool:
    return left == right or {left, right} <= set(_NUMBERS)


def _check_domain(name: Node, literal: Node) -> None:
    """A literal that a name is compared with must be a value that the name can have, or at least lie beside one."""
    if name.kind != "name" or literal.kind != "literal":
        return
    spec, value = NAMES[str(name.value)], literal.value
    if spec.values and isinstance(value, str) and spec.kind == "string" and value not in spec.values:
        raise TypeProblem(f"'{name.value}' is never '{value}'. {nearest(value, spec.values)}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = spec.low, spec.high
        if (low is not None and value < low) or (high is not None and value > high):
            bounds = f"at least {low:g}" if high is None else f"between {low or 0:g} and {high:g}"
            raise TypeProblem(f"'{name.value}' is compared with {value:g}, and it is {bounds}")


def _check_item(name: Node, literal: Node) -> None:
    spec = NAMES[str(name.value)]
    if spec.values and literal.kind == "literal" and literal.value not in spec.values:
        raise TypeProblem(f"'{literal.value}' is never in '{name.value}'. {nearest(str(literal.value), spec.values)}")
