"""What is written into telemetry for a language model to read invents nobody and decides nothing."""

from bench.injections import MODELS, PAYLOADS, run


def test_orders_in_telemetry_invent_no_candidate_and_change_no_decision_though_the_model_is_asked():
    found = run(3)
    assert len(set(PAYLOADS)) == 200 and found["asked"] == dict.fromkeys(MODELS, 9)
    assert found["candidates_invented"] == found["decisions_changed"] == dict.fromkeys(MODELS, 0)
    assert found["decisions_without_a_model"]
