"""Bad input: exit code 2, one line that names the value, and not a file more than before."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

QUICK = ("--preset", "paste", "--set", "inversion.steps=4", "--set", "inversion.skip=1")

# options (MASK, TWO, PICTURE, FOLDER stand for paths), and what the line must name
OPERATIONS: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    ((), ("no operation",)),
    (("--to", "5,5"), ("--to 5,5", "before any region")),
    (("--mask", "MASK"), ("mask.png", "no motion")),
    (("--mask", "MASK", "--to", "5"), ("--to", "'5'")),
    (("--mask", "MASK", "--to", "a,b"), ("--to", "'a,b'")),
    (("--mask", "MASK", "--to", "5,5", "--to", "6,6"), ("--to", "twice")),
    (("--mask", "MASK", "--to", "500,5"), ("target (500, 5)", "100 x 75")),
    (("--mask", "MASK", "--to", "-5,5"), ("target (-5, 5)",)),
    (("--mask", "MASK", "--to", "nan,5"), ("mask.png", "finite number (given nan)")),
    (("--mask", "MASK", "--to", "inf,5"), ("mask.png", "finite number (given inf)")),
    (("--mask", "MASK", "--to", "31.5,31.5"), ("motion is zero",)),
    (("--mask", "MASK", "--degrees", "30"), ("anchor", "--about")),
    (("--mask", "MASK", "--scale", "2"), ("anchor", "--about")),
    (("--mask", "MASK", "--to", "50,50", "--degrees", "30"), ("--about",)),
    (("--mask", "MASK", "--about", "300,5", "--degrees", "30"), ("anchor (300, 5)",)),
    (("--mask", "MASK", "--about", "30,nan", "--degrees", "30"), ("about.1", "finite number (given nan)")),
    (("--mask", "MASK", "--about", "31.5,31.5", "--to", "50,50"), ("anchor (31.5, 31.5)", "centroid")),
    (("--mask", "MASK", "--about", "60,60", "--to", "60,60"), ("anchor (60, 60)", "target")),
    (("--mask", "MASK", "--about", "30,30", "--degrees", "nan"), ("nan", "finite")),
    (("--mask", "MASK", "--about", "30,30", "--degrees", "x"), ("--degrees", "'x'")),
    (("--mask", "MASK", "--about", "31.5,31.5", "--degrees", "0"), ("motion is zero",)),
    (("--mask", "MASK", "--about", "30,30", "--scale", "0"), ("factor", "0.01 (given 0.0)")),
    (("--mask", "MASK", "--about", "30,30", "--scale", "-1"), ("-1",)),
    (("--mask", "MASK", "--about", "30,30", "--scale", "1"), ("motion is zero",)),
    (("--mask", "MASK", "--about", "30,30", "--scale", "1,2,3"), ("1,2,3",)),
    (("--mask", "MASK", "--about", "30,30", "--to", "50,50", "--scale", "0"), ("0",)),
    (("--mask", "MASK", "--matrix", "1,0,0,0,1"), ("1,0,0,0,1", "6 numbers")),
    (("--mask", "MASK", "--matrix", "1,0,0,1,0,0"), ("determinant",)),
    (("--mask", "MASK", "--matrix", "1,0,nan,0,1,0"), ("nan", "finite")),
    (("--mask", "MASK", "--matrix", "1,0,500,0,1,0"), ("outside of the picture",)),
    (("--mask", "MASK", "--matrix", "1,0,5,0,1,0", "--to", "5,5"), ("--to 5,5",)),
    (("--mask", "MASK", "--to", "50,50", "--label", "transmutation"), ("transmutation",)),
    (
        ("--mask", "MASK", "--about", "30,30", "--degrees", "5", "--label", "part"),
        ("part", "relocation or deformation"),
    ),
    (("--mask", "MASK", "--at", "500,5", "--to", "50,50"), ("(500, 5)",)),
    (("--box", "20,20,40,40", "--at", "30,30", "--to", "50,50"), ("--at 30,30",)),
    (("--box", "20,20,40", "--to", "50,50"), ("20,20,40", "4 numbers")),
    (("--box", "40,20,20,40", "--to", "50,50"), ("swapped",)),
    (("--box", "20,20,140,40", "--to", "50,50"), ("(140, 40)",)),
    (("--box", "0,0,99,74", "--to", "50,50"), ("whole picture",)),
    (("--box", "20.2,20.2,20.4,20.4", "--to", "50,50"), ("empty",)),
    (("--polygon", "1,1;5,5", "--to", "50,50"), ("at least 3", "not 2")),
    (("--polygon", "1,1;5", "--to", "50,50"), ("3 numbers",)),
    (("--polygon", "1,1;5,5;900,2", "--to", "50,50"), ("(900, 2)",)),
    (("--box", "20,20,40,40", "--to", "50,50", "--box", "30,30,50,50", "--to", "10,10"), ("operations 0 and 1", "121")),
    (("--mask", "none.png", "--to", "50,50"), ("none.png", "does not exist")),
    (("--mask", "FOLDER", "--to", "50,50"), ("folder",)),
    (("--mask", "FOLDER/small.png", "--to", "50,50"), ("small.png", "50 x 40", "100 x 75")),
    (("--mask", "FOLDER/black.png", "--to", "50,50"), ("empty",)),
    (("--mask", "FOLDER/white.png", "--to", "50,50"), ("whole picture",)),
    (("--mask", "MASK", "--to", "50,50", "--area", "FOLDER/small.png"), ("small.png", "50 x 40")),
    (("--mask", "MASK", "--to", "50,50", "--area", "FOLDER/black.png"), ("editable area", "empty")),
    (("--mask", "MASK", "--to", "80,60", "--area", "MASK"), ("editable area", "target")),
    (("--task", "FOLDER/none.json"), ("none.json", "does not exist")),
    (("--task", "FOLDER"), ("not a ReD Bench sample",)),
    (("--task", "FOLDER/t.json", "--mask", "MASK"), ("--task", "--mask")),
    (("--task", "PICTURE"), ("picture.png",)),
]

SETTINGS: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (("--preset", "superfast"), ("'superfast'", "paper")),
    (("--preset", "none.toml"), ("none.toml",)),
    (("--preset", "FOLDER/typo.toml"), ("optimise.refinning",)),
    (("--preset", "FOLDER/type.toml"), ("optimise.refining", "many")),
    (("--preset", "FOLDER/broken.toml"), ("not TOML",)),
    (("--preset", "FOLDER/binary.toml"), ("binary.toml",)),
    (("--preset", "FOLDER/date.toml"), ("seed",)),
    (("--set", "optimise.refining"), ("'optimise.refining'", "=")),
    (("--set", "optimise.refinning=3"), ("optimise.refinning",)),
    (("--set", "optimize.refining=3"), ("optimize.refining",)),
    (("--set", "optimise=3"), ("optimise",)),
    (("--set", "=3"), ("'=3'",)),
    (("--set", "optimise.refining=many"), ("optimise.refining", "many")),
    (("--set", "optimise.refining=2.5"), ("optimise.refining", "2.5")),
    (("--set", "optimise.refining=-1"), ("optimise.refining: ", "given -1")),
    (("--set", "optimise.refining_rate=nan"), ("optimise.refining_rate",)),
    (("--set", "optimise.refining_rate=inf"), ("optimise.refining_rate",)),
    (("--set", "denoise.guidance=nan"), ("denoise.guidance",)),
    (("--set", "area.feather=inf"), ("area.feather",)),
    (("--set", "inversion.skip=4"), ("inversion.skip: ", "given 4")),
    (("--set", "start.mode=teleport"), ("start.mode", "teleport")),
    (("--set", "start.repair=1.5"), ("start.repair: ", "given 1.5")),
    (("--set", "seed=2024-01-01"), ("seed",)),
    (("--seed", "-1"), ("seed: ", "given -1")),
    (("--set", "kv.sites=['double.99']"), ("double.99",)),
    (("--set", "optimise.taps=['double.99.out']", "--set", "optimise.refining=1"), ("double.99.out",)),
    (("--model", "/no/such/model"), ("/no/such/model",)),
    (("--model", "FOLDER"), ("model_index.json",)),
    (("--quantize", "int3"), ("int3",)),
    (("--device", "tpu9"), ("tpu9",)),
    (("--dtype", "float8"), ("float8",)),
    (("--lora", "none.safetensors"), ("none.safetensors",)),
    (("--from", "FOLDER/none.png"), ("--preset",)),
]


@pytest.fixture
def crowded(desk: Any) -> Any:
    folder: Path = desk.folder
    Image.new("L", (50, 40), 255).save(folder / "small.png")
    Image.new("L", (100, 75), 0).save(folder / "black.png")
    Image.new("L", (100, 75), 255).save(folder / "white.png")
    (folder / "typo.toml").write_text("[optimise]\nrefinning = 3\n")
    (folder / "type.toml").write_text('[optimise]\nrefining = "many"\n')
    (folder / "broken.toml").write_text("[optimise\n")
    (folder / "binary.toml").write_bytes(b"\xff\xfe\x00description")
    (folder / "date.toml").write_text("seed = 2024-01-01\n")
    (folder / "t.json").write_text("{}")
    return desk


def filled(options: tuple[str, ...], desk: Any) -> list[str]:
    names = {"MASK": desk.mask, "TWO": desk.two, "PICTURE": desk.image, "FOLDER": desk.folder}
    found = []
    for option in options:
        for name, path in names.items():
            option = option.replace(name, str(path))
        found.append(option)
    return found


def refused(outcome: Any, words: tuple[str, ...], desk: Any, before: set[str]) -> None:
    assert outcome.code == 2, outcome.out + outcome.err
    assert outcome.out == ""
    lines = [line for line in outcome.err.splitlines() if line.strip()]
    assert len(lines) == 1, outcome.err
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]
    assert desk.files() == before


@pytest.mark.parametrize(("options", "words"), OPERATIONS, ids=lambda value: " ".join(value))
def test_an_operation_that_breaks_a_rule(
    options: tuple[str, ...], words: tuple[str, ...], run: Any, crowded: Any, dummy_folder: Path
) -> None:
    before = crowded.files()
    done = run("edit", crowded.image, *filled(options, crowded), "--model", dummy_folder, *QUICK, "-o", crowded.out)
    refused(done, words, crowded, before)
    preview = run("preview", crowded.image, *filled(options, crowded), "-o", crowded.out)
    refused(preview, words, crowded, before)


@pytest.mark.parametrize(("options", "words"), SETTINGS, ids=lambda value: " ".join(value))
def test_a_setting_that_breaks_a_rule(
    options: tuple[str, ...], words: tuple[str, ...], run: Any, crowded: Any, dummy_folder: Path
) -> None:
    before = crowded.files()
    operation = ("--mask", crowded.mask, "--to", "50,40", "--device", "cpu", "--model", dummy_folder)
    given = filled(options, crowded)
    done = run(
        "edit", crowded.image, *operation, *QUICK, *given, "--trace", crowded.folder / "trace", "-o", crowded.out
    )
    refused(done, words, crowded, before)


def test_an_output_that_cannot_be_written(run: Any, desk: Any, dummy_folder: Path) -> None:
    before = desk.files()
    base = ("edit", desk.image, "--mask", desk.mask, "--to", "50,40", "--model", dummy_folder, *QUICK)
    for output, word in (
        (desk.image, "itself an input"),
        (desk.folder / ".." / desk.folder.name / "picture.png", "itself an input"),
        (desk.folder / "none" / "out.png", "does not exist"),
        (desk.folder, ".png"),
        (desk.folder / "out.gif", ".png"),
    ):
        refused(run(*base, "-o", output), (word,), desk, before)
    refused(run(*base, "-o", desk.out, "--sidecar", desk.image), ("itself an input",), desk, before)
    refused(run(*base, "-o", desk.out, "--sidecar", desk.folder / "none" / "s.json"), ("does not exist",), desk, before)


def test_an_output_that_the_system_refuses_at_the_last_moment(run: Any, desk: Any, dummy_folder: Path) -> None:
    if not Path("/proc").is_dir():
        pytest.skip("needs a folder that looks writable and is not")
    base = ("edit", desk.image, "--mask", desk.mask, "--to", "50,40", "--model", dummy_folder, *QUICK)
    done = run(*base, "-o", "/proc/out.png")
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("error: ")
    assert "/proc/out.png" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("output", ["mask", "sidecar"])
def test_an_output_never_overwrites_another_file_of_the_same_run(
    output: str, run: Any, desk: Any, dummy_folder: Path
) -> None:
    before, mask = desk.files(), desk.mask.read_bytes()
    base = ("edit", desk.image, "--mask", desk.mask, "--to", "50,40", "--model", dummy_folder, *QUICK)
    extra = ("-o", desk.mask) if output == "mask" else ("-o", desk.out, "--sidecar", desk.out)
    refused(run(*base, *extra), ("mask.png" if output == "mask" else "out.png",), desk, before)
    assert desk.mask.read_bytes() == mask


def test_a_link_to_the_input_is_the_input(run: Any, desk: Any, dummy_folder: Path) -> None:
    link = desk.folder / "link.png"
    link.symlink_to(desk.image)
    before, pixels = desk.files(), desk.image.read_bytes()
    done = run("edit", desk.image, "--mask", desk.mask, "--to", "50,40", "--model", dummy_folder, *QUICK, "-o", link)
    refused(done, ("link.png",), desk, before)
    assert desk.image.read_bytes() == pixels


def test_a_trace_that_is_a_file(run: Any, desk: Any, dummy_folder: Path) -> None:
    before = desk.files()
    base = ("edit", desk.image, "--mask", desk.mask, "--to", "50,40", "--model", dummy_folder, *QUICK, "-o", desk.out)
    refused(run(*base, "--trace", desk.mask), ("mask.png",), desk, before)


def test_a_trace_without_the_library_that_plots_it(
    run: Any, desk: Any, dummy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = desk.files()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    base = ("edit", desk.image, "--mask", desk.mask, "--to", "50,40", "--model", dummy_folder, *QUICK, "-o", desk.out)
    trace = desk.folder / "trace"
    refused(run(*base, "--trace", trace), ("--trace needs matplotlib: pip install 'dragflow[bench]'",), desk, before)


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "truncated", "deep", "raw", "tiny", "folder"])
def test_a_picture_that_cannot_be_used(kind: str, run: Any, desk: Any, dummy_folder: Path) -> None:
    bad = desk.folder / "bad.png"
    if kind == "empty":
        bad.touch()
    elif kind == "text":
        bad.write_text("this is not a picture")
    elif kind == "truncated":
        bad.write_bytes(desk.image.read_bytes()[:5000])
    elif kind == "deep":
        Image.fromarray(np.zeros((64, 64), np.int32)).save(bad, "TIFF")
    elif kind == "raw":
        bad.write_bytes(b"FUJIFILMCCD-RAW 0201" + bytes(60))
    elif kind == "tiny":
        Image.new("RGB", (64, 4)).save(bad)
    elif kind == "folder":
        bad.mkdir()
    before = desk.files()
    command = ("--box", "20,20,40,40", "--to", "50,40", "--model", dummy_folder, *QUICK, "-o", desk.out)
    refused(run("edit", bad, *command), ("bad.png",), desk, before)
    refused(run("preview", bad, "--box", "20,20,40,40", "--to", "50,40", "-o", desk.out), ("bad.png",), desk, before)


TASKS: list[tuple[str, tuple[str, ...]]] = [
    ("", ("not JSON",)),
    ("{", ("not JSON",)),
    ("[]", ("t.json",)),
    ("{}", ("operations", "missing")),
    ('{"operations": []}', ("operations",)),
    ('{"operations": [{}]}', ("operations.0.region",)),
    ('{"operations": [{"region": {"box": [20, 20, 40, 40]}}]}', ("operations.0.motion", "missing")),
    ('{"operations": [{"motion": {"type": "translate", "to": [5, 5]}}]}', ("operations.0.region", "missing")),
]


@pytest.mark.parametrize(("text", "words"), TASKS)
def test_an_instruction_that_breaks_the_schema(text: str, words: tuple[str, ...], run: Any, desk: Any) -> None:
    path = desk.folder / "t.json"
    path.write_text(text)
    before = desk.files()
    refused(run("task", "check", path, desk.image), words, desk, before)
    refused(run("task", "convert", path, desk.folder / "bench", "--image", desk.image), words, desk, before)


def test_an_instruction_file_needs_its_picture(run: Any, desk: Any) -> None:
    path = desk.folder / "t.json"
    path.write_text(json.dumps({"operations": []}))
    before = desk.files()
    refused(run("task", "check", path), ("picture",), desk, before)


def test_a_conversion_never_overwrites_or_half_writes(run: Any, desk: Any) -> None:
    path = desk.folder / "t.json"
    box = {"region": {"box": [20, 20, 40, 40]}, "motion": {"type": "scale", "about": [30, 30], "factor": 2.0}}
    path.write_text(json.dumps({"operations": [box]}))
    (desk.folder / "full").mkdir()
    (desk.folder / "full" / "something").touch()
    before = desk.files()
    refused(run("task", "convert", path, desk.folder / "new", "--image", desk.image), ("scale",), desk, before)
    box["motion"] = {"type": "translate", "to": [50, 50]}
    path.write_text(json.dumps({"operations": [box]}))
    refused(run("task", "convert", path, desk.folder / "full", "--image", desk.image), ("not empty",), desk, before)
    refused(run("task", "convert", path, desk.mask, "--image", desk.image), ("mask.png",), desk, before)
    for place, word in ((desk.mask / "new", "mask.png"), (Path("/proc/new"), "/proc")):
        refused(run("task", "convert", path, place, "--image", desk.image), (word,), desk, before)


@pytest.mark.parametrize("command", [("edit",), ("edit", "--frobnicate"), ("nonsense",), ("preview", "a.png")])
def test_a_command_that_is_not_one_exits_with_two(command: tuple[str, ...], run: Any) -> None:
    assert run(*command).code == 2


MASKED = ("IMAGE", "--mask", "MASK", "--to", "60,40")


@pytest.mark.parametrize(
    "command",
    [
        ("preview", *MASKED, "-o", "MASK"),
        ("edit", *MASKED, "--model", "/no/such/model", "-o", "MASK"),
        ("edit", *MASKED, "--model", "/no/such/model", "-o", "OUT", "--sidecar", "MASK"),
        ("edit", "IMAGE", "--task", "TASK", "--model", "/no/such/model", "-o", "MASK"),
        ("preview", "IMAGE", "--task", "TASK", "-o", "MASK"),
        ("preview", *MASKED, "--area", "AREA", "-o", "AREA"),
        ("intent", *MASKED, "--overlay", "MASK"),
        ("intent", *MASKED, "--auto", "-o", "MASK"),
        ("task", "new", *MASKED, "-o", "MASK"),
    ],
)
@pytest.mark.parametrize("spelt", ["plain", "dotted", "symlink", "hardlink"])
def test_no_output_goes_onto_a_mask(command: tuple[str, ...], spelt: str, run: Any, desk: Any) -> None:
    area, task = desk.folder / "area.png", desk.folder / "t.json"
    Image.fromarray(np.where(np.indices((75, 100))[1] < 90, 255, 0).astype(np.uint8)).save(area)
    task.write_text(json.dumps({"operations": [TASK_OPERATION]}))
    names = {"IMAGE": desk.image, "MASK": desk.mask, "TASK": task, "AREA": area, "OUT": desk.out}
    target = names[command[-1]]
    aim = {"plain": target, "dotted": desk.folder / "sub" / ".." / target.name}.get(spelt, desk.folder / "link.png")
    (desk.folder / "sub").mkdir()
    if spelt == "symlink":
        aim.symlink_to(target)
    elif spelt == "hardlink":
        aim.hardlink_to(target)
    before = target.read_bytes()
    done = run(*(names.get(word, word) for word in command[:-1]), aim)
    assert (done.code, "itself an input" in done.err) == (2, True), done.err
    assert target.read_bytes() == before


TASK_OPERATION = {"region": {"type": "mask", "path": "mask.png"}, "motion": {"type": "translate", "to": [60, 40]}}
