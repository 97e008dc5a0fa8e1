// Sortable tables of neurons and links, with a copy as CSV.
const PAGE = 200;
function table(section, columns, length, file, before = null) {
  let sorted = before && Uint32Array.from({ length }, (_, i) => i).sort(before), by = -1, falling = true, rows = PAGE;
  const indices = () => sorted || (sorted = Uint32Array.from({ length }, (_, i) => i));
  const sort = (column) => {
    falling = by === column ? !falling : !columns[column].text;
    by = column;
    const { value } = columns[column], sign = falling ? -1 : 1;
    indices().sort((a, b) => { const x = value(a), y = value(b); return x < y ? -sign : x > y ? sign : a - b; });
    render();
  };
  const csv = () => {
    const quoted = (value) => (typeof value === "string" ? '"' + guarded(value).replaceAll('"', '""') + '"' : String(value));
    const lines = [columns.map(({ name }) => (name.includes(",") ? quoted(name) : name)).join(",")];
    for (const i of indices()) lines.push(columns.map(({ value, shown }) => quoted(shown === nats ? inUnit(value(i)) : value(i))).join(","));
    return lines.join("\n");
  };
  const render = () => {
    const head = columns.map(({ name, text }, i) => element("th", { scope: "col", class: text ? "text" : "", "aria-sort": by !== i ? "none" : falling ? "descending" : "ascending" },
      element("button", { type: "button", text: name + (by !== i ? "" : falling ? " ▾" : " ▴"), onclick: () => sort(i) })));
    const body = Array.from(indices().subarray(0, rows), (i) => element("tr", {}, ...columns.map(({ value, shown, text }) =>
      element("td", { class: text ? "text name" : "", text: text ? clipped(value(i)) : shown(value(i)) }))));
    const copy = element("button", { type: "button", class: "copy", text: "Copy as CSV", onclick: async () => { await copied(csv()); copy.textContent = "Copied"; } });
    const more = rows < length ? [element("button", { type: "button", text: "Show more", onclick: () => { rows += 5 * PAGE; render(); } })] : [];
    section.replaceChildren(element("div", { class: "tools" }, copy, element("span", { class: "note", text: `${count(Math.min(rows, length))} of ${count(length)} rows${file}` })),
      scroller("Table", element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body))), ...more);
  };
  render();
}
// A spreadsheet would run a cell that begins with one of these.
const guarded = (text) => (/^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(text) ? "'" + text : text);
async function copied(text) {
  try { await navigator.clipboard.writeText(text); } catch {
    const area = element("textarea", { class: "unseen" });
    area.value = text; document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
  }
}
const layerName = (u) => layers[layerOf[u]].name;
// Columns of what flows through units; `of` is the unit in a row.
function carriedColumns(of) {
  if (!currents) return [
    { name: `${UNIT} in`, value: (i) => unit.inflow[of(i)], shown: nats }, { name: `${UNIT} out`, value: (i) => unit.outflow[of(i)], shown: nats },
    { name: "throughput", value: (i) => unit.throughput[of(i)], shown: share },
  ];
  return [
    { name: `current, ${UNIT}`, value: (i) => unit.current[of(i)], shown: nats }, { name: "± 95 %", value: (i) => meta.deviations * unit.currentError[of(i)], shown: nats },
    { name: "of the total", value: (i) => unit.current[of(i)] / (currents.total || 1), shown: share }, { name: `absolute, ${UNIT}`, value: (i) => unit.absolute[of(i)], shown: nats },
  ];
}
// Layer by layer, in each the units that carry most first.
function neuronsView() {
  const strength = (u) => (currents ? size(unit.current[u]) : unit.throughput[u]);
  const list = element("div");
  byId("neurons").replaceChildren(list, wordsOfUnits());
  table(list, [
    { name: "layer", text: true, value: layerName }, { name: "unit", text: true, value: nameOf },
    ...carriedColumns((u) => u), { name: meta.central, value: (u) => unit.betweenness[u], shown: big },
    { name: "community", value: (u) => unit.community[u], shown: communityText }, { name: "p", value: (u) => unit.p[u], shown: chance },
    { name: "q", value: (u) => unit.q[u], shown: chance }, { name: "silent", value: (u) => unit.silent[u], shown: (yes) => (yes ? "silent" : "") },
  ], units, "", (a, b) => layerOf[a] - layerOf[b] || strength(b) - strength(a) || a - b);
}
function linksView() {
  table(byId("links"), [
    { name: "from", text: true, value: (e) => nameOf(link.source[e]) }, { name: "to", text: true, value: (e) => nameOf(link.target[e]) },
    { name: currents ? `current, ${UNIT}` : UNIT, value: (e) => link.nats[e], shown: nats }, { name: "± 95 %", value: (e) => meta.deviations * link.error[e], shown: nats },
    ...(currents ? [{ name: "of the total", value: (e) => link.nats[e] / (currents.total || 1), shown: share }] : []),
    { name: "p", value: (e) => link.p[e], shown: chance },
    { name: "from layer", text: true, value: (e) => layerName(link.source[e]) }, { name: "to layer", text: true, value: (e) => layerName(link.target[e]) },
  ], linkCount, meta.links.left_out ? `; ${count(meta.links.left_out)} weaker links are not in this page` : "");
}
