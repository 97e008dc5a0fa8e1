// Small pictures beside one another, on one scale: features of each class, and of a few rows.
const MOST_MINI = 6;
// Bars on both sides of 0, with a mark for what they are compared with.
function miniBars(rows, low, high) {
  const reach = high - low || 1, at = (value) => `${100 * (value - low) / reach}%`;
  return element("div", { class: rows.some(({ own }) => own !== undefined) ? "mini owned" : "mini", role: "list" }, ...rows.map(({ name, own, value, mark, said }) => element("div", { class: "row", role: "listitem" },
    element("span", { class: "name", text: clipped(name, 30) }), ...(own === undefined ? [] : [element("span", { class: "own", text: own })]),
    element("span", { class: "track" }, element("span", { class: value < 0 ? "bar against" : "bar", style: { left: at(Math.min(0, value)), width: `${100 * size(value) / reach}%` } }),
      ...(mark === undefined ? [] : [element("span", { class: "mark", style: { left: at(mark) } })])),
    element("span", { class: "value", text: said }))));
}
const largestOf = (rows, most) => rows.slice().sort((a, b) => size(b.value) - size(a.value)).slice(0, most);
const endsOf = (values) => [values.reduce((a, b) => Math.min(a, b), 0), values.reduce((a, b) => Math.max(a, b), 0)];

// The attribution of every class, if there are several: heat maps of images, the largest bars of other features.
function classMultiples() {
  const columns = labels.length + 1, whole = currents ? 1 : wholeAttribution();
  if (labels.length < 2 || state.chosen >= 0) return [];
  const of = (label) => features.map((u, row) => ({ u, value: attribution.value[row * columns + label] / whole }));
  const every = labels.map((_, label) => of(label));
  const images = imageSums(every.map((rows) => rows.map(({ value }) => value)));
  const [low, high] = endsOf(every.flat().map(({ value }) => value));
  const pictures = every.map((rows, label) => element("figure", { class: "card" },
    element("figcaption", {}, element("button", { type: "button", class: "link name", text: clipped(labels[label], 40), onclick: () => choose(label) })),
    ...(images.length ? images.map((image) => heatCanvas(image.sums[label], image, image.top, 96, `${image.name}: currents for ${labels[label]}`))
      : [miniBars(largestOf(rows, MOST_MINI).map(({ u, value }) => ({ name: nameOf(u), value, said: currents ? nats(value) : share(value) })), low, high)])));
  return [element("h2", { text: "Class by class, on one scale" }), element("div", { class: images.length ? "cards small" : "cards" }, ...pictures)];
}
// The pixels of every layer of features that is a picture: sums over channels of each of several lists.
function imageSums(lists) {
  let first = 0;
  return meta.images.flatMap((image, i) => {
    const layer = layers[meta.features[i]], begin = first;
    first += layer.size;
    if (!image) return [];
    const sums = lists.map((values) => {
      const pixels = new Float64Array(image.shape[0] * image.shape[1]);
      for (let k = 0; k < layer.size; k++) pixels[image.place[k]] += values[begin + k];
      return pixels;
    });
    const top = sums.reduce((most, pixels) => pixels.reduce((a, b) => Math.max(a, size(b)), most), 0);
    return [{ ...image, sums, top, name: layer.name }];
  });
}
function heatCanvas(sums, { shape: [height, width] }, top, side, label, colour = heat) {
  const cell = Math.max(1, Math.floor(side / Math.max(height, width)));
  const canvas = element("canvas", { class: "image", width: width * cell, height: height * cell, role: "img", "aria-label": label });
  const context = canvas.getContext("2d");
  sums.forEach((value, i) => { context.fillStyle = colour(top > 0 ? value / top : 0); context.fillRect((i % width) * cell, Math.floor(i / width) * cell, cell, cell); });
  return canvas;
}

// A few rows with their own decision, and their own currents beside the average of all rows.
const rowCurrents = array("row_currents"), rowValues = array("row_values");
const ofRow = (values, row) => Array.from(values.subarray(row * features.length, (row + 1) * features.length));
const average = () => features.map((u) => unit.current[u]);
function rowsView() {
  const rows = meta.examples, own = rows.map((_, row) => ofRow(rowCurrents, row));
  const images = imageSums([average(), ...own]), pictures = rowValues ? imageSums(rows.map((_, row) => ofRow(rowValues, row))) : [];
  const [low, high] = endsOf([...own.flat(), ...average()]);
  const body = (row) => (images.length ? imagePair(images, pictures, row) : [miniBars(rowBars(own[row], row), low, high)]);
  const mean = images.length ? [element("figure", { class: "card" }, element("figcaption", {}, element("strong", { text: "All rows" }), element("span", { text: `${nats(currents.total)} ${UNIT} on average` })), ...images.map((image) => heatCanvas(image.sums[0], image, image.top, 120, `${image.name}: average currents`)))] : [];
  const cards = rows.map((row, i) => element("figure", { class: "card" }, element("figcaption", {},
    element("strong", { text: `Row ${count(row.number)}` }), element("span", { text: row.why }),
    ...(row.decision ? [element("span", { text: `decides ${row.decision.filter(([, part]) => part >= 0.005).map(([name, part]) => `${clipped(name, 24)} ${Math.round(100 * part)}\u00a0%`).join(", ")}` })] : []),
    element("span", { text: `${nats(row.nats)} ${UNIT}` })), ...body(i)));
  byId("rows").replaceChildren(element("p", { class: "note", text: rowsNote(images.length > 0) }), element("div", { class: images.length ? "cards" : "cards wide" }, ...mean, ...cards));
}
function rowsNote(pictured) {
  const which = meta.examples[0].decision ? "One usual row of each class that the network decides for (the median of the information of such rows), and the row whose decision is least certain." : "Rows at the quartiles of the information that their features give.";
  return `${which} Currents are those of the row alone, in ${UNIT}: what its features tell of the decision at this row. ` + (pictured ? "All heat maps have one scale." : `${rowValues ? "Before a bar is the value of the feature, behind it the current. " : ""}The line across a bar is the average of all rows.`) + " Rows are numbered from 0. flow.local(row) has all units of a row.";
}
function rowBars(own, row) {
  const bars = features.map((u, i) => ({ name: nameOf(u), own: rowValues ? shortNumber(rowValues[row * features.length + i]) : undefined, value: own[i], mark: unit.current[u], said: nats(own[i]) }));
  return largestOf(bars, MOST_MINI);
}
const shortNumber = (value) => minus(String(Number(value.toPrecision(3))));
function imagePair(images, pictures, row) {
  const grey = (part) => { const level = Math.round(255 * (dark() ? part : 1 - part)); return `rgb(${level},${level},${level})`; };
  const scaled = (pixels) => { const low = Math.min(...pixels), reach = Math.max(...pixels) - low || 1; return pixels.map((value) => (value - low) / reach); };
  return [element("div", { class: "pair" },
    ...pictures.map((image) => heatCanvas(scaled(image.sums[row]), image, 1, 120, `The row as a picture`, grey)),
    ...images.map((image) => heatCanvas(image.sums[row + 1], image, image.top, 120, `${image.name}: currents of the row`)))];
}
