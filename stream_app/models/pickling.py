"""River models as bytes and back, without letting the bytes choose what runs.

A pickle is a program: each global it names may be called with any argument. `loads` hands out names from an allow-list
only: river's own classes, containers, numpy arrays and generators. What is handed out cannot reach further: names
with dots and `getattr` find private helper methods of river's models, never an attribute of a module or an object.
This is the second lock; the first is the HMAC around the snapshot.
"""

import copyreg
import io
import pickle
from collections import deque
from collections.abc import Callable
from functools import cache
from importlib import import_module
from inspect import getattr_static
from types import FunctionType, MethodType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

# river's packages that hold models and their parts; not datasets, stream, checks, compat: they touch files and networks
# fmt: off
PACKAGES = (
    "_river_rust", "active", "anomaly", "bandit", "base", "cluster", "compose", "covariance", "drift", "dummy",
    "ensemble", "facto", "feature_extraction", "feature_selection", "forest", "imblearn", "linear_model", "metrics",
    "misc", "model_selection", "multiclass", "multioutput", "naive_bayes", "neighbors", "optim", "preprocessing",
    "proba", "reco", "rules", "sketch", "stats", "time_series", "tree", "utils",
)
# fmt: on

NAMES = frozenset(
    [f"builtins.{name}" for name in ("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int")]
    + [f"builtins.{name}" for name in ("iter", "list", "object", "range", "set", "slice", "str", "tuple")]
    + [f"collections.{name}" for name in ("Counter", "OrderedDict", "defaultdict", "deque")]
    + [f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")]
    + ["copy.deepcopy", "decimal.Decimal", "functools.partial", "random.Random", "statistics.NormalDist"]
    + ["numpy.random._pickle.__bit_generator_ctor", "numpy.random._pickle.__randomstate_ctor"]
    + ["numpy.random._mt19937.MT19937", f"{__name__}._array", f"{__name__}._scalar", f"{__name__}._itself"]
    + [f"river._river_rust.vectordict.euclidean_distance_{of}" for of in ("dict", "tuple")]
)


def dumps(obj: object) -> bytes:
    """The object as bytes; ValueError if something in it cannot be pickled at all (a lambda, an open file)."""
    try:
        try:
            return _dump(obj, _Pickler)
        except RecursionError:
            return _dump(obj, _FlatPickler)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"the model cannot be saved: {error}") from error


def loads(data: bytes) -> Any:
    r"""The object that `dumps` saved; ValueError, naming the culprit, for damaged bytes and any name not allowed.

    >>> loads(dumps({"weights": [0.5, 1.5]}))
    {'weights': [0.5, 1.5]}
    >>> loads(b"cos\nsystem\n(S'true'\ntR.")
    Traceback (most recent call last):
    ValueError: the saved model asks for os.system, which is not allowed
    """
    file = io.BytesIO(data)
    unpickler = _Unpickler(file)
    try:
        obj = unpickler.load()
        while file.tell() < len(data):
            unpickler.load()  # the states that a flat dump puts last
    except _NotAllowedError as error:
        raise ValueError(str(error)) from None
    except Exception as error:  # any bytes may come, and a pickle can make any of its callables fail
        raise ValueError(f"the saved model is damaged: {type(error).__name__}: {error}") from error
    return obj


def _dump(obj: object, pickler_class: "type[_Pickler]") -> bytes:
    file = io.BytesIO()
    pickler = pickler_class(file, protocol=5)
    pickler.dump(obj)
    while pickler.later:
        pickler.dump(_State(*pickler.later.popleft()))
    return file.getvalue()


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, protocol: int) -> None:
        super().__init__(file, protocol)
        self.dispatch_table = _REDUCERS
        self.later: deque[tuple[object, object]] = deque()  # objects saved without their state, and the state


