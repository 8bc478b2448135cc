"""Pictures however they come, through the routes of a real server."""

from __future__ import annotations

import base64
import io
import re
import zlib
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image as Pillow

from streamkit.server.failures import PictureError
from streamkit.server.fetching import Fetcher
from streamkit.server.pictures import Limits
from streamkit.server.routes.infer import decoding
from streamkit.server.schemas import InferRequest

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
JPEG = (SAMPLES / "street.jpg").read_bytes()
TEXT = base64.b64encode(JPEG).decode()


NPY = io.BytesIO()
np.save(NPY, np.zeros((4, 4, 3), np.uint8))
NEWER = b"\x93NUMPY\x09" + NPY.getvalue()[7:]
"""Of a version that does not exist."""


def ask(client: httpx.Client, value: str, kind: str = "base64", **more: Any) -> httpx.Response:
    body = {"model_id": "street/1", "image": {"type": kind, "value": value}, **more}
    return client.post("/infer/object_detection", json=body)


def saved(array: Any) -> str:
    stream = io.BytesIO()
    np.save(stream, array)
    return base64.b64encode(stream.getvalue()).decode()


def encoded(kind: str, image: Any) -> str:
    return base64.b64encode(cv2.imencode(kind, image)[1].tobytes()).decode()


def count(response: httpx.Response) -> int:
    assert response.status_code == 200, response.text
    return len(response.json()["predictions"])


def test_every_way_to_send_a_picture_finds_the_same(client: httpx.Client) -> None:
    image = cv2.imread(str(SAMPLES / "street.jpg"))
    assert image is not None
    wanted = count(ask(client, TEXT))
    assert wanted > 3
    assert count(ask(client, f"data:image/jpeg;base64,{TEXT}")) == wanted
    assert count(ask(client, TEXT, "BASE64")) == wanted
    assert count(ask(client, saved(image), "numpy")) == wanted
    for kind in (".png", ".bmp", ".tiff", ".webp", ".ppm"):
        assert count(ask(client, encoded(kind, image))) >= wanted - 1
    for route in ("/street/1", "/street/01"):
        body = client.post(route, content=TEXT, headers={"Content-Type": "application/json"})
        assert count(body) == wanted
    assert count(client.post("/street/1", files={"file": JPEG})) == wanted
    gray = ask(client, saved(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)), "numpy")
    assert gray.json()["image"] == {"width": 1280, "height": 720}


def test_the_orientation_in_a_file_is_heard_unless_switched_off(client: httpx.Client) -> None:
    stream = io.BytesIO()
    exif = Pillow.Exif()
    exif[0x0112] = 6  # a quarter turn
    Pillow.open(SAMPLES / "street.jpg").save(stream, "JPEG", exif=exif)
    turned = base64.b64encode(stream.getvalue()).decode()
    assert ask(client, turned).json()["image"] == {"width": 720, "height": 1280}
    plain = ask(client, turned, disable_preproc_auto_orient=True)
    assert plain.json()["image"] == {"width": 1280, "height": 720}


