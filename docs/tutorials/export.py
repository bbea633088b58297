# %% [markdown]
# # Tutorial: a network on a server and on a phone
#
# You export a packaged network, check it, ask a server for the faces of a photo, and run the file
# for a phone. A network of your own works in the same way: give its work directory or preset. The
# tutorial takes a few minutes on two cores and needs `pip install ".[serve,export]" scikit-image`.
# This page is a notebook kept as text (`docs/tutorials/export.py`).

# %%
import json
import subprocess
import sys
import urllib.request

import numpy as np
import skimage.data
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

import ran_tf

MODEL = "ran_faceres_shared_ferplus"
Image.fromarray(skimage.data.astronaut()).save("photo.png")
predictor = ran_tf.Predictor(MODEL)
(found,) = predictor.faces(["photo.png"])[0]
print(found.prediction.label, f"{found.prediction.probability:.1%}")

# %% [markdown]
# ## A server
#
# An export is a TensorFlow SavedModel that needs neither Keras nor this package. Each call writes a
# new version and overwrites none. Before the export appears, another process without Keras loads it
# and compares its answers with those of the network. `check_export` does the same at any time. Here
# it is called by itself, so `check=False` turns the first check off.

# %%
written = ran_tf.export(MODEL, "server", check=False)
checked = ran_tf.check_export("server", model=MODEL)
print(written.path, "largest difference", checked.difference)

# %% [markdown]
# TensorFlow Serving can serve the folder `server` as it is, and answers for face crops. The server
# of this package also takes whole photos. It runs until it is told to stop. Port 0 means any free
# port.

# %%
command = [sys.executable, "-m", "ran_tf.launch.serve", "--model_dir=server"]
with subprocess.Popen(
    [*command, "--rest_port=0", "--grpc_port=-1"], stdout=subprocess.PIPE, text=True
) as server:
    try:
        address = next(line.split()[1] for line in server.stdout if line.startswith("photos:"))
        with open("photo.png", "rb") as photo:
            request = urllib.request.Request(address, data=photo.read())
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
    finally:
        server.terminate()
(served,) = answer["photos"][0]["faces"]
print(served["label"], f"{served['probability']:.1%}", served["heaviest_region"])
assert served["label"] == found.prediction.label

# %% [markdown]
# ## A phone
#
# A `.tflite` file runs in LiteRT on Android, iOS and small boards. It contains labels, card and
# boxes. `format="onnx"` writes a file for ONNX Runtime in the same way.

# %%
written = ran_tf.export(MODEL, "phone", format="tflite")
print(written.path, "largest difference", written.difference)

# %% [markdown]
# Here we use the signature `regions`, for which **your app prepares the face itself**:
#
# 1. It finds the face and cuts it like the training faces. Below, `found.image` is this crop.
# 2. It converts the face to grey if the card says so.
# 3. It resizes the face to the card's `image_size`, and then to the side that the network takes. A
#    network with a shared trunk takes the whole face and cuts the regions itself.
#
# The signature `images` does steps 2 and 3 in the file.

# %%
card = json.loads((written.path / "assets" / "card.json").read_text())
runner = Interpreter(str(written.path / "model.tflite")).get_signature_runner("regions")
((name, takes),) = runner.get_input_details().items()
side = int(takes["shape"][-2])
print(card["colour"], card["image_size"], "network takes", side, "pixels")

small = Image.fromarray(found.image).convert("L" if card["colour"] == "grey" else "RGB")
small = small.resize(card["image_size"][::-1], Image.Resampling.BILINEAR).convert("RGB")
pixels = np.float32(small.resize((side, side), Image.Resampling.BILINEAR))
out = runner(**{name: pixels[None, None]})
labels = (written.path / "assets" / "labels.txt").read_text().split()
print(labels[out["label"][0]], f"{out['probabilities'][0].max():.1%}")
assert labels[out["label"][0]] == found.prediction.label

# %% [markdown]
# Compare this number with the first one before you ship. If they differ by more than a few tenths
# of a per cent, your app cuts, greys or resizes faces differently from training.
#
# ## A browser
#
# `--format=web` writes a page that runs the network in your visitors' browsers, so that no photo
# leaves their devices ([Engines and formats](../guides/engines.md#in-a-browser)).
#
# [Export and serve](../guides/serve.md) has the protocols, batches, limits and probes of the
# server, and says where exports were run and where they were not. The LiteRT file was not measured
# on a phone.
