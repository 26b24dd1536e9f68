"""Teams of `detection.teams`: services that they name, and those that documents say they own."""

import pytest

from tidegate._errors import SettingsError
from tidegate._settings import Settings


def rule(owners=None, partitions=1, **detection):
    return Settings.model_validate({"detection": detection}).detection.fdr(partitions, owners)


def test_a_team_has_the_services_that_it_names_and_those_that_documents_say_it_owns():
    found = rule(
        {"cart": "payments", "mail": "Team mail"}, false_share=0.05, teams={"payments": {"services": ["till"]}}
    )
    assert found.teams == {"till": "payments", "cart": "payments"} and found.of("payments").share == 0.05


def test_a_team_may_ask_for_a_share_where_nobody_else_does():
    found = rule(teams={"payments": {"services": ["till"], "false_share": 0.1}}, partitions=4)
    assert (found.share, found.of("payments").share, found.of("").share) == (0.0, 0.025, 0.0)
    assert rule(teams={"payments": {"services": ["till"]}}) is None and rule() is None


def test_a_service_of_two_teams_is_refused():
    with pytest.raises(SettingsError, match="'till' is of two teams, 'a' and 'b'"):
        rule(false_share=0.05, teams={"a": {"services": ["till"]}, "b": {"services": ["till"]}})
