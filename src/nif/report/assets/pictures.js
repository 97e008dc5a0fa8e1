// Numbers as pictures: the attribution of pixels, the links between two layers.
// One hue from paper to full strength, readable with any colour vision; of currents another one below 0.
function heat(part) {
  const from = dark() ? [30, 33, 39] : [240, 243, 246];
  const strong = currents ? (dark() ? [130, 200, 255] : [0, 60, 110]) : dark() ? [255, 214, 120] : [0, 60, 110];
  const to = currents && part < 0 ? (dark() ? [255, 160, 90] : [160, 50, 0]) : strong, size = currents ? Math.abs(part) : Math.max(0, part);
  const mixed = from.map((low, i) => Math.round(low + (to[i] - low) * Math.sqrt(size)));
  return `rgb(${mixed.join(",")})`;
}

// Inputs that are pixels: their attribution to the chosen class, summed over channels.
function imagesOf(rows) {
  let first = 0;
  return meta.images.flatMap((image, i) => {
    const layer = layers[meta.features[i]], own = rows.slice(first, first + layer.size);
    first += layer.size;
    return image ? [imageOf(image, layer, own)] : [];
  });
}
const amount = (value) => (currents ? minus(inUnit(value).toPrecision(3)) : share(value));
function imageOf({ shape: [height, width], place }, layer, rows) {
  const cell = Math.max(2, Math.floor(320 / Math.max(height, width))), sums = new Float64Array(height * width);
  rows.forEach(({ value }, i) => { sums[place[i]] += value; });
  const top = sums.reduce((a, b) => Math.max(a, currents ? Math.abs(b) : b), 0), most = sums.findIndex((value) => Math.abs(value) === top);
  const least = sums.reduce((a, b) => Math.min(a, b), 0), extreme = currents ? "strongest" : "maximum";
  const say = (i) => `row ${Math.floor(i / width)}, column ${i % width}: ${amount(sums[i])}`;
  const canvas = element("canvas", { class: "image", width: width * cell, height: height * cell, role: "img",
    "aria-label": `Attribution of ${height} x ${width} pixels of ${layer.name}; ${extreme} at ${say(most)}` });
  const context = canvas.getContext("2d");
  sums.forEach((value, i) => { context.fillStyle = heat(top > 0 ? value / top : 0); context.fillRect((i % width) * cell, Math.floor(i / width) * cell, cell, cell); });
  const readout = element("span", { class: "note", text: top > 0 ? `${extreme} at ${say(most)}` : "no pixel carries information" });
  canvas.addEventListener("pointermove", (event) => {
    const row = Math.floor(event.offsetY / cell), column = Math.floor(event.offsetX / cell);
    if (row >= 0 && column >= 0 && row < height && column < width) readout.textContent = say(row * width + column);
  });
  return element("figure", {}, canvas, element("figcaption", {}, scale(top, least, amount), readout));
}
// The scale of colours, from 0 or below to the maximum; the same strength is the same size on both sides of 0.
function scale(top, least, said) {
  const low = currents && top > 0 && least < 0 ? least / top : 0;
  const steps = Array.from({ length: 24 }, (_, i) => element("span", { style: { background: heat(low + (1 - low) * i / 23) } }));
  return element("span", { class: "scale" }, low < 0 ? said(least) : "0", element("span", { class: "steps", "aria-hidden": "true" }, ...steps), said(top));
}

