# How rules become one decision: the same as in Tidegate's own engine, strategy `priority`.
# `data.tidegate.rules` is a set of {id, effect, priority, reason, obligations}, those that hold for `input`.
package tidegate

restriction := {"permit": 0, "require_approval": 1, "advise": 2, "deny": 3}

default decision := {"effect": "deny", "reason": "NO_RULE", "policies": [], "obligations": []}

decision := {
	"effect": winner.effect,
	"reason": winner.reason,
	"policies": [r.id | some r in standing],
	"obligations": array.concat(array.concat(quorum, roles), plain),
} if {
	count(rules) > 0
}

# By priority, then the more restrictive, then by id.
standing := [entry[3] |
	some entry in sort([[0 - r.priority, 0 - restriction[r.effect], r.id, r] | some r in rules])
]

winner := standing[0]

# Those of all rules with the winning effect hold together.
held := [o |
	some r in standing
	r.effect == winner.effect
	some o in r.obligations
]

quorums := [to_number(trim_prefix(o, "quorum:")) | some o in held; startswith(o, "quorum:")]

quorum := [sprintf("quorum:%d", [max(quorums)])] if count(quorums) > 0

quorum := [] if count(quorums) == 0

named contains split(o, ":")[1] if {
	some o in held
	startswith(o, "role:")
}

roles := [sprintf("role:%s:%d", [role, most(role)]) | some role in sort(named)]

most(role) := max([to_number(parts[2]) |
	some o in held
	parts := split(o, ":")
	parts[0] == "role"
	parts[1] == role
])

others := [o | some o in held; not startswith(o, "quorum:"); not startswith(o, "role:")]

plain := [o | some i, o in others; not o in array.slice(others, 0, i)]
