// What units know of the decision against what of it is used: a point for each.
const ROOM = { left: 64, right: 24, top: 16, bottom: 46 }, MOST_NAMED = 14;
function knownView() {
  const points = meta.known, section = byId("known"), kinds = new Array(points.unit.length).fill("");
  for (const [kind, places] of Object.entries(points.outliers)) for (const i of places) kinds[i] = kind;
  const width = Math.max(300, Math.min(560, section.clientWidth - 40)), height = Math.min(460, width * 0.75);
  const right = endsOf(points.known)[1] * 1.05 || 1, [low, high] = endsOf(points.used).map((end) => end * 1.05);
  const x = (value) => ROOM.left + value / right * (width - ROOM.left - ROOM.right);
  const y = (value) => ROOM.top + (high - value) / (high - low || 1) * (height - ROOM.top - ROOM.bottom);
  const svg = svgElement("svg", { width, height, role: "img", "aria-label": "What units know of the decision, against what of it is used; the numbers are in the table below." });
  svg.append(...knownAxes(x, y, right, low, high, width, height));
  const tip = element("div", { class: "tip", hidden: "" }), dots = [];
  points.unit.forEach((u, i) => {
    const point = svgElement("circle", { class: `point ${kinds[i]}`, cx: x(points.known[i]), cy: y(points.used[i]), r: kinds[i] ? 5 : 3.5 });
    const text = `${clipped(nameOf(u), 40)}: knows ${nats(points.known[i])} ± ${nats(points.known_stderr[i])}, used ${nats(points.used[i])} ± ${nats(points.used_stderr[i])} ${UNIT}${kinds[i] ? `; ${kinds[i]}` : ""}`;
    point.addEventListener("pointermove", (event) => {
      const box = section.getBoundingClientRect();
      tip.textContent = printable(text); tip.hidden = false;
      tip.style.left = `${Math.min(event.clientX - box.left + 14, box.width - 240)}px`; tip.style.top = `${event.clientY - box.top + section.scrollTop + 14}px`;
    });
    point.addEventListener("pointerleave", () => { tip.hidden = true; });
    point.addEventListener("click", () => { pin(u); open("flow"); });
    dots.push(point);
  });
  const names = [...points.unit.keys()].sort((i, j) => !kinds[i] - !kinds[j] || size(points.used[j]) - size(points.used[i])).slice(0, MOST_NAMED);
  svg.append(...pointNames(names, points, x, y, width), ...dots); // no name hides a point
  const list = element("div", { id: "knownrows" });
  section.replaceChildren(element("p", { class: "note", text: knownNote() }), element("div", { class: "beside" }, scroller("Known and used", svg), list), tip);
  table(list, [
    { name: "unit", text: true, value: (i) => nameOf(points.unit[i]) }, { name: "outlier", text: true, value: (i) => kinds[i] || "–" },
    { name: `known, ${UNIT}`, value: (i) => points.known[i], shown: nats }, { name: "± stderr", value: (i) => points.known_stderr[i], shown: nats },
    { name: `used, ${UNIT}`, value: (i) => points.used[i], shown: nats }, { name: "± stderr of used", value: (i) => points.used_stderr[i], shown: nats },
    { name: "layer", text: true, value: (i) => layerName(points.unit[i]) },
  ], points.unit.length, points.of > points.unit.length ? `; the others of ${count(points.of)} units have less` : "");
}
const knownNote = () => "Known: the information that a unit alone tells of the decision. Used: its current. On the dashed line a unit is used for all that it tells. Ignored units (orange) tell much and are used little, such as copies; synergy (green): a unit is used for more than it tells alone.";
function knownAxes(x, y, right, low, high, width, height) {
  const ticks = (from, to) => { const step = niceStep(to - from); return Array.from({ length: Math.floor(to / step) - Math.ceil(from / step) + 1 }, (_, i) => (Math.ceil(from / step) + i) * step); };
  const label = (text, at) => svgElement("text", { class: "soft", ...at }, text), line = (kind, ends) => svgElement("line", { class: kind, ...ends });
  const end = Math.min(right, high);
  return [line("axis", { x1: x(0), x2: x(right), y1: y(0), y2: y(0) }), line("axis", { x1: x(0), x2: x(0), y1: y(low), y2: y(high) }),
    line("diagonal", { x1: x(0), x2: x(end), y1: y(0), y2: y(end) }),
    ...ticks(0, inUnit(right)).map((value) => label(shortNumber(value), { x: x(value * meta.unit.nats), y: height - ROOM.bottom + 18, "text-anchor": "middle" })),
    ...ticks(inUnit(low), inUnit(high)).map((value) => label(shortNumber(value), { x: ROOM.left - 8, y: y(value * meta.unit.nats) + 4, "text-anchor": "end" })),
    label(`known of the decision, ${UNIT}`, { x: (x(0) + x(right)) / 2, y: height - 6, "text-anchor": "middle" }),
    label(`used, ${UNIT}`, { x: 14, y: (y(low) + y(high)) / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${(y(low) + y(high)) / 2})` })];
}
// 1, 2 or 5 times a power of ten, for some five ticks.
function niceStep(reach) {
  const rough = (reach || 1) / 5, power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((times) => times * power >= rough * 0.999);
}
function pointNames(names, points, x, y, width) {
  const taken = [];
  measure.font = "12px system-ui, sans-serif";
  return names.flatMap((i) => {
    const name = clipped(nameOf(points.unit[i]), 18), at = x(points.known[i]), down = y(points.used[i]) - 6;
    const room = measure.measureText(name).width, left = at + room > width - ROOM.right;
    const begin = left ? at - 8 - room : at + 8;
    if (taken.some((other) => begin < other.end && other.begin < begin + room && size(other.down - down) < 13)) return [];
    taken.push({ begin, end: begin + room, down });
    return [svgElement("text", { x: begin, y: down }, name)];
  });
}
