"""A detector of one's own: every photo is one face, which looks straight at us.

python -m ran_tf.launch.predict --model=ran_faceres_ferplus --align \
    --import=examples.my_detector --detector=whole photo.jpg
"""

import numpy as np

import ran_tf
from ran_tf.faces import Face

# Eyes, nose and corners of the mouth, x and y in 0..1.
POINTS = np.float32([[0.35, 0.4], [0.65, 0.4], [0.5, 0.6], [0.38, 0.75], [0.62, 0.75]])


@ran_tf.register_detector("whole")
def whole(config, *, threads):
    def find(photo):
        height, width, _ = photo.shape
        box = np.float32([0, 0, height - 1, width - 1])
        return [Face(box=box, score=1.0, landmarks=POINTS * (width - 1, height - 1))]

    return lambda photos, min_sides: [find(photo) for photo in photos]
