"""Requests of all kinds at every address: a sentence, never a traceback, a hung queue or growing memory."""

from __future__ import annotations

import gc
import json
import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import psutil
import pytest
from fastapi.testclient import TestClient
from http_makers import SHORT, asked, b64, picture, png

from dragflow.service import Service

COUNT = 2400
ADDRESSES = (
    *("/v1/edits", "/v1/previews", "/v1/layers", "/v1/selections", "/v1/intents", "/v1/pictures"),
    *("/v1/exports", "/v1/recipes", "/v1/estimates", "/v1/projects", "/v1/projects/contents"),
)
ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        1e308,
        10**30,
        "",
        "\x00",
        "../../etc/passwd",
        "\x1b[2J",
        "x" * 5000,
        [],
        {},
        [[]],
        [None] * 300,
    ),
    *(
        {"type": "mask", "path": "/etc/passwd"},
        {"type": "png", "png": "AAAA"},
        [1e9, -1e9],
        [[1e9, 2]],
        {"a": {"b": {}}},
    ),
)


def wide(side: int) -> str:
    """A picture of many pixels in few bytes."""
    return b64(png(np.zeros((side, side), np.uint8)))


def mutated(data: Any, rng: random.Random) -> Any:
    """Plain data with one or a few places changed."""
    copy = json.loads(json.dumps(data))
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = list(inside(copy))
        if not places:
            break
        container, key = rng.choice(places)
        if isinstance(container, dict) and rng.random() < 0.2:
            del container[key]
        elif isinstance(container, dict) and rng.random() < 0.2:
            container[rng.choice(("surplus", "version", "__proto__", "path"))] = deepcopy(rng.choice(ODD))
        else:
            container[key] = deepcopy(rng.choice(ODD))
    return copy


def inside(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in plain data: its container and its key."""
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        yield data, key
        if isinstance(value, dict | list):
            yield from inside(value)


def sent(client: TestClient, rng: random.Random, valid: dict[str, Any], large: str) -> Any:
    """One request that is probably wrong."""
    address = rng.choice(ADDRESSES)
    kind = rng.random()
    if kind < 0.6:
        return client.post(
            address, content=json.dumps(mutated(valid, rng)), headers={"Content-Type": "application/json"}
        )
    if kind < 0.7:
        body = json.dumps(valid).encode()
        cut = body[: rng.randrange(len(body))] + rng.choice((b"", b"\xff", b'"}', b"NaN"))
        return client.post(address, content=cut, headers={"Content-Type": "application/json"})
    if kind < 0.8:
        start = b"--x\r\nContent-Disposition: form-data; name=picture; filename=a\r\n\r\n"
        body = rng.choice((start, start + rng.randbytes(200), start + b"a\r\n--x--\r\n", b"", rng.randbytes(300)))
        return client.post(
            address,
            content=body,
            headers={"Content-Type": rng.choice(("multipart/form-data; boundary=x", "multipart/form-data"))},
        )
    if kind < 0.85:
        files = rng.choice((b"", b"GIF89a", large.encode()[:500], png(picture())[: rng.randrange(400)]))
        return client.post(
            address, files={"picture": ("../../a.png", files)}, data={"instruction": "{}", "seed": "1e9"}
        )
    if kind < 0.9:
        return client.post(address, json=valid | {"picture": large})
    name = rng.choice(("..", "%2e%2e%2f", "x" * 3000, "1", "%00", "a/../../b", "\u00e9"))
    tail = rng.choice(
        ("", "/events", "/result.png?variant=-1", "/result.png?variant=1e9", "/preview.jpg", "/../../etc")
    )
    method = rng.choice(("GET", "DELETE", "PUT", "POST"))
    return client.request(method, f"/v1/{rng.choice(('edits', 'pictures'))}/{name}{tail}")


@pytest.mark.slow
def test_no_request_breaks_the_server(client: TestClient, service: Service) -> None:
    rng = random.Random(0)
    valid = asked(settings=SHORT, seed=1, variants=1, points=[[40, 48]], margin=0, coarse=True, candidates=2)
    large = wide(9000)  # 81 megapixels
    seen: dict[int, int] = {}
    memory: list[int] = []
    for number in range(COUNT):
        answer = sent(client, rng, valid, large)
        seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
        assert answer.status_code < 500 or answer.status_code == 503, answer.text[:300]
        if answer.status_code >= 400:
            detail = answer.json()["detail"]
            assert detail.strip()
            assert len(detail) < 600
            assert "Traceback" not in detail
            assert "\x1b" not in detail
        if number % 400 == 399:
            for handle in service.handles:
                handle.cancel()
            gc.collect()
            memory.append(psutil.Process().memory_info().rss)
    assert seen[400] > COUNT / 3
    assert memory[-1] < 1.15 * memory[1], memory
    for handle in service.handles:
        handle.cancel()
    last = client.post("/v1/edits", json=asked(settings=SHORT)).json()["id"]
    text = client.get(f"/v1/edits/{last}/events").text
    assert '"state": "done"' in text
