"""docs/verbs.md says of each verb what the verb says of itself. TIDEGATE_WRITE=1 writes the table anew."""

import importlib
import os
import pkgutil
from pathlib import Path

import actions.verbs
from tidegate import _catalogue
from tidegate._verbs_table import HEAD, sentence, table

PAGE = Path(__file__).resolve().parents[2] / "docs/verbs.md"


def test_the_table_of_verbs_is_that_of_the_code():
    modules = [
        importlib.import_module(f"actions.verbs.{module.name}")
        for module in pkgutil.iter_modules(actions.verbs.__path__)
        if not module.name.startswith("_")
    ]
    texts = {module.PLUGIN.name: sentence(module.__doc__) for module in modules}
    wanted = table(_catalogue.find("verbs"), _catalogue.classes("executors"), texts)
    page = PAGE.read_text()
    begin = page.index(HEAD.split("\n")[0])
    end = page.index("\n\n", begin) + 1
    if os.environ.get("TIDEGATE_WRITE"):
        PAGE.write_text(page[:begin] + wanted + page[end:])
    assert PAGE.read_text()[begin : begin + len(wanted)] == wanted and all(texts.values())
