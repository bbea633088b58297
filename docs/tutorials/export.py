# %% [markdown]
# # Tutorial: a network on a server and on a phone
#
# You export a packaged network, check it, ask a server for the faces of a photo, and run the file
# that a phone runs. Your own network goes the same way: give its work directory or preset. It takes
# a few minutes on two cores and needs `pip install ".[serve,export]" scikit-image`.
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
# new version; none is written over. Unless you say `check=False`, another process without Keras
# loads it before it appears, and compares its answers with the network's. `check_export` does the
# same at any time, so here it does it alone.

# %%
written = ran_tf.export(MODEL, "server", check=False)
checked = ran_tf.check_export("server", model=MODEL)
print(written.path, "largest difference", checked.difference)

# %% [markdown]
# TensorFlow Serving takes the folder `server` as it is. It answers for faces that are cut already.
# The server of this package takes whole photos, too. It runs until it is told to stop; port 0 is
# any that is free.

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
# A `.tflite` file runs in LiteRT on Android, iOS and small boards. It holds labels, card and boxes.
# `format="onnx"` writes a file for ONNX Runtime in the same way.

# %%
written = ran_tf.export(MODEL, "phone", format="tflite")
print(written.path, "largest difference", written.difference)

# %% [markdown]
# A phone's file has the signature `regions` alone: **your app finds the face and cuts it** as the
# training faces were cut. It makes the face grey if the card says so, brings it to the card's
# `image_size`, and then to the side that the network takes. A network with a shared trunk takes the
# whole face and cuts the regions itself. Here `found.image` is what your app has cut.

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
# of a per cent, your app cuts, greys or resizes otherwise than training did.
#
# ## A browser
#
# `--format=web` writes a page that runs the network in your visitors' browsers, so that no photo
# leaves their devices: see [Engines and formats](../guides/engines.md).
#
# [Export and serve](../guides/serve.md) has the protocols, batches, limits and probes of the
# server, and says where exports were run and where not. What LiteRT's file does on a phone itself
# was not measured here.
