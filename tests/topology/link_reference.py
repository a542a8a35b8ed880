"""Link prediction as its definition says it: every path of three links, every node of the community, by sets."""

import numpy as np

RULES = ["CH3-L3p", "CH3-L3n", "CH2-L3p", "CH2-L3n"]


def scores(linked, rule):
    """The score of each position of a bipartite network, bool (K, D), 0 where there is a link."""
    K, D = linked.shape
    inputs = [set(np.flatnonzero(linked[u])) for u in range(K)]
    outputs = [set(np.flatnonzero(linked[:, v])) for v in range(D)]
    result = np.zeros((K, D))
    for u, v in np.argwhere(~linked):
        paths = [(x, y) for x in inputs[u] for y in outputs[v] if linked[y, x]]
        near_inputs, near_outputs = {x for x, _ in paths}, {y for _, y in paths}

        def worth(neighbours, community, end):
            internal, external = neighbours & community, neighbours - community - {end}
            return (1 + len(internal) if rule.startswith("CH2") else 1) / (1 + len(external))

        of_input = {x: worth(outputs[x], near_outputs, u) for x in near_inputs}
        of_output = {y: worth(inputs[y], near_inputs, v) for y in near_outputs}
        if rule.endswith("p"):
            result[u, v] = sum(np.sqrt(of_input[x] * of_output[y]) for x, y in paths)
        else:
            result[u, v] = sum(of_input.values()) + sum(of_output.values())
    return result
