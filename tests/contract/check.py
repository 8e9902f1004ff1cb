"""Compare recorded HTTP calls with the contracts of Sage and Productive.

`problems(call)` answers with one sentence for each departure, and nothing for a good call. Requests
are always judged, also those meant to be refused; the caller decides which it forgives.

Two additions make the check sharper than the documents: objects that list their fields may have no
others (the services document their replies open, so the sandbox could invent fields), and a string
in the place of a number has to be a plain decimal.
"""

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import yaml
from jsonschema_rs import Draft202012Validator, ValidationError

Schema = dict[str, Any]

SERVICES = ("sage", "productive")
JSON_TYPES = ("application/json", "application/vnd.api+json")
DECIMAL = r"^-?\d+(\.\d+)?$"
CACHED_BYTES = 100_000
MOST = 20


class Call(Protocol):
    """One request and its reply, as a server's log holds them."""

    @property
    def service(self) -> str:
        """`sage`, `productive`, `files` or `auth`."""
        ...

    @property
    def method(self) -> str:
        """`GET` and so on."""
        ...

    @property
    def path(self) -> str:
        """Without the service's prefix: `/sales_invoices/abc`."""
        ...

    @property
    def query(self) -> Mapping[str, Sequence[str]]:
        """The values of each parameter, decoded."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case."""
        ...

    @property
    def body(self) -> bytes:
        """Empty when there was none."""
        ...

    @property
    def status(self) -> int:
        """0 when the connection was cut."""
        ...

    @property
    def reply_headers(self) -> Mapping[str, str]:
        """Names in any case."""
        ...

    @property
    def reply_body(self) -> bytes:
        """Empty when there was none."""
        ...

    @property
    def faulted(self) -> bool:
        """Whether the reply was spoiled on purpose; then only the request is judged."""
        ...


def problems(call: Call) -> list[str]:
    """List how a call departs from its service's contract, the request first.

    Each entry reads `GET /path: request: what` or `GET /path: reply 200: what`. Sign-in and the
    file stores have no contract: their calls are never at fault.
    """
    if call.service not in SERVICES:
        return []
    operation = load(call.service).operation(call.method, call.path)
    if operation is None:
        return [f"{call.method} {call.path}: request: not in the contract of {call.service}"]
    found = [f"{operation.name}: request: {p}" for p in _request_problems(operation, call)]
    if call.status and not call.faulted:
        prefix = f"{operation.name}: reply {call.status}: "
        found += [prefix + p for p in _reply_problems(operation, call)]
    return found


# --- the contracts -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Parameter:
    """A query parameter; a deep one is written `name[key]=` or `name[key][key]=`."""

    shape: "Shape"
    is_deep: bool
    may_be_empty: bool


@dataclass(frozen=True)
class Content:
    """What a request or a reply may hold, by media type, and the headers described for it."""

    by_media: Mapping[str, "Shape"]
    headers: Mapping[str, "Shape"] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Operation:
    """One method of one path."""

    contract: "Contract"
    name: str
    method: str
    path: re.Pattern[str]
    parameters: Mapping[str, Parameter]
    request: Content
    replies: Mapping[str, Content]

    def reply(self, status: int) -> Content | None:
        """Give what a reply of this status may hold; None if there may be no such reply."""
        return self.replies.get(str(status), self.replies["default"] if status >= 400 else None)

    def can_reply(self, media: str) -> bool:
        """Say whether a reply may be of this media type."""
        return any(media in reply.by_media for reply in self.replies.values())


class Contract:
    """A service's contract, closed and ready to judge."""

    def __init__(self, service: str) -> None:
        """Read `<service>.yaml`."""
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        text = (Path(__file__).parent / f"{service}.yaml").read_bytes()
        document: Schema = yaml.load(text, loader)
        parts = document["components"]
        self.service = service
        self.schemas = {name: _closed(schema) for name, schema in parts["schemas"].items()}
        self.shapes = {name: Shape(schema, self) for name, schema in self.schemas.items()}
        self.credentials = [
            scheme.get("name", "Authorization").lower()
            for scheme in parts["securitySchemes"].values()
        ]
        # JSON:API only: the schemas of the resources by type, and every name of a relation.
        self.resources = {
            schema["properties"]["type"]["const"]: name
            for name, schema in self.schemas.items()
            if schema.get("required") == ["id", "type"] and "const" in schema["properties"]["type"]
        }
        self.relations = {r for t in self.resources for r in self.part(t, "relationships")}
        self.operations = [
            self._operation(template, method, methods.get("parameters", []), description)
            for template, methods in document["paths"].items()
            for method, description in methods.items()
            if method != "parameters"
        ]

    def _operation(
        self, template: str, method: str, shared: list[Schema], description: Schema
    ) -> Operation:
        parameters = {
            p["name"]: Parameter(
                shape=Shape(_closed(p["schema"]), self),
                is_deep=p.get("style") == "deepObject",
                may_be_empty=p.get("allowEmptyValue", False),
            )
            for p in shared + description.get("parameters", [])
            if p["in"] == "query"
        }
        return Operation(
            contract=self,
            name=f"{method.upper()} {template}",
            method=method.upper(),
            path=re.compile(re.sub(r"\{\w+\}", "[^/]+", template)),
            parameters=parameters,
            request=self._content(description.get("requestBody", {})),
            replies={s: self._content(r) for s, r in description["responses"].items()},
        )

    def _content(self, description: Schema) -> Content:
        return Content(
            by_media={
                media: Shape(_closed(c["schema"]), self)
                for media, c in description.get("content", {}).items()
            },
            headers={
                header.lower(): Shape(_closed(h["schema"]), self)
                for header, h in description.get("headers", {}).items()
            },
        )

    def operation(self, method: str, path: str) -> Operation | None:
        """Find the operation a request asks for; a literal path wins over one with an id."""
        fitting = [o for o in self.operations if o.method == method and o.path.fullmatch(path)]
        return min(fitting, key=lambda o: o.name.count("{"), default=None)

    def part(self, resource: str, part: str) -> set[str]:
        """Name the `attributes` or the `relationships` of a JSON:API type."""
        return set(self.schemas[self.resources[resource]]["properties"][part]["properties"])


