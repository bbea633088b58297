# %% [markdown]
# # Tutorial: where does the network look?
#
# You read the weights of a face, cover it piece by piece, and compare. Then you measure over a
# dataset whether the weights look away from what is covered. It takes two minutes on two cores and
# needs `pip install scikit-image`.
# This page is a notebook kept as text (`docs/tutorials/where_it_looks.py`).

# %%
import numpy as np
import skimage.data
from matplotlib import pyplot
from PIL import Image

import ran_tf

MODEL = "ran_faceres_shared_ferplus"
predictor = ran_tf.Predictor(MODEL)
(found,) = predictor.faces([skimage.data.astronaut()])[0]
face, said = found.image, found.prediction
print(said.label, f"{said.probability:.0%}", "weights", said.weights.round(2))
Image.fromarray(ran_tf.annotate_face(face, said)).save("tutorial_weights.png")

# %% [markdown]
# ![The face, and its six regions with their weights](../pictures/tutorial_weights.png)
#
# A weight says how much the features of a region entered the mean that is classified. That is all.
# It does not say what the answer would be without the region.
#
# ## Cover it piece by piece
#
# To know what the answer depends on, take something away. A grey square of half the side goes to
# nine places. Each number is the probability that is left of the first answer.

# %%
side = len(face) // 2
covered = []
for y in (0, side // 2, side):
    for x in (0, side // 2, side):
        one = face.copy()
        one[y : y + side, x : x + side] = 128
        covered.append(one)
answers = predictor(covered)
first = predictor.labels.index(said.label)
left = np.array([answer.probabilities[first] for answer in answers]).reshape(3, 3)
print(left.round(2))

figure, (beside, places) = pyplot.subplots(1, 2, figsize=(6.5, 3), layout="constrained")
beside.imshow(face)
shown = places.imshow(left, vmin=0, vmax=1, cmap="Blues_r")
figure.colorbar(shown, label=f"probability of {said.label}")
for axis in (beside, places):
    axis.axis("off")
figure.savefig("tutorial_covers.png", dpi=200)

# %% [markdown]
# ![The face, and the nine probabilities as a map](../pictures/tutorial_covers.png)
#
# All numbers stay near 1 but one: that in the middle of the last row falls by half. This happiness
# is read from the mouth. Now the weights of the same nine faces: how much of them moved to other
# regions?

# %%
moved = np.array([np.abs(answer.weights - said.weights).sum() / 2 for answer in answers])
print(moved.reshape(3, 3).round(2))

# %% [markdown]
# About a tenth or less everywhere. No place stands out here as the mouth does in the first table.
# One face is an anecdote, so measure it.
#
# ## A dataset
#
# `evaluate` keeps the weights of every face. Drawn faces know what covers them.

# %%
data = ran_tf.load_dataset("synthetic_faces", image_size=48, test_split="test[:112]")
report = ran_tf.evaluate(MODEL, data.test)
report.plot("region_weights").savefig("tutorial_drawn_weights.png")  # by occlusion and by pose
report.plot("attention").savefig("tutorial_attention.png")  # whole face against best crop
for name, row in report.numbers["occlusions"].items():
    print(f"{name:10}", row["count"], "faces, exposure", row["exposure"])

# %% [markdown]
# ![Mean weight of each region, by occlusion and pose](../pictures/tutorial_drawn_weights.png)
#
# A row is a kind of face, a column a region. Blue is below an equal share, red above it.
#
# ![Attention of the whole face and of the best crop](../pictures/tutorial_attention.png)
#
# On the left is *mu*, the first attention weight, of the whole face and of the best crop. On the
# right is their difference. The region biased loss wants it beyond the margin.
#
# *Exposure* is the covered share of the regions under the network's own weights, over that under
# equal weights. At 1 the weights do not care what is covered. Below 1 they look away from it; above
# 1 they look at it. A list of a dataset names a place, such as "lower". "side" has no number: the
# list does not say which side.
#
# An exposure may differ from 1 for another reason. On clean faces, too, this network gives the top
# regions hardly any weight. So whatever covers the upper part is exposed less. Look at the weights
# on clean faces before you say that a network looks away.
#
# `robustness` lays the same occluders over all faces and knows every pixel that they cover.

# %%
KINDS = ["surgical mask", "hat"]
tried = ran_tf.robustness(MODEL, data.test, kinds=KINDS)
print(tried)
for kind in KINDS:
    print(kind, round(tried.numbers["model"]["conditions"][kind]["exposure"], 2))

# %% [markdown]
# This preset was trained as the paper says, and has never seen a drawn face. The preset
# `ran_faceres_covered_ferplus` was told in training what is covered. It looks away, at a price:
# [a network that looks away](../looks_away.md) has the figures on photographs.
#
# ## What not to read into it
#
# - **A weight is not a cause.** Cover the region and look, as above.
# - **A grey square is not nothing.** Part of what falls may come from the square itself. Try other
#   covers before you believe a map.
# - **Most regions are most of the face.** The six fixed regions are squares of at least three
#   quarters of the side. A heavy "top left" does not mean "the left eye".
# - **Exposure is not accuracy.** Weights may look away, and the answer may stay wrong.
# - **A few faces say little.** Here are about a hundred. Look at the interval beside each accuracy.
# - **An expression is not an emotion.** The network names what raters would see in a picture.
#
# [Where it looks](../guides/attention.md) has the commands and the figures on FERPlus.
