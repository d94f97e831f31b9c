"""Claims are computed again under every variation, and the kept table is that of today's claims."""

import importlib
import io
import json
import sys
import types
from types import SimpleNamespace

import pytest

from refutation import __main__ as runner
from refutation.claims import VARIATIONS, Claim, NotApplicable, Variation
from speech_interp.speech.corpus import Utterance

SPOKEN = [
    Utterance(id=f"{speaker}-{text}", text=text, speaker=speaker)
    for speaker in "dcba"
    for text in ("one", "two", "three")
]


def test_halves_share_no_speaker_and_leave_none_out():
    halves = [Variation(speakers=f"{which} half").choose(SPOKEN) for which in ("first", "second")]
    assert [{u.speaker for u in half} for half in halves] == [{"a", "b"}, {"c", "d"}]
    said = [{u.text for u in Variation(sentences=s).choose(SPOKEN)} for s in ("even", "odd")]
    assert said == [{"one", "two"}, {"three"}]
    assert Variation().choose(SPOKEN) == SPOKEN


def test_a_variation_says_what_it_changes():
    assert str(Variation()) == "as on the page"
    assert str(Variation(lead_s=2.0, fold_seed=3)) == "fold seed 3, lead s 2.0"
    assert len(VARIATIONS) == 11 and len(set(map(str, VARIATIONS))) == 11


def holds_unless_shifted(variation):
    if variation.speakers:
        raise NotApplicable("one speaker")
    return variation.lead_s < 1, 1 - variation.lead_s


@pytest.fixture
def one_chapter(tmp_path, monkeypatch):
    claim = Claim("It holds.", "a number", "above 0", holds_unless_shifted)
    module = types.ModuleType("refutation.small")
    module.CLAIMS = [claim]
    monkeypatch.setitem(sys.modules, "refutation.small", module)
    monkeypatch.setattr(runner, "TABLE", tmp_path / "table.json")
    monkeypatch.setattr(runner, "chapters", lambda: ["small"])
    monkeypatch.setattr(runner, "fingerprint", lambda chapter: "same")
    return claim


def test_the_table_says_what_flips(one_chapter, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["refutation"])
    assert runner.main() == 0
    assert "8 of 9; not with lead s 2.0: It holds." in capsys.readouterr().out
    (row,) = json.loads(runner.TABLE.read_text())["small"]["claims"]
    assert runner.flips(row) == ["lead s 2.0"]
    assert [o["why"] for o in row["outcomes"] if o["holds"] is None] == ["one speaker"] * 2


def test_a_bar_that_is_shown_changes_nothing():
    """`update` says True when it draws: it must never stand in for a variation."""
    claim = Claim("It holds.", "a number", "above 0", holds_unless_shifted)
    with runner.tqdm(total=11, mininterval=0, miniters=1, file=io.StringIO()) as bar:
        row = runner.tried(claim, bar)
        assert bar.n == len(VARIATIONS)
    assert [o["variation"] for o in row["outcomes"]] == [str(v) for v in VARIATIONS]


def test_a_variation_that_enters_nothing_proves_nothing():
    asked = []

    def holds(variation):
        asked.append(variation)
        return True, 1

    claim = Claim("It holds.", "a number", "above 0", holds, ("lead_s",))
    row = runner.tried(claim, SimpleNamespace(update=lambda: None))
    assert [str(v) for v in asked] == ["as on the page", "lead s 0.5", "lead s 2.0"]
    assert [o["holds"] for o in row["outcomes"]].count(None) == 8


def test_what_flips_often_ends_with_an_error_and_what_is_known_is_not_computed_again(
    one_chapter, monkeypatch
):
    monkeypatch.setattr(sys, "argv", ["refutation", "small"])
    monkeypatch.setattr(runner, "MOST_FLIPS", 0)
    assert runner.main() == 1
    monkeypatch.setattr(runner, "tried", None)  # would fail if it were called
    assert runner.main() == 1
    with pytest.raises(SystemExit):
        monkeypatch.setattr(sys, "argv", ["refutation", "unknown"])
        runner.main()


@pytest.mark.parametrize("chapter", runner.chapters())
def test_the_kept_table_knows_every_claim(chapter):
    """Computed anew with `make refute` when a sentence changes."""
    table = json.loads(runner.TABLE.read_text(encoding="utf-8"))
    claims = importlib.import_module(f"refutation.{chapter}").CLAIMS
    assert [row["sentence"] for row in table[chapter]["claims"]] == [c.sentence for c in claims]
    doubtful = [r["sentence"] for r in table[chapter]["claims"] if len(runner.flips(r)) > 1]
    assert not doubtful
