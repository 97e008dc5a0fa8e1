// Everything beside the picture: the pinned neuron, attribution, link map, layers, method.
function pin(u) {
  state.pinned = u;
  state.path = u < 0 ? [] : [...strongestPaths(u, true, 3), ...strongestPaths(u, false, 3)];
  detail();
  highlight();
}
function goTo(u) {
  return element("button", { type: "button", class: "link name", text: clipped(nameOf(u)), onclick: () => pin(u) });
}
function linkRows(list, other) {
  return element("ul", { class: "rows" }, ...Array.from(list.slice(0, 8), (e) => element("li", {}, goTo(other[e]),
    element("span", { class: "value", text: `${nats(link.nats[e])} ± ${nats(1.96 * link.error[e])}, p ${chance(link.p[e])}` }))));
}
function pathRows(paths) {
  return element("ul", { class: "rows paths" }, ...paths.map((path) => element("li", {},
    element("span", { class: "name", text: path.units.map((u) => clipped(nameOf(u), 24)).join(" → ") }),
    element("span", { class: "value", text: nats(path.product) }))));
}
function facts(rows) {
  return element("dl", {}, ...rows.flatMap(([term, text]) => [element("dt", { text: term }), element("dd", { text })]));
}
function detail() {
  const u = state.pinned, panel = byId("detail");
  if (u < 0) {
    panel.replaceChildren(element("p", { class: "note", text: "Colour is community, size as chosen above, width of a link its nats. Hollow neurons are silent: the data show no information through them. Click a neuron to pin it here." }));
    return;
  }
  const colour = colourOf(unit.community[u]);
  const swatch = element("span", { class: "swatch", style: { borderColor: colour, background: unit.silent[u] ? "transparent" : colour } });
  const parts = [element("h2", {}, swatch, element("span", { class: "name", text: clipped(nameOf(u), 200) })), facts([
    ["layer", clipped(layers[layerOf[u]].name)], ["silent", unit.silent[u] ? "yes" : "no"],
    ["nats in", nats(unit.inflow[u])], ["nats out", nats(unit.outflow[u])],
    ["throughput", share(unit.throughput[u])], ["betweenness", big(unit.betweenness[u])],
    ["community", communityText(unit.community[u])], ["p", chance(unit.p[u])], ["q", chance(unit.q[u])]])];
  const into = linksIn(u), out = linksOut(u);
  if (into.length) parts.push(element("h3", { text: `Strongest links in (of ${count(into.length)})` }), linkRows(into, link.source));
  if (out.length) parts.push(element("h3", { text: `Strongest links out (of ${count(out.length)})` }), linkRows(out, link.target));
  for (const [inward, title] of [[true, "Strongest paths in"], [false, "Strongest paths out"]]) {
    const paths = strongestPaths(u, inward, 3);
    if (paths.length) parts.push(element("h3", { text: title + ", product of nats" }), pathRows(paths));
  }
  parts.push(element("p", {}, element("button", { type: "button", text: "Unpin", onclick: () => pin(-1) })));
  panel.replaceChildren(...parts);
}

// Attribution of every feature to the chosen class, or summed over all.
function attributionRows() {
  const columns = classes.size + 1, column = state.chosen < 0 ? classes.size : state.chosen;
  return features.map((u, row) => ({
    u, row, value: attribution.value[row * columns + column], error: attribution.error[row * columns + column],
  }));
}
function classSelect(id) {
  const select = element("select", id ? { id } : {}, element("option", { value: "-1", text: "all classes" }),
    ...Array.from({ length: classes.size }, (_, c) => element("option", { value: String(c), text: clipped(nameOf(classes.first + c), 40) })));
  select.value = String(state.chosen);
  select.addEventListener("change", () => choose(Number(select.value)));
  return select;
}
const MOST_BARS = 100;
function attributionView() {
  const rows = attributionRows(), sorted = [...rows].sort((a, b) => b.value - a.value);
  const top = sorted.reduce((most, { value, error }) => Math.max(most, value + 1.96 * error), 0) || 1;
  const bars = element("div", { class: "bars" });
  for (const { u, value, error } of sorted.slice(0, MOST_BARS)) {
    const low = Math.max(0, value - 1.96 * error), high = value + 1.96 * error;
    bars.append(element("span", { class: "name", text: clipped(nameOf(u)) }),
      element("span", { class: "track" }, element("span", { class: "bar", style: { width: 100 * value / top + "%" } }),
        element("span", { class: "whisker", style: { left: 100 * low / top + "%", width: 100 * (high - low) / top + "%" } })),
      element("span", { class: "value", text: `${value.toPrecision(3)} (${low.toPrecision(2)} to ${high.toPrecision(2)})` }));
  }
  const parts = [element("div", { class: "tools" }, element("label", { text: "Information to " }, classSelect())),
    element("p", { class: "note", text: "Sum over all paths from the feature to the class of the product of the nats of their links, with a 95 % interval from the errors of the links (taken as independent)." }), bars];
  if (sorted.length > MOST_BARS) parts.push(element("p", { class: "note", text: `The ${MOST_BARS} largest of ${count(sorted.length)} features.` }));
  if (meta.image) parts.splice(2, 0, imageOf(rows));
  byId("attribution").replaceChildren(...parts);
}
// Inputs that are pixels, as a picture.
function imageOf(rows) {
  const [height, width] = meta.image.shape, cell = Math.max(4, Math.floor(320 / Math.max(height, width)));
  const canvas = element("canvas", { id: "image", width: width * cell, height: height * cell, role: "img", "aria-label": "Attribution of each pixel; the darker or brighter, the more" });
  const context = canvas.getContext("2d"), sums = new Float64Array(height * width);
  for (const { row, value } of rows) sums[meta.image.place[row]] += value;
  const top = sums.reduce((a, b) => Math.max(a, b), 0) || 1;
  sums.forEach((value, i) => { context.fillStyle = heat(value / top); context.fillRect((i % width) * cell, Math.floor(i / width) * cell, cell, cell); });
  return element("p", {}, canvas);
}
// One hue from paper to full strength, readable with any colour vision.
function heat(part) {
  const from = dark() ? [30, 33, 39] : [240, 243, 246], to = dark() ? [255, 214, 120] : [0, 60, 110];
  const mixed = from.map((low, i) => Math.round(low + (to[i] - low) * Math.sqrt(Math.max(0, part))));
  return `rgb(${mixed.join(",")})`;
}

