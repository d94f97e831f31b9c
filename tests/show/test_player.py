import io
import re

import numpy as np
import pytest
import soundfile
from player_pages import EVIL, Page, sound_of
from sound_samples import Sentence, Span, clicks, hum, sentence

from speech_interp.show.player import listen
from speech_interp.show.player_parts import encode_mp3


def test_five_seconds_stay_within_40_kb():
    encoded, (wave, rate) = sound_of(listen(hum(5)))
    assert rate == 16_000
    assert len(wave) == 80_000
    assert 25_000 < len(encoded) <= 40_000


def test_script_and_style_are_small():
    page = Page(listen(hum(0.1)).html)
    assert sum(len(e[2].encode()) for e in page.elements if e[0] in ("script", "style")) < 15_000
    assert len(page.elements) < 40


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_sound_keeps_its_shape_and_its_size(rate):
    wave = hum(2, rate)
    encoded = encode_mp3(wave, rate)
    assert len(encoded) < 2 * 6_000 + 1_000
    decoded, decoded_rate = soundfile.read(io.BytesIO(encoded))
    assert decoded_rate == rate
    assert len(decoded) >= len(wave)
    envelopes = [np.abs(x[: len(wave)]).reshape(100, -1).mean(1) for x in (wave, decoded)]
    if rate == 16_000:
        assert np.corrcoef(*envelopes)[0, 1] > 0.98


def test_clicks_are_heard_at_their_times():
    times = np.array([0.1, 0.35, 0.8, 1.234, 2.0])
    _, (wave, rate) = sound_of(listen(clicks(times, 2.5)))
    for time in times:
        near = slice(round((time - 0.04) * rate), round((time + 0.04) * rate))
        found = (near.start + np.abs(wave[near]).argmax()) / rate
        assert found == pytest.approx(time, abs=0.001)


def test_loud_sound_is_turned_down_not_clipped():
    tone = 3 * np.sin(np.arange(16_000) * 2 * np.pi * 200 / 16_000).astype(np.float32)
    decoded, _ = soundfile.read(io.BytesIO(encode_mp3(tone, 16_000)))
    spectrum = np.abs(np.fft.rfft(decoded[4000:12_000]))
    assert spectrum.argmax() == 100  # 200 Hz
    assert spectrum[290:310].max() < 0.01 * spectrum.max()  # clipping makes a third harmonic


def test_quiet_sound_stays_quiet():
    decoded, _ = soundfile.read(io.BytesIO(encode_mp3(0.01 * hum(1), 16_000)))
    assert np.sqrt(np.mean(decoded**2)) == pytest.approx(
        float(np.sqrt(np.mean((0.01 * hum(1)) ** 2))), rel=0.2
    )


def test_words_and_phones_stand_where_they_sound():
    spoken = sentence()
    cells = Page(listen(spoken, phone_name=str).html).all(role="gridcell")
    assert len(cells) == len(spoken.words) + len(spoken.phones)
    for (_, attributes, text), item in zip(cells, spoken.words + spoken.phones, strict=True):
        assert text == item.label
        start, end = map(float, attributes["data-t"].split())
        assert (start, end) == pytest.approx((item.start_s, item.end_s), abs=1e-4)
        left, width = map(float, re.findall(r"(?:left|width):([\d.]+)%", attributes["style"]))
        assert left / 100 * 1.5 == pytest.approx(item.start_s, abs=2e-5)
        assert width / 100 * 1.5 == pytest.approx(item.end_s - item.start_s, abs=2e-5)
        assert f"{item.label}, {start:.2f} to {end:.2f} s" in attributes["aria-label"]


def test_phones_are_shown_in_ipa_and_labels_of_others_as_they_are():
    ends = [(0.0, 0.5), (0.5, 1.0), (1.0, 1.5)]
    phones = [Span(label, *at) for label, at in zip(("SH", "AX", "tʃʰ"), ends, strict=True)]
    spoken = Sentence(hum(1.5), (), tuple(phones), "")
    cells = Page(listen(spoken).html).all(role="gridcell")
    assert [text for _, _, text in cells] == ["ʃ", "ə", "tʃʰ"]


