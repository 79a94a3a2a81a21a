"""The benchmark on scenes of the world: what is made is not made again, and nothing foreign is taken for a record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dragflow.bench import fidelity, table, world
from dragflow.core.config import InversionConfig
from dragflow.core.errors import UserError
from dragflow.core.task import Affine, Rotate, Scale, Translate
from dragflow.io.resolve import full_matrix, resolve

QUICK = "paste,inversion.steps=2,inversion.skip=1"


def run(out: Path, *settings: str, scenes: range = range(2), processes: int = 1) -> list[world.Record]:
    return list(world.run(list(settings), scenes, "dummy", out, processes))


def test_every_setting_is_scored_on_every_scene(tmp_path: Path) -> None:
    found = run(tmp_path, "no-model", "preview", QUICK)
    assert {(r.setting, r.scene) for r in found} == {(s, i) for s in ("no-model", "preview", QUICK) for i in range(2)}
    assert all(r.outside and r.edit_seconds > 0 for r in found)
    for record in found:
        case = world.case_of(record.scene)
        with Image.open(world.picture_path(tmp_path, record.setting, record.scene)) as image:
            assert world.score(
                record.setting, record.config, record.scene, case, np.asarray(image), (0, 0)
            ).area == pytest.approx(record.area)
    assert [p.name for p in table.contact_sheets(found, tmp_path)].count("sheet-worst.png") == 3


def test_a_second_run_goes_on_where_the_first_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(tmp_path, "preview", scenes=range(1))
    made: list[int] = []
    scene = world._scene
    monkeypatch.setattr(
        world, "_scene", lambda model, out, n, settings: made.append(n) or scene(model, out, n, settings)
    )
    again = run(tmp_path, "preview", scenes=range(2))
    assert made == [1]
    assert str(first[0]) == str(again[0])  # NaN is not equal to itself
    assert len(world.read(tmp_path)) == 2


def test_a_changed_setting_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, QUICK, scenes=range(1))
    kept = world.read(tmp_path)[0]
    monkeypatch.setattr(world, "stamp", lambda setting, model: "another")
    (record,) = run(tmp_path, QUICK, scenes=range(1))
    assert (kept.config, record.config) != ("another", "another")
    assert record.config == "another"


@pytest.mark.slow
def test_several_processes_give_the_same_records(tmp_path: Path) -> None:
    one = run(tmp_path / "one", "preview", scenes=range(3))
    two = run(tmp_path / "two", "preview", scenes=range(3), processes=2)
    assert sorted((r.scene, r.area, r.ssim) for r in one) == sorted((r.scene, r.area, r.ssim) for r in two)


@pytest.mark.parametrize("line", ["{", '{"setting": "a"}', "[]", '{"context": 3}'])
def test_a_line_that_is_no_record_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match="line 1 is no record"):
        world.read(tmp_path)


@pytest.mark.parametrize("setting", ["nothing", "default,start.mode=sideways", "default,speed=3"])
def test_a_setting_that_is_none_is_refused_before_any_work(setting: str, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        run(tmp_path, "preview", setting)
    assert not (tmp_path / "records.jsonl").exists()


def test_the_editor_is_asked_for_the_motion_of_the_world() -> None:
    kinds: set[type] = set()
    for scene in range(24):
        case = world.case_of(scene)
        asked = world.motion(case)
        kinds.add(type(asked))
        (operation,) = resolve(case.source, world.instruction(case)).operations
        assert np.allclose(full_matrix(operation), case.motion.matrix, atol=1e-6)
    assert kinds == {Translate, Rotate, Scale, Affine}


def test_fidelity_is_measured_on_scenes_and_photographs(dummy_folder: Path) -> None:
    from dragflow.editor import Editor

    found = fidelity.fidelity(Editor.load(dummy_folder).backbone, range(1), InversionConfig(2, 1))
    assert found.scenes == 1
    assert all(np.isfinite([found.autoencoder, found.photographs, found.inversion]))


def test_the_command_prints_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dragflow.cli.app import main

    common = ["world-bench", "--scenes", "2", "-o", str(tmp_path), "--preset", "no-model", "--preset", "preview"]
    with pytest.raises(SystemExit) as stopped:
        main([*common, "--json"])
    assert not stopped.value.code
    data = json.loads(capsys.readouterr().out)
    assert [r["setting"] for r in data["rows"]] == ["no-model", "preview"]
    with pytest.raises(SystemExit):
        main(common)
    assert "| preview | 2 |" in capsys.readouterr().out


def test_a_setting_named_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dragflow.cli.app import main

    with pytest.raises(SystemExit) as stopped:
        main(["world-bench", "-o", str(tmp_path), "--preset", "fast", "--preset", "fast"])
    assert stopped.value.code == 2
    assert "names one twice" in capsys.readouterr().err