// Links between two layers as a table of colours, units ordered by community.
let mapped = 0;
function mapView() {
  const pairs = meta.pairs, select = element("select", { "aria-label": "Layers" }, ...pairs.map(([a, b], i) =>
    element("option", { value: String(i), text: clipped(`${layers[a].name} → ${layers[b].name}`, 60) })));
  select.value = String(mapped);
  select.addEventListener("change", () => { mapped = Number(select.value); mapView(); });
  const [a, b] = pairs[mapped], byCommunity = (layer) => Array.from({ length: layer.size }, (_, i) => layer.first + i)
    .sort((u, v) => (unit.community[u] < 0) - (unit.community[v] < 0) || unit.community[u] - unit.community[v] || u - v);
  const down = byCommunity(layers[a]), across = byCommunity(layers[b]);
  const room = Math.max(200, Math.min(900, byId("map").clientWidth - 60));
  const cell = Math.max(1, Math.min(28, Math.floor(room / across.length), Math.floor(Math.max(640, room) / down.length)));
  const canvas = element("canvas", { id: "cells", width: across.length * cell + 8, height: down.length * cell + 8, role: "img", "aria-label": `Links from ${layers[a].name} (rows) to ${layers[b].name} (columns)` });
  const readout = element("p", { class: "note", id: "readout", text: "Point at a cell to read it." });
  paintMap(canvas.getContext("2d"), down, across, cell);
  canvas.addEventListener("pointermove", (event) => {
    const row = Math.floor((event.offsetY - 8) / cell), column = Math.floor((event.offsetX - 8) / cell);
    if (row < 0 || column < 0 || row >= down.length || column >= across.length) return;
    const e = Array.from(linksOut(down[row])).find((each) => link.target[each] === across[column]);
    readout.textContent = e === undefined ? `${clipped(nameOf(down[row]), 40)} → ${clipped(nameOf(across[column]), 40)}: no link with information` : linkLines(e).map(([text]) => text).join(" · ");
  });
  byId("map").replaceChildren(element("div", { class: "tools" }, element("label", { text: "Layers " }, select)),
    element("p", { class: "note", text: "Rows are units of the first layer, columns of the second, both ordered by community (coloured edges); the stronger the colour, the more nats." }),
    scroller("Link map", canvas), readout);
}
function paintMap(context, down, across, cell) {
  const row = new Map(down.map((u, i) => [u, i])), column = new Map(across.map((u, i) => [u, i]));
  context.fillStyle = heat(0); context.fillRect(8, 8, across.length * cell, down.length * cell);
  let top = 0;
  for (let e = 0; e < linkCount && !top; e++) if (row.has(link.source[e]) && column.has(link.target[e])) top = link.nats[e];
  for (let e = 0; e < linkCount; e++) {
    const i = row.get(link.source[e]), j = column.get(link.target[e]);
    if (i === undefined || j === undefined) continue;
    context.fillStyle = heat(link.nats[e] / top); context.fillRect(8 + j * cell, 8 + i * cell, cell, cell);
  }
  down.forEach((u, i) => { context.fillStyle = colourOf(unit.community[u]); context.fillRect(0, 8 + i * cell, 6, cell); });
  across.forEach((u, j) => { context.fillStyle = colourOf(unit.community[u]); context.fillRect(8 + j * cell, 0, cell, 6); });
}

function layersView() {
  const most = Math.max(...layers.map((layer) => Math.max(layer.inflow, layer.outflow))) || 1;
  const meter = (value, kind) => element("td", {}, element("span", { class: "meter " + kind, style: { width: 120 * value / most + "px" } }), nats(value));
  const body = layers.map((layer) => element("tr", {}, element("td", { class: "text", text: clipped(layer.name) }), element("td", { class: "text", text: clipped(layer.kind) }),
    element("td", { text: count(layer.size) }), element("td", { text: count(layer.silent) }), element("td", { text: count(layer.constant) }), meter(layer.inflow, "in"), meter(layer.outflow, "out")));
  const head = element("tr", {}, ...["layer", "kind", "units", "silent", "constant", "nats in", "nats out"].map((name, i) => element("th", { scope: "col", text: name, class: i < 2 ? "text" : "" })));
  byId("layers").replaceChildren(element("p", {}, `Modularity of the communities: `, element("strong", { text: meta.modularity.toFixed(3) }), ` (0 is no better than chance, 1 the most).`),
    scroller("Layers", element("table", {}, element("thead", {}, head), element("tbody", {}, ...body))));
}

function methodView() {
  byId("method").replaceChildren(element("h2", { text: "How it was measured" }), facts(meta.method),
    element("h2", { text: "What to keep in mind", style: { marginTop: "1.2rem" } }),
    element("ul", { class: "caveats" }, ...meta.caveats.map((text) => element("li", { class: "note", text }))));
}
