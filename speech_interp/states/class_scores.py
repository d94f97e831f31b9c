"""The numbers that explain a classifier of whole sounds: keyword, emotion, speaker, intent.

For models from `load_model(..., head="classification")`, of any family; as all scores they take
the raw 16 kHz wave, so that every attribution method works on them.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from speech_interp.states.layer_parts import widened
from speech_interp.states.scores import Score, prepared_inputs


def class_names(model) -> list[str]:
    """Return the labels of the classifier in the order of its outputs.

    Raises ValueError for a model without a classification head.
    """
    if not hasattr(model.module, "classifier"):
        raise ValueError(
            f"the model is a {type(model.module).__name__}, expected a classifier: "
            "load_model(..., head='classification')"
        )
    by_number = model.module.config.id2label
    return [by_number[number] for number in range(model.module.config.num_labels)]


def class_log_probs(model, waves: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch label"]:
    """Return the log-probability of every label; of each by itself where several may be true.

    Raises ValueError for a model without classes: no classification head, or one for regression.
    """
    class_names(model)
    config = model.module.config
    several = config.problem_type == "multi_label_classification"
    if config.problem_type == "regression" or (config.num_labels == 1 and not several):
        raise ValueError(
            f"the head has {config.num_labels} output(s) for {config.problem_type or 'regression'}"
            ", expected classes"
        )
    logits = widened(model.module(prepared_inputs(model, waves)).logits)
    return (torch.nn.functional.logsigmoid(logits) if several else logits.log_softmax(-1)).cpu()


def class_score(model, label: str | int) -> Score:
    """Return the log-probability of a label, by its name or its number, as a score.

    Raises ValueError for a label that the model does not have.
    """
    names = class_names(model)
    if label not in names and label not in range(len(names)):
        raise ValueError(f"label is {label!r}, expected one of {', '.join(names)}")
    number = names.index(label) if label in names else int(label)
    return lambda waves: class_log_probs(model, waves)[:, number]