@cache
def load(service: str) -> Contract:
    """Read the contract of a service, once."""
    return Contract(service)


def _closed(schema: Schema) -> Schema:
    """Copy a schema with its objects closed and its numeric strings held to a plain decimal.

    An object without listed fields is free-form (`custom_fields`, `aws_policy`) and stays open.
    """
    copy = dict(schema)
    if isinstance(schema.get("items"), dict):
        copy["items"] = _closed(schema["items"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            copy[key] = [_closed(s) for s in schema[key]]
    if "properties" in schema:
        copy["properties"] = {name: _closed(s) for name, s in schema["properties"].items()}
        copy.setdefault("additionalProperties", False)
    if {"number", "string"} <= set(_types(schema)):
        copy.setdefault("pattern", DECIMAL)
    return copy


def _types(schema: Schema) -> list[str]:
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else types


# --- requests ----------------------------------------------------------------------------------


def _request_problems(operation: Operation, call: Call) -> Iterator[str]:
    query = tuple((name, tuple(values)) for name, values in call.query.items())
    yield from _query_problems(operation, query)
    for header in operation.contract.credentials:
        value = call.headers.get(header, "")
        if not value or (header == "authorization" and not value.startswith("Bearer ")):
            yield f"no credentials in the header {header}"
    media, accept = (_media(call.headers.get(name, "")) for name in ("content-type", "accept"))
    if "ext=bulk" not in media and not operation.can_reply(accept):
        yield f"accepts {accept!r}, in which there is no reply"
    if not operation.request.by_media:
        if call.body:
            yield "has a body where none is expected"
        if operation.contract.service == "productive" and media != "application/vnd.api+json":
            # Productive wants it on every request, with a body or without.
            yield f"content type {media!r}, expected application/vnd.api+json"
    elif media not in operation.request.by_media:
        yield f"content type {media!r}, expected {' or '.join(operation.request.by_media)}"
    else:
        if "ext=bulk" in media and accept != media:
            yield f"a bulk request has to accept {media}"
        yield from _body_problems(operation, None, media, call.body)


@lru_cache(maxsize=4096)
def _query_problems(
    operation: Operation, query: tuple[tuple[str, tuple[str, ...]], ...]
) -> tuple[str, ...]:
    found: list[str] = []
    given: dict[str, Any] = {}
    for name, values in query:
        base, *keys = re.split(r"\]?\[", name.removesuffix("]"))
        parameter = operation.parameters.get(base)
        if parameter is None or not parameter.is_deep == bool(keys) == name.endswith("]"):
            found.append(f"unknown parameter {name}")
        elif len(values) != 1:
            found.append(f"parameter {name} is given {len(values)} times")
        elif not values[0] and not parameter.may_be_empty:
            found.append(f"parameter {name} is empty")
        elif not _put(given, [base, *keys], values[0]):
            found.append(f"parameter {name} contradicts another")
    for base, text in given.items():
        shape = operation.parameters[base].shape
        value = _typed(text, shape.schema)
        if base == "include":
            found += _include_problems(operation.contract, value)
            value = [path.partition(".")[0] for path in value]
        if base == "fields":
            found += _fields_problems(operation.contract, value)
        found += [f"parameter {base}{p}" for p in shape.problems(value)]
    return tuple(found)


def _include_problems(contract: Contract, paths: list[str]) -> list[str]:
    """Look at what an include asks for beyond the first relation, which its schema lists."""
    beyond = {relation for path in paths for relation in path.split(".")[1:]}
    return [f"parameter include: no relation {r}" for r in sorted(beyond - contract.relations)]


def _fields_problems(contract: Contract, fields: dict[str, Any]) -> list[str]:
    found = []
    for resource in fields.keys() & contract.resources.keys():
        known = contract.part(resource, "attributes") | contract.part(resource, "relationships")
        unknown = sorted(set(str(fields[resource]).split(",")) - known)
        found += [f"parameter fields: {resource} have no {name}" for name in unknown]
    return found


def _put(tree: dict[str, Any], keys: Sequence[str], value: str) -> bool:
    """Set a value deep in nested dictionaries; False when another stands in its way."""
    key, *rest = keys
    if rest:
        inner = tree.setdefault(key, {})
        return isinstance(inner, dict) and _put(inner, rest, value)
    if key in tree:
        return False
    tree[key] = value
    return True


def _typed(value: Any, schema: Schema) -> Any:
    """Turn the text of a parameter into what its schema speaks of, or leave it to be refused."""
    types = _types(schema)
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        return {name: _typed(v, properties.get(name, {})) for name, v in value.items()}
    if "array" in types:
        return value.split(",")
    if "integer" in types and re.fullmatch(r"-?[0-9]+", value):
        return int(value)
    if "boolean" in types:
        return {"true": True, "false": False}.get(value, value)
    return value


# --- replies and bodies ------------------------------------------------------------------------


def _reply_problems(operation: Operation, call: Call) -> Iterator[str]:
    reply = operation.reply(call.status)
    if reply is None:
        yield "no such status in the contract"
        return
    sent = {name.lower(): value for name, value in call.reply_headers.items()}
    for header, shape in reply.headers.items():
        if header in sent:
            value = _typed(sent[header], shape.schema)
            yield from (f"header {header}{p}" for p in shape.problems(value))
    media = _media(sent.get("content-type", ""))
    if not reply.by_media:
        if call.reply_body:
            yield "has a body where none is expected"
    elif media not in reply.by_media:
        yield f"content type {media!r}, expected {' or '.join(reply.by_media)}"
    else:
        if "ext=bulk" in call.headers.get("content-type", ""):
            media = next((m for m in reply.by_media if "ext=bulk" in m), media)
        yield from _body_problems(operation, call.status, media, call.reply_body)


def _media(content_type: str) -> str:
    """Write a content type in one way, without its charset."""
    first, *parameters = [part.strip().lower() for part in content_type.split(";")]
    kept = [p.replace('"', "") for p in parameters if not p.startswith("charset=")]
    return "; ".join([first, *kept])


def _body_problems(
    operation: Operation, status: int | None, media: str, body: bytes
) -> Sequence[str]:
    """Judge a body, the request's when `status` is None. Long ones are not worth remembering."""
    judge = _seen_body if len(body) <= CACHED_BYTES else _seen_body.__wrapped__
    found: Sequence[str] = judge(operation, status, media, body)
    return found


@lru_cache(maxsize=1024)
def _seen_body(
    operation: Operation, status: int | None, media: str, body: bytes
) -> tuple[str, ...]:
    content = operation.request if status is None else operation.reply(status)
    if content is None or not body:
        return ("has no body",)
    if media.partition(";")[0] not in JSON_TYPES:
        bad = media == "application/pdf" and not body.startswith(b"%PDF-")
        return ("is no PDF",) if bad else ()
    try:
        value = json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return (f"is no JSON: {error}",)
    found = list(content.by_media[media].problems(value))
    if not found and isinstance(value, dict):
        found = list(_included_problems(operation.contract, value.get("included", [])))
    return tuple(found[:MOST])


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a number of JSON")


def _included_problems(contract: Contract, included: list[Schema]) -> Iterator[str]:
    """Judge the included resources whose type has a schema of its own."""
    for number, resource in enumerate(included):
        name = contract.resources.get(resource["type"])
        if name:
            found = contract.shapes[name].problems(resource)
            yield from (f".included[{number}]{p}" for p in found)


# --- schemas -----------------------------------------------------------------------------------


def _is_date(value: str) -> bool:
    try:
        dt.date.fromisoformat(value)
    except ValueError:
        return False
    return re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value) is not None


def _is_instant(value: str) -> bool:
    try:
        dt.datetime.fromisoformat(value)
    except ValueError:
        return False
    form = r"[0-9-]{10}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
    return re.fullmatch(form, value) is not None


FORMATS = {"date": _is_date, "date-time": _is_instant}


class Shape:
    """A closed schema of a contract, able to judge values."""

    def __init__(self, schema: Schema, contract: Contract) -> None:
        """Keep the schema; it is compiled at its first use, when all of its contract is known."""
        self.schema = schema
        self.contract = contract

    @cached_property
    def validator(self) -> Draft202012Validator:
        """The schema, compiled."""
        # References are `#/components/schemas/Name`: the components have to stand at the root.
        root = {**self.schema, "components": {"schemas": self.contract.schemas}}
        return Draft202012Validator(root, formats=FORMATS, validate_formats=True)

    def problems(self, value: object) -> Iterator[str]:
        """Say where a value breaks the schema, as `.path: what`."""
        for error in self.validator.iter_errors(value):
            cause = error
            while alternatives := getattr(cause.kind, "context", None):
                cause = max(chain.from_iterable(alternatives), key=_closeness)
            path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in cause.instance_path)
            text = cause.message  # holds the value, however long
            yield f"{path}: {text if len(text) <= 250 else f'{text[:150]} … {text[-100:]}'}"


def _closeness(error: ValidationError) -> tuple[int, bool]:
    """Rank the failures of alternatives: the deepest is of the alternative that was meant."""
    return len(error.instance_path), error.kind.name != "type"
