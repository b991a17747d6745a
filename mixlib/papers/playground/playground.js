// The sliders of notebook 54. Everything that they show was computed before and stands in a JSON script beside them.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const COLOURS = ["#0173b2", "#de8f05"]; // of the two models; they read on white and on black

  function make(name, attributes = {}, ...children) {
    const svg = ["svg", "g", "path", "line", "rect", "text", "circle", "title"].includes(name);
    const node = svg ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  function select(title, names, changed) {
    const box = make("select");
    const fill = (entries) =>
      box.replaceChildren(...entries.map((name, i) => make("option", { value: i }, name)));
    fill(names);
    box.addEventListener("change", changed);
    return { label: make("label", {}, title, box), box, fill, get index() { return box.selectedIndex; } };
  }

  function slider(title, count, start, text, changed) {
    const box = make("input", { type: "range", min: 0, max: count - 1, step: 1, value: start });
    const shown = make("span");  // an output would be what the label names, in place of the slider
    const say = () => {
      shown.textContent = text(+box.value);
      box.setAttribute("aria-valuetext", shown.textContent);
    };
    box.addEventListener("input", () => { say(); changed(); });
    say();
    return { label: make("label", { class: "wide" }, make("span", {}, title, " ", shown), box), say,
             get index() { return +box.value; } };
  }

  // A square or wide frame from 0 to 1 on both axes; x and y turn numbers into places
  function frame(width, height, title, xname, yname) {
    const [left, right, top, bottom] = [44, 10, 8, 40];
    const x = (v) => left + v * (width - left - right);
    const y = (v) => height - bottom - v * (height - top - bottom);
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
    svg.append(make("rect", { x: x(0), y: y(1), width: x(1) - x(0), height: y(0) - y(1), class: "frame" }));
    for (const v of [0, 0.5, 1]) {
      svg.append(make("text", { x: x(v), y: y(0) + 15, "text-anchor": "middle" }, String(v)));
      svg.append(make("text", { x: x(0) - 6, y: y(v) + 4, "text-anchor": "end" }, String(v)));
    }
    svg.append(make("text", { x: x(0.5), y: height - 6, "text-anchor": "middle" }, xname));
    const turned = `rotate(-90 12 ${y(0.5)})`;
    svg.append(make("text", { x: 12, y: y(0.5), "text-anchor": "middle", transform: turned }, yname));
    return { svg, x, y };
  }

  function line(points, attributes) {
    const path = points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
    return make("path", { d: path, fill: "none", ...attributes });
  }

  const percent = (value) => `${(100 * value).toFixed(0)}%`;

  function bar(value, colour) {
    const inside = make("span", { style: `width: ${100 * value}%; background: ${colour}` });
    return make("td", {}, make("span", { class: "bar" }, inside), " ", percent(value));
  }

  function words(tokens, marked, element) {
    const nodes = [];
    tokens.forEach((token, i) => {
      nodes.push(marked.includes(i) ? make(element, {}, token) : token, " ");
    });
    return nodes;
  }

  function pairs(data, stage) {
    const pair = select("Texts ", data.pairs.map((one) => one.title), () => { update(); });
    const method = select("Method ", data.methods.map((one) => one.title), () => { places(); update(); });
    const place = select("What is mixed ", [""], () => { update(); });
    const lam = slider("λ =", data.lams.length, data.start, (i) => data.lams[i].toFixed(2), () => { update(); });
    const result = make("div", { "aria-live": "polite" });
    const picture = make("div", { class: "pictures" });

    function places() {
      const names = data.methods[method.index].places;
      place.fill(names);
      place.box.disabled = names.length < 2;
    }

    function update() {
      const shown = data.pairs[pair.index];
      const [a, b] = shown.labels;
      const found = shown.models.map((one) => one.mixed[method.index][place.index]);
      const i = lam.index;
      const weight = found[0].weights[i];
      const label = shown.names.map((_, c) => (c === a ? weight : 0) + (c === b ? 1 - weight : 0));
      const lines = [
        make("p", {}, make("strong", {}, "A, "), `${shown.names[a]}: `, shown.texts[0]),
        make("p", {}, make("strong", {}, "B, "), `${shown.names[b]}: `, shown.texts[1]),
      ];
      found.forEach((one, m) => {
        if (!one.texts) return;
        const { tokens, replaced } = one.texts[i];
        const by = make("strong", {}, "Mixed text");
        lines.push(make("p", {}, by, ` (model trained ${data.trained[m]}): `, ...words(tokens, replaced, "ins")));
      });
      const note = data.methods[method.index].notes[place.index];
      if (note) lines.push(make("p", {}, note));
      const head = make("tr", {}, make("th", { scope: "col" }, "class"), make("th", { scope: "col" }, "mixed label"),
        ...data.trained.map((name) => make("th", { scope: "col" }, `model trained ${name}`)));
      const rows = shown.names.map((name, c) => make("tr", {}, make("th", { scope: "row" }, name),
        bar(label[c], "currentColor"), ...found.map((one, m) => bar(one.p[i][c], COLOURS[m]))));
      result.replaceChildren(...lines, make("table", { class: "mixed" }, make("thead", {}, head), make("tbody", {}, ...rows)));

      const title = `Probability of ${shown.names[a]} by λ`;
      const { svg, x, y } = frame(420, 240, title, "λ, the weight of A", `probability of ${shown.names[a]}`);
      const share = (w) => (a === b ? 1 : w);
      svg.append(line(found[0].weights.map((w, k) => [x(data.lams[k]), y(share(w))]),
        { stroke: "currentColor", "stroke-dasharray": "2 4", "stroke-width": 2 }));
      found.forEach((one, m) => {
        const dash = m ? { "stroke-dasharray": "9 4" } : {};
        const points = one.p.map((p, k) => [x(data.lams[k]), y(p[a])]);
        svg.append(line(points, { stroke: COLOURS[m], "stroke-width": 2.5, ...dash }));
        svg.append(make("circle", { cx: points[i][0], cy: points[i][1], r: 5, fill: COLOURS[m] }));
      });
      svg.append(make("line", { x1: x(data.lams[i]), x2: x(data.lams[i]), y1: y(0), y2: y(1), class: "now" }));
      const key = data.trained.map((name, m) =>
        make("span", { style: `border-color: ${COLOURS[m]}` }, `${m ? "Dashed" : "Solid"}: trained ${name}.`));
      const caption = make("figcaption", { class: "key" }, "Dotted: the mixed label. ");
      key.forEach((one) => caption.append(one, " "));
      picture.replaceChildren(make("figure", {}, svg, caption));
    }

    stage.replaceChildren(make("div", { class: "controls" }, pair.label, method.label, place.label, lam.label),
      result, picture);
    places();
    update();
  }

  function diagram(one, i, colour) {
    const title = `Reliability diagram, trained ${one.title}`;
    const { svg, x, y } = frame(300, 300, title, "confidence", "accuracy");
    const bins = one.rows[i].length;
    const most = Math.max(...one.rows[i]);
    one.rows[i].forEach((rows, k) => {
      if (!rows) return;
      const width = (x(1) - x(0)) / bins;
      const height = y(0) - y(one.accuracy[i][k]);
      const opacity = 0.25 + 0.75 * Math.sqrt(rows / most);
      const rect = make("rect", { x: x(k / bins), y: y(one.accuracy[i][k]), width, height, fill: colour,
        "fill-opacity": opacity.toFixed(2), stroke: "currentColor", "stroke-width": 0.7 });
      rect.append(make("title", {}, `${rows} rows, confidence ${percent(one.confidence[i][k])}, right ` +
        percent(one.accuracy[i][k])));
      const mean = y(one.confidence[i][k]);
      svg.append(rect, make("line", { x1: x(k / bins), x2: x((k + 1) / bins), y1: mean, y2: mean, class: "mean" }));
    });
    svg.append(line([[x(0), y(0)], [x(1), y(1)]], { stroke: "currentColor", "stroke-dasharray": "5 4" }));
    const says = `ECE ${one.ece[i].toFixed(1)}, loss ×100 ${one.nll[i].toFixed(1)}; fitted: T = ${one.fitted}`;
    return make("figure", {}, make("strong", {}, `trained ${one.title}`), svg, make("figcaption", {}, says));
  }

  function temperature(data, stage) {
    const both = make("div", { class: "pictures", "aria-live": "polite" });
    const update = () =>
      both.replaceChildren(...data.methods.map((one, m) => diagram(one, moved.index, COLOURS[m])));
    const moved = slider("T =", data.temperatures.length, data.start, (i) => data.temperatures[i].toFixed(2), update);
    stage.replaceChildren(make("div", { class: "controls" }, moved.label), both);
    update();
  }

  const kinds = { pairs, temperature };
  for (const box of document.querySelectorAll("[data-mixlib-playground]:not([data-ready])")) {
    box.setAttribute("data-ready", "");
    const data = JSON.parse(box.querySelector("script[type='application/json']").textContent);
    kinds[box.dataset.mixlibPlayground](data, box.querySelector("[data-stage]"));
  }
})();
