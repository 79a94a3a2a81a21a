"""The tables of a report, from runs whose figures are known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from report_makers import one_metric, scored_run

from dragflow.bench.report.build import NO_TAG, build
from dragflow.bench.report.tables import Comparison, MetricTable, Report
from dragflow.bench.runs import RunRecord, ScoredRun, Tools
from dragflow.core.errors import UserError

DIFT = Tools("LPIPS (AlexNet, v0.1)", "DIFT (SD 2.1)")
TAPS = Tools("LPIPS (AlexNet, v0.1)", "taps of nano")


def only_section(*runs: ScoredRun, base: str | None = None) -> Report:
    report = build(runs, base, "mean", None)
    assert len(report.sections) == 1
    return report


def table(report: Report, key: str, section: int = 0) -> MetricTable:
    (found,) = [t for t in report.sections[section].metrics if t.metric.key == key]
    return found


def pair(comparisons: tuple[Comparison, ...], first: int, second: int) -> Comparison:
    (found,) = [c for c in comparisons if (c.first, c.second) == (first, second)]
    return found


def test_rows_hold_mean_or_median_of_what_each_run_has() -> None:
    runs = [
        scored_run("a", one_metric("PSNR_area", [10, 20, 60])),
        scored_run("b", one_metric("PSNR_area", [30])),
    ]
    mean, median = (table(build(runs, None, statistic, None), "PSNR_area") for statistic in ("mean", "median"))
    assert [e.value for e in mean.overall] == [30, 30]
    assert [e.n for e in mean.overall] == [3, 1]
    assert median.overall[0].value == 20
    assert 10 <= mean.overall[0].low < 30 < mean.overall[0].high <= 60


def test_metrics_stand_in_the_catalogues_order_and_only_where_measured() -> None:
    report = only_section(scored_run("a", {"0": {"landing": 1.0, "IF_bg": 0.9}, "1": {"landing": 3.0}}))
    assert [t.metric.key for t in report.sections[0].metrics] == ["IF_bg", "landing"]
    assert [t.overall[0].n for t in report.sections[0].metrics] == [1, 2]


def test_asked_metrics_stand_in_the_order_asked_for() -> None:
    run = scored_run("a", {"0": {"landing": 1.0, "IF_bg": 0.9, "SSIM_area": 0.5}})
    report = build([run], None, "mean", ("landing", "IF_bg"))
    assert [t.metric.key for t in report.sections[0].metrics] == ["landing", "IF_bg"]


def test_values_that_are_no_numbers_are_missing() -> None:
    report = only_section(scored_run("a", one_metric("angle", [math.nan, 4.0, math.inf])))
    assert (table(report, "angle").overall[0].n, table(report, "angle").overall[0].value) == (1, 4.0)


def test_everything_that_came_of_a_run_is_counted() -> None:
    more = [
        RunRecord("8", "failed", "RuntimeError: no memory"),
        RunRecord("9", "unreadable", "no mask"),
        RunRecord("7", "done", picture_sha256="made again since"),
    ]
    section = only_section(scored_run("a", one_metric("angle", [1, 2]), more=more)).sections[0]
    counts = section.counts[0]
    assert (counts.done, counts.failed, counts.unreadable, counts.scored, counts.unscored) == (3, 1, 1, 2, 1)
    assert [(label, one.sample) for label, one in section.failures] == [("a", "8"), ("a", "9")]


def test_scores_of_a_picture_that_was_made_again_do_not_count() -> None:
    run = scored_run("a", one_metric("angle", [1, 5]))
    records = (replace(run.records[0], picture_sha256="another"), run.records[1])
    assert table(only_section(replace(run, records=records)), "angle").overall[0].value == 5


def test_cost_is_the_median_and_memory_the_most() -> None:
    records = [
        RunRecord(str(i), "done", "", 1.0, seconds, calls, memory)
        for i, (seconds, calls, memory) in enumerate([(2.0, 10, 100.0), (4.0, 30, 900.0), (9.0, 20, None)])
    ]
    slow = RunRecord("3", "failed", "no memory", 500.0, 500.0, 500)
    (cost,) = only_section(scored_run("a", {}, more=[*records, slow])).sections[0].costs
    assert (cost.first_seconds, cost.again_seconds, cost.calls, cost.peak_memory_mib) == (5.0, 4.0, 20, 900.0)


def test_cost_that_was_not_measured_is_unknown() -> None:
    (cost,) = only_section(scored_run("a", {}, more=[RunRecord("0", "done")])).sections[0].costs
    assert math.isnan(cost.first_seconds)
    assert math.isnan(cost.peak_memory_mib)


def test_differences_are_paired_on_the_samples_that_both_have() -> None:
    report = only_section(
        scored_run("a", one_metric("landing", [5, 6, 7, 90])), scored_run("b", one_metric("landing", [1, 2, 3]))
    )
    found = pair(table(report, "landing").pairs, 0, 1)
    assert (found.difference.estimate.n, found.difference.estimate.value) == (3, 4.0)
    assert found.difference.p == 2 / 2**3
    assert found.better is None  # three samples cannot decide


def test_samples_of_one_name_but_of_other_pictures_are_no_pairs() -> None:
    values = one_metric("landing", [5, 6])
    report = only_section(
        scored_run("a", values, sources={"0": "x", "1": "y"}), scored_run("b", values, sources={"0": "x", "1": "z"})
    )
    assert pair(table(report, "landing").pairs, 0, 1).difference.estimate.n == 1


@pytest.mark.parametrize(("key", "better"), [("PSNR_area", 1), ("landing", 0)])
def test_the_better_run_depends_on_which_way_is_better(key: str, better: int) -> None:
    low, high = [float(i) for i in range(10)], [i + 1.0 for i in range(10)]
    found = table(only_section(scored_run("a", one_metric(key, low)), scored_run("b", one_metric(key, high))), key)
    assert found.pairs[0].better == better
    assert found.marks[better] == "sure"
    assert found.marks[1 - better] == ""


def test_p_is_adjusted_for_all_pairs_of_a_metric() -> None:
    base = [float(i) for i in range(8)]
    runs = [
        scored_run(label, one_metric("angle", [v + d for v in base])) for label, d in (("a", 0), ("b", 1), ("c", 2))
    ]
    found = table(only_section(*runs), "angle")
    assert [c.difference.p for c in found.pairs] == [2 / 2**8] * 3
    assert [c.adjusted for c in found.pairs] == [6 / 2**8] * 3
    assert [c.adjusted for c in found.to_base] == [4 / 2**8] * 2  # only two comparisons with the base


def test_differences_to_the_base_are_each_other_run_less_the_base() -> None:
    runs = [scored_run(label, one_metric("angle", [v, v + 4])) for label, v in (("a", 1.0), ("b", 2.0), ("c", 9.0))]
    report = only_section(*runs, base="b")
    found = table(report, "angle")
    assert report.sections[0].others == (0, 2)
    assert [(c.first, c.second, c.difference.estimate.value) for c in found.to_base] == [(0, 1, -1.0), (2, 1, 7.0)]
    assert pair(found.pairs, 0, 1).difference.estimate.value == -1.0


def test_a_turned_round_difference_has_the_turned_round_interval() -> None:
    a, b = one_metric("angle", [1, 5, 9, 2]), one_metric("angle", [2, 3, 4, 8])
    straight = pair(table(only_section(scored_run("a", a), scored_run("b", b), base="b"), "angle").to_base, 0, 1)
    turned = pair(table(only_section(scored_run("b", b), scored_run("a", a), base="b"), "angle").to_base, 1, 0)
    assert turned.difference.estimate.value == straight.difference.estimate.value
    assert turned.difference.estimate.low == pytest.approx(straight.difference.estimate.low)
    assert turned.difference.estimate.low < turned.difference.estimate.high


def test_the_first_run_is_the_base_when_none_is_named() -> None:
    runs = [scored_run(label, one_metric("angle", [1, 2])) for label in ("a", "b")]
    assert only_section(*runs).sections[0].base == 0


def test_best_mean_that_may_be_chance_is_marked_as_such() -> None:
    runs = [scored_run("a", one_metric("SSIM_area", [0.5, 0.9])), scored_run("b", one_metric("SSIM_area", [0.6, 0.7]))]
    assert table(only_section(*runs), "SSIM_area").marks == ("best", "")


def test_nothing_is_best_where_all_are_equal_or_alone() -> None:
    same = [scored_run(label, one_metric("outside", [1, 1])) for label in ("a", "b")]
    assert table(only_section(*same), "outside").marks == ("", "")
    assert table(only_section(same[0]), "outside").marks == ("",)


def test_runs_whose_features_differ_are_not_compared_by_them() -> None:
    values = {str(i): {"MD1": 30.0 + i, "IF_bg": 0.9, "landing": 2.0 + i} for i in range(8)}
    better = {str(i): {"MD1": 10.0 + i, "IF_bg": 0.8, "landing": 1.0 + i} for i in range(8)}
    report = only_section(
        scored_run("a", values, tools=DIFT), scored_run("b", better, tools=TAPS), scored_run("c", better, tools=DIFT)
    )
    matched = table(report, "MD1")
    assert not matched.comparable
    assert [(c.first, c.second) for c in matched.pairs] == [(0, 2)]
    assert [(c.first, c.second) for c in matched.to_base] == [(2, 0)]
    assert matched.marks == ("", "", "")
    assert table(report, "IF_bg").comparable  # both by the same perceptual distance
    assert len(table(report, "landing").pairs) == 3  # which needs no model


def test_a_run_without_the_metric_does_not_make_others_incomparable() -> None:
    report = only_section(
        scored_run("a", one_metric("MD1", [3, 4]), tools=DIFT),
        scored_run("b", one_metric("MD1", [1, 2]), tools=DIFT),
        scored_run("c", one_metric("landing", [1, 2])),
    )
    assert table(report, "MD1").comparable
    assert table(report, "MD1").marks == ("", "best", "")
    assert [(c.first, c.second) for c in table(report, "MD1").pairs] == [(0, 1)]


def test_groups_are_categories_and_tags() -> None:
    run = scored_run(
        "a",
        one_metric("landing", [1, 3, 10]),
        categories={"0": "cat", "1": "cat", "2": "train"},
        tags={"0": ("shadow", "light"), "2": ("shadow",)},
    )
    found = [(g.kind, g.name, g.estimates[0].value) for g in table(only_section(run), "landing").groups]
    assert found == [
        ("category", "cat", 2.0),
        ("category", "train", 10.0),
        ("tag", "light", 1.0),
        ("tag", "shadow", 5.5),
        ("tag", NO_TAG, 3.0),
    ]


def test_groups_are_compared_with_the_base_on_what_both_have() -> None:
    categories = {"0": "turn", "1": "turn", "2": "move"}
    base = scored_run("base", one_metric("landing", [1, 3, 8]), categories=categories)
    other = scored_run("other", one_metric("landing", [0, 1]), categories=categories)
    move, turn = table(only_section(base, other), "landing").groups
    assert (move.name, turn.name) == ("move", "turn")
    assert turn.to_base[0] is None  # the base itself
    assert turn.to_base[1] is not None
    assert (turn.to_base[1].value, turn.to_base[1].n) == (-1.5, 2)
    assert move.to_base[1] is not None
    assert move.to_base[1].n == 0


def test_groups_without_the_metric_are_left_out() -> None:
    run = scored_run("a", {"0": {"angle": 1.0}, "1": {"landing": 2.0}}, categories={"0": "turn", "1": "move"})
    assert [g.name for g in table(only_section(run), "angle").groups] == ["turn"]


def test_one_category_for_all_is_no_group() -> None:
    assert table(only_section(scored_run("a", one_metric("landing", [1, 3]))), "landing").groups == ()


def test_each_data_set_and_each_rule_for_regions_has_its_own_section() -> None:
    values = one_metric("landing", [1, 3])
    report = build(
        [
            scored_run("a", values),
            scored_run("a", values, data_name="Drag100"),
            scored_run("b", values),
            scored_run("a", values, data_name="Drag100", regions="mask"),
        ],
        "b",
        "mean",
        None,
    )
    assert [s.title for s in report.sections] == ["ReD Bench", "Drag100", "Drag100, regions by mask"]
    assert [s.labels for s in report.sections] == [("a", "b"), ("a",), ("a",)]
    assert [s.base for s in report.sections] == [1, None, None]
    assert [len(table(report, "landing", i).pairs) for i in range(3)] == [1, 0, 0]


def test_the_ranking_metric_is_the_first_that_tells_pictures_apart() -> None:
    run = scored_run("a", {str(i): {"PSNR_bg": 100.0, "PSNR_area": 20.0 + i} for i in range(3)})
    ranking = only_section(run).sections[0].ranking
    assert ranking is not None
    assert ranking.metric.key == "PSNR_area"


def test_two_runs_of_one_label_are_refused() -> None:
    values = one_metric("landing", [1])
    with pytest.raises(UserError, match=r"x/a and y/a are all called 'a' on ReD Bench: .* `label`"):
        build(
            [scored_run("a", values, folder=Path("x")), scored_run("a", values, folder=Path("y"))], None, "mean", None
        )


@pytest.mark.parametrize(
    ("base", "metrics", "message"),
    [
        ("zebra", None, "base 'zebra' is not the label of any run: choose one of a"),
        (None, ("LPIPS",), "metric 'LPIPS' is not known"),
        (None, ("MD1",), "metric 'MD1' was measured in no run .no features are chosen"),
        (None, ("ratio",), "metric 'ratio' was measured in no run: leave it out"),
    ],
)
def test_bad_wishes_are_refused(base: str | None, metrics: tuple[str, ...] | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build([scored_run("a", one_metric("landing", [1]))], base, "mean", metrics)


def test_no_runs_are_refused() -> None:
    with pytest.raises(UserError, match="no run to report"):
        build([], None, "mean", None)