def test_scores_are_read_out_with_layer_and_word():
    scores = np.array([[0.25, 0.5, 1.0], [0.0, np.nan, 0.125]])
    page = Page(listen(sentence(), scores, rows=["layer 0", "layer 1"]).html)
    cells = [e for e in page.all(role="gridcell") if "layer" in e[1]["aria-label"]]
    said = [e[1]["aria-label"].rsplit(",", 1)[0] for e in cells]
    assert said[:3] == ["layer 0, two: 0.25", "layer 0, words: 0.5", "layer 0, here: 1"]
    assert said[4] == "layer 1, words: no value"
    assert "si-none" in cells[4][1]["class"]
    assert [e[2] for e in cells] == [".25", ".50", "1.00", ".00", "", ".12"]
    assert [e[2] for e in page.all(role="rowheader")] == ["words", "phones", "layer 0", "layer 1"]
    legend = page.all(**{"class": "si-legend"})[0][2]
    assert "0.00" in legend and "1.00" in legend


def colours(player):
    """Background and ink of every scored cell, each as linear red, green, blue."""
    found = re.findall(r"background:(#[0-9a-f]{6});color:(#[0-9a-f]{3})\b", player.html)
    pairs = np.array(
        [[[int(b[i : i + 2], 16) for i in (1, 3, 5)], [int(f[1], 16) * 17] * 3] for b, f in found]
    )
    s = pairs / 255
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_numbers_in_cells_can_be_read(low):
    scores = np.linspace(low, 1, 300).reshape(100, 3)
    light = colours(listen(sentence(), scores)) @ [0.2126, 0.7152, 0.0722]
    assert light.shape == (300, 2)
    contrast = (light.max(1) + 0.05) / (light.min(1) + 0.05)
    assert contrast.min() >= 4.5


def test_what_rounds_to_nothing_has_no_sign():
    html = listen(sentence(), [-0.001, 1.0, -0.5]).html
    assert "<span>.00</span>" in html and "<span>\N{MINUS SIGN}.50</span>" in html
    assert "\N{MINUS SIGN}.00" not in html


def test_colours_follow_scores():
    light = colours(listen(sentence(), [0.1, 0.5, 0.9])) @ [0.2126, 0.7152, 0.0722]
    assert light[0, 0] > light[1, 0] > light[2, 0]  # more is darker
    red, green, blue = colours(listen(sentence(), [-1.0, 0.0, 1.0]))[:, 0].T
    assert blue[0] > red[0] and red[2] > blue[2]  # negative is blue, positive orange
    assert np.ptp([red[1], green[1], blue[1]]) < 0.02


def test_limits_fix_the_scale_across_players():
    one = listen(sentence(), [0.1, 0.2, 0.5], limits=(0, 1))
    two = listen(sentence(), [0.5, 0.9, 1.0], limits=(0, 1))
    assert np.array_equal(colours(one)[2], colours(two)[0])


def test_rows_that_are_words_play_too():
    spoken = sentence()
    page = Page(listen(spoken, np.eye(3), rows=spoken.words).html)
    heads = [e for e in page.all(role="rowheader") if "data-t" in e[1]]
    assert [e[2] for e in heads] == ["two", "words", "here"]
    assert [e[1]["data-t"] for e in heads] == [
        f"{w.start_s:.4f} {w.end_s:.4f}" for w in spoken.words
    ]


def test_columns_may_be_phones_or_any_intervals():
    spoken = sentence()
    said = listen(spoken, np.arange(7.0), columns="phones", score_name="loudness").html
    assert "loudness, SIL: 0, 0.00 to 0.20 s" in said
    frames = [Span(str(i), i / 10, (i + 1) / 10) for i in range(10)]
    page = Page(listen(hum(1), np.arange(10.0), columns=frames).html)
    assert len(page.all(role="gridcell")) == 10


