"""The page, the Markdown and the CSV: what they hold, that nothing in them is taken for markup, that they are whole."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_makers import NO_MODELS, Squares, one_metric, save_results, scored_run

from dragflow.bench.report import write_report
from dragflow.bench.runs import RunRecord, ScoredRun, Tools
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import ModelOptions, WeightsId
from dragflow.files.presets import load_preset

EVIL = "<script>alert('x')</script>"
SUFFIXES = (".html", ".md", ".csv")


class Page(HTMLParser):
    """Tags with their attributes, the text outside of scripts, and the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif not self._inside and data.strip():
            self.words.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(self.words)


def two_runs(folder: Path) -> list[ScoredRun]:
    first = {
        "cat/1": {"PSNR_area": 20.0, "MD1": 30.25},
        "cat/2": {"PSNR_area": 30.0, "MD1": 10.5},
        "dog": {"PSNR_area": 40.0},
    }
    second = {name: {"PSNR_area": found["PSNR_area"] + 1} for name, found in first.items()}
    categories = {"cat/1": "cat", "cat/2": "cat", "dog": "dog"}
    failed = [RunRecord("owl", "failed", "RuntimeError: no memory")]
    tools = Tools("", "DIFT (SD 2.1)", {"IF_bg": "no weights of LPIPS: download them"})
    model = WeightsId(ModelOptions("nano", dtype="float32"), "f00d")
    runs = [
        scored_run("one", first, folder=folder, categories=categories, tools=tools, more=failed),
        scored_run(
            "two",
            second,
            folder=folder,
            categories=categories,
            method="dragflow",
            config=load_preset("default"),
            model=model,
        ),
    ]
    for run in runs:
        save_results(run)
    return runs


def evil_run(folder: Path) -> ScoredRun:
    run = scored_run(
        "<b>evil|label</b>",
        {EVIL: {"landing": 1.0}, "b": {"landing": 2.0}},
        folder=folder,
        data_name="<i>data</i>",
        categories={EVIL: "</script><img src=x onerror=alert(1)>"},
        tags={EVIL: ("<u>tag</u>",)},
        tools=Tools("", "", {"MD1": "<a href='x'>get it</a>"}),
        more=[RunRecord("c", "failed", f"first line\n| second | {EVIL} `code` **bold**")],
    )
    save_results(run)
    return run


def write(runs: list[ScoredRun], out: Path, data: object = None, **options: object) -> str:
    write_report(runs, {("data", "thing"): data}, out, **options)  # pyright: ignore[reportArgumentType]
    return out.read_text(encoding="utf-8")


def test_the_page_says_everything(tmp_path: Path) -> None:
    page = Page(write(two_runs(tmp_path), tmp_path / "report.html", Squares(("cat/1", "cat/2", "dog", "owl"))))
    for words in (
        "ReD Bench",
        "30.0",  # mean of one
        "31.0 [21.0, 41.0]",
        "20.38",  # MD1 of one
        "Against one",
        "+1.00",
        "RuntimeError: no memory",
        "IF_bg (one)",
        "no weights of LPIPS: download them",
        "DIFT (SD 2.1)",
        load_preset("default").hash,
        "f00d",
        "dragflow 9.9, python 3.11.0",
        "arXiv 2510.02253v3 Table 2",
        "19.46",  # published for DragFlow
        "they were not measured here",
        "--method dragflow --preset default --model nano --dtype float32",
        "dragflow bench score",
    ):
        assert words in page.text, words


def test_pictures_are_inside_the_page_and_nothing_else_is_fetched(tmp_path: Path) -> None:
    text = write(two_runs(tmp_path), tmp_path / "report.html", Squares(("cat/1", "cat/2", "dog", "owl")))
    page = Page(text)
    shown = [attributes for tag, attributes in page.tags if tag == "img" and "src" in attributes]
    assert len(shown) == 3 * (3 + 2)  # of three samples source, instruction, truth and two results
    assert all(str(one["src"]).startswith("data:image/webp;base64,") for one in shown)
    assert not re.search(r"(?:src|href)=\"(?!#|data:)", text)
    assert not re.search(r"url\(|@import|\son\w+=", text)
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")


