// The networks, beside the page so that it stays alive while they compute.

import * as ort from "./onnxruntime.js";
import { GREY } from "./cover.js";
import { FaceSearch, plausibility } from "./faces.js";
import { align, channels, cover } from "./pixels.js";

const here = new URL("./", import.meta.url);
// What a face is shown at, pixels, and the most pixels of a photo.
const SHOWN = 320;
const MOST_PIXELS = 2 ** 26;

let page;
let sessions;
let search;
let faces = [];

async function load() {
  ort.env.wasm.wasmPaths = { wasm: new URL("onnxruntime.wasm", here).href };
  // More threads need headers that not every server sends.
  ort.env.wasm.numThreads = 1;
  page = await (await fetch(new URL("page.json", here))).json();
  const files = { proposals: "proposals.onnx", mesh: "mesh.onnx", expression: "model.onnx" };
  sessions = {};
  for (const [name, file] of Object.entries(files)) {
    const answer = await fetch(new URL(file, here));
    if (!answer.ok) throw new Error(`${file}: status ${answer.status}`);
    sessions[name] = await ort.InferenceSession.create(new Uint8Array(await answer.arrayBuffer()));
    postMessage({ kind: "loaded", share: Object.keys(sessions).length / 3 });
  }
  const ask = (name, numbers, shape) => run(name, "float32", numbers, shape);
  search = new FaceSearch(ask, page.faces);
  return page;
}

async function run(name, type, numbers, shape) {
  const session = sessions[name];
  const out = await session.run({ [session.inputNames[0]]: new ort.Tensor(type, numbers, shape) });
  return Object.fromEntries(session.outputNames.map((key) => [key, out[key].data]));
}

// What the network says of a face {data, width, height}.
async function classify(face) {
  const shape = [1, face.height, face.width, 3];
  const out = await run("expression", "uint8", channels(face, Uint8Array), shape);
  return { probabilities: [...out.probabilities], weights: [...out.weights] };
}

async function findFaces({ bitmap }) {
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS) throw new Error(`more than ${MOST_PIXELS} pixels`);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff"; // what is transparent
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const photo = context.getImageData(0, 0, width, height);
  const found = await search.find(photo);
  const size = (face) => (face.high[0] - face.low[0]) * (face.high[1] - face.low[1]);
  found.sort((a, b) => size(b) - size(a));
  const likely = found.map((face) => plausibility(face, page.faces));
  const best = Math.max(...likely);
  faces = found.map((face) => ({
    crop: align(photo, face.landmarks, page.side, page.faces),
    shown: align(photo, face.landmarks, SHOWN, page.faces),
  }));
  const answers = [];
  for (const [i, { low, high, score }] of found.entries()) {
    const { shown } = faces[i];
    answers.push({
      box: { x0: low[0], y0: low[1], x1: high[0], y1: high[1] },
      score,
      shown: new ImageData(shown.data, shown.width, shown.height),
      ...(await classify(faces[i].crop)),
    });
  }
  // The largest of those that are about as plausible as the best.
  const chosen = likely.findIndex((one) => one >= best - page.faces.choose_margin);
  return { width, height, faces: answers, chosen };
}

const coverFace = ({ face, box }) => classify(cover(faces[face].crop, box, GREY));

const loading = load();
loading.then(
  () => postMessage({ kind: "ready", page }),
  (error) => postMessage({ kind: "failed", error: String(error) }),
);

// One at a time: sessions do not run twice at once.
let last = loading;
self.addEventListener("message", ({ data }) => {
  const answer = data.kind === "photo" ? findFaces : coverFace;
  last = last.catch(() => null).then(() => answer(data));
  last.then(
    (value) => postMessage({ kind: "answer", id: data.id, value }),
    (error) => postMessage({ kind: "answer", id: data.id, error: String(error) }),
  );
});
