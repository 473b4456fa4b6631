"""What an ONNX file may hold: standard operators, nothing random, nothing without end, nothing outside the file."""

from collections.abc import Iterator
from typing import Any

DOMAINS = ("", "ai.onnx", "ai.onnx.ml")  # the standard ones; all others are extensions that run their own code
RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")
ENDLESS = ("Loop",)  # may go on for ever


def check(data: bytes) -> None:
    """ValueError, saying which part, for what is no ONNX file and for what this monitor does not run."""
    onnx = library("onnx")
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # noqa: BLE001  (any bytes may come)
        raise ValueError(f"no ONNX file: {type(error).__name__}: {str(error)[:200]}") from None
    if not model.graph.node:
        raise ValueError("no ONNX file: it has no nodes")
    own = {(function.domain, function.name) for function in model.functions}
    for node in _nodes(model.graph.node, [function.node for function in model.functions]):
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in own:
            raise ValueError(f"operator {node.domain}.{node.op_type} is not of the ONNX standard; only those are run")
        if node.op_type in RANDOM or (node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]):
            raise ValueError(f"operator {node.op_type} is random: the same events would get other scores")
        if node.op_type in ENDLESS:
            raise ValueError(f"operator {node.op_type} may never end: export the model without it")
    for message in (model.graph, *model.functions):
        for tensor in _tensors(message):
            if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
                raise ValueError(f'tensor "{tensor.name}" lies in another file: save the model as one file')


def library(name: str) -> Any:
    """The module onnx or onnxruntime; ValueError says how to get it."""
    from importlib import import_module  # noqa: PLC0415

    try:
        return import_module(name)
    except ImportError as error:
        raise ValueError(f"ONNX models need {name}: pip install 'driftline[onnx]' ({error})") from None


def _nodes(*lists: Any) -> Iterator[Any]:
    """Each node, those of inner graphs too; without recursion, for files may nest as they like."""
    waiting: list[Any] = [nodes for each in lists for nodes in (each if isinstance(each, list) else [each])]
    while waiting:
        for node in waiting.pop():
            yield node
            for attribute in node.attribute:
                waiting += [graph.node for graph in (attribute.g, *attribute.graphs)]


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor anywhere in a message, whatever field holds it."""
    waiting = [message]
    while waiting:
        found = waiting.pop()
        if found.DESCRIPTOR.name == "TensorProto":
            yield found
            continue
        for field, value in found.ListFields():
            if field.message_type is not None:
                waiting += list(value) if hasattr(value, "__len__") else [value]
