"""What the chapter on speech models says, computed again."""

from functools import cache

from refutation.claims import Claim, Variation
from speech_interp import load_corpus, load_model
from speech_interp.states.items import collect, mixed_leads
from speech_interp.statistics.layer_scores import LayerScores
from speech_interp.studies.padding import padding_change
from speech_interp.studies.word_distances import same_word_nearer

SPEAKERS, SENTENCES = 5, 8
WAV2VEC2, WHISPER = "facebook/wav2vec2-base", "openai/whisper-tiny.en"


def spoken(variation: Variation) -> tuple[list[str], list[str], dict]:
    corpus = [u for u in load_corpus("sentences") if u.speaker != "joe"]  # his labels lie late
    speakers, texts = (sorted({getattr(u, f) for u in corpus}) for f in ("speaker", "text"))
    start = SENTENCES * {None: 0, "even": 1, "odd": 2}[variation.sentences]
    first = {None: 0, "first half": 1, "second half": 2}[variation.speakers]
    kept = speakers[first : first + SPEAKERS], texts[start : start + SENTENCES]
    return *kept, {(u.speaker, u.text): u for u in corpus}


@cache
def scored(name: str, twin: int | None, variation: Variation, moved: bool = True) -> LayerScores:
    """Same word nearer; each speaker at another moment, or all at one (`moved=False`)."""
    speakers, texts, said = spoken(variation)
    model = load_model(name, random_init=twin is not None, seed=twin or 0)
    utterances = [said[s, t] for s in speakers for t in texts]
    leads_s = variation.lead_s + moved * mixed_leads(utterances, seed=variation.fold_seed)
    items = collect(model, utterances, "words", lead_s=leads_s, progress=False)
    x = items.states.reshape(len(items.states), len(speakers), -1, items.states.shape[-1])
    words = [word.lower() for word in items.labels[: x.shape[2]]]
    return same_word_nearer(x, words, items.texts[: x.shape[2]])


def above_twin(variation: Variation) -> tuple[bool, float]:
    trained = scored(WAV2VEC2, None, variation)
    gain = trained.minus(scored(WAV2VEC2, variation.twin_seed, variation))
    return gain.interval()[0, trained.best()] > 0, gain.score()[trained.best()]


def clock(variation: Variation) -> tuple[bool, float]:
    fall = scored(WHISPER, None, variation, moved=False).score()[0]
    fall -= scored(WHISPER, None, variation).score()[0]
    return fall > 0.3, fall


def words_at_the_top(variation: Variation) -> tuple[bool, float]:
    whisper = scored(WHISPER, None, variation)
    gain = whisper.minus(whisper.at(0))
    return gain.interval()[0, -1] > 0, gain.score()[-1]


def attention_carries_silence(variation: Variation) -> tuple[bool, float]:
    speakers, texts, said = spoken(variation)
    model, wave = load_model(WAV2VEC2), said[speakers[0], texts[0]].wave
    through_attention = padding_change(model, wave, 1.0, norm_of_speech=True)
    through_norm = padding_change(model, wave, 1.0, attend_to_speech=True)
    return through_attention > through_norm, through_attention - through_norm


HALVES = ("speakers", "sentences")
CLAIMS = [
    Claim(
        "In the best layer of wav2vec 2.0 the same word by two speakers is nearer than two words "
        "by one, more often than in its untrained twin.",
        "interval of the paired difference, over speakers and sentences", "above 0", above_twin,
        (*HALVES, "twin_seed"),
    ),
    Claim(
        "In Whisper's layer 0 the same word is nearer only because it comes at the same moment.",
        "score with all utterances at one moment less score at different ones", "above .3", clock,
        (*HALVES, "fold_seed", "lead_s"),
    ),
    Claim(
        "Whisper's last layer groups words by word, far more than its layer 0.",
        "interval of the paired difference, at different moments", "above 0", words_at_the_top,
        (*HALVES, "fold_seed", "lead_s"),
    ),
    Claim(
        "Silence after the sound moves the frames before it more through attention than through "
        "the normalisation over time.",
        "relative change of the last layer by 1 s of zeros", "above 0",
        attention_carries_silence, HALVES,
    ),
]  # fmt: skip
