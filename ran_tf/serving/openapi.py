"""What the REST server takes and gives, as an OpenAPI 3.1 document."""

import ran_tf
from ran_tf.serving.limits import Limits
from ran_tf.weights.card import ModelCard

_NUMBER = {"type": "number"}
_TEXT = {"type": "string"}
_ERROR = {"type": "object", "required": ["error"], "properties": {"error": _TEXT}}


def describe(*, limits: Limits, card: ModelCard | None) -> dict:
    """The document.

    Args:
      limits: that requests have.
      card: of the network; None where photos are not taken.
    """
    paths = {**_model_paths(), **_plain_paths()}
    if card is not None:
        paths = {"/v1/photos:predict": {"post": _photos(limits)}, **paths}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ran_tf",
            "version": ran_tf.__version__,
            "summary": "Facial expressions of photos and of face crops.",
        },
        "paths": paths,
        "components": {"schemas": _schemas(card)},
    }


def _photos(limits: Limits) -> dict:
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    form = {"type": "object", "additionalProperties": file | {"maxItems": limits.photos}}
    answers = {
        "200": _answer("At least one photo was classified.", "Photos"),
        "400": _answer("No photo could be read.", "Error"),
        "408": _answer("The body did not arrive in time.", "Error"),
        "411": _answer("The request has no Content-Length.", "Error"),
        "413": _answer(f"More than {limits.request_bytes:,} bytes.", "Error"),
        "503": _answer("Too many requests at once: try again later.", "Error"),
    }
    return {
        "operationId": "predictPhotos",
        "summary": "Finds the faces in photos and classifies their expressions.",
        "description": (
            f"A request has at most {limits.photos} photos of {limits.pixels:,} pixels, and "
            f"{limits.request_bytes:,} bytes. The {limits.faces} largest faces of each photo are "
            f"classified. After {limits.photo_seconds:g} s no further photo is started. A photo "
            "that cannot be used has an `error`; the others are classified."
        ),
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": form},
                "application/octet-stream": {"schema": file},
                "image/*": {"schema": file},
            },
        },
        "responses": answers,
    }


def _model_paths() -> dict:
    """TensorFlow Serving's."""
    name = {"name": "model", "in": "path", "required": True, "schema": _TEXT}
    rows = {"type": "array", "minItems": 1, "items": {}}
    request = {
        "type": "object",
        "properties": {"signature_name": _TEXT, "instances": rows, "inputs": {}},
    }
    outputs = {"type": "object", "properties": {"predictions": {"type": "array"}, "outputs": {}}}

    def get(operation: str, summary: str) -> dict:
        return {
            "get": {
                "operationId": operation,
                "summary": summary,
                "parameters": [name],
                "responses": {"200": _answer("", None), "404": _answer("Not served.", "Error")},
            }
        }

    return {
        "/v1/models/{model}:predict": {
            "post": {
                "operationId": "predict",
                "summary": "Classifies face crops, with the interface of TensorFlow Serving.",
                "parameters": [name],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": request}},
                },
                "responses": {
                    "200": {
                        "description": "Rows for `instances`, columns for `inputs`.",
                        "content": {"application/json": {"schema": outputs}},
                    },
                    "400": _answer("The request cannot be answered.", "Error"),
                    "404": _answer("Not served.", "Error"),
                },
            }
        },
        "/v1/models/{model}": get("status", "Whether the model is loaded."),
        "/v1/models/{model}/metadata": get("metadata", "The signatures of the model."),
    }


def _plain_paths() -> dict:
    def get(operation: str, summary: str, media: str) -> dict:
        content: dict[str, dict] = {media: {"schema": {}}}
        return {
            "get": {
                "operationId": operation,
                "summary": summary,
                "responses": {"200": {"description": summary, "content": content}},
            }
        }

    return {
        "/healthz": get("alive", "The server runs.", "application/json"),
        "/readyz": get("ready", "The server has loaded its model and answers.", "application/json"),
        "/metrics": get("metrics", "Counters, for Prometheus.", "text/plain"),
        "/openapi.json": get("describe", "This document.", "application/json"),
    }


def _answer(description: str, schema: str | None) -> dict:
    shown = {"$ref": f"#/components/schemas/{schema}"} if schema else {}
    return {"description": description, "content": {"application/json": {"schema": shown}}}


def _schemas(card: ModelCard | None) -> dict:
    labels = () if card is None else card.labels
    box = {"type": "array", "items": _NUMBER, "minItems": 4, "maxItems": 4}
    face = {
        "face": {"type": "integer", "description": "Number of the face, from 0, the largest."},
        "box": box | {"description": "y0, x0, y1, x1 in pixels of the upright photo."},
        "score": _NUMBER | {"description": "Confidence of the detector, 0..1."},
        "label": {"enum": list(labels), "description": "The most probable expression."},
        "probability": _NUMBER | {"description": "Probability of `label`."},
        "heaviest_region": _TEXT,
        "probabilities": {
            "type": "object",
            "properties": dict.fromkeys(labels, _NUMBER),
            "required": list(labels),
        },
        "weights": {"type": "array", "items": _NUMBER, "description": "Weight of each region."},
        "boxes": {
            "type": "array",
            "items": box,
            "description": "Box of each region: y0, x0, y1, x1 in 0..1 of the face.",
        },
    }
    if card is not None and card.covered is not None:
        face["covered"] = _NUMBER | {"description": "Estimated covered share of the face, 0..1."}
    photo = {
        "name": _TEXT | {"description": "Name of the file, as it was sent."},
        "width": {"type": "integer", "description": "Width of the upright photo, pixels."},
        "height": {"type": "integer", "description": "Height of the upright photo, pixels."},
        "faces": {"type": "array", "items": {"$ref": "#/components/schemas/Face"}},
        "more_faces": {"type": "boolean", "description": "Whether smaller faces were left out."},
        "error": _TEXT
        | {"description": "Why the photo cannot be used; then only `name` is there, too."},
    }
    photos = {"type": "array", "items": {"$ref": "#/components/schemas/Photo"}}
    model = {"type": "object", "properties": {"name": _TEXT, "version": {"type": "integer"}}}
    return {
        "Error": _ERROR,
        "Face": {"type": "object", "properties": face, "required": list(face)},
        "Photo": {"type": "object", "properties": photo, "required": ["name"]},
        "Photos": {
            "type": "object",
            "properties": {"model": model, "photos": photos},
            "required": ["model", "photos"],
        },
    }
