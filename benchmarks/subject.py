"""What keeping the subject brings, on scenes of the world: reconstruction without an edit, and edits.

    python benchmarks/subject.py run ROW [--scenes 100] [--first 5000] [--processes 1] [--only SETTING] [-o subject]
    python benchmarks/subject.py report [-o subject]

Rows: `none`; `adapter`, the embedded model's; `another picture`, the same adapter given the features of the next scene
(what that gains has nothing to do with the subject); `lora`, a LoRA of each picture, trained by the function of
`dragflow lora train` with its defaults. A run that was stopped is resumed. Pictures are inverted and sampled under
the settings of `dragflow.bench.reconstruction` with the grid, guidances and K/V sites of the preset `paper`, and edited
with the preset `default`. With `--only` they are sampled under one setting and not edited: more scenes in the same time
(give it a folder of its own). LPIPS is measured where `dragflow bench` finds its weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import scenes
from truths import gain, scene

from dragflow.backbones.lora import attach_loras
from dragflow.bench.metrics.suite import load_suite
from dragflow.bench.reconstruction import SETTINGS, reconstruct
from dragflow.bench.run import editor
from dragflow.bench.sample import Sample
from dragflow.bench.statistics import estimate
from dragflow.core.models import ModelOptions, SubjectId, SubjectOptions
from dragflow.editor import frames
from dragflow.editor.editor import Editor
from dragflow.files.presets import load_preset
from dragflow.lora.config import LoraConfig
from dragflow.lora.train import train_lora
from dragflow.method.backbone import Image, Subject
from dragflow.subject.base import SubjectAdapter

PLAIN = ModelOptions("nano")
ADAPTED = ModelOptions("nano", subject=SubjectOptions("nano"))
ROWS = ("none", "adapter", "another picture", "lora")


@dataclass(frozen=True)
class Job:
    """One scene of one row."""

    row: str
    scene: int
    out: Path
    lora_steps: int
    only: str | None


@dataclass(frozen=True, eq=False)
class FixedPicture:
    """A `SubjectAdapter` that encodes the same picture whatever it is given."""

    adapter: SubjectAdapter
    picture: Image

    @property
    def record(self) -> SubjectId:
        return self.adapter.record

    def encode(self, image: Image) -> Subject:
        return self.adapter.encode(self.picture)


def main() -> None:
    """Run a row, or print the tables of all that were run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("row", choices=ROWS)
    scenes.add_options(run, 100)
    run.add_argument("--lora-steps", type=int, default=LoraConfig().steps, help="of the row `lora`")
    run.add_argument("--only", choices=SETTINGS, help="sample under this setting only, and do not edit")
    for command in (run, commands.add_parser("report")):
        command.add_argument("-o", "--output", type=Path, default=Path("subject"))
    args = parser.parse_args()
    if args.command == "report":
        print(_report({row: scenes.read(args.output, row) for row in ROWS}))
        return
    numbers = range(args.first, args.first + args.scenes)
    scenes.run(
        args.row,
        numbers,
        lambda number: Job(args.row, number, args.output, args.lora_steps, args.only),
        measure,
        args.output,
        args.processes,
    )


def measure(job: Job, device: str | None) -> scenes.Line:
    """Every figure of one scene."""
    sample, suite = scene(job.scene), load_suite(device=device)
    paper, default = load_preset("paper"), load_preset("default")
    with _editor(job, sample, device) as row_editor:
        size = frames.working_size(sample.image.size, paper.size.max_pixels, row_editor.backbone.spec.pixel_multiple)
        image = frames.as_image(sample.image.pixels, size)
        subject = None if row_editor.adapter is None else row_editor.adapter.encode(image).under(paper.subject)
        settings = {name: one for name, one in SETTINGS.items() if job.only in (None, name)}
        distance = suite.perceptual
        found = list(reconstruct(row_editor.backbone, sample, paper, subject, settings=settings, distance=distance))
        line = {"scene": job.scene, "reconstruction": [asdict(one) for one in found]}
        if job.only is None:
            session = row_editor.open(sample.image, sample.instruction.prompt, config=default)
            line["edit"] = suite.score(sample, session.edit(sample.instruction, default).pixels)
    return line


@contextmanager
def _editor(job: Job, sample: Sample, device: str | None) -> Iterator[Editor]:
    """The editor of a row for one picture."""
    if job.row == "none":
        yield editor(PLAIN, device)
    elif job.row == "adapter":
        yield editor(ADAPTED, device)
    elif job.row == "another picture":
        loaded, other = editor(ADAPTED, device), scene(job.scene + 1).image
        if loaded.adapter is not None:
            yield Editor(loaded.backbone, FixedPicture(loaded.adapter, frames.as_image(other.pixels, other.size)))
    else:
        plain, file = editor(PLAIN, device).backbone, job.out / "loras" / f"{job.scene}.safetensors"
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            train_lora(plain, sample.image, sample.instruction.prompt, LoraConfig(steps=job.lora_steps), to=file)
        with attach_loras(plain, [str(file)]) as trained:
            yield Editor(trained)


def _report(rows: dict[str, scenes.Lines]) -> str:
    base = rows["none"]
    lines = [
        "| setting | row | scenes | PSNR, dB | gain, dB | to the autoencoder's, dB | gain, dB | SSIM | LPIPS |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for setting in SETTINGS:
        for row, found in rows.items():
            if count := len(_values(found, setting, "psnr")):
                cells = [setting, row, str(count), *_reconstruction(found, base, setting)]
                lines.append(f"| {' | '.join(cells)} |")
    edits = {row: {number: line for number, line in found.items() if "edit" in line} for row, found in rows.items()}
    return "\n".join([*lines, "", scenes.edit_table(edits, "none")] if any(edits.values()) else lines)


def _reconstruction(found: scenes.Lines, base: scenes.Lines, setting: str) -> list[str]:
    cells: list[str] = []
    for key in ("psnr", "psnr_latent"):
        own, plain = _values(found, setting, key), _values(base, setting, key)
        cells += [f"{estimate(own.values()).value:.2f}", "" if found is base else gain(own, plain)]
    cells.append(f"{estimate(_values(found, setting, 'ssim').values()).value:.3f}")
    lpips = _values(found, setting, "lpips")
    return [*cells, f"{estimate(lpips.values()).value:.3f}" if lpips else "no weights"]


def _values(found: scenes.Lines, setting: str, key: str) -> dict[int, float]:
    pairs: Iterable[tuple[int, Any]] = (
        (scene, one[key])
        for scene, line in found.items()
        for one in line["reconstruction"]
        if one["setting"] == setting
    )
    return {scene: value for scene, value in pairs if value is not None}


if __name__ == "__main__":
    main()
