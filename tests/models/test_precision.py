"""Half precision: every function that takes a model gives what it gives in float32, but rounded."""

import copy

import pytest
import torch
from checkpoint_folders import isolate, save_checkpoint
from every_function import CASES, WAVE, model_with
from tiny import FAMILIES as TINY

from speech_interp.models.loading import load_model
from speech_interp.models.modules import check_precision, in_precision
from speech_interp.states.hidden_states import hidden_states

# Differences of scores and slopes: what is left of them is smaller than what was subtracted.
DIFFERENCES = ("saliency", "slope", "worth", "changes")


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("column", [case.column for case in CASES])
def test_every_function_gives_float32_near_that_of_a_model_in_float32(name, column):
    (case,) = (c for c in CASES if c.column == column)
    try:
        model = model_with(name, case.head)
        expected = case.read(model)
    except ValueError:
        return  # what is refused is told in the table of families
    half = copy.deepcopy(model)
    in_precision(half.module, "bfloat16")
    found = case.read(half)
    assert found.keys() == expected.keys()
    for what, values in expected.items():
        if what == "inputs":  # these are for the model
            assert found[what].dtype == torch.bfloat16
            continue
        assert found[what].dtype == values.dtype != torch.bfloat16, what
        limit = 0.25 if what in DIFFERENCES else 0.03
        assert float((found[what] - values).abs().mean()) < limit * size_of(values), what


def size_of(values):
    """Unrelated values of the same kind differ by more than half of this."""
    return float(values.abs().mean() + values.std(unbiased=False)) + 1e-6


def test_the_limits_tell_unrelated_values():
    values = torch.randn(10_000, generator=torch.Generator().manual_seed(0))
    assert float((values - values.roll(1)).abs().mean()) > 0.5 * size_of(values)


def test_loaded_model_says_its_precision_and_is_the_rounded_one(tmp_path, monkeypatch, capsys):
    isolate(monkeypatch, tmp_path / "home")
    save_checkpoint(tmp_path / "small", "hubert")
    plain = load_model(tmp_path / "small")
    half = load_model(tmp_path / "small", dtype="bfloat16")
    assert str(half) == f"{plain}; in bfloat16" and "float" not in str(plain)
    for one, other in zip(half.module.parameters(), plain.module.parameters(), strict=True):
        assert torch.equal(one, other.bfloat16())
    found, expected = (hidden_states(model, WAVE).values for model in (half, plain))
    assert found.dtype == torch.float32
    assert 1e-4 < float((found - expected).abs().max()) < 0.2
    twin = load_model(tmp_path / "small", dtype="bfloat16", random_init=True)
    assert {p.dtype for p in twin.module.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("dtype, device, words", [
    ("float16", "cpu", "dtype='float16' on the CPU: it overflows above 65504"),
    ("int8", "cpu", r"dtype='int8': expected one of \('float32', 'bfloat16', 'float16'\)"),
])  # fmt: skip
def test_unsafe_and_unknown_precisions_are_refused(dtype, device, words):
    with pytest.raises(ValueError, match=words):
        load_model("openai/whisper-tiny.en", dtype=dtype, device=device)
    check_precision("float16", "cuda:0")


def test_what_is_no_weight_stays_in_float32():
    module = torch.nn.BatchNorm1d(3)
    module.register_buffer("frequencies", torch.tensor([0.1]), persistent=False)
    in_precision(module, "bfloat16")
    dtypes = {name: values.dtype for name, values in module.named_buffers()}
    assert dtypes.pop("frequencies") == torch.float32 and module.weight.dtype == torch.bfloat16
    assert dtypes.pop("num_batches_tracked") == torch.int64
    assert set(dtypes.values()) == {torch.bfloat16}