// Links between two layers as a table of colours, units ordered by community.
let mapped = 0;
const MOST_WHOLE = 40, inLayer = (u, layer) => u >= layer.first && u < layer.first + layer.size;
function mapView() {
  const pairs = meta.pairs, select = element("select", { "aria-label": "Layers" }, ...pairs.map(([a, b], i) =>
    element("option", { value: String(i), text: clipped(`${layers[a].name} → ${layers[b].name}`, 60) })));
  select.value = String(mapped);
  select.addEventListener("change", () => { mapped = Number(select.value); mapView(); });
  const [a, b] = pairs[mapped], byCommunity = (layer) => Array.from({ length: layer.size }, (_, i) => layer.first + i)
    .sort((u, v) => (unit.community[u] < 0) - (unit.community[v] < 0) || unit.community[u] - unit.community[v] || u - v);
  // Of a wide layer, units without a link here would leave most of the map empty.
  const linked = new Set();
  link.source.forEach((u, e) => { if (inLayer(u, layers[a]) && inLayer(link.target[e], layers[b])) linked.add(u).add(link.target[e]); });
  const drawn = (layer) => byCommunity(layer).filter((u) => layer.size <= MOST_WHOLE || linked.has(u));
  const down = drawn(layers[a]), across = drawn(layers[b]), hidden = layers[a].size + layers[b].size - down.length - across.length;
  const room = Math.max(200, Math.min(900, byId("map").clientWidth - 60));
  const cell = cellOf(room, across.length, down.length);
  const canvas = element("canvas", { id: "cells", role: "img", "aria-label": `Links from ${layers[a].name} (rows) to ${layers[b].name} (columns)` });
  const context = canvas.getContext("2d"), left = EDGE + nameRoom(context, down, cell.height), up = EDGE + nameRoom(context, across, cell.width);
  canvas.width = left + across.length * cell.width; canvas.height = up + down.length * cell.height;
  const readout = element("p", { class: "note", id: "readout", text: "Point at a cell to read it." });
  const { top, least } = paintMap(context, { down, across, cell, left, up });
  canvas.addEventListener("pointermove", (event) => {
    const row = Math.floor((event.offsetY - up) / cell.height), column = Math.floor((event.offsetX - left) / cell.width);
    if (row < 0 || column < 0 || row >= down.length || column >= across.length) return;
    const e = Array.from(linksOut(down[row])).find((candidate) => link.target[candidate] === across[column]);
    readout.textContent = e === undefined ? `${clipped(nameOf(down[row]), 40)} → ${clipped(nameOf(across[column]), 40)}: no link with information` : linkLines(e).map(([text]) => text).join(" · ");
  });
  byId("map").replaceChildren(element("div", { class: "tools" }, element("label", { text: "Layers " }, select)),
    element("p", { class: "note", text: "Rows are units of the first layer, columns of the second, both ordered by community (coloured edges); the stronger the colour, the more information." + (currents ? " Links in orange speak against the decision." : "") + (hidden ? ` ${count(hidden)} unit${hidden === 1 ? "" : "s"} without a link here ${hidden === 1 ? "is" : "are"} left out.` : "") }),
    element("p", {}, scale(top, least, nats), currents ? ` ${UNIT} (current)` : ` ${UNIT}`), readout, scroller("Link map", canvas));
}
// Pixels of a cell: of a layer with few units beside one with many, wider or higher than square to use the room.
function cellOf(room, across, down) {
  const width = Math.max(1, Math.min(28, Math.floor(room / across))), height = Math.max(1, Math.min(28, Math.floor(Math.max(640, room) / down)));
  return { width: Math.min(width, 3 * height), height: Math.min(height, 3 * width) };
}
// Room for the names of units at an edge, where a cell is as large as a line of text.
const EDGE = 8, SMALL_TEXT = "11px system-ui, sans-serif", shortName = (u) => clipped(nameOf(u), 18);
function nameRoom(context, list, cell) {
  context.font = SMALL_TEXT;
  return cell < 11 ? 0 : Math.ceil(list.reduce((most, u) => Math.max(most, context.measureText(shortName(u)).width), 0)) + 6;
}
function paintMap(context, { down, across, cell, left, up }) {
  const row = new Map(down.map((u, i) => [u, i])), column = new Map(across.map((u, i) => [u, i]));
  context.fillStyle = heat(0); context.fillRect(left, up, across.length * cell.width, down.length * cell.height);
  let top = 0, least = 0;
  for (let e = 0; e < linkCount; e++) {
    const i = row.get(link.source[e]), j = column.get(link.target[e]);
    if (i === undefined || j === undefined) continue;
    top = top || link.size[e]; // links are sorted
    least = Math.min(least, link.nats[e]);
    context.fillStyle = heat(link.nats[e] / top); context.fillRect(left + j * cell.width, up + i * cell.height, cell.width, cell.height);
  }
  down.forEach((u, i) => { context.fillStyle = colourOf(unit.community[u]); context.fillRect(left - EDGE, up + i * cell.height, 6, cell.height); });
  across.forEach((u, j) => { context.fillStyle = colourOf(unit.community[u]); context.fillRect(left + j * cell.width, up - EDGE, cell.width, 6); });
  context.font = SMALL_TEXT; context.fillStyle = css("--ink"); context.textBaseline = "middle"; context.textAlign = "right";
  if (left > EDGE) down.forEach((u, i) => context.fillText(shortName(u), left - EDGE - 4, up + (i + 0.5) * cell.height));
  context.textAlign = "left";
  if (up > EDGE) across.forEach((u, j) => {
    context.save(); context.translate(left + (j + 0.5) * cell.width, up - EDGE - 4); context.rotate(-Math.PI / 2);
    context.fillText(shortName(u), 0, 0); context.restore();
  });
  return { top, least };
}
