// The picture: one canvas for all units and links, one above it for what is hovered and pinned.
const picture = byId("picture"), base = byId("base"), over = byId("over"), tip = byId("tip");
const tallest = Math.max(...layers.map((layer) => layer.size));
const world = { width: Math.max(1, layers.length - 1) * 240, height: Math.min(4000, Math.max(360, tallest * 14)) };
const px = new Float32Array(units), py = new Float32Array(units);
for (let u = 0; u < units; u++) {
  px[u] = layers.length > 1 ? layerOf[u] / (layers.length - 1) * world.width : world.width / 2;
  py[u] = (1 - unit.y[u]) * world.height;
}
const gaps = layers.map((layer) => {
  const heights = py.subarray(layer.first, layer.first + layer.size);
  const span = heights.reduce((a, b) => Math.max(a, b)) - heights.reduce((a, b) => Math.min(a, b));
  return layer.size > 1 ? span / (layer.size - 1) : 60;
});
const view = { scaleX: 1, scaleY: 1, x: 0, y: 0, width: 0, height: 0 };
// More links than CURVES are straight, and more than WIDE are drawn in strands: a browser without a GPU draws lines of
// one pixel twenty times as fast as wide ones.
const CURVES = 20000, WIDE = 1500, TITLE = 40, LEVELS = 8, DASHES = [6, 4];
// Room that the picture leaves when it is fitted: above and below, where the buttons are.
const UNDER = 62;

const sx = (u) => px[u] * view.scaleX + view.x, sy = (u) => py[u] * view.scaleY + view.y;

const measure = document.createElement("canvas").getContext("2d");
function labelWidth(layer) {
  measure.font = "12px system-ui, sans-serif";
  let widest = 0;
  for (let i = 0; i < Math.min(layer.size, 300); i++)
    widest = Math.max(widest, measure.measureText(clipped(nameOf(layer.first + i), 24)).width);
  return widest + 20;
}

function fit() {
  view.width = picture.clientWidth; view.height = picture.clientHeight;
  const most = view.width * 0.28;
  const fits = (layer, index) => gaps[index] * (view.height - TITLE - UNDER) / world.height >= 10;
  const left = fits(layers[0], 0) ? Math.min(most, labelWidth(layers[0])) : 34;
  const right = fits(classes, layers.length - 1) ? Math.min(most, labelWidth(classes)) : 34;
  view.scaleX = Math.max(20, view.width - left - right) / world.width;
  view.scaleY = Math.max(20, view.height - TITLE - UNDER) / world.height;
  view.x = left; view.y = TITLE + 10;
  redraw();
}

const pixelRatio = () => Math.min(2, window.devicePixelRatio || 1);
function sized(canvas) {
  const ratio = pixelRatio();
  const width = Math.round(view.width * ratio), height = Math.round(view.height * ratio);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width; canvas.height = height;
    canvas.style.width = view.width + "px"; canvas.style.height = view.height + "px";
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, view.width, view.height);
  return context;
}

// How large each unit and how strong each link is drawn, from 0 to 1.
let unitShare = new Float32Array(units), linkShare = new Float32Array(linkCount), order = null;
function weigh() {
  const onward = currents ? null : toClass(state.chosen), before = currents ? null : fromFeatures();
  const values = state.size === "attribution" ? onward.map((sum, u) => sum * before[u]) : unit[state.size].map(Math.abs);
  const tops = layers.map((layer) => {
    let top = 0;
    for (let u = layer.first; u < layer.first + layer.size; u++) top = Math.max(top, values[u]);
    return top;
  });
  const whole = tops.reduce((a, b) => Math.max(a, b), 0);
  for (let u = 0; u < units; u++) {
    const top = state.size === "betweenness" || currents ? whole : tops[layerOf[u]];
    unitShare[u] = top > 0 ? Math.sqrt(values[u] / top) : 0;
  }
  order = null;
  if (currents || state.chosen < 0) linkShare = link.size.map((value) => value / link.size[0]);
  else {
    let top = 0;
    linkShare = new Float64Array(linkCount); // products over many layers
    for (let e = 0; e < linkCount; e++) {
      linkShare[e] = before[link.source[e]] * link.nats[e] * onward[link.target[e]];
      top = Math.max(top, linkShare[e]);
    }
    if (top > 0) for (let e = 0; e < linkCount; e++) linkShare[e] /= top;
    order = Uint32Array.from(linkShare.keys()).sort((a, b) => linkShare[b] - linkShare[a]);
  }
  // Of all information, also that of links which are not in this page.
  total = currents || state.chosen < 0 ? meta.links.all_nats : linkShare.reduce((sum, part) => sum + part, 0);
}
let total = 0;
const ranked = (i) => (order ? order[i] : i);
const weightAt = (i) => (order ? linkShare[order[i]] : link.size[i]);

