"""A trained network as a file that runs without us: SavedModel, ONNX, TFLite."""
