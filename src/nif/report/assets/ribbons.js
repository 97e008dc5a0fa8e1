// Bars and ribbons of currents and their places from 0 (bottom) to 1, as nif.plots.sankey lays them out.
const GAP = 0.03, MOST_GAPS = 0.5, SWEEPS = 8;
const flowState = { wide: "strongest", opened: new Set() };
const size = Math.abs, sum = (values) => values.reduce((a, b) => a + b, 0);
const bySize = (u, v) => size(unit.current[v]) - size(unit.current[u]) || u - v;

// A bar is a unit, or several units of a layer together, which a click opens.
const single = (u) => ({ layer: layerOf[u], units: [u], key: `u${u}`, name: nameOf(u), nats: unit.current[u], stderr: unit.currentError[u], unit: u });
function together(layer, units, key, name, stderr) {
  if (units.length === 1) return single(units[0]);
  return { layer, units, key, name, stderr, nats: sum(units.map((u) => unit.current[u])), unit: -1 };
}
// The bars in the place of one: itself, or once opened its strongest units and the rest of them.
function inside(bar) {
  if (bar.unit >= 0 || !flowState.opened.has(bar.key)) return [bar];
  const most = meta.sankey.most, sorted = bar.units.slice().sort(bySize);
  if (sorted.length <= most + 1) return bar.units.map(single);
  const rest = sorted.slice(most).sort((u, v) => u - v);
  return [...sorted.slice(0, most).sort((u, v) => u - v).map(single), ...inside(together(bar.layer, rest, bar.key + "+", `${count(rest.length)} more`, null))];
}
const unitsOf = (layer) => Array.from({ length: layer.size }, (_, i) => layer.first + i);
function strongestOf(layer, index) {
  const alone = meta.sankey.alone[index].map((i) => layer.first + i), known = new Set(alone);
  const rest = unitsOf(layer).filter((u) => !known.has(u));
  const more = rest.length ? [together(index, rest, `r${index}`, `${count(rest.length)} more`, meta.sankey.rest_stderr[index])] : [];
  return [...alone.map(single), ...more];
}
function communitiesOf(layer, index) {
  const groups = new Map(), coloured = meta.palette.light.length;
  for (const u of unitsOf(layer)) {
    const label = Math.min(unit.community[u], coloured);
    if (!groups.has(label)) groups.set(label, []);
    groups.get(label).push(u);
  }
  const name = (label) => (label < 0 ? "in no community" : label < coloured ? `community ${label}` : "small communities");
  return [...groups].sort(([a], [b]) => (a < 0) - (b < 0) || a - b).map(([label, units]) =>
    together(index, units, `c${index}.${label}`, `${name(label)}: ${count(units.length)}`, label < coloured ? meta.sankey.community_stderr[index][label] : null));
}
function barsNow() {
  const wide = (layer) => layer.size > meta.sankey.most + 1 && flowState.wide === "communities";
  return layers.flatMap((layer, index) => (wide(layer) ? communitiesOf : strongestOf)(layer, index)).flatMap(inside);
}

// Links between two bars, those of each sign together; the error of one link is known, that of several is not.
function ribbonsNow(bars) {
  const sent = meta.sankey.ribbons, first = flowState.wide === "strongest" && !flowState.opened.size;
  if (sent && first) return sent.map(([source, target, value, stderr]) => ({ source, target, nats: value, stderr }));
  const barOf = new Int32Array(units), merged = new Map();
  bars.forEach((bar, i) => { for (const u of bar.units) barOf[u] = i; });
  for (let e = 0; e < linkCount; e++) {
    const source = barOf[link.source[e]], target = barOf[link.target[e]], value = link.nats[e];
    if (value === 0) continue;
    const key = (source * bars.length + target) * 2 + (value < 0), known = merged.get(key);
    if (known) { known.nats += value; known.stderr = null; } else merged.set(key, { source, target, nats: value, stderr: link.error[e] });
  }
  return [...merged.keys()].sort((a, b) => a - b).map((key) => merged.get(key));
}

// Bars of each column from above: features by their currents, classes as they are, others so that few ribbons cross.
function orderedBars(bars, ribbons, columns) {
  const last = columns.length - 1, height = new Float64Array(bars.length);
  const spread = (column) => column.forEach((i, place) => { height[i] = 1 - (place + 1) / (column.length + 1); });
  const group = (i) => bars[i].layer * 2 + (bars[i].unit < 0);
  columns.forEach((column, place) => {
    column.sort((i, j) => group(i) - group(j) || (place === last ? i - j : bars[j].nats - bars[i].nats));
    spread(column);
  });
  const entering = ribbonsAt(bars, ribbons, "target"), leaving = ribbonsAt(bars, ribbons, "source");
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const [lists, there] = sweep % 2 ? [leaving, "target"] : [entering, "source"];
    for (let step = 1; step < last; step++) {
      const column = columns[sweep % 2 ? last - step : step];
      const middles = new Map(column.map((i) => {
        const whole = sum(lists[i].map(({ nats: value }) => size(value)));
        return [i, whole > 0 ? sum(lists[i].map((ribbon) => size(ribbon.nats) * height[ribbon[there]])) / whole : -1];
      }));
      column.sort((i, j) => group(i) - group(j) || middles.get(j) - middles.get(i) || i - j);
      spread(column);
    }
  }
  return columns;
}

