"""The report: what stands in it, that it loads nothing, and how it looks and works in a real browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from analysis.gradients.path_check import check_path
from analysis.report.page import Criterion, Figure, Report, Section, Table, Text, Waves, render_report, write_report
from analysis.report.plots import curves
from analysis.report.schematic import stages
from analysis.report.sections import (
    budget_section,
    gradient_section,
    learning_section,
    loop_section,
    reproduction_section,
    sweep_section,
    truth_table_section,
    waveform_section,
    yield_section,
)
from circuits.homodyne.engines import Twin
from circuits.parts.levels import loop_fields
from inmateria.errors import InputError
from learning.bench.bench import Bench
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.gradients import adjoint
from learning.homodyne.results import Attempt
from learning.homodyne.settings import HgeSettings
from learning.tasks.boolean import BooleanTask
from lockin.error_budget import Readout, error_budget
from lockin.settings import LockInSettings
from netlists.spice_numbers import quantity

from ..conftest import START

EVIL = "</script><script>document.title = 'broken'</script><b>bold"


@pytest.fixture(scope="module")
def sections(small_bench: Bench, small_attempt: Attempt) -> list[Section]:
    """Every kind of section, from a small run."""
    bench, attempt = small_bench, small_attempt
    task, loop = bench.task("AND"), attempt.loop
    assert isinstance(task, BooleanTask)
    check = check_path(Experiment(bench, task), loop, attempt.run, Twin(), samples=3)
    exact = np.asarray(adjoint(bench, START))
    settings = LockInSettings(0.02, 12)
    readout = Readout(bench.plan(0.02), settings, 0.3, psd=1e-23)
    budget = error_budget(lambda v: bench.currents_A(v), START, readout, exact=exact)
    sweep = xr.DataArray(
        np.outer([1.0, 3.0, 2.0], [1.0, 2.0, 8.0, np.nan]),
        {"spacing": [5.0, 10.0, 15.0], "amplitude": ("amplitude", [1.0, 10.0, 100.0, 1000.0], {"units": "mV"})},
        ("spacing", "amplitude"),
        name="error",
    )
    shares = np.clip(np.random.default_rng(1).normal(0.5, 0.1, 60), 0.0, 1.0)
    period = loop.sequence.period_s
    return [
        truth_table_section(task, {"before": attempt.initial_A, "after": attempt.final_A}, threshold_A=0.0),
        learning_section(attempt, task),
        waveform_section(loop, attempt.run, period, 2 * period, "One pass."),
        gradient_section(check.loss.measured, check.loss.exact),
        budget_section(budget, bench.names, budget.systematic),
        sweep_section(sweep, {"planned": (10.0, 5.0), "line": ([1.0, 10.0], [5.0, 10.0])}, "A map."),
        yield_section(shares, 0.4, sensitivities={"offset": 0.6, EVIL: 0.1}),
        loop_section(loop),
        Section("Parameters", [Table(["parameter", "value"], [["amplitude", "10 mV"]], "Dither")]),
        reproduction_section(["inmateria verify design.toml"], {"inmateria": "0.1.0"}),
        Section("Absent", []),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def report(sections: list[Section]) -> Report:
    criteria = [
        Criterion("learned", "margin of 0.2", "margin 0.5", True, "nominal"),
        Criterion(EVIL, "99 %", "95 %", False, "a corner with a long name, 85 °C, supply -5 %"),
    ]
    return Report(
        f"AND {EVIL}", False, f"1 of 2 criteria hold. {EVIL}", criteria, sections, {"design": f"{'long' * 40}.toml"}
    )


@pytest.fixture(scope="module")
def page(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp("report") / "report.html", report)


class Elements(HTMLParser):
    """Tags with their attributes, and which of them are left open."""

    VOID = ("meta", "link", "br", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag


def test_page_is_whole_and_loads_nothing(page: Path) -> None:
    elements = Elements(page.read_text(encoding="utf-8"))
    assert not elements.open
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in elements.found:
        assert tag not in ("img", "iframe", "object", "embed", "image") or attributes["xlink:href"].startswith("data:")
        assert "src" not in attributes
        target = attributes.get("href", attributes.get("xlink:href", "#verdict"))
        assert target.startswith("data:") or target[1:] in ids
    assert not re.search(r"@import|url\((?!#)|fetch\(|https?://(?!www\.w3\.org)", page.read_text(encoding="utf-8"))


def test_sections_stand_in_order_and_empty_ones_are_left_out(page: Path, sections: list[Section]) -> None:
    shown = re.findall(r"<h2>(.*?)</h2>", page.read_text(encoding="utf-8"))
    assert shown == [section.title for section in sections if section.blocks]
    assert "Absent" not in shown


def test_text_is_escaped(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert EVIL not in text
    assert text.count("<script") == 1
    assert "<b>" not in text


def test_absent_parts_and_equal_titles() -> None:
    text = render_report(Report("bare", None, "Nothing was asked."))
    assert "PASS" not in text
    assert "FAIL" not in text
    text = render_report(
        Report("twice", True, "", (), [Section("Verdict", [Text("a")]), Section("Verdict", [Text("b")])])
    )
    assert re.findall(r'<section id="([^"]+)">', text) == ["verdict-2", "verdict-3"]


def test_thinned_waveforms_keep_their_extremes() -> None:
    time = np.linspace(0.0, 1.0, 50_000)
    wave = np.sin(2 * np.pi * 50 * time)
    wave[31_234] = 7.0
    wave[100] = np.nan
    waves = Waves(time, {"a": {"x": wave}}, most=1000)
    panel = waves.drawn[0]
    path = panel["traces"][0]["path"]  # type: ignore[index]
    points = np.array([[float(v) for v in pair.split()] for pair in re.split("[ML]", path)[1:]])
    assert len(points) <= 1002
    assert np.all(np.diff(points[:, 0]) >= 0)
    low, high = panel["low"], panel["high"]
    values = high - points[:, 1] / 1000 * (high - low)  # type: ignore[operator]
    assert values.max() == pytest.approx(7.0, abs=0.01)
    assert values.min() == pytest.approx(-1.0, abs=0.01)
    spike = points[np.argmax(values), 0] / 100_000
    assert spike == pytest.approx(time[31_234], abs=1e-5)


def test_a_figure_shows_the_numbers_it_is_given() -> None:
    """The line's points, read back from the SVG through the axes' ticks, are the data."""
    x, y = np.array([0.0, 1.0, 2.0, 4.0]), np.array([3.0, -1.0, 2.0, 5.0])
    svg = str(curves(x, {"a": y}, x_label="x", y_label="y", label="a test"))
    line = next(d for d in re.findall(r'<path d="([^"]+)" clip-path', svg) if d.count("L") == 3)
    points = np.array([[float(v) for v in pair.split()] for pair in re.split("[ML]", line)[1:]])
    assert np.corrcoef(points[:, 0], x)[0, 1] == pytest.approx(1.0, abs=1e-9)
    assert np.corrcoef(points[:, 1], y)[0, 1] == pytest.approx(-1.0, abs=1e-9)
    assert "var(--c1)" in svg
    assert "#0101" not in svg


def test_schematic_states_levels_and_values(small_bench: Bench) -> None:
    bench, task = small_bench, small_bench.task("AND")
    settings = HgeSettings(amplitude_V=0.02, **loop_fields("macro", mixer="transistor"))
    loop = build_loop(Experiment(bench, task, settings), START, 1.0, bench.outputs_A(START, task))
    found = {stage.title: stage for stage in stages(loop)}
    assert found["mixer"].level == "transistor"
    assert found["transimpedance"].level == "macro"
    assert found["control + dither"].values == ["20 mV peak"]
    assert found["mixer"].each == 4
    drawn = loop_section(loop).blocks[0]
    assert isinstance(drawn, Figure)
    for svg in (drawn.svg, drawn.narrow_svg):
        assert svg is not None
        for text in ("20 mV peak", "mixer ×4", "transistor", "var(--macro)", "oscillators ×4"):
            assert text in svg


@pytest.mark.parametrize(
    ("value", "text"),
    [(4700.0, "4.7 kohm"), (1e7, "10 Mohm"), (999.9, "1 kohm"), (0.0, "0 ohm"), (2e-3, "2 mohm"), (-3e-6, "-3 µohm")],
)
def test_quantities(value: float, text: str) -> None:
    assert quantity(value, "ohm") == text


def test_what_does_not_fit_is_refused(tmp_path: Path, small_attempt: Attempt) -> None:
    with pytest.raises(InputError, match=r"^rows"):
        Table(["a", "b"], [["1"]])
    with pytest.raises(InputError, match=r"^time_s"):
        Waves([1.0, 0.0], {})
    with pytest.raises(InputError, match=r"^panels"):
        Waves([0.0, 1.0], {"a": {"x": [1.0]}})
    with pytest.raises(InputError, match=r"^start_s"):
        waveform_section(small_attempt.loop, small_attempt.run, 1e3, 2e3)
    with pytest.raises(InputError, match=r"^values"):
        sweep_section(xr.DataArray(np.zeros(3), dims="a"))
    with pytest.raises(InputError, match=r"^measured"):
        gradient_section([], [])
    with pytest.raises(InputError, match=r"^report"):
        write_report(tmp_path / "no" / "report.html", Report("a", True, ""))


# ------------------------------------------------------------------------------------------------------ in a browser

PHONE, DESK = (390, 844), (1280, 800)

CONTRAST = """
() => {
  const parse = (text) => { const v = text.match(/[\\d.]+/g).map(Number); return [v[0], v[1], v[2], v[3] ?? 1]; };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour[3] === 1) return colour;
    }
    return [255, 255, 255, 1];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    if (element.closest("script") || ![...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    const style = getComputedStyle(element);
    const ink = light(parse(element.closest("svg") ? style.fill : style.color)), ground = light(behind(element));
    const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    if (ratio < 4.5) poor.push([element.textContent.trim().slice(0, 40), ratio]);
  }
  return poor;
}
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The system's Chromium, headless."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no browser to look at the report with: install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright to drive the browser with")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=[(PHONE, "light"), (PHONE, "dark"), (DESK, "light"), (DESK, "dark")], ids=str)
def opened(request: pytest.FixtureRequest, chromium: Any, page: Path) -> Iterator[Any]:
    """The report in the browser; at the end there must have been neither errors nor requests."""
    (width, height), scheme = request.param
    context = chromium.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=width < 500, offline=True
    )
    tab = context.new_page()
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda wanted: said.append(wanted.url) if not wanted.url.startswith(("file:", "data:")) else None)
    tab.goto(page.as_uri())
    yield tab
    assert not said
    context.close()


