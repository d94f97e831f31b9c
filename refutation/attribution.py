"""Claims of `notebooks/attribution.ipynb`, with heads, commands and bursts drawn again.

`fold_seed` draws other commands, bursts and head weights, and other commands to explain;
`speakers` and `sentences` halve what is explained; `twin_seed` draws other random weights. Nothing
here has a clock.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.stats import spearmanr

from refutation.claims import Claim, NotApplicable, Variation
from speech_interp import load_corpus, load_model
from speech_interp.methods import attribution, faithfulness
from speech_interp.methods.games import make_game, noise_like, windows
from speech_interp.speech.corpus import Utterance
from speech_interp.states import scores
from speech_interp.statistics.layer_scores import LayerScores
from speech_interp.studies import keyword_commands, small_classifiers

DIRECTIONS = ["left", "right", "up", "down"]
EXPLAINED, FEWEST = 16, 4  # commands
PARTS = windows(1.6, 0.1)
COUNTS = [0, 1, 2, 3, 4, 6, 8, 12, 16]
GRADIENTS = (
    attribution.saliency,
    attribution.input_x_gradient,
    lambda f, x: attribution.integrated_gradients(f, x, baseline=noise_like(x), steps=8)[0],
    lambda f, x: attribution.smooth_grad(f, x, samples=4),
)
PERTURBATIONS = (
    attribution.leave_one_out,
    lambda game: attribution.lime(game, coalitions=32),
    lambda game: attribution.kernel_shap(game, coalitions=32),
    lambda game: attribution.shapley_sampling(game, orders=4),
)


@dataclass(frozen=True, eq=False)
class Heads:
    """Commands with bursts, and the heads of word and burst that were trained on them."""

    sounds: list[Utterance]
    words: torch.Tensor
    heads: dict[str, torch.nn.Module]
    explained: list[int]  # held-out commands with a burst that both heads get right


@cache
def model(twin_seed: int | None = None):
    name = "facebook/wav2vec2-base-960h"
    if twin_seed is None:
        return load_model(name)
    return load_model(name, random_init=True, seed=twin_seed)


def layer() -> int:
    return 2 * model().layer_count // 3


@cache
def prepared(seed: int) -> Heads:
    keywords = [u for u in load_corpus("keywords") if u.info["rate"] >= 1]
    sounds = []
    for split, count in {"train": 320, "test": 96}.items():
        own = [u for u in keywords if u.split == split]
        sounds += keyword_commands.make_commands(own, DIRECTIONS, count=count, seed=seed)
    rng = np.random.default_rng(seed)
    has_burst = rng.integers(2, size=len(sounds))
    place = rng.integers(len(PARTS), size=len(sounds))
    for k in np.flatnonzero(has_burst):
        sounds[k] = keyword_commands.add_burst(sounds[k], PARTS[place[k]])
    unseen = np.arange(len(sounds)) >= 320
    waves = torch.tensor(np.stack([u.wave for u in sounds]))
    with torch.no_grad():
        parts = [scores.layer_states(model(), part, layer=layer()) for part in waves.split(8)]
    states, fit = torch.cat(parts), ~torch.tensor(unseen)
    labels = {
        "word": torch.tensor([u.info["class"] for u in sounds]),
        "burst": torch.tensor(has_burst),
    }
    heads = {
        name: small_classifiers.train_head(states[fit], y[fit], seed=seed)
        for name, y in labels.items()
    }
    with torch.no_grad():
        right = [(heads[n](states).argmax(1) == y).numpy() for n, y in labels.items()]
    able = np.flatnonzero(right[0] & right[1] & unseen & (has_burst == 1))
    return Heads(sounds, labels["word"], heads, rng.permutation(able)[:EXPLAINED].tolist())


def pooled(samples) -> torch.Tensor:
    return samples.reshape(len(PARTS), -1).sum(1)


@cache
def explained(seed: int, k: int) -> dict[str, float]:
    """Return the numbers of one command on which the claims rest."""
    made = prepared(seed)
    sound, x = made.sounds[k], torch.tensor(made.sounds[k].wave)[None]
    maps, games = {}, {}
    for name, y in {"word": int(made.words[k]), "burst": 1}.items():
        score = scores.head_score(model(), made.heads[name], y, layer=layer())
        games[name] = make_game(score, sound.wave, PARTS)
        maps[name, "saliency"] = pooled(attribution.saliency(score, x)[0])
        maps[name, "loo"] = attribution.leave_one_out(games[name])
        maps[name, "loudness"] = pooled(x[0] ** 2)
    burst = scores.head_score(model(), made.heads["burst"], 1, layer=layer())
    families = {
        "gradients": [pooled(explain(burst, x)[0]) for explain in GRADIENTS],
        "perturbations": [explain(games["burst"]) for explain in PERTURBATIONS],
    }
    found = {
        f"rank of {family}": float(
            np.mean([faithfulness.planted_rank(m, PARTS, sound.info["burst"]) for m in of_family])
        )
        for family, of_family in families.items()
    }
    found |= {
        f"rank of {method}": faithfulness.planted_rank(
            maps["burst", method], PARTS, sound.info["burst"]
        )
        for method in ("saliency", "loo", "loudness")
    }

    def height(curve) -> float:
        return float(np.trapezoid(curve.exp().numpy(), COUNTS, axis=-1).mean()) / COUNTS[-1]

    game = games["word"]
    for method in ("saliency", "loo", "loudness"):
        curve = faithfulness.deletion_curve(game, maps["word", method], counts=COUNTS)
        found[f"height of {method}"] = height(curve)
    found["height of chance"] = height(faithfulness.random_curves(game, orders=4, counts=COUNTS))
    score, draws = game.score, []
    for number in range(2):
        options = {"baseline": noise_like(x, seed=number), "steps": 8}
        samples, gap = attribution.integrated_gradients(score, x, **options)
        draws.append(pooled(samples[0]))
    found["two draws"] = spearmanr(*draws).statistic
    _, gap = attribution.integrated_gradients(score, x, steps=8)
    with torch.no_grad():
        found["way from silence"] = float(score(x) - score(torch.zeros_like(x)))
    found["gap from silence"] = gap
    shaped = make_game(score, sound.wave, PARTS, replacement="shaped noise")
    both = maps["word", "loo"], attribution.leave_one_out(shaped)
    found["two replacements"] = spearmanr(*both).statistic
    return found


@cache
def with_random_weights(seed: int, twin_seed: int, k: int) -> tuple[float, float]:
    """Return how the maps of saliency and leave one out correlate with those of random weights."""
    made, twin = prepared(seed), model(twin_seed)
    sound, x, y = made.sounds[k], torch.tensor(made.sounds[k].wave)[None], int(made.words[k])
    torch.manual_seed(twin_seed)
    states = torch.randn(2, 79, made.heads["word"].hidden.in_features)
    labels = torch.tensor([0, 1])
    top = small_classifiers.train_head(states, labels, class_count=4, passes=0, seed=twin_seed)
    pairs = []
    for network, head in ((model(), made.heads["word"]), (twin, top)):
        score = scores.head_score(network, head, y, layer=layer())
        game = make_game(score, sound.wave, PARTS)
        pairs.append((pooled(attribution.saliency(score, x)[0]), attribution.leave_one_out(game)))
    return tuple(spearmanr(a, b).statistic for a, b in zip(*pairs, strict=True))


def chosen(variation: Variation) -> list[int]:
    if variation.lead_s:
        raise NotApplicable("the commands have no place in a longer recording")
    made = prepared(variation.fold_seed)
    kept = {id(u) for u in variation.choose([made.sounds[k] for k in made.explained])}
    found = [k for k in made.explained if id(made.sounds[k]) in kept]
    if len(found) < FEWEST:
        raise NotApplicable(f"{len(found)} commands are left")
    return found


def interval(values, variation: Variation) -> np.ndarray:
    values = np.asarray(values, float)[:, None]
    by = LayerScores.of_items(values, range(len(values)), seed=variation.fold_seed)
    return by.interval()[:, 0]


def numbers(variation: Variation, name: str) -> np.ndarray:
    return np.array([explained(variation.fold_seed, k)[name] for k in chosen(variation)])


def difference(more: str, less: str = "", *, least: float = 0.0):
    def holds(variation):
        values = numbers(variation, more) - (numbers(variation, less) if less else 0)
        low = float(interval(values, variation)[0])
        return low > least, low

    return holds


def below(name: str, most: float):
    def holds(variation):
        high = float(interval(numbers(variation, name), variation)[1])
        return high < most, high

    return holds


def random_weights(method: int, keeps: bool):
    def holds(variation):
        found = [
            with_random_weights(variation.fold_seed, variation.twin_seed, k)[method]
            for k in chosen(variation)
        ]
        low, high = interval(np.nan_to_num(found), variation)
        return (low > 0.5, float(low)) if keeps else (high < 0.5, float(high))

    return holds


def gap_is_the_way(variation):
    gaps, ways = (numbers(variation, f"{n} from silence") for n in ("gap", "way"))
    share = float(np.mean(gaps) / np.mean(np.abs(ways)))
    return share > 0.8, share


LOW, HIGH = "lower end of the 95 % interval over commands", "upper end of the 95 % interval"
CLAIMS = [
    Claim(
        "Leave one out ranks the planted burst above the rest of the sound.",
        f"share of comparisons: {LOW}", "above .5", difference("rank of loo", least=0.5),
    ),
    Claim(
        "Leave one out finds the burst more often than saliency does.",
        f"paired difference: {LOW}", "above 0", difference("rank of loo", "rank of saliency"),
    ),
    Claim(
        "Methods that take parts away find the burst more often than gradients do.",
        f"mean of four methods minus mean of four: {LOW}", "above 0",
        difference("rank of perturbations", "rank of gradients"),
    ),
    Claim(
        "Deleting windows in the order of leave one out lowers the answer faster than random "
        "orders do.",
        f"height with random orders minus height: {LOW}", "above 0",
        difference("height of chance", "height of loo"),
    ),
    Claim(
        "It also lowers the answer faster than deleting the loudest windows first.",
        f"height by loudness minus height: {LOW}", "above 0",
        difference("height of loudness", "height of loo"),
    ),
    Claim(
        "With all weights random, the map of saliency stays much the same.",
        f"rank correlation of the maps: {LOW}", "above .5", random_weights(0, keeps=True),
    ),
    Claim(
        "With all weights random, the map of leave one out does not.",
        f"rank correlation of the maps: {HIGH}", "below .5", random_weights(1, keeps=False),
    ),
    Claim(
        "From silence, integrated gradients leave nearly all there is to explain unexplained.",
        "completeness gap over what was to be explained", "above .8", gap_is_the_way,
    ),
    Claim(
        "Two draws of the same noise give integrated gradients two different maps.",
        f"rank correlation of the maps: {HIGH}", "below .7", below("two draws", 0.7),
    ),
    Claim(
        "Silence and noise as replacement give leave one out different maps.",
        f"rank correlation of the maps: {HIGH}", "below .8", below("two replacements", 0.8),
    ),
]  # fmt: skip
