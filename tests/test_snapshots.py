"""Snapshots: every bit comes back, and what is foreign, altered or truncated is refused with the way out."""

import math
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import TIMEOUT_S

from stream_app.edges import snapshots
from stream_app.edges.snapshots import SEAL, decode, encode, state_key
from stream_app.errors import StateError
from stream_app.models.seal import KEY_VARIABLE

ROOT = Path(__file__).parent.parent
KEY = b"k" * 32
DIGEST = "c3d4" * 16


def there_and_back(state: dict, key: bytes | None = KEY) -> dict:
    return decode(encode(state, config_digest=DIGEST, key=key), config_digest=DIGEST, key=key)


# What goes in comes out


@pytest.mark.parametrize("key", [KEY, None])
@pytest.mark.parametrize(
    "state",
    [
        {},
        {"none": None, "true": True, "false": False, "text": "é\0", "bytes": b"\0\xff", "empty": []},
        {"int": [0, -1, 2**63 - 1, -(2**63), 2**64 - 1]},
        {"big": [2**64, -(2**63) - 1, 2**127, -(2**200), [{"deep": 2**128 - 1}]]},
        {"float": [0.1, -0.0, 5e-324, math.inf, -math.inf, 1e308]},
        {"nested": {"a": [{"b": [[], {}]}], "c": {"d": {}}}},
        np.random.default_rng(1).bit_generator.state,
    ],
)
def test_plain_data_comes_back(state: dict, key: bytes | None) -> None:
    assert repr(there_and_back(state, key)) == repr(state)


def test_tuples_come_back_as_lists_and_nan_as_nan() -> None:
    back = there_and_back({"t": (1, (2, 3)), "nan": math.nan})

    assert back["t"] == [1, [2, 3]]
    assert math.isnan(back["nan"])


@pytest.mark.parametrize(
    "array",
    [
        np.array([1, -(2**63), 2**63 - 1]),
        np.array([math.nan, math.inf, -0.0, 5e-324]),
        np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf8\x7f", float),  # a NaN with a payload
        np.zeros((0, 3)),
        np.array(7.5),
        np.array([[True, False], [False, True]]),
        np.arange(6, dtype=np.int32).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(20.0)[::3],
        np.arange(4, dtype=">u2"),
        np.array(["abc", "é"]),
        np.array([(1, 2.5, [1, 2])], dtype=[("n", "<i8"), ("x", "<f4"), ("v", "<i2", (2,))]),
        np.array([((1, 2.0),)], dtype=[("inner", [("a", "<i4"), ("b", "<f8")])]),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_come_back_bit_for_bit_and_writable(array: np.ndarray) -> None:
    back = there_and_back({"a": [array]})["a"][0]

    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
    if array.size and (array.flags.f_contiguous or array.flags.c_contiguous):
        assert back.strides == array.strides
    assert back.flags.writeable


@pytest.mark.parametrize("scalar", [np.float64(0.1), np.float32(0.1), np.int64(-3), np.uint8(200), np.bool_(True)])
def test_numpy_scalars_keep_their_type(scalar: np.generic) -> None:
    back = there_and_back({"x": scalar})["x"]

    assert type(back) is type(scalar)
    assert back == scalar


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(), plain, max_size=4))
def test_any_plain_data_comes_back(state: dict) -> None:
    assert repr(there_and_back(state)) == repr(state)


def test_a_large_state_is_compressed() -> None:
    state = {"zeros": np.zeros(100_000)}
    data = encode(state, config_digest=DIGEST, key=KEY)

    assert len(data) < 10_000
    assert np.array_equal(decode(data, config_digest=DIGEST, key=KEY)["zeros"], state["zeros"])


@pytest.mark.parametrize("digits", [0, 1, 4, 9])
def test_short_decimals_take_few_bytes_and_come_back_bit_for_bit(digits: int) -> None:
    rng = np.random.default_rng(digits)
    values = rng.normal(size=(40, 50)).round(digits) + 0.0
    odd = values.copy()
    odd[3, :9] = math.nan, math.inf, -math.inf, -0.0, 5e-324, 1e308, 0.1 + 0.2, -1e-20, 2.0**53
    arrays = [values, odd, np.asfortranarray(odd), np.zeros(1000), rng.normal(size=1000), np.full(1000, math.nan)]
    back = there_and_back({"arrays": arrays})["arrays"]

    assert [array.tobytes("A") for array in back] == [array.tobytes("A") for array in arrays]
    assert [array.strides for array in back] == [array.strides for array in arrays]
    assert all(array.flags.writeable for array in back)
    assert len(encode({"x": values.round(4)}, config_digest=DIGEST, key=KEY)) < 0.7 * values.nbytes


def test_equal_states_give_equal_bytes() -> None:
    states = [{"a": np.arange(10_000), "b": [2**80]} for _ in range(2)]

    assert len({encode(state, config_digest=DIGEST, key=KEY) for state in states}) == 1


@pytest.mark.parametrize("value", [np.array([None]), np.array([(None,)], dtype=[("o", "O")]), object(), 1j])
def test_what_is_not_plain_data_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="not plain data"):
        encode({"a": value}, config_digest=DIGEST, key=KEY)


# What is refused


def test_another_configuration_is_refused() -> None:
    data = encode({}, config_digest="a1b2" * 16, key=KEY)

    with pytest.raises(StateError, match=r"flights.db belongs to another .*a1b2a1b2… ≠ c3d4c3d4….*new name or --state"):
        decode(data, config_digest=DIGEST, key=KEY, where="flights.db")


