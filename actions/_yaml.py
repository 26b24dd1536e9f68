"""YAML with line numbers: configuration that people write, so every complaint says file and line.

Safe types only, and a key given twice is refused: PyYAML would silently keep the last one.
"""

from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from actions._errors import ActionsError
from schemas import why

Path = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)


class Located:
    """A parsed YAML document: `value`, and where each part of it stands."""

    def __init__(self, text: str, where: str, error: type[ActionsError]) -> None:
        """Raises `error` with file and line if the text is no YAML or says a key twice."""
        self.where, self.error = where, error
        self._lines: dict[Path, int] = {}
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            self.value: Any = None if node is None else self._value(node, ())
        except yaml.MarkedYAMLError as problem:
            line = problem.problem_mark.line + 1 if problem.problem_mark else 1
            raise error(f"not YAML: {problem.problem}", where=f"{where}:{line}") from problem
        except RecursionError as problem:
            raise error("not YAML: it holds itself, or is nested too deep", where=where) from problem
        except (yaml.YAMLError, ValueError) as problem:
            raise error(f"not YAML: {why(problem)[:200]}", where=where) from problem

    def at(self, path: Path) -> str:
        """`file:line` of the part, or of the nearest part around it."""
        while path and path not in self._lines:
            path = path[:-1]
        return f"{self.where}:{self._lines.get(path, 1)}"

    def parse(self, model: type[M]) -> M:
        """The document as a model. Raises `error`, naming the first field that does not fit, with its line."""
        try:
            return model.model_validate(self.value)
        except ValidationError as problem:
            first = problem.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "(whole file)"
            raise self.error(f"field '{field}': {first['msg']}", where=self.at(first["loc"])) from problem

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self._lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        return yaml.SafeLoader("").construct_object(node, deep=True)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self._value(key_node, path)
            if not isinstance(key, str):
                raise self.error(f"the key {key!r} is not text", where=f"{self.where}:{key_node.start_mark.line + 1}")
            if key in found:
                raise self.error(
                    f"the key '{key}' is given twice", where=f"{self.where}:{key_node.start_mark.line + 1}"
                )
            found[key] = self._value(value_node, (*path, key))
            self._lines[(*path, key)] = key_node.start_mark.line + 1
        self._lines[path] = node.start_mark.line + 1
        return found
