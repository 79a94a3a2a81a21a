"""The node pack, loaded as ComfyUI loads it, in a host that has what the nodes use of ComfyUI."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HOST = Path(__file__).parent / "host"
PACK = Path(__file__).parents[2] / "comfyui"
sys.path += [str(HOST), str(PACK / "scripts")]


def load_pack() -> ModuleType:
    """The pack as a package of the name that ComfyUI gives it: the path of its folder, without dots."""
    name = str(PACK).replace(".", "_x_")
    for known in [known for known in sys.modules if known == name or known.startswith(f"{name}.")]:
        del sys.modules[known]
    spec = importlib.util.spec_from_file_location(name, PACK / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def pack() -> ModuleType:
    return load_pack()


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """The server's folders, with the pictures of the examples."""
    import folder_paths

    folder_paths.use(tmp_path)
    for picture in (PACK / "example_inputs").glob("*.png"):
        shutil.copy(picture, tmp_path / "input")
    return tmp_path


@pytest.fixture
def classes(pack: ModuleType, folders: Path) -> dict[str, Any]:
    """Every node that a graph may have."""
    from graph_runner import CORE

    return {**CORE, **pack.NODE_CLASS_MAPPINGS}


@pytest.fixture(scope="session")
def nano(pack: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The built-in model, loaded by its node as the server calls nodes."""
    import folder_paths
    import torch

    folder_paths.use(tmp_path_factory.mktemp("server"))
    with torch.inference_mode():
        return pack.NODE_CLASS_MAPPINGS["DragFlowLoadModel"]().load("nano")[0]
