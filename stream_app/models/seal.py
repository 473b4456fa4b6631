"""The seal on artefacts: who wrote one that holds a pickle; and their packed form in commands and in the archive.

A pickle is a program. `models.pickling` lets it name only what river's models need; before that, the state key says
that it was written by us. A compiled model or an ONNX file runs no code: these need no signature, but one that is there
must be right.
"""

import hashlib
import hmac
import json
import zlib
from typing import Any

from stream_app.errors import StateError
from stream_app.models.document import MAX_BYTES

KEY_VARIABLE = "DRIFTLINE_STATE_KEY"
HARMLESS = ("linear", "naive_bayes", "hoeffding_tree", "onnx")  # whose state is plain data


def sign(document: bytes, key: bytes) -> bytes:
    """The document with its signature: HMAC-SHA256 with the state key over its canonical form.

    >>> signed = sign(b'{"artefact": 1, "use": "river.dummy.PriorClassifier"}', b"secret")
    >>> verified(signed, b"secret") == signed
    True
    """
    tree = _tree(document)
    tree.pop("signature", None)
    return _canonical(tree | {"signature": _mac(tree, key)})


def verified(document: bytes, key: bytes) -> bytes:
    """The document, in canonical form, if its signature is right or it needs none; StateError says what to do.

    Load what this returns, not what came in: no other reading of the same bytes has been checked.
    """
    tree = _tree(document)
    signature = tree.pop("signature", None)
    if signature is None:
        if tree.get("use") not in HARMLESS:
            cure = "export it where it was trained, with the same key"
            own = "or, if it is your own, add the river object itself as a pickle"
            raise StateError(f"the artefact holds a pickle and is not signed: {cure}, {own}")
        return _canonical(tree)
    if not isinstance(signature, str) or not hmac.compare_digest(signature.encode(), _mac(tree, key).encode()):
        advice = f"set {KEY_VARIABLE} to the key it was exported with, or export it again"
        raise StateError(f"the artefact was signed with another key, or altered: {advice}")
    return _canonical(tree | {"signature": signature})


def _tree(document: bytes) -> dict[str, Any]:
    if len(document) > MAX_BYTES:
        raise StateError(f"the artefact is larger than {MAX_BYTES >> 20} MiB: train a smaller model")
    try:
        tree = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise StateError(f"the artefact is damaged, or no JSON: {error}: export it again") from None
    if not isinstance(tree, dict):
        raise StateError("the artefact is no JSON object: export it again")
    return tree


def _canonical(tree: dict[str, Any]) -> bytes:
    """The one form of a document that is signed: keys sorted, no spaces."""
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def _mac(tree: dict[str, Any], key: bytes) -> str:
    return hmac.new(key, _canonical(tree), hashlib.sha256).hexdigest()


def packed(document: bytes) -> bytes:
    """The document compressed, as commands and the archive hold it.

    >>> unpacked(packed(b"{}"))
    b'{}'
    """
    return zlib.compress(document, 6)


def unpacked(data: bytes) -> bytes:
    """The document of `packed`; StateError if it is damaged or too large."""
    reader = zlib.decompressobj()
    try:
        document = reader.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise StateError(f"the artefact is damaged: {error}: export it again") from None
    if reader.unconsumed_tail or not reader.eof:
        raise StateError(f"the artefact is cut short, or larger than {MAX_BYTES >> 20} MiB: export it again")
    return document
