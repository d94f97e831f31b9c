"""Asks the Hugging Face Hub, and never waits for it longer than a few seconds."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

ANSWER_WITHIN_S = 3

_out_of_reach: dict[str, str] = {}  # endpoint: why; asked once per process


class Unavailable(Exception):
    """A source does not have what was asked for; the message says why, as the end of a sentence."""


def forget_unreachable() -> None:
    """Lets the next call ask again a Hub that did not answer, say after a network came back."""
    _out_of_reach.clear()


def hub_endpoint() -> str:
    """The address of the Hub, or of the mirror that HF_ENDPOINT names."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def is_offline() -> bool:
    """True where HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbids the network."""
    said = (os.environ.get(v, "").upper() for v in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(value in {"1", "ON", "YES", "TRUE"} for value in said)


def find_dataset(name: str) -> None:
    """Raises Unavailable, in a few seconds, unless the Hub has the dataset."""
    from huggingface_hub import HfApi

    if is_offline():
        raise Unavailable("HF_HUB_OFFLINE is set")
    api = HfApi(endpoint=hub_endpoint())
    ask(lambda: api.dataset_info(name, timeout=ANSWER_WITHIN_S), about="dataset")


def ask(question: Callable[[], Any], *, about: str = "model") -> Any:
    """The Hub's answer; Unavailable if it says no, or nothing: that is remembered."""
    endpoint = hub_endpoint()
    if endpoint in _out_of_reach:
        raise Unavailable(_out_of_reach[endpoint])
    try:
        return in_time(question, limit_s=ANSWER_WITHIN_S)
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is None:
            cause = f"{type(error).__name__}: {first_line(error)}"
            if "Timeout" in type(error).__name__:
                cause = f"no answer within {ANSWER_WITHIN_S} s"
            _out_of_reach[endpoint] = f"{endpoint} cannot be reached ({cause})"
            raise Unavailable(_out_of_reach[endpoint]) from error
        raise Unavailable(refusal(status, about)) from error


def refusal(status: int, about: str = "model") -> str:
    """One sentence about an HTTP status other than success."""
    if status in (401, 403, 404):
        return f"{hub_endpoint()} has no such {about}, or not for us (status {status})"
    return f"{hub_endpoint()} answered with an error (status {status})"


def first_line(error: Exception) -> str:
    """What an error says, without the lines that follow its first."""
    return str(error).strip().split("\n")[0]


def in_time(call: Callable[[], Any], *, limit_s: float, moved_at: list[float] | None = None) -> Any:
    """The result of `call`; TimeoutError if it shows no sign of life for `limit_s` seconds.

    Time limits of a network library do not cover all of it (name look-up, retries), so `call` runs
    in a thread of its own, and is left behind if it hangs.
    """
    started, done, outcome = time.monotonic(), threading.Event(), {}

    def run() -> None:
        try:
            outcome["value"] = call()
        except BaseException as error:
            outcome["error"] = error
        done.set()

    threading.Thread(target=run, daemon=True).start()
    while not done.wait(0.02):
        if time.monotonic() - max([started, *(moved_at or [])]) > limit_s:
            raise TimeoutError(f"nothing for {limit_s} s")
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]
