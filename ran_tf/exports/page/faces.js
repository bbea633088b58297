// Faces of a photo: BlazeFace proposes, MediaPipe's mesh decides. The same search as ran_tf's
// detector `blazeface` (faces/blazeface_search.py), whose numbers are in page.json.

import { channels, cut, restore, shrink, similarity } from "./pixels.js";

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const sigmoid = (odds) => 1 / (1 + Math.exp(-Math.min(Math.max(odds, -80), 80)));
const angleOf = ([left, right]) => Math.atan2(right[1] - left[1], right[0] - left[0]);
const area = ({ low, high }) => (high[0] - low[0]) * (high[1] - low[1]);
const largest = ({ low, high }) => Math.max(high[0] - low[0], high[1] - low[1]);
const middle = ({ low, high }) => [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2];

function bounds(points) {
  const of = (pick) => [0, 1].map((axis) => pick(...points.map((point) => point[axis])));
  return { low: of(Math.min), high: of(Math.max) };
}

// Of two boxes {low: [x, y], high}: the area that they share over what they cover together.
function overlap(one, other) {
  const low = one.low.map((at, i) => Math.max(at, other.low[i]));
  const high = one.high.map((at, i) => Math.min(at, other.high[i]));
  const shared = Math.max(high[0] - low[0], 0) * Math.max(high[1] - low[1], 0);
  return shared / Math.max(area(one) + area(other) - shared, 1e-9);
}

function withoutDoubles(faces) {
  const kept = [];
  for (const face of [...faces].sort((a, b) => b.score - a.score)) {
    if (kept.every((other) => overlap(face, other) < 0.5)) kept.push(face);
  }
  return kept;
}

// Where an unclear thing is no face, however it scores.
export function plausibility(face, { template, near, far }) {
  const { landmarks } = face;
  const centre = [0, 1].map((axis) => mean(landmarks.map((point) => point[axis])));
  const distance = (points) =>
    Math.sqrt(mean(landmarks.flatMap((p, i) => p.map((at, axis) => (at - points[i][axis]) ** 2))));
  const spread = distance(landmarks.map(() => centre));
  if (!(spread > 1e-3)) return 0;
  const [a, b, x, c, d, y] = similarity(template, landmarks);
  const expected = template.map(([u, v]) => [a * u + b * v + x, c * u + d * v + y]);
  const off = distance(expected) / spread;
  return face.score * Math.min(Math.max((far - off) / (far - near), 0), 1);
}

export class FaceSearch {
  // `run(name, numbers, shape)` asks one of the two networks: outputs by name.
  constructor(run, settings) {
    this.run = run;
    this.settings = settings;
    this.anchors = settings.grids.flatMap(({ cells, each }) =>
      Array.from({ length: cells * cells * each }, (_, i) => {
        const cell = Math.floor(i / each);
        return [((cell % cells) + 0.5) / cells, (Math.floor(cell / cells) + 0.5) / cells];
      }),
    );
  }

  // All faces of a photo: {low, high, score, landmarks} in its pixels.
  async find(photo) {
    const { settings } = this;
    const [short, long] = [photo.width, photo.height].sort((a, b) => a - b);
    const scale = Math.min(1, settings.max_side / long);
    let image = photo;
    if (scale < 1) {
      const sides = [photo.width, photo.height].map((side) => Math.max(1, Math.round(side * scale)));
      image = shrink(photo, ...sides);
    }
    const least = settings.min_face * short * scale;
    const found = await this.search(image, least);
    if (found.filter((face) => largest(face) < 2 * least).length >= settings.crowd) {
      const finer = await this.search(image, least * settings.finer);
      const known = [...found];
      found.push(...finer.filter((face) => known.every((old) => overlap(face, old) < 0.3)));
    }
    const back = (points) => points.map((point) => point.map((at) => (at + 0.5) / scale - 0.5));
    return found.map((face) => {
      const [low, high] = back([face.low, face.high]).map(([x, y]) => [
        Math.min(Math.max(x, 0), photo.width - 1),
        Math.min(Math.max(y, 0), photo.height - 1),
      ]);
      return { ...face, low, high, landmarks: back(face.landmarks) };
    });
  }

  // First the whole image, then windows of half the size, while faces may be too small to be seen.
  async search(image, least) {
    const { smallest, small, proposal_side: size, min_proposal: minimum } = this.settings;
    let found = [];
    for (let side = Math.max(image.width, image.height); ; side /= 2) {
      const fresh = [];
      for (const centre of this.windows(image, side)) {
        const place = { centre, side };
        for (const proposal of await this.propose(cut(image, place, size), minimum)) {
          const corners = restore(proposal.corners, place, size);
          if (fresh.some((face) => isInside(corners, face))) continue;
          const face = await this.confirm(image, corners, restore(proposal.eyes, place, size));
          if (face) fresh.push(face);
        }
      }
      found = withoutDoubles([...fresh, ...found]);
      if (found.length && Math.min(...found.map(largest)) >= small * smallest * side) break;
      if (!(side * smallest > least && side > size)) break;
    }
    return found;
  }

