"""The player by itself in a real browser: what is decoded, what is played, keys, labels."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from sound_samples import Span, clicks, hum, sentence, tone, two_tables

from speech_interp.show.player import listen
from speech_interp.show.sound_board import Sample, Table, sound_board
from speech_interp.show.sound_map import sound_map

# Notes every sound that is started: which samples, from where, how long, and when it stops.
RECORD = """
window.started = [];
const {start} = AudioBufferSourceNode.prototype;
AudioBufferSourceNode.prototype.start = function (when, offset, length) {
  window.started.push({offset, length, rate: this.buffer.sampleRate,
                       samples: Array.from(this.buffer.getChannelData(0))});
  return start.call(this, when, offset, length);
};
"""
LATE = """
const decode = OfflineAudioContext.prototype.decodeAudioData;
OfflineAudioContext.prototype.decodeAudioData = async function (bytes) {
  const sound = await decode.call(this, bytes);
  const late = Math.round(SECONDS * sound.sampleRate);
  const longer = this.createBuffer(1, sound.length + late, sound.sampleRate);
  longer.copyToChannel(sound.getChannelData(0), 0, late);
  return longer;
};
"""


@pytest.fixture
def show(browser):
    contexts = []

    def open_page(*players, before="", frame=False, touch=False, scripts=True, **options):
        context = browser.new_context(has_touch=touch, java_script_enabled=scripts, **options)
        contexts.append(context)
        page = context.new_page()
        page.complaints = []
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on(
            "request",
            lambda r: r.url[:5] not in ("data:", "about") and page.complaints.append(r.url),
        )
        page.add_init_script(RECORD + before)
        html = "".join(f"<section>{p.html}</section>" for p in players)
        page.goto("about:blank")
        page.set_content(
            f"<!doctype html><html lang=en><title>t</title><main><h1>t</h1>{html}</main>"
        )
        if scripts:
            page.wait_for_selector(".si-player[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()


def played(page, count=1):
    page.wait_for_function(f"window.started.length >= {count}")
    return page.evaluate("window.started")[count - 1]


def heard(record):
    """The samples that a record played, and their rate."""
    rate = record["rate"]
    first = round(record["offset"] * rate)
    return np.array(record["samples"][first : first + round(record["length"] * rate)]), rate


def test_a_click_on_a_word_plays_exactly_its_span(show):
    spoken = sentence()
    page = show(listen(spoken))
    for count, word in enumerate(spoken.words, start=1):
        page.get_by_role("gridcell", name=f"word {word.label}").click()
        samples, rate = heard(played(page, count))
        wanted = spoken.wave[round(word.start_s * rate) : round(word.end_s * rate)]
        assert abs(len(samples) - len(wanted)) <= 2
        size = min(len(samples), len(wanted))
        lags = np.correlate(samples[:size], wanted[200 : size - 200], "valid")
        assert abs(int(lags.argmax()) - 200) <= 16, "more than 1 ms off"
    assert not page.complaints


@pytest.mark.parametrize(
    ("rate_hz", "late"),
    [(16_000, late) for late in (0, 529, 530, 576, 1105, 1681)]
    + [(rate_hz, 0) for rate_hz in (8_000, 22_050, 44_100, 48_000)],
)
def test_sound_and_time_line_agree(show, rate_hz, late):
    """Whatever delay a decoder leaves: here so many samples more than Chromium does."""
    wave = hum(3, rate_hz)
    late_s = late / rate_hz
    page = show(listen(wave, rate_hz=rate_hz), before=LATE.replace("SECONDS", str(late_s)))
    page.locator(".si-play").click()
    samples, rate = heard(played(page))
    assert rate == rate_hz
    size = min(len(samples), len(wave))
    product = np.fft.rfft(samples[:size], 2 * size) * np.conj(np.fft.rfft(wave[:size], 2 * size))
    lag = int(np.fft.irfft(product).argmax())
    lag -= 2 * size * (lag > size)
    assert abs(lag) / rate <= 0.001


def test_clicks_are_heard_at_their_times(show):
    times = np.array([0.1, 0.35, 0.8, 1.234, 2.0])
    page = show(listen(clicks(times, 2.5)))
    page.locator(".si-play").click()
    samples, rate = heard(played(page))
    for time in times:
        first = round((time - 0.04) * rate)
        found = (first + np.abs(samples[first : first + round(0.08 * rate)]).argmax()) / rate
        assert found == pytest.approx(time, abs=0.002)


def test_keys(show):
    spoken = sentence(duration_s=6.0)
    page = show(listen(spoken, np.eye(3), rows=spoken.words))
    focused = "document.activeElement.getAttribute('aria-label')"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "si-play"
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate(focused).startswith("word two")
    steps = [
        ("ArrowRight", "word words"),
        ("ArrowDown", "phone"),
        ("ArrowDown", "two, words: 0"),
        ("ArrowDown", "words, words: 1"),
        ("End", "words, here: 0"),
        ("ArrowRight", "words, here: 0"),
        ("Home", "row words"),
        ("Control+Home", "word two"),
        ("Control+End", "here, here: 1"),
        ("ArrowUp", "words, here: 0"),
    ]
    for key, label in steps:
        page.keyboard.press(key)
        assert page.evaluate(focused).startswith(label), key
        assert page.locator("[tabindex='0']").count() == 1
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", "focus can be seen"
    for count, key in enumerate(["Enter", "Space"], start=1):
        page.keyboard.press(key)
        record = played(page, count)
        assert record["length"] == pytest.approx(
            spoken.words[2].end_s - spoken.words[2].start_s, abs=1e-4
        )
    page.wait_for_selector(".si-player[data-playing]")
    page.keyboard.press("Escape")
    page.wait_for_selector(".si-player:not([data-playing])")
    assert page.locator(".si-cursor").is_hidden()


def test_keys_stay_inside_the_player(show):
    """A notebook around it does not move to its next cell when an arrow moves in the player."""
    page = show(listen(sentence()))
    page.evaluate("document.body.addEventListener('keydown', e => (window.leaked = e.key))")
    page.get_by_role("gridcell", name="word two").focus()
    for key in ("ArrowDown", "ArrowRight", "Enter", "Escape"):
        page.keyboard.press(key)
    assert page.evaluate("window.leaked") == "Escape"
    page.keyboard.press("x")
    assert page.evaluate("window.leaked") == "x"
    assert page.locator("[data-lm-suppress-shortcuts]").count() == 1


def test_several_players_do_not_disturb_each_other(show):
    page = show(listen(hum(6)), listen(sentence(("a", "b"))), listen(hum(8)))
    assert page.locator(".si-player[data-ready]").count() == 3
    first, second, third = page.locator(".si-player").all()
    first.locator(".si-play").click()
    page.wait_for_selector(".si-player[data-playing]")
    third.locator(".si-play").click()
    played(page, 2)
    page.wait_for_function("document.querySelectorAll('[data-playing]').length === 1")
    assert third.get_attribute("data-playing") == "0 8"
    assert first.locator(".si-play").inner_text() == "▶ Play"
    assert third.locator(".si-play").inner_text() == "■ Stop"
    assert second.get_attribute("data-shift") is None  # what is not played is not decoded


def test_it_stops_at_the_end_and_the_cursor_moves(show):
    page = show(listen(hum(0.6)))
    page.locator(".si-play").click()
    page.wait_for_selector(".si-cursor", state="visible")
    place = "parseFloat(document.querySelector('.si-cursor').style.left)"
    page.wait_for_function(f"{place} > 10")
    page.wait_for_function(f"{place} > 40")
    page.wait_for_selector(".si-player:not([data-playing])", timeout=5000)
    assert page.locator(".si-cursor").is_hidden()


def test_drag_on_the_waveform_plays_the_selection(show):
    page = show(listen(hum(2)))
    box = page.locator(".si-wave .si-lane").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.25, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, middle, steps=4)
    page.mouse.up()
    assert played(page)["length"] == pytest.approx(1.0, abs=0.02)
    page.mouse.click(box["x"] + box["width"] * 0.5, middle)
    assert played(page, 2)["length"] == pytest.approx(1.0, abs=0.02)


def test_scripts_that_run_before_or_after_the_output(show):
    """As Colab (a frame for each output) and Jupyter (scripts made anew) insert an output."""
    page = show(listen(hum(0.2)))
    html = json.dumps(listen(sentence(duration_s=6.0)).html).replace("</", "<\\/")
    page.evaluate(
        f"""() => {{
        const frame = document.createElement('iframe');
        frame.sandbox = 'allow-scripts';
        frame.srcdoc = {html};
        document.body.append(frame);
        const host = document.createElement('div');
        host.innerHTML = {html};
        for (const old of host.querySelectorAll('script')) {{
          const fresh = document.createElement('script');
          fresh.textContent = old.textContent;
          old.replaceWith(fresh);
        }}
        document.body.append(host);
    }}"""
    )
    page.wait_for_function("document.querySelectorAll('.si-player[data-ready]').length === 2")
    frame = page.frames[1]
    frame.wait_for_selector(".si-player[data-ready]")
    word = frame.get_by_role("gridcell", name="word two")
    start_s, end_s = map(float, word.get_attribute("data-t").split())
    word.press("Enter")  # a click into a frame that has just scrolled sometimes misses it
    assert played(frame)["length"] == pytest.approx(end_s - start_s, abs=1e-3)
    assert not page.complaints


def test_nothing_from_a_label_runs(show):
    evil = "</script><img src=x onerror='window.pwned=1'>\"><svg onload=window.pwned=1>"
    spoken = sentence((evil, evil))
    page = show(listen(spoken, np.eye(2), rows=[evil, evil], score_name=evil, title=evil))
    page.get_by_role("gridcell").nth(3).click()
    played(page)
    page.get_by_role("gridcell").nth(0).hover()
    page.wait_for_timeout(200)
    assert page.evaluate("window.pwned") is None
    assert page.locator("img, svg[onload]").count() == 0
    assert not page.complaints


def test_without_scripts_the_browsers_own_controls_show(show):
    page = show(listen(sentence(), [1.0, 2.0, 3.0]), scripts=False)
    assert page.locator("audio").is_visible()
    assert page.locator(".si-play").is_hidden()
    assert page.get_by_role("gridcell", name="word two").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1000])
def test_accessible_and_no_wider_than_the_page(show, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    scores = np.array([[-1.0, 0.2, np.nan], [0.5, 1.0, -0.3]])
    page = show(
        listen(sentence(), scores, rows=["layer 0", "layer 1"], title="A sentence"),
        color_scheme=scheme,
        viewport={"width": width, "height": 800},
    )
    found = Axe().run(page).response["violations"]
    assert not [(v["id"], [n["html"][:150] for n in v["nodes"]]) for v in found]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.querySelector('.si-player')).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(27, 30, 35)"}[scheme]


def test_touch(show):
    spoken = sentence()
    page = show(listen(spoken), touch=True, viewport={"width": 360, "height": 700})
    page.get_by_role("gridcell", name="word two").tap()
    assert played(page)["length"] == pytest.approx(
        spoken.words[0].end_s - spoken.words[0].start_s, abs=1e-4
    )
    assert "word two" in page.locator(".si-status").inner_text()
    assert page.locator(".si-play").bounding_box()["height"] >= 40


# Boards of sounds: the same player, with tables in place of a time line.


def hertz_of(record):
    samples, rate = heard(record)
    return np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)


def test_a_click_plays_the_sound_of_its_button(show):
    page = show(sound_board(two_tables(), title="chart"))
    for count, (name, hertz) in enumerate({"k key": 400, "d": 600, "i": 700}.items(), start=1):
        page.get_by_role("gridcell", name=name, exact=True).click()
        assert hertz_of(played(page, count)) == pytest.approx(hertz, abs=5)
    assert page.locator(".si-status").inner_text() == "i"
    assert not page.complaints


def test_keys_move_by_columns_and_between_tables(show):
    page = show(sound_board(two_tables(), title="chart"))
    focused = "document.activeElement.getAttribute('aria-label')"
    page.get_by_role("gridcell", name="p as in pea").focus()
    for key, label in [
        ("ArrowRight", "k key"),
        ("ArrowDown", "d"),  # the nearest column of the row below, though played last
        ("ArrowLeft", "b"),
        ("ArrowUp", "p as in pea"),
        ("Control+End", "i"),
        ("ArrowUp", "b"),
    ]:
        page.keyboard.press(key)
        assert page.evaluate(focused) == label, key
    page.keyboard.press("Enter")
    assert hertz_of(played(page)) == pytest.approx(500, abs=5)
    page.keyboard.press("Escape")
    page.wait_for_selector(".si-player:not([data-playing])")


def test_a_minute_of_sounds_keeps_its_times(show):
    """Although the waveform, from which the delay of the decoder is found, is drawn coarsely."""
    rng = np.random.default_rng(0)
    cells = [Sample(str(k), tone(200 + 50 * k, rng.uniform(1.0, 3.0))) for k in range(30)]
    board = sound_board([Table("t", ["row"], [c.shown for c in cells], [cells])], title="t")
    edges = """count => {
        const {offset, length, rate, samples} = window.started[count];
        const at = (t) => Math.round(t * rate);
        const peak = (a, b) => Math.max(...samples.slice(at(a), at(b)).map(Math.abs));
        return [peak(offset, offset + 0.02), peak(offset + length - 0.02, offset + length)];
    }"""
    page = show(board, before=LATE.replace("SECONDS", str(1105 / 16_000)))
    for count, k in enumerate((0, 15, 29)):
        page.locator(".si-key").nth(k).click()
        page.wait_for_function(f"window.started.length > {count}")
        assert min(page.evaluate(edges, count)) > 0.3, "cut at the wrong place"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1000])
def test_board_is_accessible_and_no_wider_than_the_page(show, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    page = show(
        sound_board(two_tables(), title="chart"),
        color_scheme=scheme,
        viewport={"width": width, "height": 800},
    )
    found = Axe().run(page).response["violations"]
    assert not [(v["id"], [n["html"][:150] for n in v["nodes"]]) for v in found]
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [320, 480])
def test_a_finger_finds_every_cell_on_a_narrow_screen(show, width):
    """24 x 24 pixels and more, also of phones of 20 ms and of scores by phone."""
    spoken = sentence(("a", "few", "words", "that", "follow"), duration_s=3.0)
    phones = tuple(
        Span("T", start_s, end_s) for start_s, end_s in ((0.2, 0.22), (0.22, 0.25), (0.25, 0.4))
    )
    spoken = replace(spoken, phones=phones)
    players = [
        listen(spoken, np.ones((2, 3)), columns="phones"),
        listen(spoken, np.ones((5, 5)), rows=spoken.words),
        sound_board(two_tables(), title="chart"),
        sound_map(
            [Sample("a", tone(300, 0.2)), Sample("b", tone(400, 0.2))],
            np.array([[0.0, 0], [1, 1]]),
            title="map",
            x_name="x",
            y_name="y",
        ),
    ]
    page = show(*players, touch=True, viewport={"width": width, "height": 700})
    sizes = page.locator("[data-t], button").evaluate_all(
        """all => all.map(e => [e.outerHTML.slice(0, 90), e.offsetWidth, e.offsetHeight,
                                e.checkVisibility()])"""
    )
    shown = [size for size in sizes if size[3]]
    assert len(shown) > 40
    assert not [size for size in shown if min(size[1:3]) < 24]


def test_more_time_can_be_seen_on_a_narrow_screen(show):
    """The time line that a finger needs is long; the button still shortens it."""
    many = sentence("a good many words that follow each other".split())
    page = show(listen(many), touch=True, viewport={"width": 360, "height": 700})
    line = page.locator(".si-time")
    before = line.bounding_box()["width"]
    page.locator(".si-out").click()
    assert line.bounding_box()["width"] < before
