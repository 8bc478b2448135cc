"""Asks a server what is in the sample street: ``python samples/ask.py http://127.0.0.1:9001``."""

import base64
import sys
from pathlib import Path

import cv2
import httpx

server = sys.argv[1]
_, frame = cv2.VideoCapture(str(Path(__file__).parent / "street.mp4")).read()
_, jpeg = cv2.imencode(".jpg", frame)
question = {
    "model_id": "street/1",
    "image": {"type": "base64", "value": base64.b64encode(jpeg.tobytes()).decode()},
    "confidence": 0.5,
}
answer = httpx.post(f"{server}/infer/object_detection", json=question, timeout=30)
answer.raise_for_status()
for found in answer.json()["predictions"]:
    print(f"{found['class']} {found['confidence']:.2f} at {found['x']:.0f}, {found['y']:.0f}")
