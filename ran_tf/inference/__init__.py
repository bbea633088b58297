"""Photos, faces and videos in, predictions out."""
