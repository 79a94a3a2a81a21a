"""`dragflow lora train`: a LoRA from a picture, used by an edit; stopped and resumed; what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dragflow.files.recipes import load_recipe

QUICK = ("--set", "inversion.steps=4", "--set", "inversion.skip=1", "--set", "optimise.refining=1")
SHORT = ("--rank", "2", "--steps", "4", "--batch", "1", "--prompt", "a cat's toy")


def heed_interrupts() -> None:
    """A shell that starts tests in the background lets their children ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_trained_lora_is_what_an_edit_takes(run: Any, desk: Any, dummy_folder: Path) -> None:
    lora, plain = desk.folder / "subject.safetensors", desk.folder / "plain.png"
    trained = run("lora", "train", desk.image, "-o", lora, *SHORT, "--rate", "0.1", "--model", dummy_folder)
    assert trained.code == 0, trained.err
    told = trained.out.splitlines()
    assert told[0].startswith(f"{lora}: 4 steps")
    assert told[-1] == (
        f"dragflow edit {desk.image} --lora {lora} --prompt 'a cat'\"'\"'s toy' --model {dummy_folder} "
        "--mask MASK --to X,Y"
    )
    edit = ("edit", desk.image, "--mask", desk.mask, "--to", "60,40", "--model", dummy_folder, *QUICK)
    done = run(*edit, "--lora", f"{lora}:0.8", "-o", desk.out)
    assert done.code == 0, done.err
    assert load_recipe(desk.out).weights.options.lora == (f"{lora}:0.8",)
    assert run(*edit, "-o", plain).code == 0
    assert load_recipe(plain).weights.fingerprint != load_recipe(desk.out).weights.fingerprint
    repeated = run("edit", desk.image, "--from", desk.out, "--trust", "-o", desk.folder / "again.png")
    assert repeated.code == 0, repeated.err
    assert (desk.folder / "again.png").read_bytes() == desk.out.read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one process")
def test_an_interrupted_training_resumes_to_the_same_weights(run: Any, desk: Any, dummy_folder: Path) -> None:
    lora, unbroken = desk.folder / "subject.safetensors", desk.folder / "unbroken.safetensors"
    options = ["--rank", "2", "--steps", "24", "--batch", "1", "--model", str(dummy_folder), "--json"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from dragflow.cli.app import main; main()", "lora", "train", str(desk.image),
         "-o", str(lora), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=heed_interrupts,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        for line in process.stdout:
            if '"train"' in line and '"index": 2,' in line:
                process.send_signal(signal.SIGINT)
                break
        rest, complaint = process.stdout.read(), process.stderr.read()
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
    assert '"written"' not in rest
    kept = desk.folder / "subject.safetensors.partial"
    assert complaint.strip() == f"cancelled: {kept} holds what is done: continue with --resume"
    assert not lora.exists()
    again = run("lora", "train", desk.image, "-o", lora, *options)
    assert again.code == 2
    assert "--resume" in again.err
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the process that was stopped
    try:
        resumed = run("lora", "train", desk.image, "-o", lora, *options, "--resume")
        whole = run("lora", "train", desk.image, "-o", unbroken, *options)
    finally:
        torch.set_num_threads(threads)
    assert resumed.code == 0, resumed.err
    steps = [event for event in resumed.events if event["event"] == "stepped" and event["phase"] == "train"]
    assert 0 < len(steps) < 24
    assert steps[-1].keys() == {"event", "phase", "index", "total", "loss"}
    assert resumed.events[-1] == {**whole.events[-1], "output": str(lora)}
    assert len(whole.events[-1]["losses"]) == 24
    made, expected = load_file(lora), load_file(unbroken)
    assert made.keys() == expected.keys()
    assert all(torch.equal(made[name], tensor) for name, tensor in expected.items())
    assert not kept.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-o", "subject.pt"), ("subject.pt", ".safetensors")),
        (("-o", "none/a.safetensors"), ("none", "does not exist")),
        (("-o", "there.safetensors"), ("there.safetensors exists", "--force")),
        (("-o", "a.safetensors", "--resume"), ("a.safetensors.partial", "leave out --resume")),
        (("-o", "a.safetensors", "--resume", "--force"), ("--resume", "--force")),
        (("-o", "begun.safetensors"), ("begun.safetensors.partial", "--resume")),
        (("-o", "begun.safetensors", "--resume"), ("begun.safetensors.partial", "damaged")),
        (("-o", "a.safetensors", "--rank", "0"), ("--rank: ", "given 0")),
        (("-o", "a.safetensors", "--rate", "inf"), ("rate: ", "given inf")),
        (("-o", "a.safetensors", "--seed", "-1"), ("--seed: ", "given -1")),
        (("-o", "a.safetensors", "--max-pixels", "100"), ("--max-pixels: ", "given 100")),
    ],
)
def test_what_breaks_a_rule_is_refused(
    options: tuple[str, ...], words: tuple[str, ...], run: Any, desk: Any, dummy_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(desk.folder)
    for name in ("there.safetensors", "begun.safetensors.partial"):
        (desk.folder / name).write_bytes(b"of before")
    before = desk.files()
    refused = run("lora", "train", desk.image, *options, "--model", dummy_folder)
    assert refused.code == 2
    assert refused.out == ""
    assert refused.err.strip().startswith("error: ")
    assert len(refused.err.split("\n")) <= 3  # the bar that was begun leaves a line
    assert all(word in refused.err for word in words)
    assert desk.files() == before
    assert (desk.folder / "there.safetensors").read_bytes() == b"of before"


def test_force_starts_over_and_replaces(run: Any, desk: Any, dummy_folder: Path) -> None:
    lora = desk.folder / "subject.safetensors"
    kept = desk.folder / "subject.safetensors.partial"
    for file in (lora, kept):
        file.write_bytes(b"of before")
    done = run("lora", "train", desk.image, "-o", lora, *SHORT, "--model", dummy_folder, "--force")
    assert done.code == 0, done.err
    assert load_file(lora)
    assert not kept.exists()
