// Removed units and their cost, if the flow came with a pruning result.
const REMOVED = 1, RESTORED = 2, fate = new Uint8Array(units);
if (meta.pruning) {
  for (const u of meta.pruning.removed) fate[u] = REMOVED;
  for (const u of meta.pruning.restored) fate[u] = RESTORED;
  byId("tab-pruning").hidden = false;
  byId("removed").parentElement.hidden = false;
}
function pruningView() {
  const { cost, removed, restored, notes } = meta.pruning;
  const cells = (tag, texts) => element("tr", {}, ...texts.map((text, i) => element(tag, { class: i ? "" : "text", text, ...(tag === "th" ? { scope: "col" } : {}) })));
  const simple = (label, head, body) => scroller(label, element("table", {}, element("thead", {}, cells("th", head)), element("tbody", {}, ...body.map((row) => cells("td", row)))));
  const gone = layers.map((layer) => [REMOVED, RESTORED].map((which) => fate.subarray(layer.first, layer.first + layer.size).reduce((sum, code) => sum + (code === which), 0)));
  const byLayer = layers.map((layer, i) => [clipped(layer.name), count(layer.size), count(gone[i][0]), count(layer.size - gone[i][0]), count(gone[i][1])]).slice(meta.features.length, -1);
  const list = element("div", { id: "gone" });
  byId("pruning").replaceChildren(
    element("p", {}, element("strong", { text: `${count(removed.length)} unit${removed.length === 1 ? "" : "s"} removed, ${count(restored.length)} restored` }), ". The cost:"),
    simple("Cost of pruning", ["of the network", "before", "after", "change"], cost), ...notes.map((text) => element("p", { class: "note", text })),
    element("h2", { text: "Units of each layer" }), simple("Pruned units by layer", ["layer", "before", "removed", "kept", "restored"], byLayer),
    element("h2", { text: "Removed and restored units" }), list);
  const rows = [...removed.map((u, i) => [u, meta.pruning.how[i] === "cut" ? "cut out" : meta.pruning.how[i]]), ...restored.map((u, i) => [u, `restored: ${meta.pruning.reasons[i]}`])];
  table(list, [
    { name: "layer", text: true, value: (i) => layerName(rows[i][0]) }, { name: "unit", text: true, value: (i) => nameOf(rows[i][0]) },
    { name: "result", text: true, value: (i) => rows[i][1] },
    ...carriedColumns((i) => rows[i][0]), { name: "q", value: (i) => unit.q[rows[i][0]], shown: chance },
  ], rows.length, "");
}
// A cross over every removed unit.
function drawRemoved(context) {
  if (!state.removed) return;
  context.beginPath();
  for (const u of meta.pruning.removed) {
    if (!visible(u)) continue;
    const x = sx(u), y = sy(u), r = Math.max(2, radius(u));
    context.moveTo(x - r, y - r); context.lineTo(x + r, y + r);
    context.moveTo(x - r, y + r); context.lineTo(x + r, y - r);
  }
  context.strokeStyle = css("--ink"); context.lineWidth = 1.5; context.stroke();
}