// The strongest links whose weights sum to this share of all.
function linksFor(part) {
  if (part >= 1) { let last = linkCount; while (last > 0 && weightAt(last - 1) <= 0) last--; return last; }
  let sum = 0, i = 0;
  while (i < linkCount && sum < part * total) sum += weightAt(i++);
  return i;
}
function shareOf(number) {
  let sum = 0;
  for (let i = 0; i < number; i++) sum += weightAt(i);
  return total > 0 ? sum / total : 0;
}

const visible = (u) => !(state.hide && unit.silent[u]);
function radius(u) {
  const most = Math.min(9, gaps[layerOf[u]] * view.scaleY * 0.46);
  return Math.max(0.8, most * (0.42 + 0.58 * unitShare[u]));
}

function trace(context, e, curved, aside = 0) {
  const a = link.source[e], b = link.target[e];
  const x0 = sx(a), y0 = sy(a) + aside, x1 = sx(b), y1 = sy(b) + aside, middle = (x0 + x1) / 2;
  context.moveTo(x0, y0);
  const skipped = layerOf[b] - layerOf[a] - 1;
  const bow = skipped > 0 ? -28 * skipped : 0;
  if (curved || bow) context.bezierCurveTo(middle, y0 + bow, middle, y1 + bow, x1, y1);
  else context.lineTo(x1, y1);
}

// How far aside each strand of a line of this width runs, and how wide it is.
function strandsOf(width) {
  if (state.shown <= WIDE) return { thin: width, asides: [0] };
  const pixel = 1 / pixelRatio(), strands = Math.max(1, Math.round(width / pixel));
  return { thin: Math.min(width, pixel), asides: Array.from({ length: strands }, (_, i) => (i - (strands - 1) / 2) * pixel) };
}

function drawLinks(context) {
  const curved = state.shown <= CURVES, colours = tones(), palette = colours.length;
  const groups = Array.from({ length: palette * LEVELS }, () => []);
  for (let i = state.shown - 1; i >= 0; i--) {
    const e = ranked(i), a = link.source[e], b = link.target[e];
    if (!visible(a) || !visible(b)) continue;
    if ((sx(b) < 0 && sx(a) < 0) || (sx(a) > view.width && sx(b) > view.width)) continue;
    const top = Math.min(sy(a), sy(b)), bottom = Math.max(sy(a), sy(b));
    if (layerOf[b] - layerOf[a] === 1 && (bottom < 0 || top > view.height)) continue;
    const level = Math.min(LEVELS - 1, Math.floor(linkShare[e] * LEVELS));
    groups[level * palette + linkTone(e)].push(e);
  }
  // Wide lines of one colour melt into one another, strands add up.
  const faint = Math.min(1, 1.6 / Math.pow(1 + state.shown / 300, state.shown > WIDE ? 0.5 : 0.35));
  groups.forEach((list, index) => {
    if (!list.length) return;
    const middle = (Math.floor(index / palette) + 0.5) / LEVELS;
    const { thin, asides } = strandsOf(0.5 + 3.4 * middle);
    context.beginPath();
    for (const aside of asides) for (const e of list) trace(context, e, curved, aside);
    context.strokeStyle = colours[index % palette];
    // Many thin dashes would be a grey haze, and slow.
    context.setLineDash(bySign() && index % palette === 1 && state.shown <= WIDE ? DASHES : []);
    context.globalAlpha = Math.min(0.95, 0.1 + 0.85 * Math.pow(middle, 0.8)) * faint;
    context.lineWidth = thin;
    context.stroke();
  });
  context.globalAlpha = 1;
  context.setLineDash([]);
}

function drawUnits(context) {
  const paper = css("--paper"), colours = tones(), dots = colours.map(() => []);
  for (let u = 0; u < units; u++) {
    if (!visible(u)) continue;
    const x = sx(u), y = sy(u), r = radius(u), tone = unitTone(u), colour = colours[tone];
    if (x < -20 || x > view.width + 20 || y < -20 || y > view.height + 20) continue;
    if (r < 2) { dots[tone].push(x - r, y - r, 2 * r); continue; }
    context.fillStyle = unit.silent[u] ? paper : colour;
    context.beginPath();
    context.arc(x, y, r, 0, 7);
    context.fill();
    if (unit.silent[u]) { context.strokeStyle = colour; context.lineWidth = 1.5; context.stroke(); }
  }
  dots.forEach((places, tone) => { // a browser takes long to change the colour
    context.fillStyle = colours[tone];
    for (let i = 0; i < places.length; i += 3) context.fillRect(places[i], places[i + 1], places[i + 2], places[i + 2]);
  });
}