def test_a_picture_of_the_answer(client: httpx.Client) -> None:
    header = {"Content-Type": "application/json"}
    alone = client.post("/street/1?format=image&labels=true&stroke=3", content=TEXT, headers=header)
    assert alone.headers["content-type"] == "image/jpeg"
    drawn = cv2.imdecode(np.frombuffer(alone.content, np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None
    assert drawn.shape == (720, 1280, 3)
    both = client.post("/street/1?format=image_and_json", content=TEXT, headers=header).json()
    assert base64.b64decode(both["visualization"]).startswith(b"\xff\xd8")
    assert both["predictions"]


def test_percents_are_taken_and_one_is_all(client: httpx.Client) -> None:
    header = {"Content-Type": "application/json"}
    found = [
        count(client.post(f"/street/1?confidence={c}", content=TEXT, headers=header))
        for c in ("0.8", "80", "1")
    ]
    assert found[0] == found[1] > found[2] == 0


def headed(text: str) -> str:
    """An ``.npy`` file with this for a header."""
    header = f"{text}\n".encode()
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(25)
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        ("", "base64", "Empty"),
        ("%%%", "base64", "Empty"),
        ("aGVsbG8=", "base64", "no picture"),
        (base64.b64encode(JPEG[:300]).decode(), "base64", "Cause"),
        (base64.b64encode(b"\x80\x04\x95rest of a pickle").decode(), "numpy", ".npy"),
        (saved(np.zeros((4, 4, 3))), "numpy", "uint8"),
        (saved(np.zeros((4, 4, 2), np.uint8)), "numpy", "height x width x 3"),
        (saved(np.array([{}], object)), "numpy", "uint8"),
        (saved(np.zeros((0, 4, 3), np.uint8)), "numpy", "0"),
        (base64.b64encode(NEWER).decode(), "numpy", ".npy"),
        (headed("("), "numpy", ".npy"),
        (headed("{1: 2, 'a': 3}"), "numpy", ".npy"),
        (headed("{[]: 1}"), "numpy", ".npy"),
        (headed("-" * 9000 + "1"), "numpy", ".npy"),
        (headed("{'descr': '|u1', 'fortran_order': False, 'shape': (-5, -5)}"), "numpy", "nothing"),
        (base64.b64encode(b"P5 10#30 \n 1 255\n" + bytes(300)).decode(), "base64", "no #"),
        ("https://1.1.1.1:99999/a.jpg", "url", "no port"),
        ("https://xn--/a.jpg", "url", "cannot be fetched"),
        ("/etc/passwd", "file", "choose from base64, url, numpy"),
        ("https://127.0.0.1/a.jpg", "url", "not on the public Internet"),
        ("http://example.com/a.jpg", "url", "https"),
        ("file:///etc/passwd", "url", "https"),
        ("https://user:secret@example.com/a.jpg", "url", "no user and password"),
    ],
)
def test_what_is_no_picture_is_told_from_what_is(
    client: httpx.Client, value: str, kind: str, said: str
) -> None:
    answer = ask(client, value, kind)
    assert answer.status_code == 400
    assert said in answer.json()["message"]
    assert answer.json()["code"] == "PICTURE_INVALID"
    assert "secret" not in answer.text


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 1), (40, 60, 4)])
def test_an_array_of_any_depth_is_a_picture(client: httpx.Client, shape: tuple[int, ...]) -> None:
    answer = ask(client, saved(np.full(shape, 114, np.uint8)), "numpy")
    assert answer.status_code == 200
    assert answer.json()["image"] == {"width": 60, "height": 40}


def test_pictures_of_one_request_share_what_may_be_unpacked() -> None:
    grey = {"type": "numpy", "value": saved(np.full((10, 10, 3), 114, np.uint8))}
    question = InferRequest.model_validate({"model_id": "street/1", "image": [grey] * 3})
    fetcher = Fetcher(None, most=1, seconds=1)
    taken: list[int] = []
    assert len(list(decoding(question, Limits(in_all=300), fetcher)(taken.append))) == 3
    assert taken == [100, 100, 100]
    with pytest.raises(PictureError, match="pixels"):
        list(decoding(question, Limits(in_all=299), fetcher)(taken.append))


