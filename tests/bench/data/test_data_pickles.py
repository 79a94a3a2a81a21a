"""Pickled meta data: read without running anything, whatever is in them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragflow.bench.data import pickles
from dragflow.bench.data.pickles import read_pickle
from dragflow.core.errors import UserError

MASK = np.arange(12, dtype=np.uint8).reshape(3, 4) % 2


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


class Reduced:
    """Pickled as a call."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_gives_what_pickle_gives(tmp_path: Path, protocol: int) -> None:
    value = {
        "prompt": "a café, 日本",
        "points": [[1, 70000], (-3, 2**40), (4.5, 300)],
        "mask": MASK,
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.array([1, 2, 258], ">i4"),
        "strided": MASK[:, ::2],
        "half": np.array([[0.5, -2]], np.float16),
        "bools": np.array([True, False]),
        "scalars": [np.int64(5), np.float32(0.25), np.bool_(True)],
        "again": MASK,
    }
    read = read_pickle(written(tmp_path / "m.pkl", pickle.dumps(value, protocol)))
    assert list(read) == list(value)
    assert read["prompt"] == value["prompt"]
    assert read["points"] == [[1, 70000], [-3, 2**40], [4.5, 300]]
    assert read["scalars"] == [5, 0.25, True]
    for name in ("mask", "fortran", "big", "strided", "half", "bools", "again"):
        array = read[name]
        assert isinstance(array, np.ndarray)
        np.testing.assert_array_equal(array, value[name])
        assert array.dtype.newbyteorder("=") == value[name].dtype.newbyteorder("=")


def test_names_of_both_numpy_generations_are_known(tmp_path: Path) -> None:
    data = pickle.dumps({"mask": MASK}, 2)
    new, old = b"numpy._core.multiarray", b"numpy.core.multiarray"
    assert (new in data) != (old in data)
    other = data.replace(new, old) if new in data else data.replace(old, new)
    for each in (data, other):
        mask = read_pickle(written(tmp_path / "m.pkl", each))["mask"]
        assert isinstance(mask, np.ndarray)
        np.testing.assert_array_equal(mask, MASK)


@pytest.mark.parametrize("protocol", range(6))
def test_a_call_is_refused_by_its_name_and_not_made(tmp_path: Path, protocol: int) -> None:
    canary = tmp_path / "canary"
    evil = pickle.dumps({"prompt": Reduced(os.system, (f"touch {canary}",))}, protocol)
    with pytest.raises(UserError, match=r"m\.pkl names (posix|nt)\.system, which is not allowed"):
        read_pickle(written(tmp_path / "m.pkl", evil))
    assert not canary.exists()
    pickle.loads(evil)  # the canary does sing
    assert canary.exists()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Reduced(eval, ("1",)), r"builtins\.eval"),
        (Reduced(getattr, ("a", "upper")), r"builtins\.getattr"),
        (Path("/tmp"), r"pathlib"),
        ({1, 2}, "EMPTY_SET"),
        (complex(1, 2), r"builtins\.complex"),
        (np.array([object()]), "array of type 'O8'"),
        (np.array(["text"]), "array of type 'U4'"),
        (np.array([1 + 2j]), "array of type 'c16'"),
        (np.zeros(2, [("a", "u1")]), "array of type 'V1'"),
        (np.dtype("u1"), "holds a type"),
        (np.ndarray, "holds a name"),
        (b"bytes", "holds a bytes"),
        (None, "holds a nonetype"),
        ({"deep": 1}, "holds a dict"),
        ([[[[1]]]], "holds a list"),
        (2**64, "holds a int"),
    ],
)
def test_what_is_no_meta_data_is_refused_by_its_name(tmp_path: Path, value: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_pickle(written(tmp_path / "m.pkl", pickle.dumps({"key": value}, 4)))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "damaged"),
        (b"not a pickle", "damaged"),
        (pickle.dumps([1]), "holds a list"),
        (pickle.dumps({1: "a"}), "a key that is not text"),
        (b"}.", None),
        (b"(cos\nsystem\n(S'true'\ntR.", r"os\.system"),
        (b"(S'true'\nios\nsystem\n.", "STRING"),
        (b"(ios\nsystem\n.", "INST os system"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"Pid\n.", "PERSID"),
        (b"h\x07.", "damaged"),
        (b"a.", "damaged"),
        (b"(.", "damaged|holds"),
        (b"cnumpy\nndarray\n)\x81.", "NEWOBJ"),
        (b"cnumpy\nndarray\n)R.", "calls ndarray"),
        (b"cnumpy\nndarray\n}X\x01\x00\x00\x00aK\x01sb.", "gives a state to a name"),
        (b"\x96" + (2**62).to_bytes(8, "little") + b"abc.", "damaged"),
        (b"\x8a\xff" + b"\xff" * 3, "damaged"),
        (b"I" + b"9" * 5000 + b"\n.", "damaged"),
    ],
)
def test_broken_and_odd_opcodes_are_refused(tmp_path: Path, data: bytes, said: str | None) -> None:
    path = written(tmp_path / "m.pkl", data)
    if said is None:
        assert read_pickle(path) == {}
        return
    with pytest.raises(UserError, match=said) as caught:
        read_pickle(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "shape", [(3, 5), (3, 4, 2), (10**12, 10**12), (-3, -4), (12.0,), (0, 10**30), (1,) * 70, "12"]
)
def test_a_shape_that_does_not_fit_its_bytes_is_refused(tmp_path: Path, shape: Any) -> None:
    from numpy._core.numeric import _frombuffer  # pyright: ignore[reportAttributeAccessIssue]

    for order in ("C", "F"):
        data = pickle.dumps({"mask": Reduced(_frombuffer, (b"x" * 12, np.dtype("u1"), shape, order))}, 4)
        with pytest.raises(UserError, match=r"damaged|not made of numbers"):
            read_pickle(written(tmp_path / "m.pkl", data))


