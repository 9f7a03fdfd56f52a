"use strict";
const { report, compared } = JSON.parse(document.getElementById("figures").textContent);
const css = getComputedStyle(document.documentElement);
const color = (name) => css.getPropertyValue(name).trim();
const number = (value, digits = 1) =>
  value == null ? "–" : value.toLocaleString("en", { maximumFractionDigits: value >= 100 ? 0 : digits });
const millis = (value) => (value == null ? "–" : value >= 10000 ? number(value / 1000) + " s" : number(value) + " ms");

/** An element with text or children; text is never read as markup. */
function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function head() {
  const verdict = el("div", { class: "verdict " + (report.passed ? "passed" : "missed") },
    report.passed ? "Passed: every accepted job ended once, and right." : "Not passed");
  if (!report.passed) verdict.append(el("ul", {}, ...report.complaints.map((words) => el("li", {}, words))));
  document.getElementById("head").append(
    el("h1", {}, "Load test " + report.run),
    ...(report.description ? [el("p", {}, report.description)] : []),
    el("p", { class: "soft" }, [
      number(report.elapsed_s) + " s" + (report.interrupted ? ", ended early" : ""),
      ...(report.slo ? ["gates: " + report.slo] : []),
      "the load tester itself took " + number(report.cpu_us_per_job, 0) + " µs of processor time a job",
    ].join(" · ")),
    verdict,
  );
}

function cards(load) {
  const { counts, latency_ms: latency } = load;
  const over = counts.submitted - counts.unfinished;
  const errors = over ? (100 * (over - counts.succeeded + counts.wrong)) / over : 0;
  const lost = Object.values(counts.lost).reduce((sum, count) => sum + count, 0);
  const figures = [
    [number(load.goodput_per_s), "jobs/s ended right"],
    [number(load.offered_per_s), "jobs/s begun"],
    [millis(latency && latency.p50), "half were faster (p50)"],
    [millis(latency && latency.p99), "99 of 100 were (p99)"],
    [millis(latency && latency.max), "the slowest"],
    [number(errors, 3) + " %", "errors"],
    [number(counts.accepted), "accepted jobs"],
    [number(lost), "of them lost"],
  ];
  return el("div", { class: "cards" },
    ...figures.map(([figure, words]) => el("div", { class: "card" }, el("b", {}, figure), el("span", {}, words))));
}

const drawn = [];

