"""What `kubernetes.cordon` and `kubernetes.uncordon` have in common: one node, by its name."""

from pydantic import Field

from actions._contract import Declared, EffectClass, Parameters, Risk


class Node(Parameters):
    node: str = Field(min_length=1)


class NodeVerb(Declared):
    parameters: type[Parameters] = Node
    risk: Risk = "low"
    is_reversible = True
    effect_class: EffectClass = "conditional"
    permissions: tuple[str, ...] = ("kubernetes: get, list and patch nodes",)
    owner = "platform"
    settle_s = 60
    target_kinds = ("host", "node")
    selectors = ("node",)
