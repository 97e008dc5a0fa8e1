// Currents as ribbons whose widths are nats, from the places that are in the page; a picked unit dims the rest.
const SVG = "http://www.w3.org/2000/svg", BAR = 10, HEAD = 22;
let pickedBar = -1, flowWidth = 0;
function svgElement(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
const around = (error) => (error === null ? "" : ` ± ${nats(error)}`);
// A unit that has the name of its layer needs no other.
const barName = (bar) => clipped(bar.name, 40) + (bar.name.startsWith(`${layers[bar.layer].name}[`) ? "" : ` of ${clipped(layers[bar.layer].name, 24)}`);
function barText(bar) {
  const [inFor, inAgainst, outFor, outAgainst] = bar.sums, parts = [];
  if (inFor || inAgainst) parts.push(`in: ${nats(inFor)} for, ${nats(inAgainst)} against`);
  if (outFor || outAgainst) parts.push(`out: ${nats(outFor)} for, ${nats(outAgainst)} against`);
  return `${barName(bar)}: ${nats(bar.nats)}${around(bar.stderr)} nats, ${ofTotal(bar.nats)} of the total${parts.map((part) => `; ${part}`).join("")}`;
}
function ribbonText(ribbon, bars) {
  return `${barName(bars[ribbon.source])} to ${barName(bars[ribbon.target])}: ${nats(ribbon.nats)}${around(ribbon.stderr)} nats ${ribbon.nats < 0 ? "against" : "for"} the decision, ${ofTotal(ribbon.nats)} of the total`;
}
// As much of a text as fits.
function trimmed(text, room) {
  measure.font = "12px system-ui, sans-serif";
  let letters = text.length;
  while (letters > 1 && measure.measureText(clipped(text, letters)).width > room) letters--;
  return clipped(text, letters);
}

function flowView() {
  const { bars, ribbons, columns } = meta.sankey, section = byId("flow"), last = columns.length - 1;
  flowWidth = section.clientWidth;
  const wide = Math.max(flowWidth - 36, 300), numbered = wide > 600, outer = (bar) => bar.column === 0 || bar.column === last;
  const value = (bar, room) => (room ? ` · ${ofTotal(bar.nats)}` : "");
  measure.font = "12px system-ui, sans-serif";
  const widest = bars.filter(outer).map((bar) => measure.measureText(clipped(bar.name, 40) + value(bar, numbered)).width);
  const side = Math.min(Math.max(...widest) + 24, wide * 0.29, 230);
  const width = Math.max(wide, 2 * side + 64 * last), height = Math.max(460, Math.min(760, innerHeight * 0.62));
  const step = (width - 2 * side) / Math.max(last, 1);
  const x = (column) => side + column * step, y = (place) => HEAD + 6 + (1 - place) * (height - HEAD - 12);
  const svg = svgElement("svg", { width, height, role: "group", "aria-label": "Currents from the features to the outputs. Arrow keys move between units, Enter picks one, Escape lets go." });
  const tip = element("div", { class: "tip", hidden: "" }), said = element("p", { class: "note", "aria-live": "polite" });
  const list = element("ul", { class: "rows" });

  const tell = (event, text) => {
    const box = section.getBoundingClientRect();
    tip.textContent = printable(text); tip.hidden = false;
    tip.style.left = `${Math.max(4, Math.min(event.clientX - box.left + 14, section.clientWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${event.clientY - box.top + section.scrollTop + 16}px`;
  };
  const hovered = (shape, text) => {
    shape.addEventListener("pointermove", (event) => tell(event, text));
    shape.addEventListener("pointerleave", () => { tip.hidden = true; });
  };
  for (const [column, name] of columns.entries())
    svg.append(svgElement("text", { class: "soft", x: x(column), y: 13, "text-anchor": "middle" }, trimmed(name, column % last ? step - 8 : Math.min(step, 2 * side) - 8)));

  const curve = (heights, column) => heights.slice(1).map((end, i) => {
    const left = x(column + i) + BAR / 2, right = x(column + i + 1) - BAR / 2, middle = (left + right) / 2;
    return [[left, heights[i]], [middle, heights[i]], [middle, end], [right, end]].map(([a, b]) => [a, y(b)]);
  });
  const point = ([a, b]) => `${a.toFixed(1)},${b.toFixed(2)}`;
  const along = (pieces) => pieces.map(([from, ...to], i) => `${i ? `L${point(from)}` : point(from)} C${to.map(point).join(" ")}`).join(" ");
  const backward = (pieces) => pieces.slice().reverse().map((piece) => piece.slice().reverse());
  const shapes = ribbons.map((ribbon) => {
    const from = bars[ribbon.source].column, [low, high] = [0, 1].map((end) => curve(ribbon.spans.map((span) => span[end]), from));
    const kind = (ribbon.nats < 0 ? " against" : "") + (ribbon.spans.length > 2 ? " skips" : "");
    const shape = svgElement("path", { class: `ribbon${kind}`, d: `M${along(low)} L${along(backward(high))} Z` });
    hovered(shape, ribbonText(ribbon, bars));
    return shape;
  });
  // Those that skip layers behind, and narrow ones before wide ones.
  const order = [...ribbons.keys()].sort((a, b) => ribbons[b].spans.length - ribbons[a].spans.length || Math.abs(ribbons[b].nats) - Math.abs(ribbons[a].nats));
  svg.append(...order.map((i) => shapes[i]));

  const groups = bars.map((bar, number) => {
    const left = x(bar.column) - BAR / 2, [low, high] = bar.span.map(y), base = y(bar.base), top = y(bar.top);
    const rectangle = (kind, from, to) => svgElement("rect", { class: kind, x: left, y: Math.min(from, to), width: BAR, height: Math.max(Math.abs(to - from), kind === "whole" ? 1 : 0) });
    const group = svgElement("g", { class: "unit", role: "button", tabindex: number === Math.max(pickedBar, 0) ? 0 : -1, "aria-pressed": "false", "aria-label": printable(barText(bar)) },
      svgElement("rect", { x: left - 5, y: Math.min(high, low) - 4, width: BAR + 10, height: Math.abs(low - high) + 8, fill: "transparent" }),
      rectangle("whole", low, high), rectangle(`net${bar.nats < 0 ? " against" : ""}`, base, top));
    if (low - base > 1 && base - high > 1) group.append(svgElement("line", { class: "zero", x1: left - 3, x2: left + BAR + 3, y1: base, y2: base }));
    hovered(group, barText(bar));
    group.addEventListener("click", () => pickBar(pickedBar === number ? -1 : number));
    // Of a mouse the click says it: a text of another height now would move the unit from under the pointer.
    group.addEventListener("focus", () => { if (group.matches(":focus-visible")) said.textContent = printable(barText(bar)); });
    return group;
  });
  svg.append(...groups);
  for (const bar of bars) {
    const number = value(bar, outer(bar) ? numbered : step > 150), middle = (y(bar.span[0]) + y(bar.span[1])) / 2;
    const place = bar.column === 0 ? { x: x(0) - 9, "text-anchor": "end" } : { x: x(bar.column) + 9 };
    const room = outer(bar) ? side - 14 - measure.measureText(number).width : step / 2 - 8;
    const text = (outer(bar) ? trimmed(bar.name, room) : bar.unit === null ? bar.name : String(bar.unit)) + number;
    if (outer(bar) || room > measure.measureText(text).width) svg.append(svgElement("text", { class: bar.unit === null ? "soft" : "", y: middle + 4, ...place }, text));
  }

  function pickBar(number) {
    pickedBar = number;
    const joined = number < 0 ? [] : order.filter((i) => ribbons[i].source === number || ribbons[i].target === number);
    svg.classList.toggle("picked", number >= 0);
    for (const [i, shape] of shapes.entries()) shape.classList.toggle("on", joined.includes(i));
    for (const [i, group] of groups.entries()) {
      group.classList.toggle("on", i === number || joined.some((e) => ribbons[e].source === i || ribbons[e].target === i));
      group.setAttribute("aria-pressed", String(i === number));
    }
    said.textContent = number < 0 ? "Point at a ribbon or a unit for its nats ± their standard error; click a unit to see what flows through it." : printable(barText(bars[number]));
    const strongest = joined.slice().sort((a, b) => Math.abs(ribbons[b].nats) - Math.abs(ribbons[a].nats));
    list.replaceChildren(...strongest.map((i) => element("li", {},
      element("span", { class: "name", text: `${barName(bars[ribbons[i].source])} → ${barName(bars[ribbons[i].target])}` }),
      element("span", { class: "value", text: `${nats(ribbons[i].nats)}${around(ribbons[i].stderr)}` }))));
  }
  svg.addEventListener("keydown", (event) => {
    const here = groups.indexOf(document.activeElement);
    if (here < 0) return;
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pickBar(pickedBar === here ? -1 : here); }
    if (event.key === "Escape") pickBar(-1);
    const sideways = { ArrowLeft: -1, ArrowRight: 1 }[event.key] || 0, down = { ArrowUp: 1, ArrowDown: -1 }[event.key] || 0;
    if (!sideways && !down) return;
    event.preventDefault();
    const beside = [...bars.keys()].filter((i) => i !== here && (sideways ? bars[i].column === bars[here].column + sideways : bars[i].column === bars[here].column && Math.sign(bars[i].base - bars[here].base) === down));
    if (!beside.length) return;
    const next = beside.reduce((a, b) => (Math.abs(bars[a].base - bars[here].base) <= Math.abs(bars[b].base - bars[here].base) ? a : b));
    groups[here].setAttribute("tabindex", -1); groups[next].setAttribute("tabindex", 0); groups[next].focus();
  });
  const meaning = element("p", { class: "note", text: "Widths are nats, on one scale: what flows into a unit flows out of it. Blue speaks for the decision, orange against it, below the base line of a unit. A bar is what is for it less what is against it." });
  section.replaceChildren(meaning, scroller("Currents as ribbons", svg), said, list, tip);
  pickBar(pickedBar);
}
new ResizeObserver(() => { if (!byId("flow").hidden && byId("flow").clientWidth !== flowWidth) flowView(); }).observe(byId("flow"));
