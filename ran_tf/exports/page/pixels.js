// Photos and faces as {data: RGBA bytes, width, height}; an affine map is [a, b, x, c, d, y]. The
// same sums as in ran_tf's faces/views.py, faces/align.py and images/resampling.py.

export const blank = (width, height) => ({
  data: new Uint8ClampedArray(4 * width * height).fill(255),
  width,
  height,
});

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// Rows or columns of an image under the weights of each new one, as [first, weights].
function resize(image, across, down) {
  const width = across.length;
  const rows = new Float32Array(3 * width * image.height);
  for (let y = 0; y < image.height; y++) {
    for (let x = 0; x < width; x++) {
      const { first, weights } = across[x];
      let [r, g, b] = [0, 0, 0];
      let from = 4 * (y * image.width + first);
      for (const weight of weights) {
        r += weight * image.data[from];
        g += weight * image.data[from + 1];
        b += weight * image.data[from + 2];
        from += 4;
      }
      rows.set([r, g, b], 3 * (y * width + x));
    }
  }
  const out = blank(width, down.length);
  for (let y = 0; y < down.length; y++) {
    const { first, weights } = down[y];
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let i = 0; i < weights.length; i++) {
          sum += weights[i] * rows[3 * ((first + i) * width + x) + channel];
        }
        out.data[4 * (y * width + x) + channel] = sum; // clamps and rounds
      }
    }
  }
  return out;
}

function normalised(first, weights) {
  const sum = weights.reduce((a, b) => a + b, 0);
  return { first, weights: weights.map((weight) => weight / sum) };
}

// The mean of what lies under each new pixel: OpenCV's INTER_AREA, to make images smaller.
export function shrink(image, width, height) {
  const overlaps = (source, target) =>
    Array.from({ length: target }, (_, i) => {
      const [low, high] = [(i * source) / target, ((i + 1) * source) / target];
      const first = Math.floor(low + 1e-9);
      const last = Math.min(source, Math.ceil(high - 1e-9));
      const share = (at) => Math.min(high, at + 1) - Math.max(low, at);
      return normalised(first, Array.from({ length: last - first }, (_, j) => share(first + j)));
    });
  return resize(image, overlaps(image.width, width), overlaps(image.height, height));
}

// A triangle filter, antialiased: how faces are resized everywhere in ran_tf.
export function resample(image, width, height) {
  const triangles = (source, target) =>
    Array.from({ length: target }, (_, i) => {
      const scale = source / target;
      const reach = Math.max(scale, 1);
      const centre = (i + 0.5) * scale;
      const first = Math.max(0, Math.floor(centre - reach - 0.5));
      const last = Math.min(source - 1, Math.ceil(centre + reach - 0.5));
      const weight = (at) => Math.max(0, 1 - Math.abs(at + 0.5 - centre) / reach);
      return normalised(first, Array.from({ length: last - first + 1 }, (_, j) => weight(first + j)));
    });
  if (image.width === width && image.height === height) return image;
  return resize(image, triangles(image.width, width), triangles(image.height, height));
}

// A square view by a map from the image to it, bilinear; the border is repeated.
export function warp(image, [a, b, tx, c, d, ty], size) {
  const determinant = a * d - b * c;
  const [e, f, g, h] = [d, -b, -c, a].map((value) => value / determinant);
  const out = blank(size, size);
  const { data, width, height } = image;
  for (let v = 0; v < size; v++) {
    for (let u = 0; u < size; u++) {
      const x = e * (u - tx) + f * (v - ty);
      const y = g * (u - tx) + h * (v - ty);
      const [left, top] = [Math.floor(x), Math.floor(y)];
      const [right, bottom] = [x - left, y - top];
      const x0 = clamp(left, 0, width - 1);
      const x1 = clamp(left + 1, 0, width - 1);
      const y0 = clamp(top, 0, height - 1) * width;
      const y1 = clamp(top + 1, 0, height - 1) * width;
      const to = 4 * (v * size + u);
      for (let channel = 0; channel < 3; channel++) {
        const upper =
          (1 - right) * data[4 * (y0 + x0) + channel] + right * data[4 * (y0 + x1) + channel];
        const lower =
          (1 - right) * data[4 * (y1 + x0) + channel] + right * data[4 * (y1 + x1) + channel];
        out.data[to + channel] = (1 - bottom) * upper + bottom * lower;
      }
    }
  }
  return out;
}

function part(image, left, top, width, height) {
  const out = blank(width, height);
  for (let y = 0; y < height; y++) {
    const from = 4 * ((top + y) * image.width + left);
    out.data.set(image.data.subarray(from, from + 4 * width), 4 * y * width);
  }
  return out;
}

