"""Commands that are rebuilt from what a run recorded, read back by what they are made of."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from report_makers import NO_MODELS, Squares, one_metric, scored_run

from dragflow.bench.methods import WITH_MODEL
from dragflow.bench.report.commands import as_settings, make, report, score
from dragflow.bench.report.formats import facts
from dragflow.bench.runs import Tools
from dragflow.core.models import ModelOptions, SubjectId, SubjectOptions, WeightsId
from dragflow.files.presets import load_preset, override, preset_names

CHANGES = [
    "kv.rule=none",
    'optimise.taps=["double.1.out"]',
    "optimise.moving_rate=1e-05",
    "area.composite=false",
    "seed=7",
]


@pytest.mark.parametrize("preset", preset_names())
def test_settings_give_the_configuration_again(preset: str) -> None:
    config = override(load_preset(preset), CHANGES)
    name, settings = as_settings(config, "paper")
    assert override(load_preset(name), settings) == config


@pytest.mark.parametrize("preset", preset_names())
def test_a_preset_needs_no_settings(preset: str) -> None:
    assert as_settings(load_preset(preset), preset) == (preset, [])


def test_a_run_with_a_model_is_told_in_full() -> None:
    model = WeightsId(
        ModelOptions("models/a b", "abc123", None, "bfloat16", "int8", lora=("style.safetensors:0.8",)), "f1"
    )
    config = override(load_preset("fast"), ["optimise.refining=9"])
    run = scored_run("it's fast", {}, method="dragflow", data="my data", regions="mask", config=config, model=model)
    assert shlex.split(make(run, None)) == [
        *("dragflow", "bench", "run", "my data", "-o", "runs/it's fast", "--label", "it's fast", "--regions", "mask"),
        *("--method", "dragflow", "--preset", "fast", "--set", "optimise.refining=9"),
        *("--model", "models/a b", "--revision", "abc123", "--dtype", "bfloat16", "--quantize", "int8"),
        *("--lora", "style.safetensors:0.8"),
    ]


def test_an_adapter_is_named_with_its_own_encoders() -> None:
    options = SubjectOptions("instantcharacter", "my a.safetensors", siglip="/siglip", dinov2="/dino v2")
    plain = scored_run("a", {}, method="dragflow", config=load_preset("fast"))
    run = replace(plain, header=replace(plain.header, subject=SubjectId(options, "ff" * 8)))
    assert shlex.split(make(run, None))[-8:] == [
        *("--subject.adapter", "instantcharacter", "--subject.weights", "my a.safetensors"),
        *("--subject.siglip", "/siglip", "--subject.dinov2", "/dino v2"),
    ]
    assert ("subject adapter", "instantcharacter, my a.safetensors") in facts(run)
    assert not any("subject" in word for word in (make(plain, None), *(title for title, _ in facts(plain))))


def test_of_equally_near_presets_the_methods_own_is_named() -> None:
    for method, preset in WITH_MODEL.items():
        named = preset or "default"
        run = scored_run("a", {}, method=method, config=load_preset(named))
        assert f"--method {method} --preset {named}" in make(run, None)


def test_a_part_of_the_data_is_a_limit() -> None:
    run = scored_run("a", one_metric("landing", [1, 2]))
    assert make(run, Squares(("0", "1", "2"))).endswith("--method preview --limit 2")
    assert "--limit" not in make(run, Squares(("0", "1")))


def test_pictures_of_another_program_are_imported() -> None:
    run = scored_run("theirs", {}, method="external")
    assert make(run, None) == "dragflow bench import data RESULTS -o runs/theirs --label theirs"


def test_runs_are_scored_together_that_were_scored_alike() -> None:
    dift, taps = Tools("LPIPS", "DIFT (SD 2.1)"), Tools("", "taps of nano")
    runs = [scored_run(name, {}, tools=t) for name, t in (("a", dift), ("b", NO_MODELS), ("c", dift), ("d", taps))]
    assert score(runs) == [
        "dragflow bench score runs/a runs/c --features dift",
        "dragflow bench score runs/b",
        "dragflow bench score runs/d --features taps --model nano",
    ]


def test_the_report_is_told_with_what_is_not_usual() -> None:
    runs = [scored_run("a", {}), scored_run("b", {})]
    assert report(runs, ".md", None, "mean", None, None) == "dragflow bench report runs/a runs/b -o report.md"
    assert report(runs[:1], ".html", "a", "median", ("IF_bg", "MD1"), 20) == (
        "dragflow bench report runs/a -o report.html --base a --statistic median --metric IF_bg --metric MD1 "
        "--gallery 20"
    )
