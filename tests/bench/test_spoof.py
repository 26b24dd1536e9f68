"""One forged source alone gets nothing risky done; where another sees the same, it is done."""

from bench.spoof import measured


def test_a_forger_alone_is_put_before_people_and_two_who_agree_are_not():
    found = measured(25)
    assert (found["risky_actions"], found["asked_of_people"]) == (0, 25)
    assert found["borne_out"] > 10 and found["not_told_apart"] > 10