// Base lines, spans and the ends of ribbons. One nat has the same height everywhere.
function laidOut() {
  const bars = barsNow(), ribbons = ribbonsNow(bars), last = Math.max(...meta.sankey.columns);
  const columns = Array.from({ length: last + 1 }, () => []), lanes = columns.map(() => []);
  bars.forEach((bar, i) => {
    Object.assign(bar, { column: meta.sankey.columns[bar.layer], into: [0, 0], out: [0, 0] });
    columns[bar.column].push(i);
  });
  for (const ribbon of ribbons) {
    const source = bars[ribbon.source], target = bars[ribbon.target], below = Number(ribbon.nats < 0);
    target.into[below] += ribbon.nats; source.out[below] += ribbon.nats;
    for (let place = source.column + 1; place < target.column; place++) lanes[place].push(ribbon);
  }
  for (const bar of bars) {
    bar.above = Math.max(bar.into[0], bar.out[0], bar.nats, 0);
    bar.below = -Math.min(bar.into[1], bar.out[1], bar.nats, 0);
  }
  orderedBars(bars, ribbons, columns);
  const counts = columns.map((column, place) => column.length + (lanes[place].length > 0));
  const gap = Math.min(GAP, MOST_GAPS / Math.max(Math.max(...counts) - 1, 1));
  const passing = lanes.map((lane) => sum(lane.map(({ nats: value }) => size(value))));
  const nats = columns.map((column, place) => passing[place] + sum(column.map((i) => bars[i].above + bars[i].below)));
  const scale = Math.min(...nats.map((whole, place) => (whole > 0 ? (1 - gap * (counts[place] - 1)) / whole : 1e9)));
  const laneTops = columns.map((column, place) => {
    let top = 0.5 + (nats[place] * scale + gap * (counts[place] - 1)) / 2;
    for (const bar of column.map((i) => bars[i])) {
      bar.base = top - bar.above * scale;
      bar.span = [bar.base - bar.below * scale, top];
      top = bar.span[0] - gap;
    }
    return top;
  });
  placeRibbons(bars, ribbons, lanes, laneTops, scale);
  return { bars, ribbons, columns, scale };
}
function placeRibbons(bars, ribbons, lanes, laneTops, scale) {
  const starts = endsAt(bars, ribbons, "source", "target", scale), stops = endsAt(bars, ribbons, "target", "source", scale);
  ribbons.forEach((ribbon, i) => { ribbon.spans = [starts[i]]; });
  lanes.forEach((lane, place) => {
    let top = laneTops[place];
    for (const ribbon of lane.slice().sort((a, b) => bars[b.source].base - bars[a.source].base || b.nats - a.nats)) {
      ribbon.spans.push([top - size(ribbon.nats) * scale, top]);
      top -= size(ribbon.nats) * scale;
    }
  });
  ribbons.forEach((ribbon, i) => ribbon.spans.push(stops[i]));
}
// Ribbons at one side of the bars, away from the base line, in the order of their other ends.
function endsAt(bars, ribbons, here, there, scale) {
  const reached = bars.map(({ base }) => [base, base]), spans = new Array(ribbons.length);
  const away = (ribbon) => size(bars[ribbon[there]].column - bars[ribbon[here]].column) > 1; // passes below
  const rank = (ribbon) => Math.sign(ribbon.nats) * (away(ribbon) ? -1 : bars[ribbon[there]].base);
  for (const i of [...ribbons.keys()].sort((a, b) => rank(ribbons[a]) - rank(ribbons[b]) || a - b)) {
    const ends = reached[ribbons[i][here]], below = Number(ribbons[i].nats < 0), begin = ends[below];
    ends[below] = begin + ribbons[i].nats * scale;
    spans[i] = [Math.min(begin, ends[below]), Math.max(begin, ends[below])];
  }
  return spans;
}

// The part of each ribbon that flows through a bar, if every unit divides what passes it as all that leaves it.
function partsThrough(picked, { bars, ribbons, columns }) {
  const onward = partsOnOneSide(picked, bars, ribbons, columns, "source", "target");
  const before = partsOnOneSide(picked, bars, ribbons, columns.slice().reverse(), "target", "source");
  return ribbons.map(({ source, target }) => Math.min(1, onward[source] + before[target]));
}
const ribbonsAt = (bars, ribbons, end) => ribbons.reduce((lists, ribbon) => { lists[ribbon[end]].push(ribbon); return lists; }, bars.map(() => []));
function partsOnOneSide(picked, bars, ribbons, columns, from, to) {
  const part = new Float64Array(bars.length), begin = columns.findIndex((column) => column.includes(picked)), at = ribbonsAt(bars, ribbons, to);
  part[picked] = 1;
  for (const column of columns.slice(begin + 1)) for (const i of column) {
    const here = at[i], whole = sum(here.map(({ nats: value }) => size(value)));
    if (whole > 0) part[i] = sum(here.map((ribbon) => size(ribbon.nats) * part[ribbon[from]])) / whole;
  }
  return part;
}
// Of every bar, the shares of the classes that its absolute currents lead to.
function classesOf({ bars, ribbons, columns }) {
  const ends = columns[columns.length - 1], shares = bars.map(() => new Float64Array(ends.length)), leaving = ribbonsAt(bars, ribbons, "source");
  ends.forEach((i, label) => { shares[i][label] = 1; });
  for (const column of columns.slice(0, -1).reverse()) for (const i of column) {
    const out = leaving[i], whole = sum(out.map(({ nats: value }) => size(value))) || 1;
    for (const { target, nats: value } of out) shares[target].forEach((part, label) => { shares[i][label] += part * size(value) / whole; });
  }
  return { shares, ends };
}
