"""The card of a preset as it should be: tests damage it, or what lies beside it."""

CARD = {
    "dataset": "ferplus",
    "labels": ["neutral", "happiness"],
    "image_size": [32, 32],
    "regions": {"kind": "fixed", "k": 6, "variant": "paper", "radius": 0.4},
    "model": {"backbone": "mobilenet_v1", "num_classes": 2, "size": [32, 32]},
    "colour": "grey",
    "crop_margin": 0.0,
    "crop_drop": 0.0,
}
