"""Drives a server with the real ``inference-sdk``, in that package's own environment.

``python sdk_surface.py URL PICTURE``: prints one JSON object of what came back.
"""

# mypy: ignore-errors
import asyncio
import json
import sys

import cv2
import requests
from inference_sdk import InferenceConfiguration, InferenceHTTPClient
from inference_sdk.http.entities import VisualisationResponseFormat
from inference_sdk.http.errors import HTTPCallErrorError

url, picture = sys.argv[1:]
image = cv2.imread(picture)
client = InferenceHTTPClient(api_url=url, api_key="a-key")
found = {}

info = client.get_server_info()
found["info"] = [info.name, info.version, info.uuid]

found["tasks"] = {
    model: client.infer(picture, model_id=model)
    for model in ("street/1", "shapes/1", "poses/1", "kinds/1")
}
found["list"] = client.infer([picture, image, picture], model_id="street/1")
with client.use_configuration(InferenceConfiguration(max_batch_size=3)):
    found["batch"] = client.infer([picture, picture, image], model_id="street/1")
with client.use_configuration(InferenceConfiguration(max_batch_size=2, max_concurrent_requests=4)):
    found["parallel"] = client.infer([picture] * 7, model_id="street/1")
with client.use_configuration(
    InferenceConfiguration(confidence_threshold=0.8, class_filter=["bicycle"], max_detections=2)
):
    found["configured"] = client.infer(picture, model_id="street/1")
with client.use_configuration(InferenceConfiguration(response_mask_format="rle")):
    found["rle"] = client.infer(picture, model_id="shapes/1")
with client.use_configuration(
    InferenceConfiguration(
        visualize_predictions=True,
        visualize_labels=True,
        stroke_width=3,
        output_visualisation_format=VisualisationResponseFormat.NUMPY,
    )
):
    shown = client.infer(picture, model_id="street/1")
    found["visualised"] = list(shown["visualization"].shape)
for transport in ("header", "both"):
    with client.use_configuration(InferenceConfiguration(api_key_transport=transport)):
        found[f"key by {transport}"] = client.infer(picture, model_id="street/1")
found["async"] = asyncio.run(client.infer_async([picture, picture], model_id="street/1"))
client.select_model("kinds/1")
found["selected"] = client.infer(picture)

found["described"] = client.get_model_description("street/1").__dict__
found["listed"] = [model.model_id for model in client.list_loaded_models().models]
found["unloaded"] = [model.model_id for model in client.unload_model("kinds/1").models]
found["loaded"] = [model.model_id for model in client.load_model("kinds/1").models]
found["cleared"] = client.unload_all_models().models

with client.use_api_v0():
    found["v0"] = {
        model: client.infer(picture, model_id=model)
        for model in ("street/1", "shapes/1", "poses/1", "kinds/1")
    }
    with client.use_configuration(InferenceConfiguration(confidence_threshold=0.8)):
        found["v0 configured"] = client.infer(picture, model_id="street/1")
    with client.use_configuration(InferenceConfiguration(format="image")):
        found["v0 image"] = len(client.infer(picture, model_id="street/1")["visualization"])

document = {"sources": ["synthetic:fps=10"], "model": "street/1", "api_key": "a-key"}
begun = requests.post(f"{url}/inference_pipelines/initialise", json=document, timeout=30).json()
pipeline = begun["context"]["pipeline_id"]
found["pipelines"] = client.list_inference_pipelines()["pipelines"]
outputs = []
while not outputs:  # the first result takes a moment
    outputs = client.consume_inference_pipeline_result(pipeline)["outputs"]
found["consumed"] = outputs
found["excluded"] = client.consume_inference_pipeline_result(
    pipeline, excluded_fields=["predictions"]
)
found["status"] = client.get_inference_pipeline_status(pipeline)["report"]
found["paused"] = client.pause_inference_pipeline(pipeline)["status"]
found["resumed"] = client.resume_inference_pipeline(pipeline)["status"]
found["terminated"] = client.terminate_inference_pipeline(pipeline)["status"]
found["left"] = client.list_inference_pipelines()["pipelines"]
try:
    client.start_inference_pipeline_with_workflow(
        video_reference="synthetic:fps=10", workspace_name="w", workflow_id="w"
    )
except HTTPCallErrorError as error:
    found["workflow"] = [error.status_code, error.api_message]

try:
    client.infer(picture, model_id="nobody-has-this/1")
except HTTPCallErrorError as error:
    found["error"] = [error.status_code, error.api_message]

json.dump(found, sys.stdout)
