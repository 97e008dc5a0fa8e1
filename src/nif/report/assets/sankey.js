// The Flow view: currents as ribbons whose widths are nats; a picked unit dims what does not flow through it.
const SVG = "http://www.w3.org/2000/svg", BAR = 10, HEAD = 22, DIMMED = 0.05;
let flowWidth = 0, ribbonColour = "sign", laid = null;
function svgElement(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
// A unit that has the name of its layer needs no other.
const barName = (bar) => clipped(bar.name, 40) + (bar.name.startsWith(`${layers[bar.layer].name}[`) ? "" : ` of ${clipped(layers[bar.layer].name, 24)}`);
function barText(bar) {
  const [inFor, inAgainst] = bar.into, [outFor, outAgainst] = bar.out, parts = [];
  if (inFor || inAgainst) parts.push(`in: ${nats(inFor)} for, ${nats(inAgainst)} against`);
  if (outFor || outAgainst) parts.push(`out: ${nats(outFor)} for, ${nats(outAgainst)} against`);
  if (bar.unit < 0) parts.push("click to open");
  return `${barName(bar)}: ${measured(bar.nats, bar.stderr)} ${UNIT}, ${ofTotalWithError(bar.nats, bar.stderr)} of the total${parts.map((part) => `; ${part}`).join("")}`;
}
function ribbonText(ribbon, bars) {
  const error = ribbon.stderr === null ? " (several links)" : "";
  return `${barName(bars[ribbon.source])} to ${barName(bars[ribbon.target])}: ${measured(ribbon.nats, ribbon.stderr)} ${UNIT} ${ribbon.nats < 0 ? "against" : "for"} the decision, ${ofTotal(ribbon.nats, ribbon.stderr)} of the total${error}`;
}
// As much of a text as fits.
function trimmed(text, room) {
  measure.font = "12px system-ui, sans-serif";
  return fitted(measure, text, room);
}

// Colours of ribbons by the class that they lead to: the greyer, the less it is ahead of the next.
function classTones(layout) {
  const { shares, ends } = classesOf(layout), palette = dark() ? meta.palette.dark : meta.palette.light;
  const largest = [...ends.keys()].sort((a, b) => layout.bars[ends[b]].nats - layout.bars[ends[a]].nats).slice(0, palette.length).sort((a, b) => a - b);
  const colour = (label) => palette[largest.indexOf(label)] || meta.palette.other;
  const tone = (i) => {
    const order = [...shares[i].keys()].sort((a, b) => shares[i][b] - shares[i][a]), [most, next] = order;
    return mixedColour(meta.palette.other, colour(most), next === undefined ? 1 : (shares[i][most] - shares[i][next]) / (shares[i][most] || 1));
  };
  return { tone: layout.bars.map((_, i) => tone(i)), ends, colour };
}
function mixedColour(from, to, part) {
  const channels = (text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16)), low = channels(from);
  return `rgb(${channels(to).map((value, i) => Math.round(low[i] + (value - low[i]) * part)).join(",")})`;
}

