// Pan, zoom, hover, click and keys on the picture.
let settle = 0;
// While a gesture lasts, the finished picture is moved; it is drawn anew when the gesture rests.
function moved() {
  const scaleX = view.scaleX / drawn.scaleX, scaleY = view.scaleY / drawn.scaleY;
  base.style.transform = `translate(${view.x - drawn.x * scaleX}px, ${view.y - drawn.y * scaleY}px) scale(${scaleX}, ${scaleY})`;
  highlight();
  clearTimeout(settle);
  settle = setTimeout(redraw, 120);
}
function zoom(factor, x = view.width / 2, y = view.height / 2) {
  const kept = Math.min(200, Math.max(0.05, view.scaleY * factor)) / view.scaleY;
  view.x = x - (x - view.x) * kept; view.y = y - (y - view.y) * kept;
  view.scaleX *= kept; view.scaleY *= kept;
  moved();
}

function nearestUnit(x, y) {
  let best = -1, least = 14 * 14;
  for (let u = 0; u < units; u++) {
    const dx = sx(u) - x, dy = sy(u) - y, far = dx * dx + dy * dy;
    if (far < least && visible(u)) { least = far; best = u; }
  }
  return best;
}
function nearestLink(x, y) {
  let best = -1, least = 4;
  for (let i = 0; i < Math.min(state.shown, CURVES); i++) {
    const e = ranked(i), a = link.source[e], b = link.target[e];
    const t = (x - sx(a)) / (sx(b) - sx(a));
    if (t <= 0.02 || t >= 0.98 || layerOf[b] - layerOf[a] > 1 || !visible(a) || !visible(b)) continue;
    const away = Math.abs(sy(a) + (sy(b) - sy(a)) * stepAt(t) - y);
    if (away < least) { least = away; best = e; }
  }
  return best;
}
// Height of the drawn curve at a share of its width: x and y of the Bézier curve, x solved by bisection.
function stepAt(t) {
  if (state.shown > CURVES) return t;
  let low = 0, high = 1;
  for (let i = 0; i < 12; i++) {
    const s = (low + high) / 2, x = 1.5 * s * (1 - s) + s * s * s;
    if (x < t) low = s; else high = s;
  }
  return low * low * (3 - 2 * low);
}

function showTip(x, y, lines) {
  tip.replaceChildren(...lines.map(([text, strong]) => element(strong ? "strong" : "div", { class: "name", text, style: { display: "block" } })));
  tip.hidden = false;
  const left = x + 14 + tip.offsetWidth > view.width ? x - 14 - tip.offsetWidth : x + 14;
  tip.style.left = Math.max(2, left) + "px";
  tip.style.top = Math.min(Math.max(2, y + 12), Math.max(2, view.height - tip.offsetHeight - 2)) + "px";
}
function unitLines(u) {
  const lines = [[clipped(nameOf(u)), true], [`layer ${clipped(layers[layerOf[u]].name)}${unit.silent[u] ? ", silent" : ""}`]];
  if (currents) lines.push([`current ${nats(unit.current[u])} ${UNIT}, 95 %: ${interval(unit.current[u], unit.currentError[u])}`],
    [`${ofTotal(unit.current[u])} of the total; absolute ${nats(unit.absolute[u])} ${UNIT}`]);
  if (!currents && linksIn(u).length) lines.push([`in ${nats(unit.inflow[u])} ${UNIT}, 95 %: ${interval(unit.inflow[u], unit.inflowError[u])}`]);
  if (!currents && linksOut(u).length) lines.push([`out ${nats(unit.outflow[u])} ${UNIT}, 95 %: ${interval(unit.outflow[u], unit.outflowError[u])}`]);
  return [...lines, [`p ${chance(unit.p[u])}, q ${chance(unit.q[u])}`]];
}
function linkLines(e) {
  return [[`${clipped(nameOf(link.source[e]), 40)} → ${clipped(nameOf(link.target[e]), 40)}`, true],
    [`${nats(link.nats[e])} ${UNIT}, 95 %: ${interval(link.nats[e], link.error[e])}`], [`p ${chance(link.p[e])}`]];
}
function hover(x, y) {
  const u = nearestUnit(x, y), e = u < 0 ? nearestLink(x, y) : -1;
  picture.classList.toggle("over", u >= 0);
  if (u >= 0) showTip(x, y, unitLines(u));
  else if (e >= 0) showTip(x, y, linkLines(e));
  else tip.hidden = true;
  if (u !== state.hover) { state.hover = u; highlight(); }
}

const pointers = new Map();
let dragged = 0;
function place(event) {
  const box = picture.getBoundingClientRect();
  return [event.clientX - box.left - picture.clientLeft, event.clientY - box.top - picture.clientTop];
}
picture.addEventListener("pointerdown", (event) => {
  pointers.set(event.pointerId, place(event)); dragged = 0;
  picture.setPointerCapture(event.pointerId);
});
picture.addEventListener("pointermove", (event) => {
  const [x, y] = place(event), before = pointers.get(event.pointerId);
  if (!before) { hover(x, y); return; }
  if (pointers.size === 2) {
    const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
    const far = Math.hypot(x - other[0], y - other[1]), was = Math.hypot(before[0] - other[0], before[1] - other[1]);
    zoom(far / Math.max(was, 1), (x + other[0]) / 2, (y + other[1]) / 2);
  } else { view.x += x - before[0]; view.y += y - before[1]; moved(); }
  dragged += Math.hypot(x - before[0], y - before[1]);
  pointers.set(event.pointerId, [x, y]);
  tip.hidden = true;
});
function released(event) {
  if (event.type === "pointerup" && pointers.has(event.pointerId) && dragged < 5 && pointers.size === 1) pin(nearestUnit(...place(event)));
  pointers.delete(event.pointerId);
}
picture.addEventListener("pointerup", released);
picture.addEventListener("pointercancel", released);
picture.addEventListener("pointerleave", () => { tip.hidden = true; if (state.hover >= 0) { state.hover = -1; highlight(); } });
picture.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.03 : 0.0015)), ...place(event));
}, { passive: false });

// The next unit by arrow key: up and down within a layer, by height; left and right to the nearest height.
function neighbour(u, key) {
  if (u < 0) return classes.first;
  const layer = layerOf[u] + (key === "ArrowLeft" ? -1 : key === "ArrowRight" ? 1 : 0);
  if (layer < 0 || layer >= layers.length) return u;
  let best = u, least = Infinity;
  for (let v = layers[layer].first; v < layers[layer].first + layers[layer].size; v++) {
    const down = py[v] - py[u];
    if (!visible(v) || v === u || (key === "ArrowUp" && down >= 0) || (key === "ArrowDown" && down <= 0)) continue;
    if (Math.abs(down) < least) { least = Math.abs(down); best = v; }
  }
  return best;
}
picture.addEventListener("keydown", (event) => {
  if (event.key.startsWith("Arrow")) {
    state.hover = neighbour(state.hover >= 0 ? state.hover : state.pinned, event.key);
    showTip(sx(state.hover), sy(state.hover), unitLines(state.hover));
    byId("say").textContent = unitLines(state.hover).map(([text]) => text).join("; ");
    highlight();
  } else if (event.key === "Enter" || event.key === " ") pin(state.hover);
  else if (event.key === "Escape") { tip.hidden = true; state.hover = -1; pin(-1); }
  else if (event.key === "+" || event.key === "=") zoom(1.3);
  else if (event.key === "-") zoom(1 / 1.3);
  else if (event.key === "0") fit();
  else return;
  event.preventDefault();
});
