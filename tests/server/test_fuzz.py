"""Whatever is sent, the server says what is wrong with it: no 500, no hang, no growth."""

from __future__ import annotations

import os
import random
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import psutil
import pytest
from hypothesis import HealthCheck, given, settings

from tests.server.serving import Served, served

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis

MANY: Final = int(os.environ.get("STREAMKIT_FUZZ", "1500"))
"""Malformed bodies."""

PATHS: Final = (
    "/infer/object_detection", "/infer/classification", "/model/add", "/model/remove",
    "/inference_pipelines/initialise", "/street/1",
)  # fmt: skip


@pytest.fixture(scope="module")
def fuzzed(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that is not needed by anybody else."""
    with served(models, tmp_path_factory.mktemp("fuzzed") / "log.txt") as made:
        yield made


def test_what_the_schema_allows_is_answered(fuzzed: Served) -> None:
    described = schemathesis.openapi.from_url(f"{fuzzed.url}/openapi.json")
    everything: Any = described.get_all_operations()
    operations = [found.ok() for found in everything]
    assert len(operations) > 20
    for operation in operations:
        if not operation.path.endswith("/events"):  # it goes on for ever
            _try(operation)


def _try(operation: Any) -> None:
    @given(case=operation.as_strategy())
    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def answered(case: Any) -> None:
        answer = case.call(timeout=20)
        assert answer.status_code < 500 or answer.status_code in (501, 503), answer.text

    answered()


def bodies(seed: int, count: int) -> Iterator[bytes]:
    """Good requests, damaged: bytes, fields, types, depths."""
    chance = random.Random(seed)
    good: dict[str, Any] = {
        "model_id": "street/1",
        "image": {"type": "base64", "value": "/9j/4AAQSkZJRgABAQ"},
        "confidence": 0.5,
        "sources": ["synthetic:fps=20"],
        "model": "street/1",
    }
    odd: list[Any] = [
        None, True, -1, 1e308, "", "x" * 5000, [], {}, [[[]]], {"type": None}, "\u0000", "../..",
        "https://[::1", "data:image/png;base64,", {"type": "url", "value": "https://"}, 2**70,
    ]  # fmt: skip
    for _ in range(count):
        body = dict(good)
        for _ in range(chance.randint(1, 3)):
            body[chance.choice([*good, "api_key", "stages", "nonsense"])] = chance.choice(odd)
        text = orjson.dumps(body) if all(_fits(v) for v in body.values()) else b'{"image": 1e999}'
        kind = chance.random()
        if kind < 0.2:
            place = chance.randrange(len(text))
            text = text[:place] + chance.randbytes(3) + text[place:]
        elif kind < 0.3:
            text = text[: chance.randrange(len(text))]
        elif kind < 0.35:
            text = b"[" * 20_000
        yield text


def _fits(value: Any) -> bool:
    return not isinstance(value, int) or abs(value) < 2**63


def test_malformed_bodies_are_refused_and_nothing_grows(fuzzed: Served) -> None:
    process = psutil.Process(fuzzed.process.pid)
    found: Counter[int] = Counter()
    sizes = []
    fresh = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=fuzzed.url, timeout=20, trust_env=False, limits=fresh) as client:

        def send(each: tuple[int, bytes]) -> int:
            number, body = each
            path = PATHS[number % len(PATHS)]
            header = {"Content-Type": "application/json"}
            return client.post(path, content=body, headers=header).status_code

        for seed in range(4):
            with ThreadPoolExecutor(4) as pool:
                found.update(pool.map(send, enumerate(bodies(seed, MANY // 4))))
            sizes.append(process.memory_info().rss)
            names = client.get("/inference_pipelines/list").json()["pipelines"]
            for name in names:
                client.post(f"/inference_pipelines/{name}/terminate")
    assert set(found) <= {200, 400, 401, 404, 413, 422, 503}, found
    assert "Traceback" not in fuzzed.logged()
    assert sizes[-1] - sizes[1] < 30 << 20
