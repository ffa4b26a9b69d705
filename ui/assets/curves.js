// The curves of runs, drawn by uPlot. The server samples the steps; zooming asks for more of them.
const palette = 7;
const poll = 2000; // milliseconds between looks at a run that is going
const dashes = [[], [7, 4], [2, 3]];

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// The mean of a value and those before it, each of weight w times the next; corrected for the
// beginning, where there are few.
function smooth(values, w) {
  let sum = 0, weight = 0;
  return values.map((v) => {
    if (v === null) return null;
    sum = w * sum + v;
    weight = w * weight + 1;
    return sum / weight;
  });
}

function short(v) {
  if (v === null || v === undefined) return "–";
  const size = Math.abs(v);
  const text = size >= 1e7 || (size > 0 && size < 1e-4) ? v.toExponential(1)
    : size >= 1e4 ? `${+(v / 1e3).toPrecision(4)}k` : String(+v.toPrecision(4));
  return text.replaceAll("-", "−");
}

// The names of rewards in one order, so that a head has one colour in all charts.
const order = ["score", "implicit", "implicit-normalized", "combined"];
const byPlace = (a, b) => (order.includes(a) ? order.indexOf(a) : 9) - (order.includes(b) ? order.indexOf(b) : 9) || a.localeCompare(b);

// Lines of a chart: of one run one for each column, of several runs one for each run.
function linesOf(chart, runs) {
  const lines = [];
  if (chart.evals) {
    runs.forEach((run, r) => Object.keys(run.evals).sort(byPlace).forEach((name, k) => {
      lines.push({ name: runs.length > 1 ? `${run.name} ${name}` : name, colour: runs.length > 1 ? r : k,
        dash: runs.length > 1 ? k : 0, x: run.evals[name].x, y: run.evals[name].y,
        low: run.evals[name].low, high: run.evals[name].high });
    }));
    return lines;
  }
  runs.forEach((run, r) => chart.columns.forEach((column, k) => {
    if (!run.columns[column.key]) return;
    lines.push({ name: runs.length > 1 ? (chart.columns.length > 1 ? `${run.name} ${column.name}` : run.name) : column.name,
      colour: runs.length > 1 ? r : k, dash: runs.length > 1 ? k : 0, x: run.x, y: run.columns[column.key] });
  }));
  return lines;
}

// The tables of lines as one, as uPlot wants it. Lines of one run share their steps.
function joined(tables) {
  const x = tables[0][0];
  if (tables.every((t) => t[0] === x)) return [x, ...tables.flatMap((t) => t.slice(1))];
  return uPlot.join(tables);
}

class Chart {
  constructor(home, chart, element, zoom) {
    Object.assign(this, { chart, element, zoom });
    this.legend = element("ul", { class: "legend" });
    this.plot = element("div", { class: "plot" });
    const unit = chart.unit ? element("small", {}, ` ${chart.unit}`) : "";
    this.box = element("section", { class: "chart" }, element("h3", {}, chart.title, unit), this.legend, this.plot);
    home.append(this.box);
  }

  // Draws when the plot is in view, so that smoothing many plots costs no more than those on the
  // screen.
  draw(runs, w) {
    this.next = [runs, w];
    const lines = linesOf(this.chart, runs);
    this.box.hidden = lines.length === 0;
    if (this.seen && lines.length) this.paint(lines, w);
  }

  see(seen) {
    this.seen = seen;
    if (seen && this.next) this.draw(...this.next);
  }

  paint(lines, w) {
    if (this.painted?.w === w && this.painted.runs === this.next[0] && this.painted.dark === css("--ground")) return;
    this.painted = { w, runs: this.next[0], dark: css("--ground") };
    this.smoothed = lines.map((line) => w > 0 && !line.low);
    const tables = lines.map((line) => line.low ? [line.x, line.high, line.low, line.y] : [line.x, line.y, smooth(line.y, w)]);
    const data = joined(tables);
    const key = JSON.stringify([lines.map((l) => [l.name, l.colour]), css("--ground"), lines.some((l) => l.x.length < 40)]);
    if (this.u && key === this.key) {
      this.u.setData(data);
    } else {
      this.u?.destroy();
      this.key = key;
      this.make(data, lines);
      this.names(lines);
    }
    this.read(this.u.cursor.idx);
    const last = lines.map((l) => `${l.name} ${short(l.y.findLast((v) => v !== null))}`).join(", ");
    this.plot.setAttribute("role", "img");
    this.plot.setAttribute("aria-label", `${this.chart.title} by step; last values: ${last}`);
  }

