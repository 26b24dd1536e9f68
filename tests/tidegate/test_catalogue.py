"""Adding a detector, a source or an importer is one file: the catalogue finds it, nothing else is edited."""

import importlib
import sys
import textwrap

import pytest

from tidegate import _catalogue
from tidegate._errors import CatalogueError

PLUGINS = {
    "detectors": (
        "detectors",
        """
        import numpy as np
        from schemas.core import Scores

        class Never:
            kind, version, anomaly, window_s = "never", "1", "metric", 60

            def accepts(self, series):
                return False

            def initial(self, n):
                return {"seen": np.zeros(n)}

            def score(self, state, block):
                n = len(block.series)
                return Scores(np.ones(n), np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, np.int8))

            def learn(self, state, block):
                return state

        PLUGIN = Never
        """,
    ),
    "sources": (
        "streams.sources",
        """
        from streams._decoded import Decoded

        class Silence:
            kind, topics = "silence", ()

            def decode(self, message):
                return Decoded()

        PLUGIN = Silence
        """,
    ),
    "importers": (
        "streams.importers",
        """
        class Nothing:
            kind = "nothing"

            def read(self, path, options):
                yield from ()

            def labels(self, path, options):
                return []

        PLUGIN = Nothing
        """,
    ),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Puts one more file beside the plug-ins of a package, as a contributor would."""

    def add(package: str, name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        module = importlib.import_module(package)
        monkeypatch.setattr(module, "__path__", [*module.__path__, str(tmp_path)])
        monkeypatch.delitem(sys.modules, f"{package}.{name}", raising=False)

    return add


@pytest.mark.parametrize("what", sorted(PLUGINS))
def test_one_new_file_is_found_and_nothing_else_is_edited(what, folder):
    package, text = PLUGINS[what]
    before = set(_catalogue.find(what))
    folder(package, f"extra_{what}", text)
    after = _catalogue.find(what)
    assert len(set(after) - before) == 1


def test_a_new_detector_runs_in_the_pipeline(folder):
    folder("detectors", "extra_detector_in_pipeline", PLUGINS["detectors"][1])
    from tidegate._pipeline import build
    from tidegate._settings import Settings

    assert "never" in build(Settings()).versions["detectors"]


def test_two_plug_ins_of_one_kind_are_refused_by_name(folder):
    folder("detectors", "extra_one", PLUGINS["detectors"][1])
    folder("detectors", "extra_two", PLUGINS["detectors"][1].replace("Never", "Again"))
    with pytest.raises(CatalogueError, match="two detectors are called 'never'"):
        _catalogue.find("detectors")


def test_a_file_without_a_plug_in_is_named(folder):
    folder("streams.sources", "extra_empty", "x = 1\n")
    with pytest.raises(CatalogueError, match="extra_empty: the module says no PLUGIN"):
        _catalogue.find("sources")
