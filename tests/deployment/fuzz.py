"""Spoilt requests, and what every answer to one must be."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

LONG = "A" * 3000
# Put in the place of any value of a good request.
VALUES: list[Any] = [
    None, True, "", " ", "x", LONG, "\x00", "\n\r", "\u2028", "💥", "NaN", "1e999", "../../etc/passwd", "<script>",
    0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 1e308, -1e308, 5e-324, 1e-300, 0.1, 9007199254740993,
    [], {}, [[]], [[[]]], [None], {"": {}}, {"shares": 1e308}, {"shares": 1, "holding_bars": 2**63},
    {"shares": 10**4000}, {"shares": 1, "state": [1e300] * 9}, ["x"] * 2000, {LONG: LONG},
    "2099-01-01", "0001-01-01", "9999-12-31T23:59:59Z", "2021-13-45", "2021-01-01T00:00:00+99:99", 1_600_000_000,
]  # fmt: skip
# Written into the text itself, where no JSON writer would.
TOKENS = [
    b"NaN", b"-Infinity", b"1e999", b"-1e999", b"9" * 4300, b"9" * 5000, b"[" * 300, b'{"a":' * 300, b"[" * 100_000,
    b"\xff\xfe", b"\x00", b'"\\ud800"', b"//", b"'x'", b",,", b"}", b"0x10", b"1.", b"+1", b"undefined",
]  # fmt: skip
POSITIONS = [
    "{", "[]", "null", "1", '"x"', '{"S00": NaN}', '{"S00": 1e308}', '{"S00": -1e308}', "[" * 9999, '{"S00": [[[1]]]}',
    '{"S00": {"shares": 1, "entry_price": 1e-320}}', '{"S00": {"shares": 1, "holding_bars": 9223372036854775808}}',
    '{"S00": {"shares": 1, "holding_bars": 1.5}}', '{"S00": ' + "9" * 4400 + "}", '{"' + LONG + '": 1}',
    '{"S00": {"shares": 1e15, "cash": 1e15}}', '{"S00": {"shares": -1e15, "cash": 1e15}}', '{"S00\\n": 1}',
    json.dumps({f"S{n:02}": {"shares": 1} for n in range(5000)}), '{"S00": {"state": [1]}}',
]  # fmt: skip
TYPES = ["", "text/csv", "application/vnd.apache.parquet", "application/json; charset=latin-1", "application/JSON",
         "multipart/form-data", "application/json; boundary=x", "\xff", "text/plain", LONG]  # fmt: skip


def spoilt(good: dict[str, Any], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Content types and bodies; a few are good after all."""
    generator = random.Random(seed)
    text = json.dumps(good).encode()
    for _ in range(count):
        content_type, body = "application/json", text
        match generator.randrange(9):
            case 0 | 1 | 2:
                values = copy.deepcopy(good)
                for _ in range(generator.randint(1, 3)):
                    _spoil(values, generator)
                body = json.dumps(values).encode()
            case 3:
                content_type = generator.choice(TYPES)
                body = generator.choice([text, b"", b"PAR1" + generator.randbytes(300) + b"PAR1", b"a,b\n1,2\n"])
            case 4:
                place, token = generator.randrange(len(text)), generator.choice(TOKENS)
                body = text[:place] + token + text[place + generator.randrange(9) :]
            case 5:
                altered = bytearray(text)
                for _ in range(generator.randint(1, 20)):
                    altered[generator.randrange(len(altered))] = generator.randrange(256)
                body = bytes(altered)
            case 6:
                body = text[: generator.randrange(len(text))] if generator.random() < 0.7 else generator.choice(TOKENS)
            case 7:
                values = copy.deepcopy(good)
                name = generator.choice([*good["params"], "positions", "positions", "cash", "agent_state", "account"])
                values["params"][name] = generator.choice(POSITIONS if name == "positions" else [*VALUES, *POSITIONS])
                body = json.dumps(values).encode()
            case 8:
                values = copy.deepcopy(good)
                for row in values["dataframe_split"]["data"]:
                    if generator.random() < 0.3:
                        place = generator.randrange(2, len(row))
                        row[place] *= 10.0 ** generator.uniform(-16, 13)
                body = json.dumps(values).encode()
        yield content_type, body


def _spoil(values: Any, generator: random.Random) -> None:
    """Replace, remove or repeat a value anywhere within."""
    while True:
        if not values:
            return
        key = generator.choice(list(values)) if isinstance(values, dict) else generator.randrange(len(values))
        if isinstance(values[key], dict | list) and generator.random() < 0.8:
            values = values[key]
            continue
        match generator.randrange(6):
            case 0:
                del values[key]
            case 1 if isinstance(values, list):
                values.insert(key, copy.deepcopy(values[key]))
            case 2 if isinstance(values, dict):
                values[generator.choice(["", "x", LONG, "columns", "data", "index"])] = copy.deepcopy(
                    generator.choice(VALUES)
                )
            case _:
                values[key] = copy.deepcopy(generator.choice(VALUES))
        return


def faults(status: int, answer: bytes) -> list[str]:
    """What is wrong with an answer to any request."""
    try:
        text = answer.decode()
        values = json.loads(text, parse_constant=lambda name: 1 / 0)
    except (ValueError, ZeroDivisionError):
        return [f"no JSON: {answer[:200]!r}"]
    found = []
    if status == 200:
        return [] if {"predictions", "not_decided"} <= set(values) else [f"no answer: {text[:200]}"]
    if not 400 <= status < 500:
        found.append(f"status {status}")
    message = values["message"] if set(values) == {"error_code", "message"} else ""
    if not 20 <= len(message) <= 401 or "\n" in message:
        found.append(f"a sentence of {len(message)} characters")
    if any(sign in text for sign in ("Traceback", 'File \\"', ".py", "site-packages", "MLOps", LONG[:60])):
        found.append("more than a sentence")
    return [f"{fault}: {text[:300]}" for fault in found]