  windows(image, side) {
    const { overlap: share } = this.settings;
    const along = [image.width, image.height].map((length) => {
      const count = Math.max(1, Math.ceil((length - share * side) / (side - share * side) - 1e-9));
      const edge = Math.min(side, length) / 2;
      const step = count > 1 ? (length - 2 * edge) / (count - 1) : 0;
      return Array.from({ length: count }, (_, i) => edge + i * step - 0.5);
    });
    return along[1].flatMap((y) => along[0].map((x) => [x, y]));
  }

  async propose(view, minimum) {
    const size = view.width;
    const numbers = channels(view, Float32Array, (value) => value / 127.5 - 1);
    const out = await this.run("proposals", numbers, [1, size, size, 3]);
    const found = [];
    this.anchors.forEach((anchor, i) => {
      const score = sigmoid(out.classificators[i]);
      if (score < minimum) return;
      const at = anchor.map((middle) => size * middle - 0.5);
      const pair = (place) => [0, 1].map((axis) => out.regressors[16 * i + 2 * place + axis]);
      const [centre, half] = [pair(0).map((c, axis) => c + at[axis]), pair(1).map((s) => s / 2)];
      const corners = [-1, 1].map((sign) => centre.map((c, axis) => c + sign * half[axis]));
      const eyes = [pair(2), pair(3)].map((eye) => eye.map((e, axis) => e + at[axis]));
      found.push({ score, corners, eyes, low: corners[0], high: corners[1] });
    });
    return this.join(found.sort((a, b) => b.score - a.score));
  }

  // The weighted mean of what overlaps, the best score first.
  join(rest) {
    const joined = [];
    while (rest.length) {
      const same = rest.map((other, i) => i === 0 || overlap(rest[0], other) > this.settings.same);
      const group = rest.filter((_, i) => same[i]);
      const total = group.reduce((sum, one) => sum + one.score, 0);
      const average = (pick) =>
        [0, 1].map((i) =>
          [0, 1].map(
            (axis) => group.reduce((sum, one) => sum + one.score * pick(one)[i][axis], 0) / total,
          ),
        );
      joined.push({ corners: average((one) => one.corners), eyes: average((one) => one.eyes) });
      rest = rest.filter((_, i) => !same[i]);
    }
    return joined;
  }

  async look(image, centre, side, angle) {
    const { mesh_side: size, around, five } = this.settings;
    const place = { centre, side: Math.max(around * side, 4), angle };
    const numbers = channels(cut(image, place, size), Float32Array, (value) => value / 255);
    const out = Object.values(await this.run("mesh", numbers, [1, size, size, 3]));
    const [odds, points] = out.sort((a, b) => a.length - b.length);
    const outline = restore(
      Array.from({ length: points.length / 3 }, (_, i) => [points[3 * i] - 0.5, points[3 * i + 1] - 0.5]),
      place,
      size,
    );
    const landmarks = five.map((some) =>
      [0, 1].map((axis) => mean(some.map((i) => outline[i][axis]))),
    );
    return { odds: odds[0], landmarks, ...bounds(outline) };
  }

  // A proposal, if it is a face: doubtful ones are looked at turned, and once more from closer by.
  async confirm(image, corners, eyes) {
    const { sure, turned, min_score: least } = this.settings;
    const box = { low: corners[0], high: corners[1] };
    const [centre, side, angle] = [middle(box), largest(box), angleOf(eyes)];
    let mesh = await this.look(image, centre, side, angle);
    let { odds } = mesh;
    if (odds < sure) {
      for (const quarters of [1, 2, 3]) {
        const other = await this.look(image, centre, side, angle + (quarters * Math.PI) / 2);
        if (other.odds - turned > odds) [mesh, odds] = [other, other.odds - turned];
      }
      mesh = await this.look(image, middle(mesh), largest(mesh), angleOf(mesh.landmarks));
      odds = Math.min(odds, mesh.odds);
    }
    const { low, high, landmarks } = mesh;
    return sigmoid(odds) < least ? null : { low, high, landmarks, score: sigmoid(odds) };
  }
}

// Whether a proposal is of a face that was found, perhaps in a window that overlaps.
function isInside(corners, face) {
  const box = bounds(corners);
  const near = middle(box).every((at, axis) => face.low[axis] < at && at < face.high[axis]);
  return near && largest(box) > 0.5 * largest(face);
}
