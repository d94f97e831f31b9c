"""From synthesised speech to the shipped Parquet files: trim, level, encode, store."""

import io
import json

import numpy as np

from training.corpus.speech import RATE_HZ, SILENCE, Segment

LEVEL_DB = -24.0  # root mean square of the speech, relative to full scale
PEAK = 0.89  # -1 dB, so that the codec has room to overshoot
EDGE_S = 0.15  # silence kept before the first and after the last phone
#: soundfile's compression level for Opus: libsndfile maps 0..1 to 256..6 kbit/s.
COMPRESSION = 0.94


def trim(speech, tracks=None):
    """The speech with at most `EDGE_S` of silence at either end, everything shifted with it."""
    first = speech.phones[0].end_s if speech.phones[0].label == SILENCE else 0.0
    last = speech.phones[-1].start_s if speech.phones[-1].label == SILENCE else np.inf
    # Whole multiples of 10 ms, so that tracks at 100 Hz stay on their grid.
    begin_s = np.floor(max(0.0, first - EDGE_S) * 100) / 100
    length_s = len(speech.wave) / RATE_HZ
    end_s = min(length_s, last + EDGE_S)
    wave = speech.wave[round(begin_s * RATE_HZ) : round(end_s * RATE_HZ)].copy()
    fade = min(len(wave) // 4, RATE_HZ // 100)  # 10 ms: no clicks where the voice was cut
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    wave[:fade] *= ramp
    wave[len(wave) - fade :] *= ramp[::-1]
    kept_s = len(wave) / RATE_HZ

    def shift(segments):
        moved = [
            Segment(s.label, max(0.0, s.start_s - begin_s), min(kept_s, s.end_s - begin_s))
            for s in segments
        ]
        return [s for s in moved if s.end_s - s.start_s > 1e-3]

    cut = {
        name: (values[round(begin_s * rate) : round(end_s * rate)], rate, unit)
        for name, (values, rate, unit) in (tracks or {}).items()
    }
    return wave, shift(speech.words), shift(speech.phones), shift(speech.syllables), cut


def level(wave, phones):
    """The wave at `LEVEL_DB` over what is not silence, or lower where its peak asks for it."""
    speaking = np.zeros(len(wave), bool)
    for phone in phones:
        if phone.label != SILENCE:
            speaking[round(phone.start_s * RATE_HZ) : round(phone.end_s * RATE_HZ)] = True
    loudness = np.sqrt(np.mean(wave[speaking] ** 2))
    gain = min(10 ** (LEVEL_DB / 20) / loudness, PEAK / np.abs(wave).max())
    return (wave * gain).astype(np.float32)


def encode(wave):
    """The bytes of the wave as Ogg Opus at 16 kHz."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(
        buffer, wave, RATE_HZ, format="OGG", subtype="OPUS", compression_level=COMPRESSION
    )
    return _with_serial(buffer.getvalue(), 1)


def _with_serial(ogg, serial):
    """The Ogg stream under a fixed serial number: libsndfile draws one, so files would differ."""
    pages, at = [], 0
    while at < len(ogg):
        segment_count = ogg[at + 26]
        size = 27 + segment_count + sum(ogg[at + 27 : at + 27 + segment_count])
        page = bytearray(ogg[at : at + size])
        page[14:18] = serial.to_bytes(4, "little")
        page[22:26] = bytes(4)
        page[22:26] = _checksum(page).to_bytes(4, "little")
        pages.append(page)
        at += size
    return b"".join(pages)


def _checksum(page):
    """The CRC of the Ogg format: polynomial 04c11db7, nothing reflected."""
    crc = 0
    for byte in page:
        crc = (crc << 8) & 0xFFFFFFFF ^ _CRC_TABLE[crc >> 24 ^ byte]
    return crc


def _crc_entry(crc):
    crc <<= 24
    for _ in range(8):
        crc = crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)
    return crc & 0xFFFFFFFF


_CRC_TABLE = [_crc_entry(byte) for byte in range(256)]


def _features():
    """The schema in the words of `datasets`, so that it can read the files as they are."""
    text, number = {"dtype": "string", "_type": "Value"}, {"dtype": "float64", "_type": "Value"}
    interval = {"label": text, "start_s": number, "end_s": number}
    track = {
        "name": text,
        "unit": text,
        "rate_hz": number,
        "values": {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "List"},
    }
    features = dict.fromkeys(
        ("id", "text", "speaker", "sex", "synthesiser", "split", "info"), text
    ) | {name: {"feature": interval, "_type": "List"} for name in ("words", "phones", "syllables")}
    return features | {
        "tracks": {"feature": track, "_type": "List"},
        "audio": {"sampling_rate": RATE_HZ, "decode": False, "_type": "Audio"},
    }


def write(path, rows):
    """Rows (dictionaries) to one Parquet file. The bytes depend on the rows only."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    segments = pa.list_(
        pa.struct([("label", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())])
    )
    track = pa.struct(
        [("name", pa.string()), ("unit", pa.string()), ("rate_hz", pa.float64()),
         ("values", pa.list_(pa.float32()))]
    )  # fmt: skip
    texts = ("id", "text", "speaker", "sex", "synthesiser", "split", "info")
    schema = pa.schema(
        [(name, pa.string()) for name in texts]
        + [(name, segments) for name in ("words", "phones", "syllables")]
        + [("tracks", pa.list_(track))]
        + [("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))],
        metadata={"huggingface": json.dumps({"info": {"features": _features()}})},
    )  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(table, path, compression="zstd", use_dictionary=True)


def row(item, wave, words, phones, syllables, tracks):
    """One row of a Parquet file."""

    def plain(segments):
        return [
            {
                "label": s.label,
                "start_s": round(float(s.start_s), 4),
                "end_s": round(float(s.end_s), 4),
            }
            for s in segments
        ]

    return {
        "id": item.id,
        "text": item.text,
        "speaker": item.speaker,
        "sex": item.sex,
        "synthesiser": item.synthesiser,
        "split": item.split,
        "info": json.dumps(item.info, ensure_ascii=False, sort_keys=True),
        "words": plain(words),
        "phones": plain(phones),
        "syllables": plain(syllables),
        "tracks": [
            {"name": name, "unit": unit, "rate_hz": rate, "values": np.asarray(values, np.float32)}
            for name, (values, rate, unit) in tracks.items()
        ],
        "audio": {"bytes": encode(wave), "path": f"{item.id}.opus"},
    }
