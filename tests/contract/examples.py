"""Every example in the description is what its own schema takes."""

import json
import urllib.request

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

WHOLE = "urn:description"


def problems(url):
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=20) as response:
        description = json.load(response)
    registry = Registry().with_resource(WHOLE, Resource(description, DRAFT202012))
    found, checked = [], 0
    for pointer, schema, example in examples_of(description, ""):
        checked += 1
        # By reference into the whole: what a schema refers to is found there.
        validator = Draft202012Validator({"$ref": f"{WHOLE}#{schema}"}, registry=registry, format_checker=FormatChecker())
        for error in validator.iter_errors(example):
            found.append(f"{pointer}: {error.json_path}: {error.message}")
    print(f"{checked} examples")
    return found if checked else ["there is none"]


def examples_of(node, pointer):
    """Where an example stands, where its schema does, and the example."""
    if isinstance(node, list):
        for n, item in enumerate(node):
            yield from examples_of(item, f"{pointer}/{n}")
        return
    if not isinstance(node, dict):
        return
    is_schema = "/schema" in pointer and "schema" not in node
    schema = pointer if is_schema else f"{pointer}/schema"
    if "example" in node and (is_schema or "schema" in node):
        yield pointer, schema, node["example"]
    examples = node.get("examples")
    if isinstance(examples, dict) and "schema" in node:
        for name, example in examples.items():
            yield f"{pointer}/examples/{name}", schema, example["value"]
    elif isinstance(examples, list) and is_schema:
        for n, example in enumerate(examples):
            yield f"{pointer}/examples/{n}", schema, example
    for key, value in node.items():
        # What is in an example is not of the description.
        if key in ("example", "examples", "default", "enum", "const") and not pointer.endswith("/properties"):
            continue
        yield from examples_of(value, f"{pointer}/{key.replace('~', '~0').replace('/', '~1').replace('{', '%7B').replace('}', '%7D')}")
