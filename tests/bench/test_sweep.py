"""A sweep measures every tap and site, resumes where it was stopped, and writes what loading then uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dragflow.backbones.registry import load_backbone
from dragflow.bench.run import Plan, header, pool
from dragflow.bench.sweep import measure as measuring
from dragflow.bench.sweep.measure import MEASURES, Measured
from dragflow.bench.sweep.report import markdown, write_report
from dragflow.bench.sweep.run import Asked, sweep
from dragflow.bench.sweep.trials import base_config
from dragflow.core.errors import NumericalError, UserError
from dragflow.core.models import ModelOptions
from dragflow.files.presets import load_preset
from dragflow.files.sweeps import Found, Sweep, read_sweep, sweep_path, write_sweep
from dragflow.service.executors import InProcess

QUICK = ("inversion.steps=2", "inversion.skip=1", "optimise.moving=0", "optimise.refining=1", "size.max_pixels=4096")
TAPS = Asked(ModelOptions("dummy"), "world:2@5000", ("taps",), None, QUICK)
SITES = replace(TAPS, halves=("sites",))
FAILS = "double.1.out"

pytestmark = pytest.mark.usefixtures("swept_folder")


def shown(items: Iterable[Measured], total: int, title: str) -> Iterator[Measured]:
    found = list(items)
    assert len(found) == total
    yield from found


def swept(asked: Asked, *, force: bool = False) -> Sweep:
    return sweep(asked, InProcess(), shown, force=force)


def half(found: Found | None) -> Found:
    assert found is not None
    return found


@pytest.fixture
def edits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The trials for which a picture would be edited; what comes of it is made up."""
    seen: list[str] = []

    def made_up(job: measuring._Job, device: str | None) -> dict[str, float]:
        seen.append(job.trial.name)
        if job.trial.name == FAILS:
            raise NumericalError("the latent is not finite")
        return {measure: float(len(job.trial.name)) for measure in MEASURES}

    monkeypatch.setattr(measuring, "_values", made_up)
    return seen


@pytest.mark.slow
def test_every_tap_is_measured_and_the_own_are_kept_for_want_of_scenes(tmp_path: Path) -> None:
    spec = load_backbone(ModelOptions("dummy")).spec
    found = swept(TAPS)
    taps = half(found.taps)
    assert found.sites is None
    assert [row.name for row in taps.rows] == ["none", "own", *spec.tap_names]
    assert all((row.scenes, row.failed) == (1, 0) for row in taps.rows)
    assert all(None not in (row.landing, row.area, row.target, row.vacated, row.background) for row in taps.rows)
    assert (taps.chosen, taps.own) == (spec.taps, spec.taps)
    assert [row.name for row in taps.confirmed] in ([], ["own", "chosen"])
    assert swept(TAPS) == found
    for name in ("report.md", "report.svg", "report.png"):
        write_report(found, tmp_path / name)
        assert (tmp_path / name).stat().st_size < 150_000
    assert "| double.0.norm | 1 |" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_sites_are_measured_beside_what_was_found_of_taps(edits: list[str]) -> None:
    spec = load_backbone(ModelOptions("dummy")).spec
    before = swept(TAPS)
    write_sweep(before)
    edits.clear()
    found = swept(SITES)
    sites = half(found.sites)
    assert found.taps == before.taps
    assert [row.name for row in sites.rows] == ["none", "own", *spec.blocks]
    assert "none" not in edits  # the model's own taps without K/V were measured already
    write_sweep(found)
    assert read_sweep(found.fingerprint) == found
    assert any(line.startswith("## Sites of dummy") for line in markdown(found))


def test_a_sweep_that_was_stopped_goes_on_where_it_was(
    edits: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    add = measuring.Log.add

    def killed(log: measuring.Log, one: Measured) -> None:
        add(log, one)
        if len(edits) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(measuring.Log, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            swept(TAPS)
    (log,) = (tmp_path / "cache" / "sweeps").glob("*.jsonl")
    log.write_bytes(log.read_bytes()[:-9])  # as if the third had been half written
    found = swept(TAPS)
    assert edits[:4] == ["none", "own", edits[2], edits[2]]
    assert len(edits) == len(half(found.taps).rows) + len(half(found.taps).confirmed) + 1


@pytest.mark.usefixtures("edits")
def test_an_edit_that_fails_is_a_row() -> None:
    rows = {row.name: row for row in half(swept(TAPS).taps).rows}
    assert (rows[FAILS].scenes, rows[FAILS].failed, rows[FAILS].area) == (0, 1, None)
    assert rows["double.0.norm"].failed == 0


@pytest.mark.usefixtures("edits")
def test_what_was_swept_otherwise_is_replaced_by_force_alone() -> None:
    found = write_sweep(swept(TAPS))
    other = replace(TAPS, settings=(*QUICK, "seed=1"))
    with pytest.raises(UserError, match=rf"{found.name} has taps that were swept on world:2@5000 with preset default"):
        swept(other)
    assert half(swept(other, force=True).taps).settings == other.settings


@pytest.mark.usefixtures("edits")
def test_a_sweep_measures_the_models_own_whatever_was_chosen_before() -> None:
    found = swept(TAPS)
    tap = half(found.taps).rows[2].name
    write_sweep(replace(found, taps=replace(half(found.taps), chosen=(tap,))))
    assert load_backbone(ModelOptions("dummy")).spec.taps == (tap,)
    assert half(swept(TAPS).taps).own == half(found.taps).own


def test_data_without_the_truth_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = measuring.data_set("world:2@5000", None)
    blind = replace(data.load("5000"), truth=None)
    monkeypatch.setattr(measuring, "data_set", lambda *_: type("Blind", (), {"load": lambda self, name: blind})())
    with pytest.raises(UserError, match="true picture of sample 5000 in blind is not known"):
        measuring._sample("blind", "5000")


@pytest.mark.parametrize("preset", ["paste", "bridge"])
def test_settings_without_iterations_are_refused(preset: str) -> None:
    with pytest.raises(UserError, match="these settings make none"):
        base_config(preset, ())
    assert base_config(preset, ("optimise.refining=2",)).start == load_preset(preset).start
    assert base_config(None, ()).start.mode == "source"


@pytest.mark.usefixtures("edits")
def test_another_choice_makes_another_run() -> None:
    plan = Plan("world:2", None, "dragflow", "ours", load_preset("default"), ModelOptions("dummy"))
    before = header(plan, InProcess())
    assert before.config == plan.config
    pool().clear()
    found = swept(TAPS)
    write_sweep(replace(found, taps=replace(half(found.taps), chosen=("double.0.out",))))
    after = header(plan, InProcess())
    assert after.config is not None
    assert after.config.optimise.taps == ("double.0.out",)
    assert sweep_path(found.fingerprint).exists()
    assert after.weights == before.weights
    pool().clear()
