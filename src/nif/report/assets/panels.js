// Everything beside the picture: the pinned neuron, attribution, link map, layers, method.
function pin(u) {
  state.pinned = u;
  const measuredOnes = u < 0 ? [] : measuredPaths(u, MOST_PATHS), others = u >= 0 && !measuredOnes.length;
  state.paths = { measured: measuredOnes, into: others ? strongestPaths(u, true, 3) : [], out: others ? strongestPaths(u, false, 3) : [] };
  state.path = Object.values(state.paths).flat();
  detail();
  highlight();
  if (!byId("flow").hidden) showPicked();
  remember();
}
// Of currents the strongest of the paths that were evaluated within rows, through a unit or, for -1, of all.
const MOST_PATHS = 6;
function measuredPaths(u, most) {
  const known = currents && currents.paths, found = [];
  for (let i = 0; known && i < known.units.length && found.length < most; i++)
    if (u < 0 || known.units[i].includes(u)) found.push({ product: known.nats[i], error: known.stderr[i], units: known.units[i] });
  return found;
}
function goTo(u) {
  return element("button", { type: "button", class: "link name", text: clipped(nameOf(u)), onclick: () => pin(u) });
}
function linkRows(list, other) {
  return element("ul", { class: "rows" }, ...Array.from(list.slice(0, 8), (e) => element("li", {}, goTo(other[e]),
    element("span", { class: "value", text: `${measured(link.nats[e], meta.deviations * link.error[e])}, p ${chance(link.p[e])}` }))));
}
// Of association shares of all paths to or from the unit: a product of nats has no size of its own.
function pathRows(paths, whole) {
  return element("ul", { class: "rows paths" }, ...paths.map((path) => element("li", {},
    element("span", { class: "name", text: path.units.map((u) => clipped(nameOf(u), 24)).join(" → ") }),
    element("span", { class: "value", text: currents ? measured(path.product, path.error) : share(path.product / whole) }))));
}
function facts(rows) {
  return element("dl", {}, ...rows.flatMap(([term, text]) => [element("dt", { text: term }), element("dd", { text })]));
}
function swatch(colour, hollow) {
  return element("span", { class: "swatch", style: { borderColor: colour, background: hollow ? "transparent" : colour } });
}
// The meaning of the colours of currents, and how many links have each.
function signs() {
  const below = link.nats.reduce((sum, value) => sum + (value < 0), 0);
  return [["for the decision", linkCount - below, ""], ["against it", below, " dashed"]].map(([name, number, style], i) => element("li", {},
    element("span", {}, element("span", { class: "stroke" + style, style: { borderColor: tones()[i] } }), name),
    element("span", { class: "value", text: `${count(number)} link${number === 1 ? "" : "s"}` })));
}
function communityRows() {
  const members = new Map(), coloured = meta.palette.light.length;
  for (const label of unit.community) {
    const group = Math.min(label, coloured); // all smaller ones together
    members.set(group, (members.get(group) || 0) + 1);
  }
  const name = (label) => (label < 0 ? "in none: no information" : label < coloured ? `community ${label}` : "smaller communities");
  const groups = [...members].sort(([a], [b]) => (a < 0) - (b < 0) || a - b).map(([label, size]) => element("li", {},
    element("span", {}, swatch(colourOf(label), false), name(label)), element("span", { class: "value", text: `${count(size)} unit${size === 1 ? "" : "s"}` })));
  return groups;
}
// Shown while no neuron is pinned: the meaning of the colours, and the strongest links.
function overview() {
  const strongest = Array.from({ length: Math.min(8, linksFor(1)) }, (_, i) => ranked(i)).map((e) => element("li", {},
    element("span", {}, goTo(link.source[e]), " → ", goTo(link.target[e])), element("span", { class: "value", text: nats(link.nats[e]) })));
  const parts = [element("p", { class: "note", text: "Choose a neuron to see its links and paths here. " + (currents ? "Hollow neurons are silent: less than 0.1 % of the total flows through them." : "Hollow neurons are silent: no information was detected.") }),
    element("h2", { class: "small", text: "Colour" }), element("ul", { class: "rows" }, ...(bySign() ? signs() : communityRows()))];
  parts.push(wordsOfUnits());
  if (strongest.length) parts.push(element("h2", { class: "small", text: currents || state.chosen < 0 ? `Strongest links, ${UNIT}` : `Links with the most information to this class, ${UNIT}` }), element("ul", { class: "rows" }, ...strongest));
  return parts;
}
// What flows through a unit.
function carried(u) {
  if (!currents) return [[`${UNIT} in`, nats(unit.inflow[u])], [`${UNIT} out`, nats(unit.outflow[u])], ["throughput", share(unit.throughput[u])]];
  return [[`current, ${UNIT}`, nats(unit.current[u])], ["95 %", interval(unit.current[u], unit.currentError[u])],
    ["of the total", ofTotal(unit.current[u])], [`absolute, ${UNIT}`, nats(unit.absolute[u])]];
}
function detail() {
  const u = state.pinned;
  if (!byId("network").hidden) byId("detail").replaceChildren(...(u < 0 ? overview() : unitParts(u)));
  if (!byId("flow").hidden) byId("flowdetail").replaceChildren(...(u < 0 ? flowOverview() : unitParts(u)));
}
// Beside the ribbons while no unit is picked.
function flowOverview() {
  const known = measuredPaths(-1, 8), parts = [element("p", { class: "note", text: "Choose a unit to see what flows through it." + (laid && laid.bars.some((bar) => bar.unit < 0) ? " Bars of several units open." : "") })];
  if (known.length) parts.push(element("h2", { class: "small", text: `Strongest paths, ${UNIT} ± standard error` }), pathRows(known, 1), element("p", { class: "note", text: `Of ${currents.paths.evaluated}.` }));
  return [...parts, words("current", "absolute", "community")];
}
function unitParts(u) {
  const parts = [element("h2", {}, swatch(tones()[unitTone(u)], unit.silent[u]), element("span", { class: "name", text: clipped(nameOf(u), 200) })), facts([
    ["layer", clipped(layers[layerOf[u]].name)], ["silent", unit.silent[u] ? "yes" : "no"],
    ...carried(u), [meta.central, big(unit.betweenness[u])],
    ["community", communityText(unit.community[u])], ["p", chance(unit.p[u])], ["q", chance(unit.q[u])],
    ...(meta.pruning ? [["pruning", ["kept", "removed", "restored"][fate[u]]]] : [])])];
  const into = linksIn(u), out = linksOut(u);
  if (into.length) parts.push(element("h3", { text: `Strongest links in (of ${count(into.length)}), ${UNIT} ± 95 %` }), linkRows(into, link.source));
  if (out.length) parts.push(element("h3", { text: `Strongest links out (of ${count(out.length)}), ${UNIT} ± 95 %` }), linkRows(out, link.target));
  parts.push(...pathsOf(u), wordsOfUnits(), element("p", {}, element("button", { type: "button", text: "Unpin", onclick: () => pin(-1) })));
  return parts;
}
// Paths through a unit as they were measured; where none was, those of the mean graph.
function pathsOf(u) {
  const { measured: known, into, out } = state.paths, parts = [];
  if (known.length) return [element("h3", { text: `Strongest measured paths through it, ${UNIT} ± standard error` }), pathRows(known, 1)];
  for (const [inward, title, paths] of [[true, "Strongest paths in", into], [false, "Strongest paths out", out]]) {
    const whole = currents ? 1 : (inward ? fromFeatures() : toClass(state.chosen))[u];
    if (paths.length) parts.push(element("h3", { text: title + (currents ? `, from the mean graph, in ${UNIT}` : `, share of all ${inward ? "to" : "from"} it`) }), pathRows(paths, whole));
  }
  return parts;
}

