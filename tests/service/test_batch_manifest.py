"""Manifests: what they ask for, by names that are safe and stay; and what a stranger's may not read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from batch_makers import SETTINGS, desk, instruction, manifest, picture, pixels, sample
from dragflow.core.errors import UserError
from dragflow.service.batch import Item, Listing, read_manifest
from dragflow.service.batch.work import Request, read_request


def requests(listing: Listing, root: Path | None = None) -> list[Request | str]:
    """What each item says, or why it cannot be read."""
    found: list[Request | str] = []
    for item in listing.items:
        try:
            found.append(read_request(item, listing.folder, root or listing.folder, SETTINGS))
        except UserError as error:
            found.append(str(error))
    return found


def refusal(folder: Path, line: object, root: Path | None = None) -> str:
    path = manifest(folder, line)  # pyright: ignore[reportArgumentType]
    (found,) = requests(read_manifest(path), root)
    assert isinstance(found, str)
    return found


def test_json_lines_and_a_table_ask_for_the_same(tmp_path: Path) -> None:
    desk(tmp_path)
    lines = [
        {"image": "a0.png", "instruction": "move.json", "prompt": "a cat, a dog", "seed": 7},
        {"image": "a1.png", "instruction": "move.json", "preset": "fast", "config": {"area": {"margin": 3}}},
    ]
    rows = 'image,instruction,prompt,preset,seed,config\r\na0.png,move.json,"a cat, a dog",,7,\r\n'
    rows += 'a1.png,move.json,,fast,,"{""area.margin"": 3}"\r\n\r\n'
    (tmp_path / "m.csv").write_text("\ufeff" + rows, newline="")
    by_lines, by_rows = read_manifest(manifest(tmp_path, *lines)), read_manifest(tmp_path / "m.csv")
    assert [item.name for item in by_lines.items] == [item.name for item in by_rows.items]
    first, second = requests(by_rows)
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    assert (first.instruction.prompt, first.config.seed, first.config.inversion.steps) == ("a cat, a dog", 7, 2)
    assert (second.config.area.margin, second.config.seed) == (3, 0)
    assert second.config != first.config
    assert [item.place for item in by_rows.items] == ["line 2", "line 3"]


def test_an_item_keeps_its_name_wherever_it_is(tmp_path: Path) -> None:
    one = {"image": "pic tures/a0.png", "instruction": "move.json"}
    other = {"image": "pic tures/a0.png", "instruction": "move.json", "seed": 1}
    first = read_manifest(manifest(tmp_path, one)).items
    later = read_manifest(manifest(tmp_path, other, one)).items
    assert first[0].name == later[1].name != later[0].name
    assert re.fullmatch(r"pic-tures-a0-[0-9a-f]{12}", first[0].name)


@pytest.mark.parametrize(
    "image", ["../../etc/passwd", "/", "\\\\host\\share", "CON", "ü" * 300, " .png", "a\nb.png", "<script>.png", "-o"]
)
def test_a_name_is_one_of_a_file_on_every_system(image: str, tmp_path: Path) -> None:
    (item,) = read_manifest(manifest(tmp_path, {"image": image, "instruction": "i.json"})).items
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{12,72}", item.name)


def test_what_is_asked_for_twice_is_one_item(tmp_path: Path) -> None:
    line = {"image": "a0.png", "instruction": "move.json"}
    found = read_manifest(manifest(tmp_path, line, {"instruction": "move.json", "image": "a0.png"}))
    assert len(found.items) == 1
    assert found.repeated == ("line 2 repeats line 1",)


def test_items_of_one_picture_are_neighbours(tmp_path: Path) -> None:
    lines = [{"image": f"a{i % 2}.png", "instruction": "move.json", "seed": i} for i in range(4)]
    assert [item.image for item in read_manifest(manifest(tmp_path, *lines)).items] == ["a0.png"] * 2 + ["a1.png"] * 2


def test_a_folder_has_samples_and_pictures_beside_their_instructions(tmp_path: Path) -> None:
    sample(tmp_path / "cats" / "one")
    picture(tmp_path / "dogs", "b.png")
    picture(tmp_path / "dogs", "without.png")
    instruction(tmp_path / "dogs", "b.json")
    sample(tmp_path / "out" / "no")
    found = read_manifest(tmp_path, skip=tmp_path / "out")
    assert [item.place for item in found.items] == ["cats/one", "dogs/b.png"]
    assert all(isinstance(request, Request) for request in requests(found))


def test_a_sample_has_its_own_picture_unless_another_is_named(tmp_path: Path) -> None:
    sample(tmp_path / "one")
    other = picture(tmp_path, "other.png", 5)
    own, named = requests(
        read_manifest(manifest(tmp_path, {"instruction": "one"}, {"instruction": "one", "image": "other.png"}))
    )
    assert isinstance(own, Request)
    assert isinstance(named, Request)
    assert own.picture == (tmp_path / "one" / "original_image.png").read_bytes()
    assert named.picture == other.read_bytes()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nonsense", "not JSON"),
        ("[1]", "the line"),
        ({"image": "a0.png"}, "instruction is missing"),
        ({"image": "a0.png", "instruction": "move.json", "model": "evil/model"}, "model is not a known key"),
        ({"image": "a0.png", "instruction": "move.json", "lora": "evil.bin"}, "lora is not a known key"),
        ({"image": "a0.png", "instruction": "move.json", "config": {"no.key": 1}}, "no.key is not a known key"),
        ({"image": "a0.png", "instruction": "move.json", "config": {"a=b": 1}}, "is not a known key"),
        ({"image": "a0.png", "instruction": "move.json", "config": {"model": "x"}}, "model is not a known key"),
        ({"image": "a0.png", "instruction": "move.json", "seed": -1}, "seed"),
        ({"image": "a0.png", "instruction": "move.json", "preset": "nope"}, "preset 'nope' is not known"),
        ({"image": "gone.png", "instruction": "move.json"}, "does not exist"),
        ({"image": "a0.png", "instruction": "gone.json"}, "does not exist"),
        ({"image": "", "instruction": "move.json"}, "image is empty"),
        ('{"image": "a\\u0000.png", "instruction": "move.json"}', "cannot be followed"),
        ('{"instruction": "move.json", "instruction": "move.json"}', "duplicate key"),
    ],
)
def test_a_bad_line_is_an_item_that_says_why(line: object, words: str, tmp_path: Path) -> None:
    assert words in refusal(desk(tmp_path), line)


@pytest.mark.parametrize("key", ["image", "instruction", "preset"])
@pytest.mark.parametrize("way", ["parts", "absolute", "link"])
def test_no_file_outside_of_the_manifests_folder_is_read(key: str, way: str, tmp_path: Path) -> None:
    inside, outside = desk(tmp_path / "inside"), desk(tmp_path / "outside")
    (outside / "p.toml").write_text('description = "mine"\n')
    name = {"image": "a0.png", "instruction": "move.json", "preset": "p.toml"}[key]
    if way == "link":
        (inside / f"link-{name}").symlink_to(outside / name)
    path = {"parts": f"../outside/{name}", "absolute": str(outside / name), "link": f"link-{name}"}[way]
    line = {"image": "a0.png", "instruction": "move.json", key: path}
    assert "out of which nothing is read" in refusal(inside, line)
    (found,) = requests(read_manifest(manifest(inside, line)), root=tmp_path)
    assert isinstance(found, Request)


def test_no_mask_outside_of_the_folder_is_read_through_a_link(tmp_path: Path) -> None:
    inside = desk(tmp_path / "inside")
    Image.fromarray(pixels()[..., 0]).save(tmp_path / "secret.png")
    (inside / "mask.png").symlink_to(tmp_path / "secret.png")
    instruction(inside, "masked.json", region={"type": "mask", "path": "mask.png"})
    assert "out of which nothing is read" in refusal(inside, {"image": "a0.png", "instruction": "masked.json"})
    sample(inside / "one")
    (inside / "one" / "mask.png").symlink_to(tmp_path / "secret.png")
    assert "out of which nothing is read" in refusal(inside, {"instruction": "one"})


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("m.csv", "image,model\na,b\n", "it needs `instruction`"),
        ("m.csv", "image,image,instruction\na,b,c\n", "it needs `instruction`"),
        ("m.csv", "", "it needs `instruction`"),
        ("m.csv", 'instruction\n"open\n', "is not CSV"),
        ("m.txt", "a", "neither a folder nor"),
        ("gone.jsonl", None, "does not exist"),
    ],
)
def test_what_is_no_manifest_is_refused(name: str, text: str | None, words: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=words):
        read_manifest(tmp_path / name)


def test_a_line_of_a_table_with_too_many_cells_says_so(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("image,instruction\na0.png,move.json,a cat\n")
    (item,) = read_manifest(tmp_path / "m.csv").items
    assert "3 cells under 2 columns" in item.problem


def test_a_line_that_is_being_written_waits(tmp_path: Path) -> None:
    path = manifest(tmp_path, {"image": "a.png", "instruction": "i.json"})
    with path.open("a") as file:
        file.write(json.dumps({"image": "b.png", "instruction": "i.json"})[:20])
    assert len(read_manifest(path, growing=True).items) == 1
    assert isinstance(read_manifest(path).items[1], Item)