// Pixels of columns and heights, and the room for names at the sides.
function flowPlaces({ bars, columns }, room) {
  const last = columns.length - 1, wide = Math.max(room, 300), numbered = wide > 520;
  const outer = (bar) => bar.column === 0 || bar.column === last;
  const value = (bar, shown) => (shown ? ` · ${outer(bar) ? ofTotalWithError(bar.nats, bar.stderr) : ofTotal(bar.nats, bar.stderr)}` : "");
  measure.font = "12px system-ui, sans-serif";
  const widest = bars.filter(outer).map((bar) => measure.measureText(clipped(bar.name, 40) + value(bar, numbered)).width);
  const side = Math.min(Math.max(...widest) + 24, wide * 0.29, 230);
  const most = Math.max(...columns.map((column) => column.length));
  const width = Math.max(wide, 2 * side + 48 * last), height = Math.max(430, Math.min(760, innerHeight * 0.62), 17 * most);
  const step = (width - 2 * side) / Math.max(last, 1);
  const x = (column) => side + column * step, y = (place) => HEAD + 6 + (1 - place) * (height - HEAD - 12);
  return { last, outer, value, numbered, side, width, height, step, x, y };
}
function ribbonShape(ribbon, bars, { x, y }) {
  const from = bars[ribbon.source].column;
  const curve = (end) => ribbon.spans.slice(1).map((span, i) => {
    const left = x(from + i) + BAR / 2, right = x(from + i + 1) - BAR / 2, middle = (left + right) / 2;
    const begin = ribbon.spans[i][end];
    return [[left, begin], [middle, begin], [middle, span[end]], [right, span[end]]].map(([a, b]) => [a, y(b)]);
  });
  const point = ([a, b]) => `${a.toFixed(1)},${b.toFixed(2)}`;
  const along = (pieces) => pieces.map(([start, ...to], i) => `${i ? `L${point(start)}` : point(start)} C${to.map(point).join(" ")}`).join(" ");
  const backward = (pieces) => pieces.slice().reverse().map((piece) => piece.slice().reverse());
  const kind = (ribbon.nats < 0 ? " against" : "") + (ribbon.spans.length > 2 ? " skips" : "");
  return svgElement("path", { class: `ribbon${kind}`, d: `M${along(curve(0))} L${along(backward(curve(1)))} Z` });
}
function barShape(bar, { x, y }) {
  const left = x(bar.column) - BAR / 2, [low, high] = bar.span.map(y), base = y(bar.base), top = y(bar.base + bar.nats * laid.scale);
  const rectangle = (kind, from, to) => svgElement("rect", { class: kind, x: left, y: Math.min(from, to), width: BAR, height: Math.max(size(to - from), kind === "whole" ? 1 : 0) });
  const group = svgElement("g", { class: bar.unit < 0 ? "unit several" : "unit", role: "button", tabindex: -1, "aria-label": printable(barText(bar)) },
    svgElement("rect", { x: left - 5, y: high - 4, width: BAR + 10, height: low - high + 8, fill: "transparent" }),
    rectangle("whole", low, high), rectangle(`net${bar.nats < 0 ? " against" : ""}`, base, top));
  if (low - base > 1 && base - high > 1) group.append(svgElement("line", { class: "zero", x1: left - 3, x2: left + BAR + 3, y1: base, y2: base }));
  group.setAttribute(bar.unit < 0 ? "aria-expanded" : "aria-pressed", "false");
  return group;
}
// Names beside bars, of which the tallest come first where there is no room for all.
function barTexts(bars, places) {
  const { x, y, outer, numbered, side, step, value } = places, taken = new Map(), texts = [];
  for (const bar of bars.slice().sort((a, b) => (b.span[1] - b.span[0]) - (a.span[1] - a.span[0]))) {
    const number = value(bar, outer(bar) ? numbered : step > 150), middle = (y(bar.span[0]) + y(bar.span[1])) / 2;
    const others = taken.get(bar.column) || [];
    if (others.some((other) => size(other - middle) < 12)) continue;
    const room = outer(bar) ? side - 14 - measure.measureText(number).width : step * 0.6;
    const name = outer(bar) ? trimmed(bar.name, room) : bar.unit < 0 ? bar.name : String(bar.unit - layers[bar.layer].first);
    const text = [name + number, name].find((line) => outer(bar) || measure.measureText(line).width < room);
    if (text === undefined) continue;
    taken.set(bar.column, [...others, middle]);
    const place = bar.column === 0 ? { x: x(0) - 9, "text-anchor": "end" } : { x: x(bar.column) + 9 };
    texts.push(svgElement("text", { class: bar.unit < 0 ? "soft" : "", y: middle + 4, ...place }, text));
  }
  return texts;
}
function columnTitles({ columns, bars }, { last, step, side, x }) {
  return columns.map((column, place) => {
    const name = [...new Set(column.map((i) => layers[bars[i].layer].name))].join(" · ");
    return svgElement("text", { class: "soft", x: x(place), y: 13, "text-anchor": "middle" }, trimmed(name, place % last ? step - 8 : Math.min(step, 2 * side) - 8));
  });
}

function flowView() {
  const section = byId("flow"), stage = byId("ribbons"), tip = byId("flowtip");
  flowWidth = section.clientWidth;
  laid = laidOut();
  const { bars, ribbons } = laid, places = flowPlaces(laid, stage.clientWidth - 4);
  const svg = svgElement("svg", { width: places.width, height: places.height, role: "group", "aria-label": "Currents from the features to the outputs. Arrow keys move between units, Enter picks or opens one, Escape lets go." });
  const shapes = ribbons.map((ribbon) => pointedAt(ribbonShape(ribbon, bars, places), () => ribbonText(ribbon, bars), tip));
  const groups = bars.map((bar) => pointedAt(barShape(bar, places), () => barText(bar), tip));
  // Those that skip layers behind, and narrow ones before wide ones.
  const order = [...ribbons.keys()].sort((a, b) => ribbons[b].spans.length - ribbons[a].spans.length || size(ribbons[a].nats) - size(ribbons[b].nats));
  svg.append(...columnTitles(laid, places), ...order.map((i) => shapes[i]), ...groups, ...barTexts(bars, places));
  groups.forEach((group, i) => {
    group.addEventListener("click", () => pickBar(bars[i]));
    group.addEventListener("focus", () => { if (group.matches(":focus-visible")) byId("flowsay").textContent = printable(barText(bars[i])); });
  });
  svg.addEventListener("keydown", (event) => flowKey(event, bars, groups));
  Object.assign(laid, { svg, shapes, groups });
  colourRibbons();
  stage.replaceChildren(svg);
  byId("flowclose").hidden = !flowState.opened.size;
  showPicked();
}
function pointedAt(shape, text, tip) {
  shape.addEventListener("pointermove", (event) => {
    const box = byId("flow").getBoundingClientRect();
    tip.textContent = printable(text()); tip.hidden = false;
    tip.style.left = `${Math.max(4, Math.min(event.clientX - box.left + 14, box.width - tip.offsetWidth - 8))}px`;
    tip.style.top = `${event.clientY - box.top + byId("flow").scrollTop + 16}px`;
  });
  shape.addEventListener("pointerleave", () => { tip.hidden = true; });
  return shape;
}
// By sign the style sheet colours; by class each ribbon has its own.
function colourRibbons() {
  const byClass = ribbonColour === "class", tones = byClass ? classTones(laid) : null;
  laid.svg.classList.toggle("classes", byClass);
  laid.shapes.forEach((shape, i) => { shape.style.fill = byClass ? tones.tone[laid.ribbons[i].target] : ""; });
  laid.groups.forEach((group, i) => {
    const end = byClass && tones.ends.includes(i);
    group.querySelector(".net").style.fill = end ? tones.colour(tones.ends.indexOf(i)) : "";
  });
  byId("flowmeaning").textContent = `Widths are ${UNIT}, on one scale: what flows into a unit flows out of it. ` + (byClass
    ? "A ribbon has the colour of the class that most of it reaches, and is grey where it reaches several alike; what speaks against the decision has a dashed edge."
    : "Blue speaks for the decision, orange against it, below the base line of a unit.") +
    " A bar is what is for it less what is against it; numbers are shares of the total ± their standard errors." + (laid.bars.some(({ nats: value }) => value < 0) ? " A negative share speaks against the decision." : "") + (laid.ribbons.some(({ spans }) => spans.length > 2) ? " Paler ribbons pass layers by, along a shortcut." : "") + (meta.links.left_out && flowState.opened.size ? ` ${count(meta.links.left_out)} weaker links are not in this page, so the ribbons of opened units add up to less than their bars.` : "");
}