function write(context, text, x, y, align, colour, font = "12px system-ui, sans-serif") {
  context.font = font; context.textAlign = align; context.textBaseline = "middle";
  context.lineWidth = 3; context.strokeStyle = css("--paper"); context.lineJoin = "round";
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

function fitted(context, text, room) {
  let letters = text.length;
  while (letters > 1 && context.measureText(clipped(text, letters)).width > room) letters--;
  return clipped(text, letters);
}

function drawNames(context) {
  const ink = css("--ink"), soft = css("--soft"), last = layers.length - 1;
  context.font = "12px system-ui, sans-serif";
  for (const [index, layer] of layers.entries()) {
    const gap = gaps[index] * view.scaleY, inside = index > 0 && index < last;
    if (gap < (inside ? 30 : 10)) continue;
    for (let u = layer.first; u < layer.first + layer.size; u++) {
      if (!visible(u) || sy(u) < TITLE || sy(u) > view.height || sx(u) < -50 || sx(u) > view.width + 50) continue;
      const away = radius(u) + 4;
      if (inside) { if (view.scaleX * 240 / 2 > 40) write(context, String(u - layer.first), sx(u), sy(u) + away + 6, "center", soft, "10px system-ui, sans-serif"); continue; }
      const room = index === 0 ? sx(u) - away - 4 : view.width - sx(u) - away - 4;
      context.font = "12px system-ui, sans-serif"; // numbers of hidden units are smaller
      const name = fitted(context, clipped(nameOf(u), 40), Math.max(room, 40));
      write(context, name, sx(u) + (index === 0 ? -away : away), sy(u), index === 0 ? "right" : "left", ink);
    }
  }
}

function drawTitles(context) {
  const ink = css("--ink"), soft = css("--soft"), column = view.scaleX * world.width / Math.max(1, layers.length - 1);
  context.fillStyle = css("--paper"); context.globalAlpha = 0.9;
  context.fillRect(0, 0, view.width, TITLE - 2);
  context.globalAlpha = 1;
  const titles = [];
  layers.forEach((layer, index) => {
    const half = Math.max(30, column / 2 - 4);
    if (sx(layer.first) < -half || sx(layer.first) > view.width + half) return;
    context.font = "600 12px system-ui, sans-serif";
    const name = fitted(context, clipped(layer.name, 40), 2 * half);
    const quiet = `${count(layer.size)}, ${count(layer.silent)} silent`;
    const size = layer.silent && context.measureText(quiet).width < 2 * half ? quiet : count(layer.size);
    const width = Math.max(context.measureText(name).width, context.measureText(size).width) / 2;
    const x = Math.min(Math.max(sx(layer.first), width + 4), view.width - width - 4);
    titles.push({ index, name, size, left: x - width - 3, right: x + width + 3, x });
  });
  for (const { name, size, x } of spaced(titles)) {
    write(context, name, x, 13, "center", ink, "600 12px system-ui, sans-serif");
    write(context, size, x, 29, "center", soft, "11px system-ui, sans-serif");
  }
}
// Every title, or every second, third and so on, that none lies on another; the last layer always has its own.
function spaced(titles) {
  const last = titles.find(({ index }) => index === layers.length - 1), apart = (a, b) => a.right <= b.left;
  let step = 1, kept = titles;
  const crowded = () => kept.some((title, i) => i > 0 && !apart(kept[i - 1], title));
  while (crowded()) { step++; kept = titles.filter(({ index }) => index % step === 0); }
  return !last || kept.includes(last) ? kept : [...kept.filter((title) => apart(title, last)), last];
}

function redraw() {
  base.style.transform = "";
  const context = sized(base);
  drawLinks(context); drawUnits(context); drawRemoved(context); drawNames(context); drawTitles(context);
  drawn = { ...view };
  highlight();
}
let drawn = { ...view };

// What is hovered or pinned, with its links and its strongest paths, above the rest.
function highlight() {
  const context = sized(over), ink = css("--ink");
  for (const path of state.path) for (let i = 0; i + 1 < path.units.length; i++) {
    context.beginPath();
    const a = path.units[i], b = path.units[i + 1], middle = (sx(a) + sx(b)) / 2;
    context.moveTo(sx(a), sy(a)); context.bezierCurveTo(middle, sy(a), middle, sy(b), sx(b), sy(b));
    context.strokeStyle = ink; context.globalAlpha = 0.8; context.lineWidth = 2; context.stroke();
  }
  context.globalAlpha = 1;
  for (const u of [state.pinned, state.hover]) {
    if (u < 0) continue;
    if (u === state.hover) for (const e of [...linksIn(u).slice(0, 40), ...linksOut(u).slice(0, 40)]) {
      context.beginPath(); trace(context, e, true);
      context.strokeStyle = tones()[linkTone(e)]; context.lineWidth = 1 + 3 * link.size[e] / link.size[0];
      context.setLineDash(bySign() && link.nats[e] < 0 ? DASHES : []);
      context.globalAlpha = 0.9; context.stroke(); context.globalAlpha = 1; context.setLineDash([]);
    }
    context.beginPath(); context.arc(sx(u), sy(u), radius(u) + 3, 0, 7);
    context.strokeStyle = ink; context.lineWidth = u === state.pinned ? 3 : 1.5; context.stroke();
  }
}
