"""Small bugs of one module, made in its syntax tree: each is one change that a careless hand could have made.

Comparisons moved by one or turned round, `and` for `or`, a condition negated, a number one off, a truth flipped, a
code or name misspelt, a result forgotten, a statement left out; in SQL a comparison, a conjunction, an order, a missing
`on conflict` likewise. Sentences for people (texts with a space that are no SQL), docstrings, annotations, what only
describes a type, and plain numbers and names at module level (a limit one higher is another setting, not a bug) are
left alone.
Source: the operators of mutmut and cosmic-ray; SQL ones after Tuya, Suarez-Cabal & de la Riva 2007.
"""

import ast
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import NamedTuple

_COMPARE: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,), ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.Pow: ast.Mult,
}  # fmt: skip
_SQL = re.compile(r"^\s*(select|insert|update|delete)\b")
_SQL_CHANGES = (
    (r"\band\b", "or"), (r"<=", "<"), (r"(?<![<>!])<(?!=)", "<="), (r">=", ">"), (r"(?<![<>!])>(?!=)", ">="),
    (r"(?<=where )(\w+) =", r"\1 !="), (r"(?<=and )(\w+) =", r"\1 !="), (r"\bdesc\b", "asc"),
    (r"is null", "is not null"), (r" on conflict do nothing", ""), (r"\+ 1", "+ 2"), (r"= 0", "= 1"), (r"= 1\b", "= 0"),
)  # fmt: skip


class Mutant(NamedTuple):
    """line: in the module, from 1. what: the change in words. Its name is the same in every run over the same text."""

    number: int
    line: int
    what: str


def mutants_of(source: str) -> list[Mutant]:
    tree = ast.parse(source)
    return [Mutant(number, line, what) for number, (line, what, _) in enumerate(_changes(tree))]


def mutated(source: str, number: int) -> ast.Module:
    """The tree of the module with that one change."""
    tree = ast.parse(source)
    for place, (_, _, change) in enumerate(_changes(tree)):
        if place == number:
            change()
            return ast.fix_missing_locations(tree)
    raise IndexError(f"there is no mutant {number}")


_Change = tuple[int, str, Callable[[], None]]


def _changes(tree: ast.Module) -> Iterator[_Change]:
    for node in list(_code(tree)):
        yield from _of_node(node)
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                yield from _of_block(node, block)


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """Every node but docstrings, annotations, and what a NamedTuple or Literal only lists."""
    yield node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "bases", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_text_only(child):
                yield from _code(child)


def _is_text_only(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):
        return True  # Name = Literal[...], Callable[...]
    if isinstance(node, ast.Assign) and node.col_offset == 0 and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.Assert | ast.Import | ast.ImportFrom | ast.Raise):
        return not isinstance(node, ast.Raise)
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def _of_node(node: ast.AST) -> Iterator[_Change]:
    line = getattr(node, "lineno", 0)
    if isinstance(node, ast.Compare):
        for place, op in enumerate(node.ops):
            for other in _COMPARE.get(type(op), ()):
                yield line, f"{type(op).__name__} -> {other.__name__}", _put(node.ops, place, other())
    elif isinstance(node, ast.BoolOp):
        other_op = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield line, f"{type(node.op).__name__} -> {other_op.__name__}", _set(node, "op", other_op())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield line, "not left out", _unwrap(node)
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        other = _ARITHMETIC[type(node.op)]
        yield line, f"{type(node.op).__name__} -> {other.__name__}", _set(node, "op", other())
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        yield line, "condition negated", _set(node, "test", ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Constant):
        yield from _of_constant(node)
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield line, "result forgotten", _set(node, "value", ast.Constant(None))


def _of_constant(node: ast.Constant) -> Iterator[_Change]:
    value, line = node.value, node.lineno
    if isinstance(value, bool):
        yield line, f"{value} -> {not value}", _set(node, "value", not value)
    elif isinstance(value, int):
        yield line, f"{value} -> {value + 1}", _set(node, "value", value + 1)
    elif isinstance(value, str) and _SQL.match(value):
        yield from _of_sql(node, value)
    elif isinstance(value, str | bytes) and value and not re.search(r"\s" if isinstance(value, str) else rb"\s", value):
        yield line, f"{value!r} misspelt", _set(node, "value", value + value[:1] + value[:1])


def _of_sql(node: ast.Constant, text: str) -> Iterator[_Change]:
    for pattern, other in _SQL_CHANGES:
        for found in re.finditer(pattern, text):
            put = text[: found.start()] + found.expand(other) + text[found.end() :]
            yield node.lineno, f"SQL '{found.group()}' -> '{found.expand(other)}'", _set(node, "value", put)


def _of_block(owner: ast.AST, block: list[ast.stmt]) -> Iterator[_Change]:
    if isinstance(owner, ast.ClassDef | ast.Module):
        return
    for place, statement in enumerate(block):
        is_call = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call | ast.Await)
        if is_call or isinstance(statement, ast.AugAssign | ast.Raise | ast.Continue | ast.Break):
            what = f"{type(statement).__name__.lower()} left out"
            yield statement.lineno, what, _put(block, place, ast.copy_location(ast.Pass(), statement))


def _put(items: list[ast.AST] | list[ast.cmpop] | list[ast.stmt], place: int, new: ast.AST) -> Callable[[], None]:
    return lambda: items.__setitem__(place, new)  # type: ignore[arg-type, call-overload]


def _set(node: ast.AST, name: str, new: object) -> Callable[[], None]:
    return lambda: setattr(node, name, new)


def _unwrap(node: ast.UnaryOp) -> Callable[[], None]:
    """`not x` becomes `not not x`: the same place, the other truth."""
    return lambda: setattr(node, "operand", ast.UnaryOp(ast.Not(), deepcopy(node.operand)))


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
