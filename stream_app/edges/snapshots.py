"""The state of a pipeline as bytes, and back: plain data in msgpack, sealed, never guessed at.

    seal                                    header (msgpack)                    payload (msgpack, zstd if large)
    magic, format, signed, MAC, length      config digest, library versions     the state

The MAC is HMAC-SHA256 over all that follows it and the fields before it; without a key it is plain SHA-256, which
finds damage but no forgery. State that holds pickles (bytes under a key "pickle") is only written with a key and
only read with the same key and the same river: what is unpickled later was written by us.
"""

import hashlib
import hmac
import math
import os
import secrets
import struct
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.lib import format as npy

from stream_app.edges import decimals
from stream_app.errors import ForeignStateError, StateError
from stream_app.models.seal import KEY_VARIABLE

MAGIC = b"driftline state\0"
FORMAT_VERSION = 4
SEAL = struct.Struct("<16sBB32sQI")  # magic, format, signed, MAC, bytes of header and payload, bytes of header
COMPRESS_BYTES = 64 << 10  # smaller states are not worth it; zstd takes 12 ms for 5 MB of noise, zlib -1 takes 150
ARRAY, SCALAR, BIG_INT, DECIMALS = 1, 2, 3, 4  # msgpack extension types
NESTED = {dict, list, tuple}
MIN_KEY_CHARS = 16
KEY_BYTES = 32


class Packed(NamedTuple):
    """A state as msgpack."""

    payload: bytes
    pickles: bool


class Header(msgspec.Struct):
    config: str
    driftline: str
    numpy: str
    river: str
    pickles: bool
    size_bytes: int  # of the payload before compression; 0: it is not compressed


def encode(state: dict[str, Any], *, config_digest: str, key: bytes | None) -> bytes:
    """Seal a state, see `pack`; ValueError for pickles without a key.

    >>> data = encode({"mean": np.zeros(2)}, config_digest="c3d4", key=None)
    >>> decode(data, config_digest="c3d4", key=None)
    {'mean': array([0., 0.])}
    """
    return seal(pack(state), config_digest=config_digest, key=key)


def pack(state: dict[str, Any]) -> Packed:
    """Copy a state: dicts, lists, tuples (come back as lists), str, bytes, bool, None, int, float, numpy arrays.

    Every bit comes back, NaN payloads and the dtype of arrays included; big-endian and structured dtypes too.
    Raises TypeError for what is not plain data (object arrays above all).
    """
    try:
        payload = msgspec.msgpack.encode(state, enc_hook=_extension)
    except OverflowError:  # integers beyond 64 bits are rare: only then is the tree walked
        payload = msgspec.msgpack.encode(_boxed(state), enc_hook=_extension)
    return Packed(payload, _holds_pickles(state))


def seal(packed: Packed, *, config_digest: str, key: bytes | None) -> bytes:
    """Compress and sign a packed state, another thread may; ValueError for pickles without a key."""
    payload, pickles = packed
    if pickles and not key:
        raise ValueError("state with pickles needs a key")
    size_bytes = len(payload) if len(payload) >= COMPRESS_BYTES else 0
    if size_bytes:
        payload = pa.compress(payload, codec="zstd", asbytes=True)
    header = msgspec.msgpack.encode(Header(config_digest, *_versions(), pickles, size_bytes))
    lengths = len(header) + len(payload), len(header)
    start = MAGIC, FORMAT_VERSION, int(key is not None)
    mac = _mac(key, SEAL.pack(*start, bytes(32), *lengths), header, payload)
    return b"".join((SEAL.pack(*start, mac, *lengths), header, payload))


def decode(data: bytes, *, config_digest: str, key: bytes | None, where: str = "the log") -> dict[str, Any]:
    """Open a state sealed by `encode`; arrays are the caller's to write to.

    Raises StateError, saying what to do, for state that is none, truncated, of another format, altered or signed
    with another key, of another configuration, or with pickles of another river.
    """
    header, payload = _unsealed(data, key, where)
    if header.config != config_digest:
        raise ForeignStateError(
            f"state in {where} belongs to another configuration (digest {_short(header.config)} ≠ "
            f"{_short(config_digest)}): give this configuration a new name or --state, or replay"
        )
    installed = version("river")
    if header.pickles and header.river != installed:
        raise StateError(
            f"state in {where} holds models of river {header.river}, but {installed} is installed: "
            f"install river=={header.river}, or give --state another file and run again from the source"
        )
    if header.size_bytes:
        payload = memoryview(pa.decompress(payload, header.size_bytes, codec="zstd", asbytes=True))
    state: dict[str, Any] = msgspec.msgpack.decode(payload, ext_hook=_from_extension)
    if key is None and _holds_pickles(state):  # whatever an unsigned header says
        raise StateError(f"state in {where} holds pickles, but is not signed: never open it, run again from the source")
    return state


def state_folder(environ: Mapping[str, str]) -> Path:
    """Where what belongs to this user on this host is kept: `driftline` in $XDG_STATE_HOME or ~/.local/state."""
    folder = Path(environ.get("XDG_STATE_HOME", ""))
    if not folder.is_absolute():  # as the XDG specification wants it
        folder = Path(environ.get("HOME") or Path.home()) / ".local" / "state"
    return folder / "driftline"


