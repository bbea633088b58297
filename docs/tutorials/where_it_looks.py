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
# A weight says how much the features of a region contributed to the mean that is classified. It does
# not say what the answer would be without the region.
#
# ## Cover it piece by piece
#
# To find out what the answer depends on, take something away. The next cell lays a grey square of
# half the side over nine places in turn. Each number is the probability that is left of the first
# answer.

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
# All numbers stay near 1, except the one in the middle of the last row, which falls by half. So the
# network reads happiness from the mouth here. Do the weights show the same? The next cell computes
# how much of the weight moved to other regions, for the same nine faces.

# %%
moved = np.array([np.abs(answer.weights - said.weights).sum() / 2 for answer in answers])
print(moved.reshape(3, 3).round(2))

# %% [markdown]
# About a tenth or less moved, wherever the square is. No place stands out as the mouth does above,
# so the weights do not show what the answer depends on. But one face is an anecdote, so measure it
# on many.
#
# ## A dataset
#
# `evaluate` keeps the weights of every face. We use drawn faces, because for these it is known what
# covers them.

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
# Each row is a kind of face, and each column is a region. Blue weights are below an equal share, red
# ones above it.
#
# ![Attention of the whole face and of the best crop](../pictures/tutorial_attention.png)
#
# The left plot shows *mu*, the self-attention, of the whole face and of the best crop. The right plot
# shows their difference. The region biased loss asks for a difference beyond the margin.
#
# The printed *exposure* is the covered share of the regions under the network's own weights, divided
# by the same share under equal weights. At 1 the weights do not depend on what is covered. Below 1
# they look away from it, and above 1 they look at it. The list of a dataset names a part of the face,
# such as "lower". For "side" there is no number, because the list does not say which side.
#
# **An exposure below 1 can have another reason.** This network gives the top regions hardly any
# weight, also on clean faces. So a cover over the upper part always has a low exposure. Look at the
# weights on clean faces before you conclude that a network looks away.
#
# `robustness` lays the same occluders over all faces, and knows every pixel that they cover.

# %%
KINDS = ["surgical mask", "hat"]
tried = ran_tf.robustness(MODEL, data.test, kinds=KINDS)
print(tried)
for kind in KINDS:
    print(kind, round(tried.numbers["model"]["conditions"][kind]["exposure"], 2))

# %% [markdown]
# This preset was trained like the paper's network, and it has never seen a drawn face. Training told
# the preset `ran_faceres_covered_ferplus` what is covered, so it looks away.
# [A network that looks away](../looks_away.md) has the figures on photographs.
#
# ## What not to read into it
#
# - **A weight is not a cause.** Cover the region and look, as above.
# - **A grey square is not nothing.** Some of the loss may come from the square itself. Try other
#   covers before you believe a map.
# - **Most regions show most of the face.** The six fixed regions are squares of at least three
#   quarters of the side, so a heavy "top left" does not mean "the left eye".
# - **Exposure is not accuracy.** The weights may look away while the answer stays wrong.
# - **A few faces say little.** This page uses about a hundred. Look at the interval beside each
#   accuracy.
# - **An expression is not an emotion.** The network names what raters would see in a picture.
#
# [Where it looks](../guides/attention.md) has the commands and the figures on FERPlus.
