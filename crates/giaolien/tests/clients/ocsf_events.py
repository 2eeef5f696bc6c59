"""Reads a file of events with a schema that others wrote; prints how many there are of each class."""

import collections
import json
import sys

from ocsf.v1_7_0 import events

CLASSES = {
    3002: events.Authentication,
    6002: events.ApplicationLifecycle,
    6003: events.ApiActivity,
    6005: events.DatastoreActivity,
}


def unknown(model, path):
    """Attributes that the schema does not have, at any depth."""
    for name in model.model_extra or {}:
        yield f"{path}.{name}"
    for name in model.model_fields_set:
        value = getattr(model, name, None)
        for inner in value if isinstance(value, list) else [value]:
            if hasattr(inner, "model_fields_set") and name != "unmapped":
                yield from unknown(inner, f"{path}.{name}")


def main():
    counts = collections.Counter()
    for number, line in enumerate(open(sys.argv[1], encoding="utf-8"), 1):
        event = json.loads(line)
        model = CLASSES[event["class_uid"]].model_validate(event)
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"], line
        strays = list(unknown(model, str(number)))
        assert not strays, f"not in the schema: {strays}\n{line}"
        counts[event["class_uid"]] += 1
    print(json.dumps(counts, sort_keys=True))


main()
