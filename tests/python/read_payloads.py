"""Reads recorded requests as the intake would, and compares every field with what was submitted.

Usage: read_payloads.py FILE, with {"requests": [{"path", "headers", "body" (base64)}], "submitted": {...}} in it.

Readers that share no code with the program under test: zstandard for the bodies, protobuf with the schema of DataDog/agent-payload
(MetricPayload) for series, and the models of the official API client for what each body says. Exits with 1 and a list of differences.
"""

import base64
import gzip
import json
import sys
import zlib

import zstandard
from datadog_api_client import ApiClient, Configuration
from datadog_api_client.model_utils import ModelNormal, ModelSimple, OpenApiModel, UnparsedObject
from datadog_api_client.v1.model.event_create_request import EventCreateRequest
from datadog_api_client.v1.model.metrics_payload import MetricsPayload
from datadog_api_client.v1.model.service_checks import ServiceChecks
from datadog_api_client.v2.model.metric_payload import MetricPayload
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

# Message -> field -> (number, type, repeated): the published fields. The type of a series is an enumeration there; as a number on the
# wire it reads the same, and 3 (gauge) is written by agents although older schemas do not name it.
SCHEMA = {
    "MetricPayload": {"series": (1, "MetricSeries", True)},
    "MetricSeries": {
        "resources": (1, "Resource", True),
        "metric": (2, "string", False),
        "tags": (3, "string", True),
        "points": (4, "MetricPoint", True),
        "type": (5, "int32", False),
        "unit": (6, "string", False),
        "source_type_name": (7, "string", False),
        "interval": (8, "int64", False),
        "metadata": (9, "Metadata", False),
    },
    "Resource": {"type": (1, "string", False), "name": (2, "string", False)},
    "MetricPoint": {"value": (1, "double", False), "timestamp": (2, "int64", False)},
    "Metadata": {"origin": (1, "Origin", False)},
    "Origin": {
        "metric_type": (3, "int32", False),
        "product": (4, "int32", False),
        "category": (5, "int32", False),
        "service": (6, "int32", False),
    },
}

# Keys of an event of `/intake/` and what the client calls them.
EVENT_KEYS = {"msg_title": "title", "msg_text": "text", "timestamp": "date_happened"}

differences = []


def expect(what, found, wanted):
    if found != wanted:
        differences.append(f"{what}: found {found!r}, submitted {wanted!r}")


def protobuf_reader():
    scalars = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="payload.proto", package="payload", syntax="proto3")
    for message, fields in SCHEMA.items():
        described = file.message_type.add(name=message)
        for name, (number, kind, repeated) in fields.items():
            field = described.field.add(name=name, number=number)
            field.label = scalars.LABEL_REPEATED if repeated else scalars.LABEL_OPTIONAL
            if kind in SCHEMA:
                field.type, field.type_name = scalars.TYPE_MESSAGE, f".payload.{kind}"
            else:
                field.type = getattr(scalars, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("payload.MetricPayload"))


def decompress(request):
    body = base64.b64decode(request["body"])
    encoding = request["headers"].get("content-encoding")
    readers = {
        None: lambda: body,
        "zstd": lambda: zstandard.ZstdDecompressor().decompressobj().decompress(body),
        "deflate": lambda: zlib.decompress(body),
        "gzip": lambda: gzip.decompress(body),
    }
    return readers[encoding]()


