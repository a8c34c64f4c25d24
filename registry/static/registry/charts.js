// Draws every [data-chart] from the JSON option beside it. SVG, no HTML tooltips, no animation: nothing that the CSP forbids.
"use strict";

(() => {
  const PALETTE = ["#0b5c8a", "#c26a00", "#2e7d4f", "#8a3b78", "#5b6b7c", "#a8322d", "#3d8f9c"];
  const FONT = getComputedStyle(document.documentElement).getPropertyValue("--tblr-font-sans-serif");

  function draw(element) {
    const option = JSON.parse(document.getElementById(element.dataset.chart).textContent);
    const chart = echarts.init(element, null, { renderer: "svg" });
    chart.setOption({
      color: PALETTE, animation: false, textStyle: { fontFamily: FONT, fontSize: 12, color: "#1c2733" }, ...option,
      tooltip: { renderMode: "richText", confine: true, ...option.tooltip },
    });
    new ResizeObserver(() => chart.resize()).observe(element);
  }

  function drawAll(root) {
    for (const element of root.querySelectorAll("[data-chart]")) {
      if (!element.hasAttribute("_echarts_instance_")) draw(element);
    }
  }

  document.addEventListener("DOMContentLoaded", () => drawAll(document));
  document.addEventListener("htmx:afterSettle", (event) => drawAll(event.detail.elt));
})();