class _FlatPickler(_Pickler):
    """Saves each river object without its state first, then the states one after the other.

    For chains of objects deeper than the stack, such as the search trees that a rising input makes in river's
    regression trees; some 3 times slower.
    """

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type) or not is_river(type(obj).__module__):
            return NotImplemented
        reduced = obj.__reduce_ex__(5)
        if reduced[0].__name__ != "__newobj__" or any(reduced[3:]):
            return NotImplemented
        self.later.append((obj, reduced[2]))
        return reduced[:2]


class _State:
    """Pickled, it is the instruction to give an object its state."""

    def __init__(self, obj: object, state: object) -> None:
        self.reduced = (_itself, (obj,), state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def _itself(obj: object) -> object:
    return obj


class _NotAllowedError(Exception):
    """The bytes ask for something that no saved model needs."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _allowed(module, name)


@cache
def _allowed(module: str, name: str) -> Any:
    """What `module.name` stands for; ValueError if it is not on the list or not what it claims to be."""
    if (module, name) == ("builtins", "getattr"):
        return _helper_of
    if f"{module}.{name}" in NAMES:
        return getattr(import_module(module), name)
    if is_river(module):
        owner, _, helper = name.partition(".")
        found = vars(import_module(module)).get(owner)
        if isinstance(found, type) and found.__module__ == module:  # written there, not imported by it
            return _static_helper(found, helper) if helper else found
    raise _NotAllowedError(f"the saved model asks for {module}.{name}, which is not allowed")


def is_river(module: str) -> bool:
    """Whether the module is one of river's that hold models and their parts."""
    root, _, path = module.partition(".")
    package, *inner = path.split(".")
    return root == "river" and package in PACKAGES and "datasets" not in inner


def _static_helper(owner: type, name: str) -> Any:
    """`Owner._name`, a static method that a river model keeps as a factory."""
    found = vars(owner).get(name)
    if isinstance(found, staticmethod) and _is_helper(name, found.__func__):
        return found.__func__
    raise _NotAllowedError(f"the saved model asks for {owner.__name__}.{name}, which is not allowed")


def _helper_of(owner: object, name: str) -> Any:
    """`owner._name`, the bound method that a river model keeps among its attributes; stands in for `getattr`."""
    found = getattr_static(type(owner), name, None) if isinstance(name, str) else None
    if is_river(type(owner).__module__) and isinstance(found, FunctionType) and _is_helper(name, found):
        return MethodType(found, owner)
    kind = type(owner).__name__
    raise _NotAllowedError(f"the saved model asks for the attribute {name!r} of {kind}, which is not allowed")


def _is_helper(name: str, function: object) -> bool:
    """Private methods of the models themselves; river.base has general ones that reach for any attribute by name."""
    module = getattr(function, "__module__", "")
    private = name.startswith("_") and not name.startswith("__")
    return private and is_river(module) and not module.startswith("river.base")


# numpy's own reconstruction can be made to take raw bytes for object pointers; these take numbers and texts only
def _plain(dtype: str) -> np.dtype[Any]:
    found = np.dtype(dtype)
    if found.kind not in "biufcSU":
        raise ValueError(f"the model cannot be saved: a numpy array of {dtype}")
    return found


def _array(dtype: str, shape: tuple[int, ...], order: Literal["C", "F"], data: bytes) -> NDArray[Any]:
    return np.frombuffer(data, _plain(dtype)).reshape(shape, order=order).copy(order=order)


def _scalar(dtype: str, data: bytes) -> Any:
    return np.frombuffer(data, _plain(dtype))[0]


def _reduce_array(array: NDArray[Any]) -> tuple[Any, ...]:
    order: Literal["C", "F"] = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    return _array, (_plain(array.dtype.str).str, array.shape, order, array.tobytes(order))


def _reduce_scalar(scalar: np.generic) -> tuple[Any, ...]:
    return _scalar, (_plain(scalar.dtype.str).str, scalar.tobytes())


_REDUCERS: dict[type, Callable[[Any], Any]] = {**copyreg.dispatch_table}
_REDUCERS |= dict.fromkeys(set(np.sctypeDict.values()), _reduce_scalar)
_REDUCERS[np.ndarray] = _reduce_array