  make(data, lines) {
    const series = [{}];
    this.values = [];
    for (const line of lines) {
      const colour = css(`--c${line.colour % palette}`), dash = dashes[line.dash % dashes.length];
      if (line.low) {
        series.push({ stroke: "transparent", points: { show: false } }, { stroke: "transparent", points: { show: false } });
        series.push({ stroke: colour, width: 2, dash, points: { show: line.x.length < 40, size: 6, fill: colour } });
      } else {
        series.push({ stroke: colour + "55", width: 1, dash, points: { show: false } });
        series.push({ stroke: colour, width: 2, dash, points: { show: line.x.length < 3, size: 6, fill: colour } });
      }
      this.values.push(series.length - 1);
    }
    const axis = { stroke: () => css("--quiet"), grid: { stroke: () => css("--rule"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const bands = [];
    lines.forEach((line, i) => {
      if (line.low) bands.push({ series: [this.values[i] - 2, this.values[i] - 1], fill: css(`--c${line.colour % palette}`) + "26" });
    });
    this.u = new uPlot({
      width: this.plot.clientWidth || 380, height: 220, legend: { show: false }, bands,
      scales: { x: { time: false, range: (u, low, high) => low === high ? [low - 1, high + 1] : [low, high] }, y: { range: (u, low, high) => this.range(low, high) } },
      axes: [{ ...axis, size: 30, label: "step", labelSize: 20, labelGap: -2, labelFont: "12px system-ui, sans-serif" },
        { ...axis, size: 58, values: (u, ticks) => ticks.map(short) }],
      cursor: { sync: { key: "steps" }, drag: { x: true, y: false }, points: { size: 7 } },
      series,
      hooks: {
        setCursor: [(u) => this.read(u.cursor.idx)],
        setSelect: [(u) => {
          if (u.select.width < 4) return;
          this.zoom(Math.floor(u.posToVal(u.select.left, "x")), Math.ceil(u.posToVal(u.select.left + u.select.width, "x")));
        }],
      },
    }, data, this.plot);
  }

  // Room around the values; shares keep to 0 and 1.
  range(low, high) {
    if (low === null) return [0, 1];
    // Smoothing leaves a constant with rounding errors, which must not fill the plot.
    const flat = high - low <= 1e-6 * Math.max(Math.abs(high), Math.abs(low));
    const room = (flat ? Math.abs(high) || 1 : high - low) * 0.06;
    if (this.chart.share) return [Math.max(0, low - room), Math.min(1.02, high + room)];
    return [low >= 0 && low - room < 0 ? 0 : low - room, high + room];
  }

  names(lines) {
    this.marks = lines.map(() => this.element("b"));
    this.means = lines.map(() => this.element("small", { class: "mean" }));
    this.legend.replaceChildren(...lines.map((line, i) => this.element("li", {},
      this.element("span", { class: `line k${line.colour % palette}${line.dash ? " dashed" : ""}` }),
      this.element("bdi", {}, line.name), this.marks[i], this.means[i])));
  }

  // Values at the cursor, else the last ones; with the mean that the thick line shows.
  read(at) {
    if (!this.marks) return;
    this.values.forEach((s, i) => {
      const thick = this.u.data[s], own = this.smoothed[i] ? this.u.data[s - 1] : thick;
      let k = at ?? own.length - 1;
      while (k > 0 && (own[k] === null || own[k] === undefined)) k--;
      this.marks[i].textContent = short(own[k]);
      this.means[i].textContent = this.smoothed[i] ? `smoothed ${short(thick[k])}` : "";
    });
  }

  resize() {
    const width = this.plot.clientWidth;
    if (this.u && width && width !== this.u.width) this.u.setSize({ width, height: 220 });
  }
}

export async function show(home, element, later) {
  const drawing = library(); // while the steps are on their way
  const query = new URLSearchParams(JSON.parse(home.dataset.runs).map((name) => ["run", name]));
  const range = document.querySelector("#smooth"), live = document.querySelector("#live"), whole = document.querySelector("#whole");
  const from = document.querySelector("#from"), to = document.querySelector("#to");
  const plots = home.querySelector(".charts");
  let window_ = null, made = null, runs = [];

  const zoom = (low, high) => {
    window_ = [Math.max(0, low), high];
    whole.hidden = false;
    look();
  };
  const draw = () => made?.forEach((c) => c.draw(runs, Number(range.value)));
  const view = new IntersectionObserver((changes) => {
    for (const change of changes) made.find((c) => c.box === change.target).see(change.isIntersecting);
  }, { rootMargin: "100px" });

  async function look() {
    const ask = new URLSearchParams(query);
    if (window_) {
      ask.set("from", window_[0]);
      ask.set("to", window_[1]);
    }
    let answer;
    try {
      answer = await (await fetch("/api/series?" + ask)).json();
    } catch {
      live.textContent = "The server does not answer. Is haf ui still running?";
      return;
    }
    if (answer.error) {
      live.textContent = answer.error;
      return;
    }
    await drawing;
    runs = answer.runs;
    if (window_) {
      for (const run of runs) {
        for (const curve of Object.values(run.evals)) {
          const inside = curve.x.map((x) => x >= window_[0] && x <= window_[1]);
          for (const key of ["x", "y", "low", "high"]) curve[key] = curve[key].filter((_, i) => inside[i]);
        }
      }
    }
    if (!made) {
      const accuracy = { title: "Validation", unit: "accuracy, 95 % interval", evals: true, columns: [] };
      if (runs.some((r) => r.evals.reward)) accuracy.unit = "reward, 95 % interval";
      // Of several runs each column has a plot of its own, with a line for each run.
      const list = runs.length === 1 ? [...answer.charts] : answer.charts.flatMap((c) => c.columns.map((column) => ({
        ...c, title: c.columns.length > 1 ? `${c.title}: ${column.name}` : c.title, columns: [column] })));
      list.splice(1, 0, accuracy);
      made = list.map((c) => new Chart(plots, c, element, (low, high) => {
        [from.value, to.value] = [low, high];
        zoom(low, high);
      }));
      for (const c of made) view.observe(c.box);
    }
    draw();
    say();
  }

  function say() {
    const going = runs.filter((r) => r.state === "running");
    const words = [];
    if (going.length) words.push("following");
    const every = Math.max(...runs.map((r) => r.every));
    if (every > 1) words.push(`one of ${every} steps is shown; drag over a part to see more of it`);
    live.textContent = words.join(" · ");
    for (const run of runs) {
      const card = [...document.querySelectorAll("[data-run]")].find((c) => c.dataset.run === run.name);
      if (!card) continue;
      const last = (key) => run.columns[key]?.findLast((v) => v !== null);
      const set = (selector, text) => {
        const e = card.querySelector(selector);
        if (e && text !== undefined && e.textContent !== text) e.textContent = text;
      };
      if (!window_ && run.x.length) {
        set("[data-steps]", String(run.x.at(-1)));
        set("[data-loss]", last("loss")?.toFixed(4));
        set("[data-rate]", last("tokens_per_second")?.toFixed(0));
      }
      const damaged = card.querySelector("[data-damaged]");
      damaged.hidden = !run.damaged;
      damaged.querySelector("ul").replaceChildren(...(run.damaged || []).map((text) => element("li", {}, element("bdi", {}, text))));
      const mark = card.querySelector(".state");
      if (mark.textContent !== run.state) {
        mark.textContent = run.state;
        mark.className = "state " + run.state;
      }
    }
    clearTimeout(timer);
    if (going.length && !document.hidden) timer = setTimeout(look, poll);
  }
  let timer;
  document.addEventListener("visibilitychange", () => document.hidden || look());
  let asked = false; // at most one drawing a frame
  range.addEventListener("input", () => {
    document.querySelector("#smoothed").textContent = Number(range.value).toFixed(2);
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  });
  // The same as dragging, by keyboard.
  for (const end of [from, to]) {
    end.addEventListener("change", () => {
      const high = Number(to.value) || Math.max(...runs.map((r) => r.x.at(-1) || 0));
      if (high > Number(from.value)) zoom(Number(from.value), high);
    });
  }
  whole.addEventListener("click", () => {
    window_ = null;
    from.value = to.value = "";
    whole.hidden = true;
    look();
  });
  addEventListener("beforeprint", () => made?.forEach((c) => c.see(true)));
  addEventListener("resize", later(100, () => made?.forEach((c) => c.resize())));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  await look();
}

// Loads uPlot, which is a plain script that sets a global.
function library() {
  document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: "/assets/uplot.css" }));
  return new Promise((done, failed) => {
    document.head.append(Object.assign(document.createElement("script"), { src: "/assets/uplot.js", onload: done, onerror: failed }));
  });
}