def test_every_link_leads_somewhere(tmp_path: Path) -> None:
    page = Page(write(two_runs(tmp_path), tmp_path / "report.html"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    links = {str(attributes["href"])[1:] for tag, attributes in page.tags if tag == "a"}
    assert len(ids) == len(set(ids))
    assert links
    assert links <= set(ids)


def test_the_script_knows_every_score(tmp_path: Path) -> None:
    page = Page(write(two_runs(tmp_path), tmp_path / "report.html"))
    known = json.loads(page.scripts[0])
    assert [one["key"] for one in known["metrics"]] == ["MD1", "PSNR_area"]
    assert {"category": "cat", "scores": [{"PSNR_area": 20.0, "MD1": 30.25}, {"PSNR_area": 21.0}]} in known["entries"]


def test_without_the_data_only_results_are_shown(tmp_path: Path) -> None:
    page = Page(write(two_runs(tmp_path), tmp_path / "report.html"))
    assert sum(tag == "img" and "src" in attributes for tag, attributes in page.tags) == 3 * 2
    assert "the data set is not available" in page.text


def test_runs_that_were_measured_with_other_features_are_said_to_be(tmp_path: Path) -> None:
    runs = [
        scored_run("a", one_metric("MD1", [1, 2]), folder=tmp_path, tools=Tools("", "DIFT (SD 2.1)")),
        scored_run("b", one_metric("MD1", [3, 4]), folder=tmp_path, tools=Tools("", "taps of nano")),
    ]
    sentence = "Not measured with the same model, so runs of different models are not compared here"
    assert sentence in Page(write(runs, tmp_path / "report.html")).text
    assert f"MD1: {sentence}" in write(runs, tmp_path / "report.md")


def test_two_data_sets_have_two_sections(tmp_path: Path) -> None:
    runs = two_runs(tmp_path)
    runs.append(scored_run("one", one_metric("landing", [1, 2]), folder=tmp_path / "x", data_name="Drag100"))
    page = Page(write(runs, tmp_path / "report.html", base="two"))
    ids = [attributes.get("id") for tag, attributes in page.tags if tag == "section"]
    assert [i for i in ids if i in ("s0", "s1", "s2")] == ["s0", "s1"]
    assert page.text.count("Against two") == 1


def test_a_run_without_scores_is_a_page_all_the_same(tmp_path: Path) -> None:
    run = scored_run("a", {}, folder=tmp_path, more=[RunRecord("x", "failed", "boom")])
    assert "No picture of these runs has a score." in Page(write([run], tmp_path / "report.html")).text
    assert "| failed | 1 |" in write([run], tmp_path / "report.md")


def test_nothing_in_a_page_is_taken_for_markup(tmp_path: Path) -> None:
    page = Page(write([evil_run(tmp_path)], tmp_path / "report.html"))
    assert sum(tag == "script" for tag, _ in page.tags) == 2  # the gallery's scores, and the page's own
    assert not {"b", "i", "u"} & {tag for tag, _ in page.tags}
    assert not any("onerror" in attributes for _, attributes in page.tags)
    entries = json.loads(page.scripts[0])["entries"]
    assert [entry["category"] for entry in entries] == ["", "</script><img src=x onerror=alert(1)>"]
    assert EVIL in page.text
    assert "<b>evil|label</b>" in page.text
    assert "<u>tag</u>" in page.text


def test_nothing_in_markdown_is_taken_for_markup(tmp_path: Path) -> None:
    text = write([evil_run(tmp_path)], tmp_path / "report.md")
    outside = "\n".join(line for line in text.splitlines() if not line.startswith("    "))  # commands are code
    assert "<" not in outside.replace("<0.001", "").replace("p < 0.05", "")
    row = next(line for line in text.splitlines() if "first line" in line)
    assert re.split(r"(?<!\\)\|", row)[1:-1] == [
        r" &lt;b&gt;evil\|label&lt;/b&gt; ",
        " c ",
        " failed ",
        r" first line \| second \| &lt;script&gt;alert('x')&lt;/script&gt; \`code\` \*\*bold\*\* ",
    ]


@pytest.mark.parametrize("suffix", [".md", ".csv"])
def test_reports_of_text_hold_no_escape_codes(suffix: str, tmp_path: Path) -> None:
    run = scored_run(
        "a\x1b[2J\x9b31m\u202e", {}, folder=tmp_path, more=[RunRecord("x", "failed", "\x1b]0;owned\x07boom")]
    )
    text = write([run], tmp_path / f"report{suffix}")
    assert "boom" in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_markdown_tables_have_as_many_cells_in_every_row(tmp_path: Path) -> None:
    text = write(two_runs(tmp_path), tmp_path / "report.md")
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) >= 8
    for table in tables:
        rows = [re.split(r"(?<!\\)\|", line) for line in table.splitlines()]
        assert len({len(row) for row in rows}) == 1
        assert set(rows[1][1:-1]) == {"---"}
    assert "| PSNR_area ↑ dB | 30.0 [20.0, 40.0] | **31.0** [21.0, 41.0] |" in text
    assert "| MD1 ↓ px | 20.38 [10.50, 30.25] n = 2 | – |" in text
    assert "| PSNR_area ↑ dB | +1.00 [+1.00, +1.00] p 0.250 |" in text
    assert "| DragFlow | 0.992 | 0.958 | 0.934 | 19.46 | 4.48 |" in text


def test_csv_has_a_row_for_every_run_and_sample(tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(write(two_runs(tmp_path), tmp_path / "report.csv"))))
    assert [(row["label"], row["sample"]) for row in rows] == [
        *(("one", name) for name in ("cat/1", "cat/2", "dog", "owl")),
        *(("two", name) for name in ("cat/1", "cat/2", "dog")),
    ]
    assert list(rows[0])[-2:] == ["MD1", "PSNR_area"]
    assert (rows[0]["MD1"], rows[0]["PSNR_area"], rows[0]["category"]) == ("30.25", "20.0", "cat")
    assert rows[2]["MD1"] == ""
    assert (rows[3]["status"], rows[3]["error"], rows[3]["PSNR_area"]) == ("failed", "RuntimeError: no memory", "")
    assert (rows[4]["config"], rows[4]["model"], rows[0]["config"]) == (load_preset("default").hash, "nano", "")


