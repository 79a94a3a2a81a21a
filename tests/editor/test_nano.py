"""The shipped weights: small, loadable as they are, faithful, and of use in an edit."""

from __future__ import annotations

import numpy as np
import pytest

from dragflow.backbones.registry import locate
from dragflow.backbones.usual import BRIDGE
from dragflow.bench.data.world import World
from dragflow.bench.fidelity import fidelity
from dragflow.bench.methods import run_with_model, run_without_model
from dragflow.bench.metrics.suite import Suite
from dragflow.bench.reconstruction import SETTINGS, reconstruct
from dragflow.core.config import EditConfig, InversionConfig
from dragflow.core.models import ModelOptions, SubjectOptions
from dragflow.editor.editor import Editor
from dragflow.editor.frames import as_image
from dragflow.files.presets import load_preset
from dragflow.service.pool import ModelPool
from dragflow.subject.registry import check_options
from dragflow.world import scene

FOLDER, _ = locate(ModelOptions("nano"))
GROUNDS = {"grass": "on grass", "water": "on water", "night": "at night", "sand": "on sand", "snow": "on snow"}


def test_the_weights_are_small_enough_to_ship() -> None:
    assert sum(p.stat().st_size for p in FOLDER.rglob("*") if p.is_file() and p.name != BRIDGE) <= 40e6
    assert 10e6 < (FOLDER / BRIDGE).stat().st_size <= 25e6


def test_the_adapter_is_small_enough_to_ship() -> None:
    folder = check_options(SubjectOptions("nano")).parent
    assert 0 < sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) <= 8e6


@pytest.mark.slow
def test_the_adapter_holds_a_picture_against_guidance() -> None:
    editor, paper = Editor.load("nano", subject=SubjectOptions("nano")), load_preset("paper")
    assert editor.adapter is not None
    gains: list[float] = []
    for number in ("310", "311", "312"):
        sample = World(310, 3).load(number)
        subject = editor.adapter.encode(as_image(sample.image.pixels, sample.image.size)).under(paper.subject)
        with_it, without = (
            next(reconstruct(editor.backbone, sample, paper, used, settings={"guidance": SETTINGS["guidance"]}))
            for used in (subject, None)
        )
        gains.append(with_it.psnr_latent - without.psnr_latent)
    assert np.mean(gains) > 0.5


@pytest.mark.slow
def test_a_plain_flux_pipeline_draws_the_ground_that_the_caption_names() -> None:
    torch = pytest.importorskip("torch")
    from diffusers import FluxPipeline

    pipeline = FluxPipeline.from_pretrained(FOLDER)
    pipeline.set_progress_bar_config(disable=True)
    true = {
        name: np.mean([scene(i, 64, background=name).render().mean((0, 1)) for i in range(24)], axis=0)
        for name in GROUNDS
    }
    right = 0
    for name, words in GROUNDS.items():
        for seed in range(3):
            picture = pipeline(
                f"a dog {words}",
                height=256,
                width=256,
                num_inference_steps=10,
                max_sequence_length=32,
                generator=torch.Generator().manual_seed(seed),
                output_type="np",
                return_dict=False,
            )[0][0]
            colour = 255 * picture.mean((0, 1))
            right += min(true, key=lambda other: float(np.linalg.norm(true[other] - colour))) == name
    assert right >= 12, f"{right} of 15; chance gives 3"


@pytest.mark.slow
def test_autoencoder_and_inversion_are_faithful() -> None:
    found = fidelity(Editor.load("nano").backbone, range(12), EditConfig(inversion=InversionConfig(20, 8)))
    assert found.autoencoder >= 29
    assert found.photographs >= 25
    assert found.inversion >= 30


@pytest.mark.slow
def test_an_edit_beats_paste_over_inpainting() -> None:
    samples = [World(300, 8).load(str(number)) for number in range(300, 308)]
    model, pool, fast, suite = ModelOptions("nano"), ModelPool(), load_preset("fast"), Suite()
    edited = [suite.score(sample, run_with_model(model, pool, fast, sample).image) for sample in samples]
    pasted = [suite.score(sample, run_without_model("paste-inpaint", sample).image) for sample in samples]
    assert np.median([scores["landing"] for scores in edited if "landing" in scores]) <= 2
    assert all(scores["outside"] == 1 for scores in edited)
    for key, gain in (("PSNR_area", 0.3), ("SSIM_area", 0.0)):
        assert np.mean([scores[key] for scores in edited]) > np.mean([scores[key] for scores in pasted]) + gain
