"""What the voices say: verses of Debian's `bible-kjv`, everyday sentences, and lists of words of
Debian's `wamerican-small`."""

import random
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

NAMES = """Anna Ben Carol David Emma Frank Grace Henry Irene Jack Kate Leo Maria Nora Oscar Paula
Quentin Rosa Simon Tina Victor Wendy Yusuf Zoe George Judge Thomas Charlotte Joyce Hugh""".split()
PEOPLE = """teacher doctor farmer neighbour sister brother driver painter judge lawyer nurse baker
child boy girl woman man king queen friend stranger sailor soldier singer writer guest cook thief
student mayor uncle aunt cousin engineer pilot visitor chemist shepherd musician""".split()
THINGS = """book chair window garden bottle letter bridge engine picture shoe jacket basket knife
ticket guitar candle hammer mirror pillow carpet orange cheese sandwich kettle ladder wheel bicycle
boat train coin stone ring box card chain watch joke question answer message measure treasure
machine vision project paper hat cup phone camera cake fish bird horse dog cat sheep cow pig goose
mouse zebra giraffe violin oyster umbrella blanket thumb tooth thread feather leather
cloth""".split()
PLACES = """kitchen market station village valley river harbour forest church school office museum
library castle island beach mountain city street bridge tower garage bathroom cellar theatre
courtyard meadow cottage hospital airport palace""".split()
ADJECTIVES = """red green blue old young small large heavy light broken strange quiet loud happy
sad clever foolish bright dark warm cold wooden golden empty full huge tiny smooth rough sharp
cheap precious famous ordinary yellow purple orange thick thin rich poor usual genuine""".split()
VERBS = """saw found lost bought sold painted carried dropped broke repaired washed watched chose
touched measured followed forgot remembered shook threw caught pushed pulled opened closed moved
hid burned cleaned enjoyed destroyed borrowed returned noticed admired described""".split()
INTRANSITIVE = """slept laughed arrived waited danced sang shouted vanished walked cried worked
cooked smiled fell stayed rested travelled coughed yawned whispered""".split()
ADVERBS = """slowly quickly quietly yesterday today again later early together often never usually
carefully happily suddenly outside upstairs tonight twice gently""".split()
TIMES = """in the morning|after lunch|before sunrise|last year|on Thursday|during the storm|at noon
|every July|since the winter|all day long|a week ago|at midnight|in the spring|on the third of June
|this evening|for an hour""".replace("\n", "").split("|")
NUMBERS = """two three four five six seven eight nine ten eleven twelve thirteen fifteen twenty
thirty forty""".split()
PATTERNS = (
    "The {adj} {person} {verb} the {thing} {time}.",
    "{Name} {verb} a {adj} {thing} in the {place}.",
    "Did {name} {base} the {thing}?",
    "Why would the {person} choose such a {adj} {thing}?",
    "{Time}, the {person} {iverb} {adv} near the {place}.",
    "{Name} and {name} {iverb} {adv}.",
    "I think the {thing} is {adj}, but the {person} thinks it is {adj2}.",
    "Please give the {adj} {thing} to {name}.",
    "There were {number} {things} behind the {place}.",
    "Nobody {verb} the {thing} that {name} {verb2}.",
    "She asked whether the {place} was {adj} or {adj2}.",
    "We {verb} {number} {things} and a {adj} {thing}.",
    "If you go to the {place}, bring your {thing}.",
    "My {person} has a {thing}, a {thing2} and {number} {things}.",
    "How {adj} is the {place} {time}?",
    "You should ask the {person} about the {adj} {thing}.",
    "{Name} said, the {thing} was too {adj} for the {place}.",
    "They would rather have the {thing} than the {thing2}.",
    "It was the {person} who {verb} my {adj} {thing}.",
    "What shall we do with the {adj} {things}?",
)
BASE_FORMS = "see find lose buy sell paint carry drop break repair wash watch choose touch".split()


def sentence(rng: random.Random) -> str:
    """One everyday sentence, or a list of words three times in ten."""
    if rng.random() < 0.3:
        words = [rng.choice(dictionary()) for _ in range(rng.randint(3, 7))]
        return " ".join(words).capitalize() + "."
    thing = rng.choice(THINGS)
    slots = {
        "name": rng.choice(NAMES),
        "Name": rng.choice(NAMES),
        "person": rng.choice(PEOPLE),
        "thing": thing,
        "thing2": rng.choice(THINGS),
        "things": _plural(rng.choice(THINGS)),
        "place": rng.choice(PLACES),
        "adj": rng.choice(ADJECTIVES),
        "adj2": rng.choice(ADJECTIVES),
        "verb": rng.choice(VERBS),
        "verb2": rng.choice(VERBS),
        "iverb": rng.choice(INTRANSITIVE),
        "adv": rng.choice(ADVERBS),
        "number": rng.choice(NUMBERS),
        "base": rng.choice(BASE_FORMS),
        "time": (time := rng.choice(TIMES)),
        "Time": time[0].upper() + time[1:],
    }
    return rng.choice(PATTERNS).format(**slots)


def _plural(noun):
    irregular = {"mouse": "mice", "goose": "geese", "tooth": "teeth", "sheep": "sheep"}
    if noun in irregular:
        return irregular[noun]
    if noun.endswith(("x", "ch", "sh", "s")):
        return noun + "es"
    if noun in ("knife",):
        return "knives"
    return noun + "s"


WORD_LIST = Path("/usr/share/dict/american-english-small")


def missing_texts() -> str:
    """Which of the texts this machine lacks, in one line; empty if none."""
    lacking = [] if shutil.which("bible") else ["bible-kjv"]
    lacking += [] if WORD_LIST.exists() else ["wamerican-small"]
    return f"needs Debian's {' and '.join(lacking)}" if lacking else ""


@cache
def verses() -> tuple[str, ...]:
    """Pieces of verses of 4 to 18 words, in order; needs Debian's `bible-kjv`."""
    text = subprocess.run(
        ["bible", "-f", "gen1:1-rev22:21"], capture_output=True, text=True, check=True
    ).stdout
    pieces = []
    for line in text.splitlines():
        verse = line.partition(" ")[2].replace("(", "").replace(")", "").strip()
        pieces += _pieces(verse)
    return tuple(pieces)


def _pieces(verse, longest=18, shortest=4):
    piece = []
    for clause in re.split(r"(?<=[,;:.!?])\s+", verse):
        words = clause.split()
        if len(piece) + len(words) > longest:
            if shortest <= len(piece) <= longest:
                yield " ".join(piece)
            piece = []
        piece += words
        if clause.endswith((".", "?", "!")) and len(piece) >= shortest:
            if len(piece) <= longest:
                yield " ".join(piece)
            piece = []


@cache
def dictionary() -> tuple[str, ...]:
    """Words of the text above, each once: the more varied half of what the lists draw from."""
    words = {w for verse in verses() for w in re.findall(r"[a-z]{3,12}", verse)}
    listed = WORD_LIST.read_text().split()
    words |= {w for w in listed if re.fullmatch(r"[a-z]{3,12}", w)}
    ours = NAMES + PEOPLE + THINGS + PLACES + ADJECTIVES + VERBS + INTRANSITIVE + ADVERBS + NUMBERS
    return tuple(sorted(words)) + tuple(sorted(set(map(str.lower, ours)))) * 8


def letters(text: str) -> str:
    """The text as wav2vec2's tokenizer spells it: capitals, apostrophes, "|" between words."""
    text = text.upper().replace("’", "'").replace("-", " ")
    return "|".join(re.sub(r"[^A-Z' ]", "", text).split())