def test_manipulated_sound_keeps_the_time_line():
    spoken = sentence()
    kept = spoken.wave.copy()
    kept[: len(kept) // 2] = 0
    player = listen(spoken, wave=kept)
    _, (wave, _) = sound_of(player)
    assert np.abs(wave[: len(wave) // 2 - 1200]).max() < 1e-3
    assert np.abs(wave[len(wave) // 2 + 1200 :]).max() > 0.1
    assert len(Page(player.html).all(role="gridcell")) == 10


def test_every_text_is_escaped():
    spoken = sentence(EVIL, 6.0)
    object.__setattr__(spoken, "phones", tuple(Span(e, 0.0, 1.0) for e in EVIL))
    harmless = sentence(["word"] * 6, 6.0)
    object.__setattr__(harmless, "phones", tuple(Span("T", 0.0, 1.0) for _ in EVIL))
    scores = np.ones((6, 6))
    page = Page(
        listen(spoken, scores, rows=EVIL, score_name=EVIL[0], title=EVIL[1]).html,
    )
    plain = Page(listen(harmless, scores, rows=["a"] * 6).html)
    assert [e[0] for e in page.elements] == [e[0] for e in plain.elements]
    for (_, evil, _), (_, fine, _) in zip(page.elements, plain.elements, strict=True):
        assert evil.keys() == fine.keys()
    shown = [e[2] for e in page.all(role="gridcell")]
    assert shown[:5] == EVIL[:5]
    assert shown[5] == EVIL[5].replace("\x00", "\ufffd")


def test_nothing_comes_from_elsewhere():
    html = listen(sentence(), [1.0, 2.0, 3.0]).html
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[^\"]+", "", html))
    assert "innerHTML" not in html
    assert html.isprintable() or "\n" in html


def test_without_scripts_the_browsers_own_controls_are_there():
    page = Page(listen(hum(0.5)).html)
    (audio,) = [e for e in page.elements if e[0] == "audio"]
    assert "controls" in audio[1] and "hidden" not in audio[1]
    assert all("hidden" in e[1] for e in page.elements if e[0] == "button")


def test_plain_text_says_what_it_is():
    assert repr(listen(sentence())) == "Player('two words here', 1.50 s)"
    shown = repr(listen(sentence(), np.ones((2, 3)), score_name="accuracy"))
    assert shown == "Player('two words here', 1.50 s, accuracy (2, 3))"


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.zeros(0, np.float32),), {}, r"at least one.*\(0,\)"),
        ((np.zeros((2, 50), np.float32),), {}, r"\(sample,\).*\(2, 50\)"),
        ((np.zeros(50, np.int16),), {}, "floats.*int16"),
        ((np.full(50, np.nan, np.float32),), {}, "finite"),
        ((hum(1) * 32768,), {}, r"expected samples in \[-1, 1\]"),
        ((np.zeros(301 * 8000, np.float32),), {"rate_hz": 8000}, "at most 300 s; got 301"),
        ((hum(1),), {"rate_hz": 96_000}, "rate_hz is 96000, MP3 holds only 8000, 11025"),
        ((sentence(), [1.0, 2.0]), {}, r"\(3,\) or \(row, 3\).*\(2,\)"),
        ((sentence(), np.ones((2, 3))), {"rows": ["a"]}, "2 rows.*got 1"),
        ((sentence(), [1.0, 2.0, 3.0]), {"limits": (1, 1)}, r"low < high; got \(1, 1\)"),
        ((sentence(),), {"wave": np.zeros(5, np.float32)}, r"\(24000,\); got \(5,\)"),
        ((hum(1), [1.0]), {}, "columns"),
    ],
)
def test_errors_say_what_came_and_what_was_expected(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        listen(*arguments, **options)


@pytest.mark.parametrize("samples", [1, 5, 399])
def test_very_short_sounds_have_a_player(samples):
    player = listen(np.full(samples, 0.5, np.float32))
    assert Page(player.html).all(role="img")
