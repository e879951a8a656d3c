"use strict";
// Zoomable waveforms: all panels of a figure share the stretch [a, b] of the time axis; heights follow what is seen.
(() => {
  let scrolled = 0; // a page that is being scrolled goes on scrolling when a plot comes under the pointer
  addEventListener("scroll", () => { scrolled = Date.now(); }, { passive: true });

  const nice = (low, high, count) => {
    const raw = (high - low) / count, ten = 10 ** Math.floor(Math.log10(raw));
    const step = ten * ([1, 2, 5].find((m) => m * ten >= raw) ?? 10);
    const found = [];
    for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) found.push(Math.abs(v) < step / 2 ? 0 : v);
    return found.map((v) => [v, +v.toPrecision(Math.max(1, Math.ceil(Math.log10(Math.abs(v / step) || 1)) + 1))]);
  };
  const plain = (v) => (v !== 0 && (Math.abs(v) < 1e-3 || Math.abs(v) >= 1e5) ? v.toExponential(1) : String(v)).replace("-", "−");
  const label = (parent, text, place) => {
    const tick = document.createElement("span");
    tick.className = "tick";
    tick.textContent = text;
    Object.assign(tick.style, place);
    parent.append(tick);
  };

  for (const figure of document.querySelectorAll(".waves")) {
    const start = +figure.dataset.start, stop = +figure.dataset.stop;
    const times = figure.querySelector(".times"), group = figure.querySelector(".panels");
    const panels = [...figure.querySelectorAll(".panel")].map((panel) => {
      const svg = panel.querySelector("svg");
      const traces = [...svg.querySelectorAll("path")].map((path) =>
        path.getAttribute("d").split(/[ML]/).slice(1).map((pair) => pair.split(" ").map(Number)));
      return { svg, box: panel.querySelector(".box"), traces, low: +panel.dataset.low, high: +panel.dataset.high };
    });
    const [, , width, height] = panels[0].svg.getAttribute("viewBox").split(" ").map(Number);
    let a = 0, b = width;

    const draw = () => {
      for (const panel of panels) {
        let top = Infinity, bottom = -Infinity;
        for (const trace of panel.traces) {
          for (let k = 0; k < trace.length; k++) {
            const near = trace[k][0] >= a && trace[k][0] <= b;
            if (near) { top = Math.min(top, trace[k][1]); bottom = Math.max(bottom, trace[k][1]); }
          }
        }
        if (b - a > 0.999 * width || top > bottom) { top = 0; bottom = height; }
        const room = Math.max(0.06 * (bottom - top), 4);
        if (b - a <= 0.999 * width) { top -= room; bottom += room; }
        panel.svg.setAttribute("viewBox", `${a} ${top} ${b - a} ${bottom - top}`);
        panel.box.querySelectorAll(".tick").forEach((tick) => tick.remove());
        const value = (y) => panel.high - (y / height) * (panel.high - panel.low);
        const low = value(bottom), high = value(top);
        for (const [v, text] of nice(low, high, 3)) {
          const y = 100 * (high - v) / (high - low);
          if (y > 2 && y < 98) label(panel.box, plain(text), { top: `${y}%` });
        }
      }
      times.replaceChildren();
      const time = (x) => start + (x / width) * (stop - start);
      const seconds = time(b) - time(a);
      const [scale, unit] = time(b) < 1e-3 ? [1e6, "µs"] : time(b) < 1 ? [1e3, "ms"] : [1, "s"];
      const count = times.clientWidth < 420 ? 3 : 7;
      for (const [v, text] of nice(scale * time(a), scale * time(b), count)) {
        const x = 100 * (v / scale - time(a)) / seconds;
        if (x > -0.1 && x < 100.1) label(times, plain(text), { left: `${x}%` });
      }
      const name = document.createElement("span");
      name.className = "unit";
      name.textContent = `time (${unit})`;
      times.append(name);
    };
    const zoom = (factor, at) => { // `at`: share of the width that stays where it is
      const span = Math.min(width, Math.max(width / 2000, (b - a) * factor));
      a += at * (b - a - span);
      a = Math.min(width - span, Math.max(0, a));
      b = a + span;
      draw();
    };
    const move = (share) => {
      const span = b - a;
      a = Math.min(width - span, Math.max(0, a + share * span));
      b = a + span;
      draw();
    };
    const reset = () => { a = 0; b = width; draw(); };
    const actions = { in: () => zoom(0.5, 0.5), out: () => zoom(2, 0.5), reset };
    figure.querySelectorAll("button").forEach((button) => button.addEventListener("click", actions[button.dataset.do]));
    const keys = { "+": actions.in, "=": actions.in, "-": actions.out, "0": reset, Home: reset,
      ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2) };
    group.addEventListener("keydown", (event) => {
      const action = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
      if (action) { action(); event.preventDefault(); }
    });
    for (const { svg } of panels) {
      const share = (x) => { const r = svg.getBoundingClientRect(); return Math.min(1, Math.max(0, (x - r.left) / r.width)); };
      svg.addEventListener("wheel", (event) => {
        const outwards = event.deltaY > 0;
        if (Date.now() - scrolled < 300 || event.deltaY === 0 || (outwards && b - a >= width)) return;
        event.preventDefault();
        zoom(outwards ? 1.25 : 0.8, share(event.clientX));
      }, { passive: false });
      svg.addEventListener("dblclick", reset);
      const pointers = new Map();
      svg.addEventListener("pointerdown", (event) => { pointers.set(event.pointerId, event.clientX); svg.setPointerCapture(event.pointerId); });
      svg.addEventListener("pointermove", (event) => {
        const before = pointers.get(event.pointerId);
        if (before === undefined) return;
        const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, x]) => x);
        if (others.length) {
          const was = Math.abs(before - others[0]), is = Math.abs(event.clientX - others[0]);
          if (was > 8 && is > 8) zoom(was / is, share((event.clientX + others[0]) / 2));
        } else {
          move((before - event.clientX) / svg.getBoundingClientRect().width);
        }
        pointers.set(event.pointerId, event.clientX);
      });
      for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, (event) => pointers.delete(event.pointerId));
    }
    addEventListener("resize", draw);
    draw();
  }
})();