// A square round a centre [x, y], turned clockwise by an angle, resized to `size` pixels.
export function cut(image, { centre, side, angle = 0 }, size) {
  const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
  const reach = (side * (Math.abs(cosine) + Math.abs(sine))) / 2 + 2;
  const sides = [image.width, image.height];
  const low = centre.map((at, i) => clamp(Math.floor(at - reach), 0, sides[i] - 1));
  const high = centre.map((at, i) => clamp(Math.ceil(at + reach) + 1, low[i] + 1, sides[i]));
  const lengths = low.map((at, i) => high[i] - at);
  let seen = part(image, ...low, ...lengths);
  const scale = size / side;
  let factors = [1, 1];
  if (scale < 1) {
    const small = lengths.map((length) => Math.max(1, Math.round(length * scale)));
    factors = small.map((length, i) => length / lengths[i]);
    seen = shrink(seen, ...small);
  }
  const [a, b, c, d] = [cosine, sine, -sine, cosine].map((value) => scale * value);
  const [x, y] = low.map((at, i) => 0.5 / factors[i] - 0.5 + at - centre[i]);
  const middle = (size - 1) / 2;
  const [fx, fy] = factors;
  const map = [a / fx, b / fy, a * x + b * y + middle, c / fx, d / fy, c * x + d * y + middle];
  return warp(seen, map, size);
}

// Points of a view in pixels of the image.
export function restore(points, { centre, side, angle = 0 }, size) {
  const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
  return points.map((point) => {
    const [x, y] = point.map((at) => ((at - (size - 1) / 2) * side) / size);
    return [centre[0] + cosine * x - sine * y, centre[1] + sine * x + cosine * y];
  });
}

const mean = (points, axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length;

// Least squares: rotation, one scale and shift from points to points.
export function similarity(source, target) {
  const [mx, my, mu, mv] = [mean(source, 0), mean(source, 1), mean(target, 0), mean(target, 1)];
  let [spread, a, b] = [0, 0, 0];
  source.forEach(([px, py], i) => {
    const [x, y, u, v] = [px - mx, py - my, target[i][0] - mu, target[i][1] - mv];
    spread += x * x + y * y;
    a += x * u + y * v;
    b += x * v - y * u;
  });
  a /= spread;
  b /= spread;
  return [a, -b, mu - a * mx + b * my, b, a, mv - b * mx - a * my];
}

// An upright square face, `size` pixels wide, framed as the training faces were.
export function align(image, landmarks, size, { template, margin, drop }) {
  const target = template.map(([x, y]) =>
    [x + margin, y + margin - drop].map((at) => (at / (1 + 2 * margin)) * size - 0.5),
  );
  let map = similarity(landmarks, target);
  const scale = Math.hypot(map[0], map[1]);
  // Turned at about the size that it has, and then resized.
  const finer = Math.ceil(clamp(1 / scale, 1, 4));
  map = map.map((value, i) => (i % 3 === 2 ? finer * (value + 0.5) - 0.5 : finer * value));
  if (scale * finer < 1) {
    const sides = [image.width, image.height];
    const small = sides.map((side) => Math.max(1, Math.ceil(side * scale * finer)));
    const [fx, fy] = small.map((side, i) => side / sides[i]);
    image = shrink(image, ...small);
    const [a, b, x, c, d, y] = map;
    const [u, v] = [0.5 - 0.5 * fx, 0.5 - 0.5 * fy];
    map = [a / fx, b / fy, x + (a / fx) * u + (b / fy) * v, c / fx, d / fy, 0];
    map[5] = y + (c / fx) * u + (d / fy) * v;
  }
  return resample(warp(image, map, finer * size), size, size);
}

// A face behind a patch of one grey, {y0, x0, y1, x1} in 0..1; pixels in part are blended.
export function cover(face, box, grey) {
  if (!box) return face;
  const { width, height } = face;
  const shares = (low, high, count) =>
    Array.from({ length: count }, (_, i) =>
      clamp(Math.min(high * count, i + 1) - Math.max(low * count, i), 0, 1),
    );
  const [rows, columns] = [shares(box.y0, box.y1, height), shares(box.x0, box.x1, width)];
  const out = { data: face.data.slice(), width, height };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const share = rows[y] * columns[x];
      for (let channel = 0; channel < 3; channel++) {
        const at = 4 * (y * width + x) + channel;
        out.data[at] = (1 - share) * face.data[at] + share * grey;
      }
    }
  }
  return out;
}

// RGB of an image, as bytes or scaled numbers.
export function channels(image, Kind, scale = (value) => value) {
  const out = new Kind(3 * image.width * image.height);
  for (let from = 0, to = 0; to < out.length; from += 4, to += 3) {
    for (let channel = 0; channel < 3; channel++) {
      out[to + channel] = scale(image.data[from + channel]);
    }
  }
  return out;
}