// A unit is picked, here and in the other views; several units together are opened.
function pickBar(bar) {
  if (bar.unit >= 0) { pin(state.pinned === bar.unit ? -1 : bar.unit); return; }
  flowState.opened.add(bar.key);
  drawAgain("flow");
}
function showPicked() {
  if (!laid) return;
  const picked = laid.bars.findIndex((bar) => bar.unit >= 0 && bar.unit === state.pinned);
  const parts = picked < 0 ? null : partsThrough(picked, laid);
  laid.svg.classList.toggle("picked", picked >= 0);
  laid.shapes.forEach((shape, i) => {
    shape.style.fillOpacity = parts ? String(DIMMED + 0.65 * parts[i]) : "";
    shape.classList.toggle("on", picked >= 0 && (laid.ribbons[i].source === picked || laid.ribbons[i].target === picked));
  });
  const met = new Set(parts ? laid.ribbons.flatMap(({ source, target }, i) => (parts[i] > 0 ? [source, target] : [])) : []);
  laid.groups.forEach((group, i) => {
    group.classList.toggle("on", i === picked || met.has(i));
    group.setAttribute("tabindex", i === Math.max(picked, 0) ? 0 : -1);
    if (laid.bars[i].unit >= 0) group.setAttribute("aria-pressed", String(i === picked));
  });
  const name = state.pinned < 0 ? "" : clipped(nameOf(state.pinned), 40);
  byId("flowsay").textContent = picked >= 0 ? printable(barText(laid.bars[picked])) : name ? `${name} is among units that are drawn together: open them to see what flows through it.` : `Point at a ribbon or a unit for its ${UNIT} ± their standard error.`;
}
function flowKey(event, bars, groups) {
  const here = groups.indexOf(document.activeElement);
  if (here < 0) return;
  if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pickBar(bars[here]); if (bars[here].unit < 0) laid.groups[here].focus(); }
  if (event.key === "Escape") pin(-1);
  const sideways = { ArrowLeft: -1, ArrowRight: 1 }[event.key] || 0, down = { ArrowUp: 1, ArrowDown: -1 }[event.key] || 0;
  if (!sideways && !down) return;
  event.preventDefault();
  const beside = [...bars.keys()].filter((i) => i !== here && (sideways ? bars[i].column === bars[here].column + sideways : bars[i].column === bars[here].column && Math.sign(bars[i].base - bars[here].base) === down));
  if (!beside.length) return;
  const next = beside.reduce((a, b) => (size(bars[a].base - bars[here].base) <= size(bars[b].base - bars[here].base) ? a : b));
  groups[here].setAttribute("tabindex", -1); groups[next].setAttribute("tabindex", 0); groups[next].focus();
}
if (meta.sankey) {
  const wide = layers.some((layer) => layer.size > meta.sankey.most + 1);
  byId("wide").parentElement.hidden = !wide;
  byId("ribboncolour").parentElement.hidden = classes.size < 2;
  byId("wide").addEventListener("change", (event) => { flowState.wide = event.target.value; flowState.opened.clear(); drawAgain("flow"); });
  byId("ribboncolour").addEventListener("change", (event) => { ribbonColour = event.target.value; drawAgain("flow"); });
  byId("flowclose").addEventListener("click", () => { flowState.opened.clear(); drawAgain("flow"); });
  new ResizeObserver(() => { if (!byId("flow").hidden && byId("flow").clientWidth !== flowWidth) flowView(); }).observe(byId("flow"));
}
