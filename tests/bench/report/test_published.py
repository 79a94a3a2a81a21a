"""The published figures, against values typed from the papers here once more."""

from __future__ import annotations

import pytest

from dragflow.bench.published import PublishedTable, published_for, published_tables


def table(source: str, data: str) -> PublishedTable:
    (found,) = [t for t in published_tables() if t.source.endswith(source) and t.data == data]
    return found


def row(found: PublishedTable, name: str) -> tuple[float, ...]:
    (values,) = [r.values for r in found.rows if r.name == name]
    return values


@pytest.mark.parametrize(
    ("source", "data", "name", "values"),
    [
        ("Table 1", "", "FireFlow with adapter", (0.173, 0.784, 25.87)),
        ("Table 2", "ReD Bench", "DragFlow", (0.992, 0.958, 0.934, 19.46, 4.48)),
        ("Table 2", "ReD Bench", "DragNoise", (0.942, 0.932, 0.975, 45.46, 8.85)),
        ("Table 2", "DragBench-DR", "DragFlow", (0.969, 0.948, 0.941, 31.59, 5.93)),
        ("Table 2", "DragBench-DR", "InstantDrag", (0.944, 0.945, 0.966, 36.26, 6.99)),
        ("Table 3", "ReD Bench", "+ background", (0.925, 0.948, 0.943, 29.67, 5.39)),
        ("Table 4", "DragBench-DR", "point", (0.961, 0.943, 0.958, 37.02, 6.94)),
        ("Table 5", "DragBench-DR", "wrong prompt", (0.955, 0.936, 0.955, 36.87, 7.73)),
        ("Table 6", "DragBench-DR", "CLIPDrag", (101.0, 19.4)),
        ("Table 7", "DragBench-DR", "DragFlow (SD3.5)", (0.962, 0.945, 0.952, 35.21, 6.58)),
        ("Table 8", "DragBench-DR", "DragFlow (LoRA)", (0.970, 0.949, 0.940, 30.98, 5.88)),
        ("(Inpaint4Drag)", "", "LazyDrag, fast", (4.3, 49.0)),
    ],
)
def test_figures_are_those_of_the_papers(source: str, data: str, name: str, values: tuple[float, ...]) -> None:
    assert row(table(source, data), name) == values


def test_every_row_has_a_figure_for_every_column() -> None:
    assert all(len(r.values) == len(t.columns) for t in published_tables() for r in t.rows)


def test_ten_methods_stand_in_the_main_tables() -> None:
    red, dragbench = table("Table 2", "ReD Bench"), table("Table 2", "DragBench-DR")
    assert [r.name for r in red.rows] == [r.name for r in dragbench.rows]
    assert len(red.rows) == 10


def test_columns_that_are_our_metrics_read_as_ours() -> None:
    columns = {c.key: c.better for c in table("Table 2", "ReD Bench").columns}
    assert columns == {"IF_bg": "up", "IF_s2t": "up", "IF_s2s": "down", "MD1": "down", "MD2": "down"}


def test_tables_are_found_by_their_data_set() -> None:
    assert {t.source[-7:] for t in published_for("ReD Bench")} == {"Table 2", "Table 3"}
    assert len(published_for("DragBench-DR")) == 6
    assert published_for("dragflow world, scenes 0 to 11") == ()
    assert published_for("") == ()
