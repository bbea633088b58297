# %% [markdown]
# # Tutorial: one photo, its regions, and a cover
#
# You read the expression of a face, see which regions counted, cover its mouth, and look again.
# It takes a minute and needs `pip install scikit-image` for the photo.
# This page is a notebook kept as text: open `docs/tutorials/one_photo.py` in Jupyter (with
# jupytext) or in an editor that knows `# %%` cells.

# %%
import numpy as np
import skimage.data
from PIL import Image

import ran_tf

photo = skimage.data.astronaut()
predictor = ran_tf.Predictor("ran_faceres_ferplus", align=True)
(found,) = predictor.faces([photo])[0]
print(found.prediction.label, f"{found.prediction.probability:.0%}", found.box.round())

# %% [markdown]
# `faces` gives a list for each photo, and this photo has one face. `found.image` is the face as the
# network saw it, cut out and turned upright. `annotate_face` draws its regions. The heaviest is
# outlined in red, the lightest in blue.

# %%
Image.fromarray(ran_tf.annotate_face(found.image, found.prediction)).save("tutorial_regions.png")

# %% [markdown]
# ![The face, and its six regions with their weights](../pictures/tutorial_regions.png)
#
# The next cell prints the weights. Region 0 is the whole face, and the weights sum to 1.

# %%
for box, weight in zip(found.prediction.boxes, found.prediction.weights, strict=True):
    print(box.round(2), f"{weight:.0%}")
assert np.isclose(found.prediction.weights.sum(), 1, atol=1e-4)

# %% [markdown]
# ## Cover the mouth
#
# `found.image` is a face crop already, so it goes to a predictor without `align`. A grey bar covers
# its lower third.

# %%
covered = found.image.copy()
covered[2 * len(covered) // 3 :] = 128
crops = ran_tf.Predictor("ran_faceres_ferplus")
before, after = crops([found.image, covered])
print("before", before.label, f"{before.probability:.0%}", before.weights.round(2))
print("after ", after.label, f"{after.probability:.0%}", after.weights.round(2))
Image.fromarray(ran_tf.annotate_face(covered, after)).save("tutorial_covered.png")

# %% [markdown]
# ![The same face with its lower third covered](../pictures/tutorial_covered.png)
#
# Compare with the network that has no regions:

# %%
whole = ran_tf.Predictor("face_faceres_ferplus")
for name, answer in zip(("before", "after "), whole([found.image, covered]), strict=True):
    print(name, answer.label, f"{answer.probability:.0%}")

# %% [markdown]
# The region at the bottom had 15 % of the weight and now has 4 %. Both networks still see happiness,
# but are less sure. One face is only an anecdote. [Where it looks](../guides/attention.md) measures
# this over a dataset, and says what not to read into weights.
