"""Every command, every output option, every kind of input: no output goes onto an input, by whatever name or link."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App

from dragflow.cli.app import app

WAYS = ("direct", "dots", "symlink", "hard link")
OUTPUTS = {"--output", "--sidecar", "--trace", "--overlay", "--report", "OUTPUT"}
"""Options whose value is written to; what else a command is given is read."""
TRACED = "losses.csv"


@dataclass(frozen=True)
class Case:
    """A command, its options that write, with the suffix that each asks for, and what it reads, an option each."""

    command: tuple[str, ...]
    outputs: dict[str, str]
    base: tuple[str, ...]
    """Arguments without which it does not run."""
    inputs: dict[str, tuple[tuple[str, ...], str]]
    """By a name of the kind: the further arguments, and the file that they make the command read."""


Words = tuple[str, ...]
Inputs = dict[str, tuple[Words, str]]

MASK: Words = ("--mask", "mask.png", "--to", "60,40")
DRAG = ("picture.png", *MASK)
FORCE = ("--force",)
READ_BY_ALL: Inputs = {
    "picture": (MASK, "picture.png"),
    "mask": (MASK, "mask.png"),
    "area": ((*MASK, "--area", "area.png"), "area.png"),
    "added area": ((*MASK, "--extend-area", "area.png"), "area.png"),
    "protected area": ((*MASK, "--protect", "area.png"), "area.png"),
    "region that changes places": (("--mask", "mask.png", "--swap", "area.png"), "area.png"),
}
READ_BY_TASK: Inputs = {
    "instruction": (("--task", "task.json"), "task.json"),
    "mask of an instruction": (("--task", "task.json"), "folder/named.png"),
    "area of an instruction": (("--task", "task.json"), "folder/named-area.png"),
    "file of a sample": (("--task", "sample"), "sample/operation.png"),
}
MODEL: Inputs = {
    "file of a model": (("--model", "model"), "model/transformer/weights.safetensors"),
    "LoRA": (("--lora", "lora.safetensors"), "lora.safetensors"),
    "LoRA with a scale": (("--lora", "lora.safetensors:0.5"), "lora.safetensors"),
    "bridge": (("--bridge", "bridge.safetensors"), "bridge.safetensors"),
    "quantised file": (("--quantize", "gguf:q.gguf"), "q.gguf"),
    "adapter": (("--subject", "ip-adapter", "--subject.weights", "adapter.bin"), "adapter.bin"),
    "encoder": (("--subject", "ip-adapter", "--subject.siglip", "encoder"), "encoder/model.safetensors"),
}
EDIT_MODEL: Inputs = {kind: ((*MASK, *words), file) for kind, (words, file) in MODEL.items()}
ANSWERS: Inputs = {"answers": ((*MASK, "--provider", "file", "--provider.answers", "answers.json"), "answers.json")}

CASES = (
    Case(
        ("edit",),
        {"--output": ".png", "--sidecar": "", "--trace": ""},
        ("picture.png", *FORCE),
        READ_BY_ALL
        | READ_BY_TASK
        | EDIT_MODEL
        | {"preset": ((*MASK, "--preset", "preset.toml"), "preset.toml")}
        | {kind: ((*words, "--intent", "--auto"), file) for kind, (words, file) in ANSWERS.items()}
        | {
            "result": (("--from", "result.png"), "result.png"),
            "LoRA of a recipe": (("--from", "result.png"), "recipe-lora.safetensors"),
            "model of a recipe": (("--from", "result.png"), "recipe-model/model_index.json"),
        },
    ),
    Case(
        ("preview",),
        {"--output": ".png"},
        ("picture.png", *FORCE),
        READ_BY_ALL | READ_BY_TASK | {"preset": ((*MASK, "--preset", "preset.toml"), "preset.toml")},
    ),
    Case(
        ("export",),
        {"--output": ".zip"},
        ("picture.png", *FORCE),
        READ_BY_ALL
        | READ_BY_TASK
        | {
            "preset": ((*MASK, "--preset", "preset.toml"), "preset.toml"),
            "result": ((*MASK, "--result", "result.png"), "result.png"),
        },
    ),
    Case(
        ("intent",),
        {"--output": ".json", "--overlay": ".png"},
        ("picture.png", "--auto", *FORCE),
        READ_BY_ALL | READ_BY_TASK | ANSWERS,
    ),
    Case(("task", "new"), {"--output": ".json"}, ("picture.png", *FORCE), READ_BY_ALL),
    Case(
        ("task", "convert"),
        {"OUTPUT": ".json"},
        (*FORCE,),
        {
            "instruction": (("task.json", "--image", "picture.png"), "task.json"),
            "picture": (("task.json", "--image", "picture.png"), "picture.png"),
            "mask of an instruction": (("task.json", "--image", "picture.png"), "folder/named.png"),
            "file of a sample": (("sample",), "sample/operation.png"),
        },
    ),
    Case(
        ("project", "new"),
        {"--output": ".dragflow"},
        ("picture.png", "result.png", *FORCE),
        {"picture": ((), "picture.png"), "result": ((), "result.png")},
    ),
    Case(
        ("project", "export"),
        {"--output": ".ora"},
        FORCE,
        {"project": (("edits.dragflow",), "edits.dragflow")},
    ),
    Case(
        ("lora", "train"),
        {"--output": ".safetensors"},
        ("picture.png", *FORCE),
        MODEL | {"picture": ((), "picture.png")},
    ),
    Case(
        ("train", "bridge"),
        {"--output": ".safetensors"},
        FORCE,
        MODEL | {"pairs": (("--pairs", "pairs"), "pairs/manifest.json")},
    ),
    Case(
        ("model", "sweep"),
        {"--report": ".md"},
        FORCE,
        {
            "model": (("model", "--data", "world:2"), "model/transformer/weights.safetensors"),
            "data": (("dummy", "--data", "data"), "data/0001/operation.png"),
            "preset": (("dummy", "--data", "world:2", "--preset", "preset.toml"), "preset.toml"),
        },
    ),
    Case(
        ("bench", "report"),
        {"--output": ".md"},
        (*FORCE,),
        {
            "file of a run": (("run",), "run/records.jsonl"),
            "data": (("run", "--data", "data"), "data/0001/operation.png"),
            "data of a run": (("run",), "data/0001/operation.png"),
        },
    ),
)
FOLDERS = {("batch",), ("bench", "run"), ("bench", "import"), ("bench", "real")}
"""Their output is a folder of their own, refused if it holds anything else; `bench score` writes into the run."""

NAMING = {("model", "add")}
"""Their `--force` replaces a name, and no file."""


def commands(group: App, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in group:
        if not name.startswith("-"):
            yield (*path, name)
            yield from commands(group[name], (*path, name))


def test_every_output_option_is_in_the_table(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    table = {case.command: set(case.outputs) for case in CASES}
    for command in commands(app):
        told = run(*command, "--help").out
        writes = {option for option in OUTPUTS if re.search(rf"(?m)^\W*{option}\b", told)}
        if command not in FOLDERS:
            assert writes == table.get(command, set()), command
        assert ("--force" in told) == (command in table or command in NAMING), command


@pytest.fixture
def crowded(desk: Any, monkeypatch: pytest.MonkeyPatch, run: Any) -> Path:
    """A folder, the current one, with a file of every kind that is read."""
    monkeypatch.chdir(desk.folder)
    (desk.folder / "folder").mkdir()
    for copy in ("area.png", "folder/named.png", "folder/named-area.png"):
        (desk.folder / copy).write_bytes(desk.two.read_bytes() if "area" in copy else desk.mask.read_bytes())
    _, masked = ({"type": "mask", "path": f"folder/{name}.png"} for name in ("named-area", "named"))
    motion = {"type": "translate", "to": [60, 40]}
    task = {"version": 2, "operations": [{"region": masked, "motion": motion}]}
    (desk.folder / "task.json").write_text(json.dumps(task | {"editable": masked | {"path": "folder/named-area.png"}}))
    assert run("task", "convert", "task.json", "sample", "--image", "picture.png").code == 0
    assert run("task", "convert", "task.json", "data/0001", "--image", "picture.png").code == 2
    (desk.folder / "data").mkdir()
    assert run("task", "convert", "task.json", "data/0001", "--image", "picture.png").code == 0
    assert run("bench", "run", "data", "--method", "paste", "-o", "run").code == 0
    assert run("bench", "score", "run").code == 0
    (desk.folder / "preset.toml").write_text('description = "mine"\n')
    answer = {"background_prompt": "x", "change": "y", "candidates": [{"label": "relocation", "prompt": "z"}]}
    (desk.folder / "answers.json").write_text(json.dumps(answer))
    for name in (
        "model/transformer/weights.safetensors",
        "encoder/model.safetensors",
        "pairs/manifest.json",
        "recipe-model/model_index.json",
    ):
        (desk.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (desk.folder / name).write_text(name)
    weights = ("lora.safetensors", "bridge.safetensors", "q.gguf", "adapter.bin", "recipe-lora.safetensors")
    for name in (*weights, "edits.dragflow"):
        (desk.folder / name).write_text(name)
    _result(desk.folder)
    return desk.folder


def _result(folder: Path) -> None:
    """A result whose recipe names a model and a LoRA."""
    from dragflow.core.config import EditConfig
    from dragflow.core.models import ModelOptions, WeightsId
    from dragflow.core.motion import Translate
    from dragflow.core.result import Recipe
    from dragflow.core.task import Box, Instruction, Operation
    from dragflow.files.pictures import load_image
    from dragflow.files.recipes import encode_result

    source, config = load_image(folder / "picture.png"), EditConfig()
    weights = WeightsId(ModelOptions("recipe-model", lora=("recipe-lora.safetensors:0.5",)), "0123456789abcdef")
    asked = Instruction(Operation(Box(20, 20, 40, 40), Translate((60, 40))))
    recipe = Recipe(asked, config, config.hash, weights, source.sha256, {})
    (folder / "result.png").write_bytes(encode_result(source, source.pixels, recipe))


def _aimed(folder: Path, file: str, suffix: str, way: str) -> str:
    """A path that leads to a file, named as the output option asks where a link gives a name."""
    if way == "direct":
        return file
    if way == "dots":
        return f"folder/../{file}"
    link = folder / f"link{suffix}"
    (link.symlink_to if way == "symlink" else link.hardlink_to)(folder / file)
    return link.name


def _traced(folder: Path, file: str, way: str) -> str:
    """A folder in which a file that a trace writes is this one."""
    trace = folder / "trace"
    trace.mkdir()
    (trace / TRACED).symlink_to(folder / file) if way == "symlink" else (trace / TRACED).hardlink_to(folder / file)
    return "folder/../trace" if way == "dots" else "trace"


def _each_output() -> Iterator[Any]:
    for case in CASES:
        for option in case.outputs:
            marks = pytest.mark.slow if option in ("--sidecar", "--trace") else ()
            yield pytest.param(case, option, id=" ".join((*case.command, option)), marks=marks)


@pytest.mark.parametrize(("case", "option"), _each_output())
def test_no_output_goes_onto_an_input(case: Case, option: str, crowded: Path, run: Callable[..., Any]) -> None:
    for words, file in case.inputs.values():
        for way in WAYS:
            aimed = (
                _traced(crowded, file, way) if option == "--trace" else _aimed(crowded, file, case.outputs[option], way)
            )
            before = {path: path.read_bytes() for path in crowded.rglob("*") if path.is_file()}
            typed = (aimed,) if option == "OUTPUT" else (option, aimed)
            named = case.outputs.get("--output")
            other = ("--output", f"new{named}") if named and option != "--output" else ()
            done = (
                run(*case.command, *words, *typed, *other, *case.base)
                if option == "OUTPUT"
                else run(*case.command, *case.base, *words, *typed, *other)
            )
            assert done.code == 2, (words, way)
            if "link" in way or option == "--sidecar":  # directly, the name alone may be refused
                assert "is itself an input" in done.err, (words, way, done.err)
            assert {path: path.read_bytes() for path in crowded.rglob("*") if path.is_file()} == before, (words, way)
            for link in (*crowded.glob("link*"), crowded / "trace" / TRACED):
                link.unlink(missing_ok=True)
            if option == "--trace":
                (crowded / "trace").rmdir()