def test_it_fits_and_can_be_read(opened: Any) -> None:
    width = opened.viewport_size["width"]
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    stamp = opened.locator(".stamp").bounding_box()
    assert stamp["y"] + stamp["height"] < opened.viewport_size["height"] / 2
    assert opened.locator(".stamp").inner_text().endswith("FAIL")
    assert opened.title().startswith("FAIL: AND </script>")
    assert opened.evaluate(CONTRAST) == []
    # nothing sticks out of its card, and of the two schematics one is seen
    rights = "[...document.querySelectorAll('main figure, header *')].map(e => e.getBoundingClientRect().right)"
    assert max(opened.evaluate(rights)) <= width
    assert opened.locator(".on-narrow:visible").count() == (1 if width == PHONE[0] else 0)
    assert opened.locator(".on-wide:visible").count() == (0 if width == PHONE[0] else 1)


def test_waveforms_zoom_move_and_reset(opened: Any) -> None:
    wave = opened.locator(".waves svg").first
    wave.scroll_into_view_if_needed()
    opened.wait_for_timeout(400)  # a page under way keeps the wheel

    def view() -> list[float]:
        return [float(v) for v in wave.get_attribute("viewBox").split()]

    whole = view()
    box = wave.bounding_box()
    quarter = box["x"] + 0.25 * box["width"]
    opened.mouse.move(quarter, box["y"] + 20)
    before = opened.evaluate("scrollY")
    opened.mouse.wheel(0, -300)
    opened.wait_for_function("document.querySelector('.waves svg').getAttribute('viewBox').split(' ')[2] < 90000")
    zoomed = view()
    assert zoomed[2] == pytest.approx(0.8 * whole[2])
    # what lay under the pointer stays there
    assert zoomed[0] + 0.25 * zoomed[2] == pytest.approx(whole[0] + 0.25 * whole[2], rel=0.01)
    assert opened.evaluate("scrollY") == before
    others = opened.locator(".waves svg").evaluate_all("all => all.map(e => e.getAttribute('viewBox').split(' ')[2])")
    assert {float(v) for v in others} == {zoomed[2]}

    opened.mouse.down()
    opened.mouse.move(quarter - 30, box["y"] + 20, steps=3)
    opened.mouse.up()
    assert view()[0] == pytest.approx(zoomed[0] + 30 / box["width"] * zoomed[2], rel=0.02)

    opened.locator(".waves button[data-do=reset]").click()
    assert view() == whole
    opened.locator(".waves .panels").focus()
    opened.keyboard.press("+")
    assert view()[2] == pytest.approx(0.5 * whole[2])
    opened.keyboard.press("ArrowRight")
    assert view()[0] > 0.25 * whole[2]
    opened.keyboard.press("0")
    assert view() == whole
    assert opened.locator(".times .tick").count() >= 2


def test_links_lead_to_their_sections(opened: Any) -> None:
    links = opened.locator("nav a")
    assert links.count() == 10
    links.nth(3).click()
    opened.wait_for_function("location.hash === '#gradient'")
    opened.wait_for_function("document.querySelector('#gradient').getBoundingClientRect().top < innerHeight / 2")


def test_two_fingers_zoom(chromium: Any, page: Path) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    tab = context.new_page()
    tab.goto(page.as_uri())
    wave = tab.locator(".waves svg").first
    wave.scroll_into_view_if_needed()
    box = wave.bounding_box()
    middle, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = context.new_cdp_session(tab)

    def fingers(kind: str, distance: float) -> None:
        points = [{"x": middle - distance, "y": y}, {"x": middle + distance, "y": y}] if kind != "touchEnd" else []
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", 40)
    fingers("touchMove", 60)
    fingers("touchMove", 80)
    fingers("touchEnd", 0)
    assert float(wave.get_attribute("viewBox").split()[2]) == pytest.approx(50_000, rel=0.1)
    context.close()