def unparsed(value, at=""):
    """Paths of everything that the client could not make sense of."""
    if isinstance(value, UnparsedObject) or getattr(value, "_unparsed", False):
        yield at or "."
    if isinstance(value, ModelNormal):
        for key, inner in value._data_store.items():
            yield from unparsed(inner, f"{at}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from unparsed(inner, f"{at}[{index}]")
    elif isinstance(value, OpenApiModel) and hasattr(value, "value"):
        yield from unparsed(value.value, at)


client = ApiClient(Configuration())


def parse(model, content, what):
    parsed = client.deserialize(json.dumps(content), (model,), True)
    for at in unparsed(parsed):
        differences.append(f"{what}: the client cannot read {at}")
    return parsed


def plain(model):
    """What a model says, under the names of the API."""
    if isinstance(model, ModelSimple):
        return plain(model.value)
    if isinstance(model, OpenApiModel):
        return {model.attribute_map.get(key, key): plain(value) for key, value in model._data_store.items()}
    if isinstance(model, (list, tuple)):
        return [plain(item) for item in model]
    return model


def series_v2(request, submitted):
    expect("series v2: Content-Type", request["headers"].get("content-type"), "application/x-protobuf")
    message = protobuf_reader()()
    body = decompress(request)
    message.MergeFromString(body)
    expect("series v2: bytes without a field in the schema", len(message.SerializeToString(deterministic=True)), len(body))
    content = json_format.MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    # In JSON, 64-bit integers of protobuf are texts.
    for series in content["series"]:
        series["interval"] = int(series["interval"])
        for point in series["points"]:
            point["timestamp"] = int(point["timestamp"])
    kinds = {"count": 1, "rate": 2, "gauge": 3}
    for one, wanted in zip(plain(parse(MetricPayload, content, "series v2"))["series"], submitted, strict=True):
        what = f"series v2 {wanted['name']}"
        device = [tag.removeprefix("device:") for tag in wanted["tags"] if tag.startswith("device:")]
        resources = [{"type": "host", "name": wanted["host"]}] + [{"type": "device", "name": name} for name in device]
        expect(f"{what}: metric", one["metric"], wanted["name"])
        expect(f"{what}: tags", one["tags"], [tag for tag in wanted["tags"] if not tag.startswith("device:")])
        expect(f"{what}: resources", one["resources"], resources)
        expect(f"{what}: points", [[point["timestamp"], point["value"]] for point in one["points"]], wanted["points"])
        expect(f"{what}: type", one["type"], kinds[wanted["kind"]])
        expect(f"{what}: interval", one["interval"], wanted["interval"])
        expect(f"{what}: unit", one["unit"], "")
        expect(f"{what}: source_type_name", one["source_type_name"], wanted["source_type_name"])
        not_indexed = one.get("metadata", {}).get("origin", {}).get("metric_type", 0) == 9
        expect(f"{what}: not indexed", not_indexed, wanted["no_index"])


def series_v1(request, submitted):
    expect("series v1: Content-Type", request["headers"].get("content-type"), "application/json")
    content = json.loads(decompress(request))
    parsed = plain(parse(MetricsPayload, content, "series v1"))["series"]
    for one, wanted in zip(parsed, submitted, strict=True):
        what = f"series v1 {wanted['name']}"
        expect(f"{what}: metric", one["metric"], wanted["name"])
        expect(f"{what}: points", one["points"], wanted["points"])
        expect(f"{what}: tags", one["tags"], [tag for tag in wanted["tags"] if not tag.startswith("device:")])
        expect(f"{what}: host", one["host"], wanted["host"])
        expect(f"{what}: type", one["type"], wanted["kind"])
        expect(f"{what}: interval", one["interval"], wanted["interval"])


def check_runs(request, submitted):
    expect("check runs: Content-Type", request["headers"].get("content-type"), "application/json")
    content = json.loads(decompress(request))
    for one, wanted in zip(plain(parse(ServiceChecks, content, "check runs")), submitted, strict=True):
        for key in ("check", "host_name", "timestamp", "status", "message", "tags"):
            expect(f"check run {wanted['check']}: {key}", one[key], wanted[key])


def events(request, submitted):
    expect("events: Content-Type", request["headers"].get("content-type"), "application/json")
    content = json.loads(decompress(request))
    expect("events: keys", list(content), ["apiKey", "events", "internalHostname"])
    expect("events: apiKey", content["apiKey"], "")
    found = {}
    for source, of_source in content["events"].items():
        for event in of_source:
            expect("events: source", source, event.get("source_type_name") or "api")
            event_type = event.pop("event_type", "")
            known = {EVENT_KEYS.get(key, key): value for key, value in event.items()}
            found[event["msg_text"]] = plain(parse(EventCreateRequest, known, "event")) | {"event_type": event_type}
    expect("events: number", len(found), len(submitted))
    for wanted in submitted:
        one = found.get(wanted["text"], {})
        for key in ("title", "text", "priority", "host", "tags", "alert_type", "aggregation_key", "source_type_name", "event_type"):
            default = [] if key == "tags" else ""
            expect(f"event {wanted['title']!r}: {key}", one.get(key, default), wanted[key])
        expect(f"event {wanted['title']!r}: date_happened", one.get("date_happened"), wanted["timestamp"])


def prove_that_mistakes_are_found():
    """A reader that accepts everything would make this test worthless."""
    wrong = [
        (MetricPayload, {"series": [{"metric": "a", "type": 9, "points": [{"timestamp": 1, "value": 1.0}]}]}),
        (MetricPayload, {"series": [{"metric": "a", "points": [{"timestamp": "soon", "value": 1.0}]}]}),
        (ServiceChecks, [{"check": "a", "host_name": "h", "status": 7, "tags": []}]),
        (EventCreateRequest, {"title": "a", "text": "b", "priority": "urgent"}),
    ]
    for model, content in wrong:
        try:
            found = list(unparsed(client.deserialize(json.dumps(content), (model,), True)))
        except Exception:
            continue
        if not found:
            sys.exit(f"the client takes what it should not: {content}")


def main():
    prove_that_mistakes_are_found()
    with open(sys.argv[1], encoding="utf-8") as file:
        recorded = json.load(file)
    readers = {
        "/api/v2/series": (series_v2, "series"),
        "/api/v1/series": (series_v1, "series"),
        "/api/v1/check_run": (check_runs, "check_runs"),
        "/intake/": (events, "events"),
    }
    read = []
    for request in recorded["requests"]:
        reader, kind = readers[request["path"]]
        reader(request, recorded["submitted"][kind])
        read.append(request["path"])
    expect("paths", sorted(read), sorted(recorded["paths"]))
    if differences:
        sys.exit("\n".join(differences))
    print(f"read {len(read)} requests")


if __name__ == "__main__":
    main()