def test_the_page_says_what_is_taken_and_answered(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path in ("/infer/classification", "/{dataset_id}/{version_id}"):
        asked = paths[path]["post"]
        assert {"200", "400", "401", "404", "413", "422", "503", "504"} <= set(asked["responses"])
        assert asked["requestBody"]["content"]
        assert "example" in asked["responses"]["200"]["content"]["application/json"]


def bomb(width: int, height: int) -> str:
    """A PNG whose header claims a size; its data is a handful of bytes."""
    stream = io.BytesIO()
    Pillow.new("1", (8, 8)).save(stream, "PNG")
    data = bytearray(stream.getvalue())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return base64.b64encode(bytes(data)).decode()


@pytest.mark.parametrize("size", [(60_000, 60_000), (2**31 - 1, 2**31 - 1), (64_000_001, 1)])
def test_a_bomb_is_not_unpacked(client: httpx.Client, size: tuple[int, int]) -> None:
    answer = ask(client, bomb(*size))
    assert answer.status_code == 413
    assert "pixels" in answer.json()["message"]


def scanned(side: int, more: int) -> bytes:
    """A progressive JPEG, its last scan repeated."""
    stream = io.BytesIO()
    Pillow.new("L", (side, side), 114).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * more + data[-2:]


def test_a_jpeg_is_gone_over_as_often_as_encoders_do_and_no_more(client: httpx.Client) -> None:
    """Each scan is a few bytes that take as long as the whole picture."""
    for data, status in (
        (scanned(64, 20), 200),
        (scanned(64, 200), 413),
        (scanned(4000, 4), 200),
        (scanned(4000, 90), 413),
        (JPEG + b"\xff\xda" * 500, 200),  # what cameras add behind a picture
    ):
        answer = ask(client, base64.b64encode(data).decode())
        assert answer.status_code == status, answer.text
        assert status == 200 or "scans" in answer.json()["message"]


def test_a_list_that_is_too_long_and_one_that_is_empty(client: httpx.Client) -> None:
    picture = {"type": "base64", "value": TEXT[:40]}
    body = {"model_id": "street/1", "image": [picture] * 65}
    assert client.post("/infer/object_detection", json=body).status_code == 413
    body["image"] = []
    assert client.post("/infer/object_detection", json=body).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model_id": "street/1"},
        {"model_id": "", "image": {"type": "base64", "value": ""}},
        {"model_id": "../../etc/1", "image": {"type": "base64", "value": TEXT[:9]}},
        {"model_id": "street/1", "image": {"type": "base64", "value": TEXT}, "confidence": 7},
        {"model_id": "street/1", "image": {"type": "base64", "value": TEXT}, "confidence": "x"},
        {"model_id": "street/1", "image": 5, "api_key": "very-secret"},
    ],
)
def test_a_malformed_request_is_told_what_is_wrong(client: httpx.Client, body: Any) -> None:
    answer = client.post("/infer/object_detection", json=body)
    assert answer.status_code in (400, 422)
    assert "very-secret" not in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [("/a/b/c", 404), ("/street/..%2f..%2fetc", 404), ("/..%2f/1", 404), ("/a%00b/1", 400)],
)
def test_a_path_leads_nowhere_else(client: httpx.Client, path: str, status: int) -> None:
    answer = client.post(path, content=TEXT, headers={"Content-Type": "text/plain"})
    assert answer.status_code == status


def test_no_content_type_and_no_file_are_told(client: httpx.Client) -> None:
    request = client.build_request("POST", "/street/1", content=TEXT)
    request.headers.pop("content-type", None)
    assert client.send(request).json()["code"] == "CONTENT_TYPE_MISSING"
    wrong = client.post("/street/1", files={"picture": JPEG})
    assert wrong.json()["code"] == "PICTURE_MISSING"


def test_the_server_tells_about_itself(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "healthy"}
    assert client.get("/readiness").json() == {"status": "ready"}
    assert set(client.get("/info").json()) == {"name", "version", "uuid"}
    ask(client, TEXT)
    told = client.get("/metrics").text
    assert 'streamkit_http_requests_total{route="/infer/object_detection",status="200"}' in told
    assert 'streamkit_model_frames_total{model="street/1"}' in told
    assert 'streamkit_model_runs_total{model="street/1"}' in told
    page = client.get("/", follow_redirects=True).text
    assert "/infer/object_detection" in page
    assert "For Prometheus" in page
    assert not re.search("<script|https?://", page), "it needs nothing that is not here"
    assert "/infer/object_detection" in client.get("/openapi.json").json()["paths"]


def test_models_come_and_go(client: httpx.Client) -> None:
    client.post("/model/add", json={"model_id": "kinds/1"})
    (row,) = [
        r for r in client.get("/model/registry").json()["models"] if r["model_id"] == "kinds/1"
    ]
    assert row["task_type"] == "classification"
    left = client.post("/model/remove", json={"model_id": "kinds/1"}).json()["models"]
    assert "kinds/1" not in [r["model_id"] for r in left]
    assert client.post("/model/remove", json={"model_id": "nobody/1"}).status_code == 200
    assert client.post("/model/clear").json() == {"models": []}
    assert client.get("/clear_cache").json() == "Cache Cleared"
