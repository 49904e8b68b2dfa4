// Draws every <canvas data-portal-chart="id"> from the JSON in #id:
// {labels, datasets: [{type: "bar"|"line", label, data, color: "base"|"primary"|"accent"|…, axis?: "percent"}]}.
// A dataset may have `links`, an address for each of its points, and a `stack`. Counts stand on the left axis, shares (in percent) on the right one. Colours follow the theme, also when it is switched.
(() => {
  const COLORS = {
    base: ["--color-base-300", "--color-base-600"],
    primary: ["--color-primary-600", "--color-primary-500"],
    accent: ["--portal-accent", "--portal-accent"],
    bad: ["--portal-bad", "--portal-bad"],
    good: ["--portal-good", "--portal-good"],
    ringing: ["--portal-ringing", "--portal-ringing"],
    break: ["--portal-break", "--portal-break"],
  };
  const isDark = () => document.documentElement.classList.contains("dark");
  const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const colored = set => {
    const color = css(COLORS[set.color][isDark() ? 1 : 0]);
    return Object.assign(set, { backgroundColor: color, borderColor: color, pointBackgroundColor: color });
  };
  const paint = chart => {
    const dark = isDark(), text = css(dark ? "--color-base-400" : "--color-base-500"), grid = dark ? "#ffffff14" : "#00000010";
    chart.data.datasets.forEach(colored);
    Object.entries(chart.options.scales).forEach(([name, scale]) => {
      scale.ticks.color = text;
      scale.grid.color = name === "y" ? grid : "transparent";
    });
    chart.options.plugins.legend.labels.color = text;
    chart.update();
  };

  const draw = canvas => {
    const { labels, datasets } = JSON.parse(document.getElementById(canvas.dataset.portalChart).textContent);
    const hasShares = datasets.some(set => set.axis === "percent");
    const scales = {
      x: { grid: {}, border: { display: false }, ticks: { maxRotation: 0, autoSkipPadding: 16 } },
      y: { grid: {}, border: { display: false }, beginAtZero: true, ticks: { precision: 0, maxTicksLimit: 6 } },
    };
    if (hasShares) {
      scales.percent = { position: "right", min: 0, max: 100, grid: {}, border: { display: false }, ticks: { maxTicksLimit: 6, callback: n => `${n} %` } };
    }
    if (datasets.some(set => set.stack)) scales.x.stacked = scales.y.stacked = true;
    return new Chart(canvas, {
      data: {
        labels,
        // Coloured before the chart is made: Chart.js paints what has no colour then in colours of its own, and keeps them.
        datasets: datasets.map(set => ({
          ...colored(set),
          yAxisID: set.axis ?? "y",
          order: set.type === "line" ? 0 : 1,
          ...(set.type === "line"
            ? { borderWidth: 2, pointRadius: labels.length > 60 ? 0 : 2, pointHoverRadius: 4, cubicInterpolationMode: "monotone", spanGaps: false, clip: false }
            : { borderRadius: 3, maxBarThickness: 22, categoryPercentage: 0.7, barPercentage: 0.9 }),
        })),
      },
      options: {
        animation: false,
        maintainAspectRatio: false,
        onClick: (event, _all, chart) => {
          const [point] = chart.getElementsAtEventForMode(event.native, "nearest", { intersect: true }, true);
          const near = point ?? chart.getElementsAtEventForMode(event.native, "index", { intersect: false }, true)[0];
          const link = near && chart.data.datasets[near.datasetIndex].links?.[near.index];
          if (link) location.assign(link);
        },
        onHover: (event, points, chart) => {
          const leads = points.some(point => chart.data.datasets[point.datasetIndex].links?.[point.index]);
          event.native.target.style.cursor = leads ? "pointer" : "";
        },
        interaction: { mode: "index", intersect: false },
        plugins: {
          legend: { position: "top", align: "end", labels: { boxWidth: 10, boxHeight: 10, usePointStyle: true, pointStyle: "rectRounded" } },
          tooltip: {
            callbacks: {
              label: item => ` ${item.dataset.label}: ${item.formattedValue}${item.dataset.axis === "percent" ? " %" : ""}`,
            },
          },
        },
        scales,
      },
    });
  };

  // <table data-portal-table="id"> gets the numbers of the chart of the same id.
  const tabulate = table => {
    const { labels, datasets } = JSON.parse(document.getElementById(table.dataset.portalTable).textContent);
    const cell = (name, text) => Object.assign(document.createElement(name), { textContent: text ?? "–" });
    const row = (name, cells) => { const tr = document.createElement("tr"); tr.append(...cells.map((text, place) => cell(place ? name : "th", text))); return tr; };
    table.createTHead().append(row("th", ["", ...datasets.map(set => set.label)]));
    table.createTBody().append(...labels.map((label, place) => {
      const made = row("td", [label, ...datasets.map(set => set.data[place])]);
      datasets.forEach((set, column) => {  // what a click on the chart opens is opened from here by keyboard
        const link = set.links?.[place];
        if (link) made.cells[column + 1].replaceChildren(Object.assign(document.createElement("a"), { href: link, textContent: set.data[place] ?? "–" }));
      });
      return made;
    }));
  };

  addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("table[data-portal-table]").forEach(tabulate);
    const charts = [...document.querySelectorAll("canvas[data-portal-chart]")].map(draw);
    if (!charts.length) return;
    charts.forEach(paint);
    new MutationObserver(() => charts.forEach(paint)).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
  });
})();
