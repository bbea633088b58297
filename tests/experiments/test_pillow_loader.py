"""The loader that ours is compared with reads what it has written."""

import pathlib

import numpy as np

EXPERIMENTS = pathlib.Path(__file__).parents[2] / "experiments"


def test_the_pillow_loader_reads_what_was_written(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import pillow_loader

    face = np.full((48, 48, 3), (10, 20, 30), np.uint8)
    (paths,) = pillow_loader.write_regions(face[np.newaxis], tmp_path)
    loaded = pillow_loader.load_face(paths)
    assert loaded.shape == (6, 3, 224, 224)
    np.testing.assert_allclose(loaded[:, :, 0, 0] * 255, np.tile([10, 20, 30], (6, 1)), atol=1e-4)
