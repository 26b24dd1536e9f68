# The shipped policies in Rego, rule by rule; why each is there stands in policies/*.yaml.
package tidegate

acts if input.risk != "none"

rules contains {"id": "freeze", "effect": "deny", "priority": 100, "reason": "CHANGE_FREEZE", "obligations": []} if {
	input.in_freeze
	acts
}

rules contains {"id": "abstained", "effect": "advise", "priority": 96, "reason": "ABSTAINED", "obligations": []} if {
	input.is_abstained
}

rules contains {"id": "maintenance", "effect": "advise", "priority": 94, "reason": "MAINTENANCE", "obligations": []} if {
	input.in_maintenance
}

rules contains {"id": "transferred", "effect": "advise", "priority": 92, "reason": "TRANSFERRED", "obligations": []} if {
	input.confidence_state == "TRANSFERRED"
}

rules contains {"id": "uncalibrated", "effect": "advise", "priority": 90, "reason": "UNCALIBRATED", "obligations": []} if {
	not input.is_calibrated
}

rules contains {"id": "step-budget", "effect": "advise", "priority": 89, "reason": "STEP_BUDGET", "obligations": ["notify:on_call"]} if {
	input.attempt > 3
	acts
}

rules contains {"id": "low-confidence", "effect": "deny", "priority": 88, "reason": "LOW_CONFIDENCE", "obligations": []} if {
	input.confidence_low < 0.5
	acts
}

rules contains {"id": "human-judgement", "effect": "advise", "priority": 87, "reason": "HUMAN_JUDGEMENT", "obligations": []} if {
	some class in ["dr_failover", "customer_communication"]
	class in input.human_classes
}

rules contains {"id": "nobody-there", "effect": "advise", "priority": 86, "reason": "NOBODY_THERE", "obligations": ["notify:on_call"]} if {
	not input.is_staffed
	input.risk == "high"
}

rules contains {"id": "schema", "effect": "require_approval", "priority": 85, "reason": "SCHEMA_CHANGE", "obligations": ["quorum:2", "role:senior:2"]} if {
	"schema" in input.human_classes
	acts
}

rules contains {"id": "irreversible", "effect": "require_approval", "priority": 84, "reason": "IRREVERSIBLE", "obligations": ["quorum:2"]} if {
	not input.is_reversible
	acts
}

rules contains {"id": "human-class", "effect": "require_approval", "priority": 83, "reason": "HUMAN_CLASS", "obligations": ["quorum:1"]} if {
	some class in ["billing", "authentication", "production_data"]
	class in input.human_classes
}

rules contains {"id": "unsafe", "effect": "require_approval", "priority": 82, "reason": "UNSAFE_REPEAT", "obligations": ["quorum:1"]} if {
	input.effect_class == "unsafe"
}

rules contains {"id": "blast-radius", "effect": "require_approval", "priority": 81, "reason": "BLAST_RADIUS", "obligations": ["quorum:1"]} if {
	input.blast_radius > 10
	acts
}

rules contains {"id": "one-voice", "effect": "require_approval", "priority": 81, "reason": "ONE_VOICE", "obligations": ["quorum:1"]} if {
	input.corroboration < 0.2
	input.risk in {"medium", "high"}
}

rules contains {"id": "critical", "effect": "require_approval", "priority": 80, "reason": "CRITICAL_SERVICE", "obligations": ["quorum:1"]} if {
	input.is_critical
	acts
}

rules contains {"id": "peak", "effect": "require_approval", "priority": 79, "reason": "PEAK", "obligations": ["quorum:1"]} if {
	input.in_peak
	not input.risk in ["none", "low"]
}

rules contains {"id": "business-impact", "effect": "require_approval", "priority": 78, "reason": "BUSINESS_IMPACT", "obligations": ["quorum:1", "notify:owner"]} if {
	input.has_business_impact
	acts
}

rules contains {"id": "business-event", "effect": "require_approval", "priority": 77, "reason": "BUSINESS_EVENT", "obligations": ["quorum:1"]} if {
	input.in_business_event
	acts
}

rules contains {"id": "regulated", "effect": "require_approval", "priority": 76, "reason": "REGULATED", "obligations": ["quorum:2", "ticket"]} if {
	some label in ["pci", "sox", "hipaa"]
	label in input.labels
	acts
}

rules contains {"id": "tell-people", "effect": "permit", "priority": 20, "reason": "CHANGES_NOTHING", "obligations": []} if {
	input.risk == "none"
}

rules contains {"id": "moderate-confidence", "effect": "advise", "priority": 10, "reason": "MODERATE_CONFIDENCE", "obligations": ["notify:on_call"]} if {
	input.confidence_low >= 0.5
	input.confidence_low <= 0.7
	acts
}

rules contains {"id": "high-confidence", "effect": "permit", "priority": 10, "reason": "HIGH_CONFIDENCE", "obligations": ["verify", "notify:owner"]} if {
	input.confidence_low > 0.7
	acts
}
