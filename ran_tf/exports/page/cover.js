// A patch over a picture: placed by a tap or click, dragged, pulled by its corner, moved by keys.

// Dark, and not black: neither hair nor a shadow; page.css has it, too.
export const GREY = 58;
const SMALLEST = 0.06;
const STEP = 0.02;
const HALF = 0.16;
const PLACES = {
  eyes: { y0: 0.26, x0: 0.06, y1: 0.5, x1: 0.94 },
  mouth: { y0: 0.64, x0: 0.2, y1: 0.92, x1: 0.8 },
  left: { y0: 0, x0: 0, y1: 1, x1: 0.5 },
  right: { y0: 0, x0: 0.5, y1: 1, x1: 1 },
};

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// Calls onChange with null or {y0, x0, y1, x1} in 0..1 of the stage. Returns a function that takes
// the patch away without a call.
export function attachCover({ stage, patch, handle, buttons, onChange }) {
  let box = null;
  let drag = null;

  function draw() {
    patch.hidden = !box;
    if (box) {
      patch.style.left = `${100 * box.x0}%`;
      patch.style.top = `${100 * box.y0}%`;
      patch.style.width = `${100 * (box.x1 - box.x0)}%`;
      patch.style.height = `${100 * (box.y1 - box.y0)}%`;
    }
    for (const button of buttons) {
      const place = PLACES[button.dataset.place];
      const same = box && place && Object.keys(place).every((side) => place[side] === box[side]);
      button.setAttribute("aria-pressed", String(Boolean(same)));
      if (!place) button.disabled = !box;
    }
  }

  function set(next) {
    box = next;
    draw();
    onChange(box);
  }

  function moveTo(y0, x0) {
    const [height, width] = [box.y1 - box.y0, box.x1 - box.x0];
    y0 = clamp(y0, 0, 1 - height);
    x0 = clamp(x0, 0, 1 - width);
    set({ y0, x0, y1: Math.min(1, y0 + height), x1: Math.min(1, x0 + width) });
  }

  function resizeTo(y1, x1) {
    set({
      ...box,
      y1: clamp(y1, Math.min(1, box.y0 + SMALLEST), 1),
      x1: clamp(x1, Math.min(1, box.x0 + SMALLEST), 1),
    });
  }

  function placeAt(point) {
    const [y, x] = [point.y, point.x].map((at) => clamp(at, HALF, 1 - HALF));
    set({ y0: y - HALF, x0: x - HALF, y1: y + HALF, x1: x + HALF });
  }

  function pointOf(event) {
    const frame = stage.getBoundingClientRect();
    return {
      y: (event.clientY - frame.top) / frame.height,
      x: (event.clientX - frame.left) / frame.width,
    };
  }

  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const point = pointOf(event);
    const inside = patch.contains(event.target);
    // A finger beside the patch may be scrolling the page: there only a tap places it.
    if (!inside && event.pointerType === "touch") return;
    event.preventDefault();
    if (!inside) placeAt(point);
    const resize = event.target === handle;
    const [y, x] = resize ? [box.y1, box.x1] : [box.y0, box.x0];
    drag = { resize, y: point.y - y, x: point.x - x };
    patch.focus({ preventScroll: true });
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
    if (event.pointerType === "touch" && !patch.contains(event.target)) placeAt(pointOf(event));
  });

  patch.addEventListener("keydown", (event) => {
    const arrows = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (event.key in arrows) {
      const [y, x] = arrows[event.key].map((sign) => sign * STEP);
      if (event.shiftKey) resizeTo(box.y1 + y, box.x1 + x);
      else moveTo(box.y0 + y, box.x0 + x);
    } else if (["Delete", "Backspace", "Escape"].includes(event.key)) {
      set(null);
    } else {
      return;
    }
    event.preventDefault();
  });

  for (const button of buttons) {
    button.addEventListener("click", () => set(PLACES[button.dataset.place] ?? null));
  }

  return () => {
    [box, drag] = [null, null];
    draw();
  };
}
