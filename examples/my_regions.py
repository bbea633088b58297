"""Regions of one's own: the whole face, and its left and right half.

python -m ran_tf.launch.train --flagfile=launch/quickstart.flags --workdir=run \
    --import=examples.my_regions --regions=halves --num_regions=3
"""

import numpy as np

import ran_tf


@ran_tf.register_regions("halves", names=lambda k: ("left half", "right half"))
def halves(config, landmarks, draw):
    # y0, x0, y1, x1; boxes that differ from face to face would be f32[b, k, 4].
    return np.float32([[0, 0, 1, 1], [0, 0, 1, 0.5], [0, 0.5, 1, 1]])
