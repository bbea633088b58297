// The face with its occluder: drag it, pull its corner, or use the keys. Sends {id, box} to Python,
// where `box` is null or {y0, x0, y1, x1} in 0..1 of the face.
const stage = element.querySelector(".ran-stage");
const picture = stage.querySelector("img");
const occluder = stage.querySelector(".ran-occluder");
const handle = stage.querySelector(".ran-handle");
const SMALLEST = 0.06;
const STEP = 0.02;
const LONGEST_WAIT = 400;
const PLACES = {
  eyes: { y0: 0.26, x0: 0.06, y1: 0.5, x1: 0.94 },
  mouth: { y0: 0.64, x0: 0.2, y1: 0.92, x1: 0.8 },
  left: { y0: 0, x0: 0, y1: 1, x1: 0.5 },
  right: { y0: 0, x0: 0.5, y1: 1, x1: 1 },
};
let id = null;
let box = null;
let drag = null;
let waiting = null;
let unsent = false;

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function draw() {
  occluder.hidden = !box;
  if (box) {
    occluder.style.left = `${100 * box.x0}%`;
    occluder.style.top = `${100 * box.y0}%`;
    occluder.style.width = `${100 * (box.x1 - box.x0)}%`;
    occluder.style.height = `${100 * (box.y1 - box.y0)}%`;
  }
  for (const button of element.querySelectorAll("[data-place]")) {
    const place = PLACES[button.dataset.place];
    const same = box && place && Object.keys(place).every((side) => place[side] === box[side]);
    button.setAttribute("aria-pressed", String(Boolean(same)));
    if (!place) button.disabled = !box;
  }
}

function cover(next) {
  box = next;
  draw();
  send();
}

// One message at a time: the next goes out, with the newest box, when the regions have changed, or
// after a while where a message changes nothing.
function send() {
  unsent = Boolean(waiting);
  if (waiting) return;
  const answer = new MutationObserver(() => finish());
  const finish = () => {
    clearTimeout(waiting);
    answer.disconnect();
    waiting = null;
    if (unsent) send();
  };
  waiting = setTimeout(finish, LONGEST_WAIT);
  const regions = document.querySelector("#ran-regions");
  if (regions) answer.observe(regions, { childList: true, characterData: true, subtree: true });
  trigger("occlude", { id, box });
}

function moveTo(y0, x0) {
  const height = box.y1 - box.y0;
  const width = box.x1 - box.x0;
  y0 = clamp(y0, 0, 1 - height);
  x0 = clamp(x0, 0, 1 - width);
  cover({ y0, x0, y1: Math.min(1, y0 + height), x1: Math.min(1, x0 + width) });
}

function resizeTo(y1, x1) {
  cover({
    ...box,
    y1: clamp(y1, Math.min(1, box.y0 + SMALLEST), 1),
    x1: clamp(x1, Math.min(1, box.x0 + SMALLEST), 1),
  });
}

function placeAt(point) {
  const half = 0.16;
  const y = clamp(point.y, half, 1 - half);
  const x = clamp(point.x, half, 1 - half);
  cover({ y0: y - half, x0: x - half, y1: y + half, x1: x + half });
}

function pointOf(event) {
  const frame = stage.getBoundingClientRect();
  return { y: (event.clientY - frame.top) / frame.height, x: (event.clientX - frame.left) / frame.width };
}

stage.addEventListener("pointerdown", (event) => {
  if (event.button || id === null) return;
  const point = pointOf(event);
  const inside = occluder.contains(event.target);
  // A finger beside the occluder may be scrolling the page: there only a tap places it.
  if (!inside && event.pointerType === "touch") return;
  event.preventDefault();
  if (!inside) placeAt(point);
  drag = { resize: event.target === handle, y: point.y - box.y0, x: point.x - box.x0 };
  if (drag.resize) drag = { resize: true, y: point.y - box.y1, x: point.x - box.x1 };
  occluder.focus({ preventScroll: true });
  stage.setPointerCapture(event.pointerId);
});

stage.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const point = pointOf(event);
  (drag.resize ? resizeTo : moveTo)(point.y - drag.y, point.x - drag.x);
});

for (const end of ["pointerup", "pointercancel"]) {
  stage.addEventListener(end, () => {
    drag = null;
  });
}

stage.addEventListener("click", (event) => {
  if (event.pointerType === "touch" && id !== null && !occluder.contains(event.target)) {
    placeAt(pointOf(event));
  }
});

occluder.addEventListener("keydown", (event) => {
  const arrows = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  if (event.key in arrows) {
    const [y, x] = arrows[event.key].map((sign) => sign * STEP);
    if (event.shiftKey) resizeTo(box.y1 + y, box.x1 + x);
    else moveTo(box.y0 + y, box.x0 + x);
  } else if (["Delete", "Backspace", "Escape"].includes(event.key)) {
    cover(null);
  } else {
    return;
  }
  event.preventDefault();
});

element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-place]");
  if (button && id !== null) cover(PLACES[button.dataset.place] ?? null);
});

function show() {
  const face = props.value;
  if (!face || face.id === id) return;
  id = face.id;
  box = null;
  picture.src = face.src;
  draw();
}

watch("value", show);
show();
