// What is on the page; the networks run in worker.js. Text is never read as HTML: labels may be a
// stranger's.

import { attachCover, GREY } from "./cover.js";

const element = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
// Outlines of the regions that count most and least: the colours of `ran_tf.annotate_face`.
const [MOST, LEAST] = ["most", "least"];

// From a blob, because such a worker is under this page's Content-Security-Policy; one that was
// loaded from a file would be under that of its own response, which most servers send without any.
const source = `import ${JSON.stringify(new URL("worker.js", import.meta.url).href)};`;
const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })), {
  type: "module",
});
const waiting = new Map();
let asked = 0;

function ask(message, transfer = []) {
  asked += 1;
  worker.postMessage({ ...message, id: asked }, transfer);
  return new Promise((resolve, reject) => waiting.set(asked, { resolve, reject }));
}

worker.addEventListener("message", ({ data }) => {
  if (data.kind === "loaded") element("progress").value = data.share;
  if (data.kind === "failed") say(`The networks cannot be loaded: ${data.error}`);
  if (data.kind === "ready") start(data.page);
  if (data.kind !== "answer") return;
  const { resolve, reject } = waiting.get(data.id);
  waiting.delete(data.id);
  if ("error" in data) reject(new Error(data.error));
  else resolve(data.value);
});
worker.addEventListener("error", (event) => say(`The networks cannot be loaded: ${event.message}`));

let page;
let photo = null; // the worker's answer
let chosen = 0;
let cover = null;
let camera = null;
let watching = Promise.resolve();

function say(text) {
  element("message").textContent = text;
  element("message").hidden = !text;
}

function make(kind, properties = {}, children = []) {
  const made = Object.assign(document.createElement(kind), properties);
  made.append(...children);
  return made;
}

