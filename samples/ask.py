"""Asks a server what is in the sample picture: ``python samples/ask.py http://127.0.0.1:9001``."""

import base64
import sys
from pathlib import Path

import httpx

server = sys.argv[1]
picture = (Path(__file__).parent / "street.jpg").read_bytes()
question = {
    "model_id": "street/1",
    "image": {"type": "base64", "value": base64.b64encode(picture).decode()},
    "confidence": 0.5,
}
answer = httpx.post(f"{server}/infer/object_detection", json=question, timeout=30)
answer.raise_for_status()
for found in answer.json()["predictions"]:
    print(f"{found['class']} {found['confidence']:.2f} at {found['x']:.0f}, {found['y']:.0f}")
