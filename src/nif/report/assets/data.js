// The data of the page: `meta` (names and options) and typed arrays, one value for each unit or link.
const meta = JSON.parse(document.getElementById("meta").textContent);

// In which information is shown; all numbers of the page are nats.
const UNIT = meta.unit.name, inUnit = (value) => value / meta.unit.nats;

const TYPES = { f4: Float32Array, f8: Float64Array, i4: Int32Array, u4: Uint32Array, u1: Uint8Array };

// Null if this kind of flow has no such numbers.
function array(name) {
  const stored = document.getElementById("data-" + name);
  if (!stored) return null;
  const type = TYPES[stored.dataset.type], text = stored.textContent.trim();
  if (Uint8Array.fromBase64) return new type(Uint8Array.fromBase64(text).buffer);
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new type(bytes.buffer);
}

const unit = {
  y: array("y"), community: array("community"), silent: array("silent"),
  betweenness: array("betweenness"), throughput: array("throughput"),
  inflow: array("inflow"), outflow: array("outflow"),
  inflowError: array("inflow_stderr"), outflowError: array("outflow_stderr"),
  p: array("p_value"), q: array("q_value"),
  current: array("current"), currentError: array("current_stderr"),
  absolute: array("absolute"), onward: array("onward"),
};
// What a flow of currents has beside its links; null of association.
const currents = meta.currents;
// Links are sorted: the strongest comes first. Currents are signed.
const link = {
  source: array("source"), target: array("target"), nats: array("nats"),
  error: array("stderr"), p: array("link_p_value"),
};
link.size = currents ? link.nats.map(Math.abs) : link.nats;
const attribution = { value: array("attribution"), error: array("attribution_stderr") };

const layers = meta.layers, units = unit.y.length, linkCount = link.nats.length;
const layerOf = new Uint16Array(units);
let offset = 0;
for (const [index, layer] of layers.entries()) {
  layer.first = offset;
  layerOf.fill(index, offset, offset + layer.size);
  offset += layer.size;
}
const classes = layers[layers.length - 1];
const features = meta.features.flatMap((index) =>
  Array.from({ length: layers[index].size }, (_, i) => layers[index].first + i));
const featureRow = new Map(features.map((u, row) => [u, row]));

function nameOf(u) {
  const layer = layers[layerOf[u]], i = u - layer.first;
  return layer.units ? layer.units[i] : layer.name + "[" + i + "]";
}
// Columns of the attribution, beside that of all classes together.
const labels = currents ? currents.classes : Array.from({ length: classes.size }, (_, c) => nameOf(classes.first + c));

// Links in and out of each unit, as positions in `link`, strongest first.
function adjacency(ends) {
  const start = new Uint32Array(units + 1), list = new Uint32Array(linkCount);
  for (let e = 0; e < linkCount; e++) start[ends[e] + 1]++;
  for (let u = 0; u < units; u++) start[u + 1] += start[u];
  const next = start.slice();
  for (let e = 0; e < linkCount; e++) list[next[ends[e]]++] = e;
  return (u) => list.subarray(start[u], start[u + 1]);
}
const linksIn = adjacency(link.target), linksOut = adjacency(link.source);

// Sum over the classes chosen (all for -1) of the products of all paths from each unit on; eq. 4, backward.
function toClass(chosen) {
  const sums = new Float64Array(units);
  for (let u = units - 1; u >= 0; u--) {
    if (u >= classes.first) { sums[u] = chosen < 0 || u - classes.first === chosen ? 1 : 0; continue; }
    let sum = 0;
    for (const e of linksOut(u)) sum += link.nats[e] * sums[link.target[e]];
    sums[u] = sum;
  }
  return sums;
}
// The same from all features up to each unit.
function fromFeatures() {
  const sums = new Float64Array(units);
  for (let u = 0; u < units; u++) {
    let sum = featureRow.has(u) ? 1 : 0;
    for (const e of linksIn(u)) sum += link.nats[e] * sums[link.source[e]];
    sums[u] = sum;
  }
  return sums;
}

// What a link multiplies a path by that leads to unit u or begins there: its nats, or the share of the current out of
// its source that it carries on; of the first link the current itself.
function onward(e, u) {
  const source = link.source[e];
  return currents && source !== u ? link.nats[e] * unit.onward[source] : link.nats[e];
}

// The k strongest paths that end (or begin) at a unit: the best k into a unit extend those before it.
function strongestPaths(u, inward, k) {
  const best = new Map();
  const visit = (v) => {
    if (best.has(v)) return best.get(v);
    const stops = inward ? featureRow.has(v) : v >= classes.first && (state.chosen < 0 || v - classes.first === state.chosen);
    const paths = stops ? [{ product: 1, unit: v, next: null }] : [];
    for (const e of inward ? linksIn(v) : linksOut(v)) {
      const other = inward ? link.source[e] : link.target[e];
      for (const path of visit(other)) paths.push({ product: path.product * onward(e, u), unit: v, next: path });
    }
    paths.sort((a, b) => Math.abs(b.product) - Math.abs(a.product));
    best.set(v, paths.slice(0, k));
    return best.get(v);
  };
  return visit(u).filter((path) => path.next && path.product !== 0).map((path) => {
    const places = [];
    for (let step = path; step; step = step.next) places.push(step.unit);
    return { product: path.product, units: inward ? places.reverse() : places };
  });
}