function start(settings) {
  page = settings;
  element("bars").replaceChildren(
    ...page.labels.map((label) =>
      make("li", { className: "bar" }, [
        make("span", { className: "name", textContent: label }),
        make("span", { className: "track" }, [make("i"), make("b")]),
        make("span", { className: "number" }),
      ]),
    ),
  );
  element("tiles").replaceChildren(
    ...page.regions.map(({ name }, i) => {
      const tile = make("li", { className: "tile", tabIndex: 0 }, [
        make("canvas", { width: 96, height: 96 }),
        make("span", { className: "weight" }),
        make("span", { className: "name", textContent: name }),
      ]);
      const light = (on) => element("regions").children[i].classList.toggle("lit", on);
      for (const event of ["pointerenter", "focus"]) tile.addEventListener(event, () => light(true));
      for (const event of ["pointerleave", "blur"]) tile.addEventListener(event, () => light(false));
      return tile;
    }),
  );
  element("regions").replaceChildren(
    ...page.regions.map(({ box: [y0, x0, y1, x1] }) => {
      const outline = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      const sides = { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
      for (const [name, value] of Object.entries(sides)) outline.setAttribute(name, value);
      return outline;
    }),
  );
  element("small").textContent = page.note;
  for (const id of ["file", "camera"]) element(id).disabled = false;
  document.body.dataset.state = "ready";
  say("");
}

// The photo, its faces and what is said of the chosen one.
async function look(bitmap) {
  const canvas = element("photo");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  show(await ask({ kind: "photo", bitmap }, [bitmap]));
}

function show(answer) {
  photo = answer;
  element("frame").hidden = false;
  element("invitation").hidden = true;
  const { faces, width, height } = photo;
  const boxes = faces.map(({ box }, i) => {
    const button = make("button", { type: "button", className: "box" });
    button.setAttribute("aria-label", `Face ${i + 1} of ${faces.length}`);
    button.style.left = `${(100 * box.x0) / width}%`;
    button.style.top = `${(100 * box.y0) / height}%`;
    button.style.width = `${(100 * (box.x1 - box.x0)) / width}%`;
    button.style.height = `${(100 * (box.y1 - box.y0)) / height}%`;
    button.dataset.box = JSON.stringify([box.y0, box.x0, box.y1, box.x1]);
    button.addEventListener("click", () => choose(i));
    return button;
  });
  element("boxes").replaceChildren(...boxes);
  for (const id of ["face", "answer", "weights"]) element(id).hidden = !faces.length;
  if (!faces.length) {
    say("No face was found in this picture.");
    return;
  }
  say(faces.length > 1 ? `${faces.length} faces were found. Choose one in the photo.` : "");
  choose(photo.chosen);
}

function choose(i) {
  chosen = i;
  cover = null;
  clearCover();
  [...element("boxes").children].forEach((box, at) =>
    box.setAttribute("aria-pressed", String(at === i)),
  );
  const { shown } = photo.faces[i];
  const canvas = element("shown");
  [canvas.width, canvas.height] = [shown.width, shown.height];
  canvas.getContext("2d").putImageData(shown, 0, 0);
  tell(photo.faces[i]);
}

function tell({ probabilities, weights }) {
  const clear = photo.faces[chosen];
  const best = probabilities.indexOf(Math.max(...probabilities));
  const verdict = element("verdict");
  verdict.querySelector("strong").textContent = page.labels[best];
  verdict.querySelector("span").textContent = percent(probabilities[best]);
  const first = clear.probabilities.indexOf(Math.max(...clear.probabilities));
  const area = cover && (cover.y1 - cover.y0) * (cover.x1 - cover.x0);
  const before = cover
    ? `You cover ${(100 * area).toFixed(0)} % of the face. ` +
      `Uncovered: ${page.labels[first]}, ${percent(clear.probabilities[first])}.`
    : "";
  element("before").textContent = seen(weights) + before;
  probabilities.forEach((share, i) => {
    const row = element("bars").children[i];
    row.classList.toggle("top", i === best);
    row.dataset.value = share;
    row.querySelector("i").style.width = `${100 * share}%`;
    const mark = row.querySelector("b");
    mark.hidden = !cover || clear.probabilities[i] < 0.005;
    mark.style.left = `${100 * clear.probabilities[i]}%`;
    row.querySelector(".number").textContent = percent(share);
  });
  drawWeights(weights);
}

// What the network itself tells of covers, see ran_tf/weights/covered_readout.py.
function seen(weights) {
  if (!page.covered) return "";
  const { bias, slopes, least } = page.covered;
  const share = weights.reduce((sum, w, i) => sum + slopes[i] * Math.log(Math.max(w, least)), bias);
  const shown = (100 * Math.min(Math.max(share, 0), 1)).toFixed(0);
  return `The weights suggest that ${shown} % of the face is covered. `;
}

function drawWeights(weights) {
  const [high, low] = [Math.max(...weights), Math.min(...weights)];
  element("weights").hidden = weights.length < 2;
  weights.forEach((weight, i) => {
    const marks = { [MOST]: high > low && weight === high, [LEAST]: high > low && weight === low };
    const [outline, tile] = [element("regions").children[i], element("tiles").children[i]];
    for (const [name, on] of Object.entries(marks)) {
      outline.classList.toggle(name, on);
      tile.classList.toggle(name, on);
    }
    outline.style.strokeWidth = `${1 + (4 * weight) / high}px`;
    outline.style.opacity = 0.25 + (0.7 * weight) / high;
    tile.dataset.value = weight;
    tile.querySelector(".weight").textContent = percent(weight);
    const [y0, x0, y1, x1] = page.regions[i].box;
    const canvas = tile.querySelector("canvas");
    const context = canvas.getContext("2d");
    const { width, height } = element("shown");
    const seen = [x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height];
    context.drawImage(element("shown"), ...seen, 0, 0, canvas.width, canvas.height);
    if (!cover) return;
    context.fillStyle = `rgb(${GREY}, ${GREY}, ${GREY})`;
    const [across, down] = [canvas.width / (x1 - x0), canvas.height / (y1 - y0)];
    const [left, top] = [(cover.x0 - x0) * across, (cover.y0 - y0) * down];
    context.fillRect(left, top, (cover.x1 - cover.x0) * across, (cover.y1 - cover.y0) * down);
  });
}

// One question at a time, the next with the newest patch.
let busy = false;
let again = false;
async function changed() {
  again = busy;
  if (busy) return;
  busy = true;
  const of = photo;
  const face = chosen;
  try {
    const answer = cover ? await ask({ kind: "cover", face, box: cover }) : photo.faces[face];
    if (of === photo && face === chosen) tell(answer);
  } catch (error) {
    say(error.message);
  }
  busy = false;
  if (again) changed();
}

const clearCover = attachCover({
  stage: element("stage"),
  patch: element("patch"),
  handle: element("handle"),
  buttons: [...element("places").querySelectorAll("button")],
  onChange(box) {
    cover = box;
    changed();
  },
});

async function open(file) {
  await stopCamera();
  say("Looking for faces …");
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    say("This browser cannot read that file as an image.");
    return;
  }
  try {
    await look(bitmap);
  } catch (error) {
    say(error.message);
  }
}

element("file").addEventListener("change", ({ target }) => {
  if (target.files.length) open(target.files[0]);
  target.value = "";
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (page && event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => {
  if (page && event.clipboardData.files.length) open(event.clipboardData.files[0]);
});

// Frame after frame, each when the one before it is answered; the button keeps the last one.
async function watch() {
  const video = element("video");
  while (camera) {
    const frame = await createImageBitmap(video);
    if (!camera) break;
    await look(frame);
    await new Promise(requestAnimationFrame);
  }
}

// The picture that is being looked at is kept.
async function stopCamera() {
  camera?.getTracks().forEach((track) => track.stop());
  camera = null;
  await watching;
  element("camera").textContent = "Use the camera";
}

element("camera").addEventListener("click", async () => {
  if (camera) {
    await stopCamera();
    return;
  }
  if (!navigator.mediaDevices) {
    say("Browsers allow the camera only on pages of https: and localhost.");
    return;
  }
  try {
    camera = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
  } catch (error) {
    say(`The camera cannot be used: ${error.message}`);
    return;
  }
  const video = element("video");
  video.srcObject = camera;
  await video.play();
  element("camera").textContent = "Keep this picture";
  watching = watch().catch((error) => say(error.message));
});