def test_truncated_files_are_refused_at_every_length(tmp_path: Path) -> None:
    whole = pickle.dumps({"prompt": "a", "points": [[1, 2]], "mask": MASK}, 4)
    for length in range(len(whole)):
        with pytest.raises(UserError, match="damaged"):
            read_pickle(written(tmp_path / "m.pkl", whole[:length]))


def test_large_files_and_repeated_lists_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = written(tmp_path / "bomb.pkl", pickle.dumps({"points": [list(range(100))] * 5000}))
    read_pickle(bomb)
    monkeypatch.setattr(pickles, "MAX_VALUES", 100_000)
    with pytest.raises(UserError, match="more than 100000 values"):
        read_pickle(bomb)
    monkeypatch.setattr(pickles, "MAX_BYTES", 2**20)
    with pytest.raises(UserError, match="over the limit of 1 MiB"):
        read_pickle(written(tmp_path / "large.pkl", b"x" * (2**20 + 1)))
    with pytest.raises(UserError, match="cannot be read"):
        read_pickle(tmp_path / "absent.pkl")


def test_what_crashes_an_unpickler_is_refused(tmp_path: Path) -> None:
    """Deeply nested keys overflow the C stack of pickle.loads; a large memo index makes it take gigabytes."""
    nested = written(tmp_path / "nested.pkl", b"})" + b"\x85" * 300_000 + b"K\x01s.")
    with pytest.raises(UserError, match="a key that is not text but a tuple"):
        read_pickle(nested)
    recursive: list[Any] = []
    recursive.append(recursive)
    with pytest.raises(UserError, match="holds a list"):
        read_pickle(written(tmp_path / "recursive.pkl", pickle.dumps({"points": recursive})))
    assert read_pickle(written(tmp_path / "memo.pkl", b"}r\xff\xff\xff\xff.")) == {}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 5), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_flipped_bytes_give_an_answer_or_a_user_error(
    tmp_path: Path, protocol: int, flips: list[tuple[float, int]]
) -> None:
    data = bytearray(pickle.dumps({"prompt": "a", "points": [[1, np.int64(2)]], "mask": MASK}, protocol))
    for at, value in flips:
        data[min(int(at * len(data)), len(data) - 1)] = value
    try:
        assert isinstance(read_pickle(written(tmp_path / "m.pkl", bytes(data))), dict)
    except UserError as error:
        assert "m.pkl" in str(error)  # noqa: PT017  # both are right answers
