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
function swatch(label, hollow) {
  const colour = colourOf(label);
  return element("span", { class: "swatch", style: { borderColor: colour, background: hollow ? "transparent" : colour } });
}
// Shown while no neuron is pinned: the meaning of the colours, and the strongest links.
function overview() {
  const members = new Map(), coloured = meta.palette.light.length;
  for (const label of unit.community) {
    const group = Math.min(label, coloured); // all smaller ones together
    members.set(group, (members.get(group) || 0) + 1);
  }
  const name = (label) => (label < 0 ? "in none: no information" : label < coloured ? `community ${label}` : "smaller communities");
  const groups = [...members].sort(([a], [b]) => (a < 0) - (b < 0) || a - b).map(([label, size]) => element("li", {},
    element("span", {}, swatch(label, false), name(label)), element("span", { class: "value", text: `${count(size)} unit${size === 1 ? "" : "s"}` })));
  const strongest = Array.from({ length: Math.min(8, linksFor(1)) }, (_, i) => ranked(i)).map((e) => element("li", {},
    element("span", {}, goTo(link.source[e]), " → ", goTo(link.target[e])), element("span", { class: "value", text: nats(link.nats[e]) })));
  const parts = [element("p", { class: "note", text: "Choose a neuron to see its links and paths here. Hollow neurons are silent: no information was detected." }),
    element("h2", { class: "small", text: "Colour" }), element("ul", { class: "rows" }, ...groups)];
  if (strongest.length) parts.push(element("h2", { class: "small", text: state.chosen < 0 ? "Strongest links, nats" : "Links with the most information to this class, nats" }), element("ul", { class: "rows" }, ...strongest));
  return parts;
}
function detail() {
  const u = state.pinned, panel = byId("detail");
  if (u < 0) { panel.replaceChildren(...overview()); return; }
  const parts = [element("h2", {}, swatch(unit.community[u], unit.silent[u]), element("span", { class: "name", text: clipped(nameOf(u), 200) })), facts([
    ["layer", clipped(layers[layerOf[u]].name)], ["silent", unit.silent[u] ? "yes" : "no"],
    ["nats in", nats(unit.inflow[u])], ["nats out", nats(unit.outflow[u])],
    ["throughput", share(unit.throughput[u])], [meta.central, big(unit.betweenness[u])],
    ["community", communityText(unit.community[u])], ["p", chance(unit.p[u])], ["q", chance(unit.q[u])],
    ...(meta.pruning ? [["pruning", ["kept", "removed", "restored"][fate[u]]]] : [])])];
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
  const bars = element("div", { class: "bars", role: "list" });
  for (const { u, value, error } of sorted.slice(0, MOST_BARS)) {
    const low = Math.max(0, value - 1.96 * error), high = value + 1.96 * error;
    bars.append(element("div", { class: "row", role: "listitem" }, element("span", { class: "name", text: clipped(nameOf(u)) }),
      element("span", { class: "track" }, element("span", { class: "bar", style: { width: 100 * value / top + "%" } }),
        element("span", { class: "whisker", style: { left: 100 * low / top + "%", width: 100 * (high - low) / top + "%" } })),
      element("span", { class: "value", text: withInterval(value, low, high) })));
  }
  const parts = [element("div", { class: "tools" }, element("label", { text: "Information to " }, classSelect())),
    element("p", { class: "note", text: `Sum over all paths from the feature to the class of the product of the nats of their links, with a 95 % interval ${meta.interval}.` }),
    element("div", { class: "beside" }, ...imagesOf(rows), bars)];
  if (sorted.length > MOST_BARS) parts.push(element("p", { class: "note", text: `The ${MOST_BARS} largest of ${count(sorted.length)} features.` }));
  byId("attribution").replaceChildren(...parts);
}
function layersView() {
  const most = Math.max(...layers.map((layer) => Math.max(layer.inflow, layer.outflow))) || 1;
  const meter = (value, kind) => element("td", {}, element("span", { class: "metered" }, element("span", { text: nats(value) }),
    element("span", { class: "meter " + kind, style: { width: `calc(var(--meter) * ${value / most})` } })));
  const body = layers.map((layer) => element("tr", {}, element("td", { class: "text", text: clipped(layer.name) }), meter(layer.inflow, "in"), meter(layer.outflow, "out"),
    ...[layer.size, layer.silent, layer.constant].map((value) => element("td", { text: count(value) })), element("td", { class: "text", text: clipped(layer.kind) })));
  const head = element("tr", {}, ...["layer", "nats in", "nats out", "units", "silent", "constant", "kind"].map((name, i) => element("th", { scope: "col", text: name, class: i % 6 ? (i < 3 ? "metered" : "") : "text" })));
  byId("layers").replaceChildren(element("p", {}, `Modularity of the communities: `, element("strong", { text: meta.modularity.toFixed(3) }), ` (0: no better than chance; 1: maximum).`),
    scroller("Layers", element("table", {}, element("thead", {}, head), element("tbody", {}, ...body))));
}

function methodView() {
  byId("method").replaceChildren(element("h2", { text: "How it was measured" }), facts(meta.method),
    element("h2", { text: "What to keep in mind", style: { marginTop: "1.2rem" } }),
    element("ul", { class: "caveats" }, ...meta.caveats.map((text) => element("li", { class: "note", text }))));
}
