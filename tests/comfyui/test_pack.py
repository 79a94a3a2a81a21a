"""The pack as ComfyUI finds it: quick to import, harmless without its library, by the contract of nodes."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

from graph_runner import object_info

PACK = Path(__file__).parents[2] / "comfyui"
LOADING = """
import importlib.util, sys, time
{before}
spec = importlib.util.spec_from_file_location("pack", {place!r})
pack = importlib.util.module_from_spec(spec); sys.modules["pack"] = pack
begun = time.perf_counter(); spec.loader.exec_module(pack)
print(time.perf_counter() - begun, len(pack.NODE_CLASS_MAPPINGS), pack.WEB_DIRECTORY,
      sorted({{"torch", "numpy", "diffusers", "dragflow"}} & sys.modules.keys()))
"""
SOCKETS = {"IMAGE", "MASK", "STRING", "DRAGFLOW_REGION", "DRAGFLOW_INSTRUCTION", "DRAGFLOW_MODEL", "DRAGFLOW_RESULT"}


def loaded(before: str = "") -> subprocess.CompletedProcess[str]:
    code = LOADING.format(before=before, place=str(PACK / "__init__.py"))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def test_importing_the_pack_imports_nothing_heavy() -> None:
    seconds, count, web, heavy = loaded().stdout.split(maxsplit=3)
    assert float(seconds) < 0.5
    assert (int(count), web, heavy.strip()) == (19, "./web", "[]")


def test_without_the_library_comfyui_starts_and_is_told_what_to_do() -> None:
    hidden = "find = importlib.util.find_spec\n"
    hidden += "importlib.util.find_spec = lambda name, *more: None if name == 'dragflow' else find(name, *more)"
    told = loaded(hidden)
    assert told.stdout.split()[1:3] == ["0", "None"]
    assert f'"{sys.executable}" -m pip install dragflow' in told.stderr


def test_every_node_keeps_the_contract(classes: dict[str, Any], pack: ModuleType) -> None:
    assert object_info(classes)
    assert pack.NODE_CLASS_MAPPINGS.keys() == pack.NODE_DISPLAY_NAME_MAPPINGS.keys()
    for cls in pack.NODE_CLASS_MAPPINGS.values():
        assert callable(getattr(cls, cls.FUNCTION))
        assert cls.CATEGORY.startswith("dragflow")
        assert cls.DESCRIPTION
        assert SOCKETS.issuperset(cls.RETURN_TYPES)
        names = getattr(cls, "RETURN_NAMES", cls.RETURN_TYPES)
        assert len(getattr(cls, "OUTPUT_TOOLTIPS", names)) == len(names) == len(cls.RETURN_TYPES)


def test_metadata_of_the_registry_fit_the_library() -> None:
    own = tomllib.loads((PACK / "pyproject.toml").read_text(encoding="utf-8"))
    whole = tomllib.loads((PACK.parent / "pyproject.toml").read_text(encoding="utf-8"))
    project = whole["project"]
    assert whole["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["src/dragflow"]  # it is not in the wheel
    assert own["tool"]["comfy"].keys() >= {"PublisherId", "DisplayName"}
    assert re.fullmatch(r"[a-z][a-z0-9-]*", own["project"]["name"])
    assert own["project"]["version"] == project["version"]
    assert own["project"]["requires-python"] == project["requires-python"]
    assert own["project"]["dependencies"] == (PACK / "requirements.txt").read_text(encoding="utf-8").split()