def test_csv_keeps_any_text_and_every_digit(tmp_path: Path) -> None:
    run = scored_run('a "b", c', {"x,\n1": {"landing": 1 / 3}}, folder=tmp_path, tags={"x,\n1": ("s", "t")})
    (row,) = csv.DictReader(io.StringIO(write([run], tmp_path / "report.csv"), newline=""))
    assert (row["label"], row["sample"], row["tags"]) == ('a "b", c', "x,\n1", "s;t")
    assert float(row["landing"]) == 1 / 3


def test_csv_holds_only_the_metrics_asked_for(tmp_path: Path) -> None:
    text = write(two_runs(tmp_path), tmp_path / "report.csv", metrics=("PSNR_area",))
    assert text.splitlines()[0].endswith("category,tags,PSNR_area")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_runs_give_equal_bytes(tmp_path: Path, suffix: str) -> None:
    data = Squares(("cat/1", "cat/2", "dog", "owl"))
    texts = [write(two_runs(tmp_path), tmp_path / f"{name}{suffix}", data) for name in ("first", "second")]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_report_that_cannot_be_made_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"report{suffix}"
    with pytest.raises(UserError, match="metric 'zebra'"):
        write(two_runs(tmp_path / "runs"), out, metrics=("zebra",))
    assert list(tmp_path.iterdir()) == [tmp_path / "runs"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("report.pdf", "report.pdf must end in one of .html, .md, .csv"),
        ("report", "must end in one of"),
        ("nowhere/report.md", "nowhere does not exist"),
    ],
)
def test_other_names_are_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_report([scored_run("a", one_metric("angle", [1]))], {}, tmp_path / name)


def test_a_page_without_its_library_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "dragflow.bench.report.html", raising=False)
    monkeypatch.delattr("dragflow.bench.report.html", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(CapabilityError, match=r"jinja2: pip install 'dragflow\[bench\]'"):
        write_report([], {}, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_median_is_said_where_it_is_shown(tmp_path: Path) -> None:
    runs = [scored_run("a", one_metric("angle", [1, 2, 60]), folder=tmp_path, tools=NO_MODELS)]
    text = write(runs, tmp_path / "report.md", statistic="median")
    assert "| angle ↓ deg | 2.0 [1.0, 60.0] |" in text
    assert "The median over all pictures" in text
    assert "mean" not in text


def test_many_runs_stand_below_each_other_and_are_told_against_the_base_alone(tmp_path: Path) -> None:
    runs = [scored_run(f"run {i}", one_metric("landing", [i, i + 1.0]), folder=tmp_path / str(i)) for i in range(8)]
    text = write(runs, tmp_path / "report.md")
    heads = next(line for line in text.splitlines() if line.startswith("|"))
    assert heads == "|  | pictures scored | failed | unreadable samples | landing ↓ px |"
    assert re.search(r"\| run 7 \| 2 \| 0 \| 0 \| 7\.5 ", text)
    assert "All pairs of 8 runs" in text
    assert "### Pairs of runs" not in text
    assert re.search(r"\| run 7 \| \+7\.00 ", text)