// Attribution of every feature to the chosen class, or summed over all.
const wholeAttribution = () => features.reduce((before, _, row) => before + attribution.value[(row + 1) * (labels.length + 1) - 1], 0) || 1;
function attributionRows() {
  const columns = labels.length + 1, column = state.chosen < 0 ? labels.length : state.chosen;
  const whole = currents ? 1 : wholeAttribution();
  return features.map((u, row) => ({
    u, row, value: attribution.value[row * columns + column] / whole, error: attribution.error[row * columns + column] / whole,
  }));
}
function classSelect(id) {
  const select = element("select", id ? { id } : {}, element("option", { value: "-1", text: "all classes" }),
    ...labels.map((label, c) => element("option", { value: String(c), text: clipped(label, 40) })));
  select.value = String(state.chosen);
  select.addEventListener("change", () => choose(Number(select.value)));
  return select;
}
function attributionNote(below) {
  if (!currents) return `Share of the feature${state.chosen < 0 ? "" : " and the class"} in the sum over all paths from features to classes of the product of the information of their links, with a 95 % interval ${meta.interval}.`;
  const what = state.chosen < 0 ? "the decision" : `the class ${clipped(labels[state.chosen], 40)}`;
  const sum = state.chosen < 0 ? ` The features sum to the total of ${nats(currents.total)} ± ${nats(currents.stderr)} ${UNIT}.` : "";
  return `Current of each feature for ${what} in ${UNIT}, with a 95 % interval, and its share of the total.${below ? " A negative share speaks against the decision." : ""}${sum}`;
}
const MOST_BARS = 100;
function attributionView() {
  const strength = currents ? ({ value }) => size(value) : ({ value }) => value;
  const rows = attributionRows(), sorted = [...rows].sort((a, b) => strength(b) - strength(a)), drawn = sorted.slice(0, MOST_BARS);
  // From the lowest end of a bar or interval to the highest; 0 is inside.
  const all = [0, ...drawn.flatMap(({ value, error }) => [value, ...ends(value, error)])];
  const bottom = Math.min(...all), reach = Math.max(...all) - bottom || 1;
  const at = (value) => 100 * (value - bottom) / reach + "%", wide = (part) => 100 * part / reach + "%";
  const bars = element("div", { class: "bars", role: "list" });
  for (const { u, value, error } of drawn) {
    const [low, high] = ends(value, error);
    bars.append(element("div", { class: "row", role: "listitem" }, element("span", { class: "name", text: clipped(nameOf(u)) }),
      element("span", { class: "track" }, element("span", { class: value < 0 ? "bar against" : "bar", style: { left: at(Math.min(0, value)), width: wide(Math.abs(value)) } }),
        ...(bottom < 0 ? [element("span", { class: "zero", style: { left: at(0) } })] : []),
        element("span", { class: "whisker", style: { left: at(low), width: wide(high - low) } })),
      element("span", { class: "value", text: currents ? `${withInterval(value, low, high)} · ${ofTotal(value, (high - low) / 2 / meta.deviations)}` : `${share(value)} (${share(low)} to ${share(high)})` })));
  }
  const tools = labels.length ? [element("div", { class: "tools" }, element("label", { text: currents ? "Currents for " : "Information to " }, classSelect()))] : [];
  const pictures = imagesOf(rows), multiples = classMultiples();
  const parts = [...tools, element("p", { class: "note", text: attributionNote(rows.some(({ value }) => value < 0)) }), ...(pictures.length
    ? [element("div", { class: "beside" }, element("div", { class: "pictures" }, ...pictures, ...multiples), bars)] : [bars, ...multiples])];
  if (sorted.length > MOST_BARS) parts.push(element("p", { class: "note", text: `The ${MOST_BARS} largest of ${count(sorted.length)} features.` }));
  byId("attribution").replaceChildren(...parts);
}
function modularity() {
  return ["Modularity of the communities: ", element("strong", { text: meta.modularity.toFixed(3) }), " (0: no better than chance; 1: maximum)."];
}
function layersView() {
  if (currents) { currentLayers(); return; }
  const most = Math.max(...layers.map((layer) => Math.max(layer.inflow, layer.outflow))) || 1;
  const meter = (value, kind) => element("td", {}, element("span", { class: "metered" }, element("span", { text: nats(value) }),
    element("span", { class: "meter " + kind, style: { width: `calc(var(--meter) * ${value / most})` } })));
  const body = layers.map((layer) => element("tr", {}, element("td", { class: "text", text: clipped(layer.name) }), meter(layer.inflow, "in"), meter(layer.outflow, "out"),
    ...[layer.size, layer.silent, layer.constant].map((value) => element("td", { text: count(value) })), element("td", { class: "text", text: clipped(layer.kind) })));
  const head = element("tr", {}, ...["layer", `${UNIT} in`, `${UNIT} out`, "units", "silent", "constant", "kind"].map((name, i) => element("th", { scope: "col", text: name, class: i % 6 ? (i < 3 ? "metered" : "") : "text" })));
  byId("layers").replaceChildren(element("p", {}, ...modularity()),
    scroller("Layers", element("table", {}, element("thead", {}, head), element("tbody", {}, ...body))), openWords("silent", "community", "modularity"));
}

