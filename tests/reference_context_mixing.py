"""Slow, obvious oracles for context mixing: they really run the layer again, in plain loops.

Independent of `speech_interp`: nothing is imported from it.
"""

import torch


def layer_calls(module, layers, **inputs):
    """Return for each layer the arguments that the model called it with, and what it returned."""
    calls = {}

    def keep(layer, args, kwargs, output):
        calls[layer] = (args, kwargs, _rows(output).detach())

    handles = [layer.register_forward_hook(keep, with_kwargs=True) for layer in layers]
    with torch.no_grad():
        module(**inputs)
    for handle in handles:
        handle.remove()
    return [calls[layer] for layer in layers]


def _rows(output):
    """Return the states of the one utterance; WavLM's layers give them first of a tuple."""
    return (output[0] if isinstance(output, tuple) else output)[0]


def output_without(layer, call, v_proj, frames):
    """Return the layer's output when the value vectors of `frames` are zero."""
    args, kwargs, _ = call

    def zero(projection, inputs, values):
        values = values.clone()
        values[:, frames] = 0
        return values

    handle = v_proj.register_forward_hook(zero)
    with torch.no_grad():
        output = _rows(layer(*args, **kwargs))
    handle.remove()
    return output


def value_zeroing(layer, call, v_proj, groups, final_norm=None):
    """Return (frame, group) cosine distances, one run of the layer for each group."""
    norm = final_norm if final_norm is not None else torch.nn.Identity()
    with torch.no_grad():
        whole = norm(call[2]).double()
        columns = []
        for frames in groups:
            without = norm(output_without(layer, call, v_proj, frames)).double()
            columns.append(1 - torch.cosine_similarity(whole, without, dim=-1))
    return torch.stack(columns, dim=1)


def contributions(weights, values, out_weight):
    """Return (query, key, unit): what each key adds, in loops over heads, queries and keys."""
    head_count, query_count, key_count = weights.shape
    width = values.shape[2]
    added = torch.zeros(query_count, key_count, out_weight.shape[0])
    for head in range(head_count):
        columns = out_weight[:, head * width : (head + 1) * width]
        for query in range(query_count):
            for key in range(key_count):
                added[query, key] += weights[head, query, key] * (columns @ values[head, key])
    return added


def rollout(maps):
    """Return rolled-out maps by walking every path of one step more, entry by entry."""
    n = len(maps[0])
    reached = [[1.0 if i == j else 0.0 for j in range(n)] for i in range(n)]
    layers = []
    for scores in maps:
        mixed = [
            [0.5 * float(scores[i][j]) + 0.5 * (1.0 if i == j else 0.0) for j in range(n)]
            for i in range(n)
        ]
        reached = [
            [sum(mixed[i][k] * reached[k][j] for k in range(n)) for j in range(n)] for i in range(n)
        ]
        layers.append(reached)
    return torch.tensor(layers)