/** A plot in a card; it takes its width from the card. */
function plot(title, words, options, data) {
  const place = el("div", {});
  const card = el("div", { class: "plot" }, el("h3", {}, title), el("p", {}, words), place);
  drawn.push(() => {
    const axis = { stroke: color("--soft"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line") } };
    const made = new uPlot({
      width: place.clientWidth, height: 260, legend: { live: true },
      ...options,
      axes: options.axes.map((own) => ({ ...axis, ...own })),
    }, data, place);
    new ResizeObserver(() => made.setSize({ width: place.clientWidth, height: 260 })).observe(place);
  });
  return card;
}

const line = (label, name, more) => ({ label, stroke: color(name), width: 2, points: { show: false }, spanGaps: false, ...more });
const seconds = { label: "s", value: (_, value) => (value == null ? "–" : value + " s") };
const linear = { x: { time: false } };

function plots(load) {
  const steps = load.timeline;
  const at = steps.map((step) => step.at_s);
  const rate = steps.map((step) => step.ended / load.step_s);
  const each = load.step_s === 1 ? "each second" : `each ${load.step_s} s`;
  const latency = { value: (_, value) => millis(value) };
  const wholes = (_, values) => values.map((value) => number(value));
  const curve = load.latency_curve.filter(([share]) => share < 1);
  // nines: 0.9 stands at 1, 0.99 at 2
  const nines = curve.map(([share]) => -Math.log10(1 - share));
  return el("div", { class: "plots" },
    plot("Latency over time", `of the jobs that ended in ${each}, on a logarithmic scale`, {
      scales: { ...linear, y: { distr: 3 } },
      series: [seconds, line("p50", "--a", latency), line("p99", "--b", latency)],
      axes: [{ label: "seconds", labelSize: 20 }, { size: 70, values: (_, values) => values.map((value) => (value == null ? "" : millis(value))) }],
    }, [at, steps.map((step) => step.p50_ms), steps.map((step) => step.p99_ms)]),
    plot("Throughput and depth over time", `jobs that ended, errors among them, and jobs on their way at the end of ${each}`, {
      scales: linear,
      series: [seconds, line("ended/s", "--a"), line("errors/s", "--b"), line("in flight", "--c", { dash: [5, 4] })],
      axes: [{ label: "seconds", labelSize: 20 }, { size: 60, values: wholes }],
    }, [at, rate, steps.map((step) => step.errors / load.step_s), steps.map((step) => step.in_flight)]),
    plot("Latency by share of jobs", "so many jobs stayed below: the further right, the rarer", {
      scales: linear,
      series: [
        { label: "share", value: (_, value) => (value == null ? "–" : number(100 * (1 - 10 ** -value), 4) + " %") },
        line("latency", "--a", latency),
      ],
      axes: [
        { splits: () => [Math.log10(2), 1, 2, 3, 4, 5].filter((value) => value <= (nines.at(-1) || 1)),
          values: (_, values) => values.map((value) => number(100 * (1 - 10 ** -value), 4) + " %") },
        { size: 70, values: (_, values) => values.map(millis) },
      ],
    }, [nines, curve.map(([, value]) => value)]),
    stages(load),
  );
}

function stages(load) {
  const colors = ["#2563eb", "#0891b2", "#059669", "#d97706", "#dc2626", "#7c3aed", "#94a3b8"];
  const known = load.stages.reduce((sum, stage) => sum + stage.p50_ms, 0);
  const whole = Math.max(known, load.latency_ms ? load.latency_ms.p50 : 0);
  const rest = { name: "the way to the server and back", p50_ms: whole - known, jobs: 0 };
  const all = load.stages.length ? [...load.stages, rest] : [];
  const bar = el("div", { class: "bar" }, ...all.map((stage, place) =>
    el("i", { style: `background:${colors[place]};flex:${stage.p50_ms / (whole || 1)}`, title: stage.name })));
  const key = el("div", { class: "key" }, ...all.map((stage, place) =>
    el("span", {}, el("i", { style: `background:${colors[place]}` }), `${stage.name} ${millis(stage.p50_ms)}`)));
  const jobs = Math.max(0, ...load.stages.map((stage) => stage.jobs));
  return el("div", { class: "plot" }, el("h3", {}, "Where the time went"),
    el("p", {}, `medians of each stage, from the lineage of ${jobs} jobs`), bar, key, ends(load.counts));
}

function ends(counts) {
  const rows = [["succeeded", counts.succeeded]];
  const named = (what, codes) => Object.entries(codes).forEach(([code, count]) => rows.push([`${what}: ${code}`, count]));
  named("failed", counts.failed);
  rows.push(["expired", counts.expired], ["cancelled", counts.cancelled]);
  named("lost", counts.lost);
  rows.push(["duplicated", counts.duplicated], ["wrong answer", counts.wrong]);
  named("refused", counts.refused);
  rows.push(["given up", counts.given_up], ["unfinished", counts.unfinished]);
  named("asked again after", counts.retries);
  const shown = rows.filter(([, count], place) => place === 0 || count > 0);
  return el("table", {}, el("tr", {}, el("th", {}, "what became of the jobs"), el("th", { class: "n" }, "jobs")),
    ...shown.map(([what, count]) => el("tr", {}, el("td", {}, what), el("td", { class: "n" }, number(count)))));
}

function loads() {
  const main = document.getElementById("loads");
  for (const load of report.loads) {
    const of = load.setting;
    main.append(
      el("h2", {}, load.name),
      el("p", { class: "soft" }, `${of.model}, ${of.rows} ${of.rows === 1 ? "row" : "rows"} a job, lane ${of.lane}, ` +
        `${of.encoding}, ${of.wait} · ${of.pace} · ${of.url}`),
      cards(load), plots(load),
      ...load.troubles.map((words) => el("p", { class: "missed" }, words)),
    );
  }
  if (compared && compared.rows.length) main.append(
    el("h2", {}, "Compared with " + compared.baseline),
    el("table", {},
      el("tr", {}, ...["load", "figure"].map((words) => el("th", {}, words)),
        ...["before", "now", "ratio"].map((words) => el("th", { class: "n" }, words))),
      ...compared.rows.map((row) => el("tr", {}, el("td", {}, row.load), el("td", {}, row.figure),
        ...[number(row.before, 3), number(row.now, 3), row.before ? "× " + (row.now / row.before).toFixed(2) : "–"]
          .map((words) => el("td", { class: "n" }, words))))),
  );
  drawn.forEach((draw) => draw());
}

head();
loads();