def test_another_format_is_refused() -> None:
    data = bytearray(encode({}, config_digest=DIGEST, key=KEY))
    data[16] = 9

    with pytest.raises(StateError, match="has format 9, this driftline reads 4: use the version"):
        decode(bytes(data), config_digest=DIGEST, key=KEY)


def test_models_of_another_river_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_versions", lambda: ("0.1.0", "2.0.0", "0.1"))
    models = encode({"models": [{"pickle": b"x"}]}, config_digest=DIGEST, key=KEY)
    plain_only = encode({"pickle": "no bytes"}, config_digest=DIGEST, key=KEY)

    with pytest.raises(StateError, match=r"models of river 0\.1, but .* is installed: install river==0\.1, or"):
        decode(models, config_digest=DIGEST, key=KEY)
    assert decode(plain_only, config_digest=DIGEST, key=KEY) == {"pickle": "no bytes"}


def test_another_key_is_refused() -> None:
    data = encode({}, config_digest=DIGEST, key=KEY)

    with pytest.raises(StateError, match=f"signed with another key, or altered: set {KEY_VARIABLE}"):
        decode(data, config_digest=DIGEST, key=b"x" * 32)


@pytest.mark.parametrize("key", [KEY, None])
def test_no_altered_or_missing_byte_goes_unseen(key: bytes | None) -> None:
    data = encode({"x": np.arange(5)}, config_digest=DIGEST, key=key)

    for at in range(len(data)):
        altered = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        for bad in (altered, data[:at]):
            with pytest.raises(StateError):
                decode(bad, config_digest=DIGEST, key=key)
    with pytest.raises(StateError):
        decode(data + b"\0", config_digest=DIGEST, key=key)


@pytest.mark.parametrize("left", [5, 16, 17, SEAL.size - 1, SEAL.size, -1])
def test_a_truncated_state_says_so(left: int) -> None:
    data = encode({"x": np.arange(5)}, config_digest=DIGEST, key=KEY)

    with pytest.raises(StateError, match="truncated: restore a copy"):
        decode(data[:left], config_digest=DIGEST, key=KEY)


@pytest.mark.parametrize("data", [b"", b"PK\3\4 a zip file of some length, longer than a seal" * 3])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(StateError, match="not driftline's"):
        decode(data, config_digest=DIGEST, key=KEY)


def test_unsigned_state_is_refused_where_a_key_is_set() -> None:
    with pytest.raises(StateError, match="not signed"):
        decode(encode({}, config_digest=DIGEST, key=None), config_digest=DIGEST, key=KEY)


def test_pickles_need_a_key_on_both_sides() -> None:
    state = {"champion": {"pickle": b"x"}}

    with pytest.raises(ValueError, match="needs a key"):
        encode(state, config_digest=DIGEST, key=None)
    with pytest.raises(StateError, match="is signed, but no key"):
        decode(encode(state, config_digest=DIGEST, key=KEY), config_digest=DIGEST, key=None)


def test_forged_pickles_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_holds_pickles", lambda _: False)  # a header that lies about its payload
    data = encode({"pickle": b"x"}, config_digest=DIGEST, key=None)

    monkeypatch.undo()

    with pytest.raises(StateError, match="holds pickles, but is not signed"):
        decode(data, config_digest=DIGEST, key=None)


# The key


def test_the_key_of_the_environment_comes_first(tmp_path: Path) -> None:
    assert state_key({KEY_VARIABLE: "sixteen letters!", "HOME": str(tmp_path)}) == b"sixteen letters!"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("short", ["", "fifteen letters"])
def test_a_short_key_is_refused(short: str, tmp_path: Path) -> None:
    with pytest.raises(StateError, match=f"{KEY_VARIABLE} has {len(short)} characters, at least 16"):
        state_key({KEY_VARIABLE: short, "HOME": str(tmp_path)})


@pytest.mark.parametrize("environ", [{"XDG_STATE_HOME": "{}/.local/state"}, {"HOME": "{}"}, {"XDG_STATE_HOME": "x"}])
def test_a_key_file_is_made_once_for_its_owner(tmp_path: Path, environ: dict[str, str]) -> None:
    environ = {"HOME": str(tmp_path)} | {name: value.format(tmp_path) for name, value in environ.items()}

    key = state_key(environ)

    path = tmp_path / ".local/state/driftline/state.key"
    assert key == path.read_bytes() == state_key(environ)
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["state.key"]


def test_processes_that_start_together_agree_on_the_key(tmp_path: Path) -> None:
    script = (
        "import sys; from stream_app.edges.snapshots import state_key; print(state_key({'HOME': sys.argv[1]}).hex())"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) for _ in range(3)]

    assert len({process.communicate(timeout=TIMEOUT_S)[0] for process in started}) == 1
    assert [process.returncode for process in started] == [0, 0, 0]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    state_key({"HOME": str(tmp_path)})
    path = tmp_path / ".local/state/driftline/state.key"
    path.chmod(mode)

    with pytest.raises(StateError, match=f"can be read by others .mode {mode:o}.: run `chmod 600"):
        state_key({"HOME": str(tmp_path)})


def test_a_broken_key_file_is_refused(tmp_path: Path) -> None:
    state_key({"HOME": str(tmp_path)})
    (tmp_path / ".local/state/driftline/state.key").write_bytes(b"short")

    with pytest.raises(StateError, match="has 5 bytes instead of 32"):
        state_key({"HOME": str(tmp_path)})


def test_a_key_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / ".local").write_text("a file, not a folder")

    with pytest.raises(StateError, match=f"cannot use the state key .* set {KEY_VARIABLE}"):
        state_key({"HOME": str(tmp_path)})
