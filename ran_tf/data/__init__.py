"""From TFDS examples to batches of faces and boxes."""