// Of currents every layer carries the total; what differs is how much of it is for and against.
function currentLayers() {
  const most = Math.max(...currents.for, ...currents.against.map(Math.abs)) || 1;
  const meter = (value, kind) => element("td", {}, element("span", { class: "metered" }, element("span", { text: nats(value) }),
    element("span", { class: "meter " + kind, style: { width: `calc(var(--meter) * ${Math.abs(value) / most})` } })));
  const body = layers.map((layer, i) => element("tr", {}, element("td", { class: "text", text: clipped(layer.name) }), meter(currents.for[i], "in"), meter(currents.against[i], "against"),
    element("td", { text: nats(currents.for[i] + currents.against[i]) }), element("td", { text: nats(currents.absolute[i]) }),
    ...[layer.size, layer.silent, layer.constant].map((value) => element("td", { text: count(value) })), element("td", { class: "text", text: clipped(layer.kind) })));
  const head = element("tr", {}, ...["layer", `${UNIT} for`, `${UNIT} against`, "sum", "absolute", "units", "silent", "constant", "kind"].map((name, i) => element("th", { scope: "col", text: name, class: i % 8 ? (i < 3 ? "metered" : "") : "text" })));
  byId("layers").replaceChildren(
    element("p", { class: "note", text: `Sums of the currents of units that speak for the decision and of those against it. Together they are the total of ${nats(currents.total)} ${UNIT} in every layer that no shortcut passes by. Absolute: mean over rows, without the sign that a unit has on a row.` }),
    scroller("Layers", element("table", {}, element("thead", {}, head), element("tbody", {}, ...body))),
    element("p", { style: { marginTop: ".8rem" } }, ...modularity()), openWords("current", "absolute", "silent", "community", "modularity"));
}

function methodView() {
  byId("method").replaceChildren(element("h2", { text: "How it was measured" }), element("p", { class: "note", text: meta.summary }), facts(meta.method),
    element("h2", { text: "What to keep in mind", style: { marginTop: "1.2rem" } }),
    element("ul", { class: "caveats" }, ...meta.caveats.map((text) => element("li", { class: "note", text }))));
}