def state_key(environ: Mapping[str, str]) -> bytes:
    """Return the key that signs states: $DRIFTLINE_STATE_KEY, else that of a file made at first use.

    The file is `driftline/state.key` in $XDG_STATE_HOME or ~/.local/state, for its owner only. Raises StateError for
    a key that is too short, a file that others can read or that holds no key, and where none can be made.
    """
    given = environ.get(KEY_VARIABLE)
    if given is not None:
        if len(given) < MIN_KEY_CHARS:
            raise StateError(
                f"{KEY_VARIABLE} has {len(given)} characters, at least {MIN_KEY_CHARS} are needed: "
                "set a longer one, or unset it to use a key file"
            )
        return given.encode()
    path = state_folder(environ) / "state.key"
    try:
        if not path.exists():
            _make_key(path)
        return _read_key(path)
    except OSError as error:
        raise StateError(
            f"cannot use the state key {path} ({error.strerror}): set {KEY_VARIABLE} to a secret of your own"
        ) from error


def _unsealed(data: bytes, key: bytes | None, where: str) -> tuple[Header, memoryview]:
    """Check everything about the bytes that does not depend on who asks."""
    remedy = "give --state another file and run again from the source"
    magic = data[: len(MAGIC)]
    if not data or not MAGIC.startswith(magic):
        raise StateError(f"state in {where} is not driftline's: {remedy}")
    if len(data) > len(MAGIC) and data[len(MAGIC)] != FORMAT_VERSION:
        raise StateError(
            f"state in {where} has format {data[len(MAGIC)]}, this driftline reads {FORMAT_VERSION}: "
            f"use the version of driftline that wrote it, or {remedy}"
        )
    body = memoryview(data)[SEAL.size :]
    fields = SEAL.unpack_from(data) if len(data) >= SEAL.size else None
    if fields is None or len(body) < fields[4]:
        raise StateError(f"state in {where} is truncated: restore a copy, or {remedy}")
    *seal, mac, length, header_length = fields
    header, payload = body[:header_length], body[header_length:]
    if seal[2] != int(key is not None):
        cause = "is not signed, but a key is asked for" if key else "is signed, but no key is given"
        raise StateError(f"state in {where} {cause}: {remedy}")
    if not hmac.compare_digest(mac, _mac(key, SEAL.pack(*seal, bytes(32), length, header_length), header, payload)):
        cause = "is damaged, or was altered" if key is None else "was signed with another key, or altered"
        way = "restore a copy" if key is None else f"set {KEY_VARIABLE} to the key it was written with"
        raise StateError(f"state in {where} {cause}: {way}, or {remedy}")
    return msgspec.msgpack.decode(header, type=Header), payload


def _mac(key: bytes | None, *parts: bytes | memoryview) -> bytes:
    digest = hmac.new(key, digestmod="sha256") if key is not None else hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


@cache
def _versions() -> tuple[str, str, str]:
    return version("driftline"), np.__version__, version("river")


def _short(digest: str) -> str:
    return f"{digest[:8]}…" if len(digest) > 8 else digest


# Arrays, numpy scalars and big integers as msgpack extensions


def _extension(value: Any) -> msgspec.msgpack.Ext:
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype.hasobject:
            raise TypeError(f"an array of objects is not plain data: {array!r}")
        # the order of memory comes back too: the last bit of a sum depends on it
        order: Literal["C", "F"] = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        packed = decimals.pack(array.ravel(order)) if array.dtype == np.float64 and array.ndim else None
        if packed is not None:
            pieces = packed.blocks.tobytes(), packed.content.data
            return msgspec.msgpack.Ext(DECIMALS, msgspec.msgpack.encode((array.shape, order, *pieces)))
        parts = npy.dtype_to_descr(array.dtype), array.shape, order, array.tobytes(order)
        return msgspec.msgpack.Ext(ARRAY if isinstance(value, np.ndarray) else SCALAR, msgspec.msgpack.encode(parts))
    raise TypeError(f"{type(value).__name__} is not plain data: {value!r}")


def _from_extension(code: int, data: memoryview) -> Any:
    if code == BIG_INT:
        return int.from_bytes(data, "little", signed=True)
    if code == DECIMALS:
        shape, order, blocks, content = msgspec.msgpack.decode(data)
        packed = decimals.Decimals(np.frombuffer(blocks, np.int64).reshape(-1, 4), np.frombuffer(content, np.uint8))
        return decimals.unpack(packed, math.prod(shape)).reshape(shape, order=order)
    descr, shape, order, content = msgspec.msgpack.decode(data)
    array = np.frombuffer(bytearray(content), npy.descr_to_dtype(_descr(descr))).reshape(shape, order=order)
    return array if code == ARRAY else array[()]


def _descr(descr: Any) -> Any:
    """Turn lists, which msgpack made of numpy's tuples, back into tuples."""
    if isinstance(descr, str):
        return descr
    return [(name, _descr(of), *map(tuple, shape)) for name, of, *shape in descr]


def _boxed(value: Any) -> Any:
    """Copy the tree with integers that msgpack cannot hold as extensions."""
    if isinstance(value, dict):
        return {name: _boxed(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_boxed(item) for item in value]
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return msgspec.msgpack.Ext(BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))
    return value


def _holds_pickles(value: Any) -> bool:
    if isinstance(value, dict):
        if isinstance(value.get("pickle"), bytes):
            return True
        value = list(value.values())
    if not isinstance(value, list | tuple) or set(map(type, value)).isdisjoint(NESTED):  # long ones are of texts
        return False
    return any(map(_holds_pickles, value))


# The key file


def _make_key(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # complete or not at all; of two processes at once the first wins
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _read_key(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        key = file.read()
    if mode & 0o077:
        raise StateError(f"the state key {path} can be read by others (mode {mode:o}): run `chmod 600 {path}`")
    if len(key) != KEY_BYTES:
        raise StateError(
            f"the state key {path} has {len(key)} bytes instead of {KEY_BYTES}: restore it, or remove it "
            "for a new one (states signed with the old one are then refused)"
        )
    return key
