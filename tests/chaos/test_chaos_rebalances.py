"""The group grows and shrinks under load, in order.

With the classic protocol a commit that meets the moment in which the group's generation rises is
refused, and undone; the report says how often. A group of KIP-848 has no such moment.
"""

from tests.chaos.scenario import OpenScenario


def test_a_group_that_grows_and_shrinks_loses_and_repeats_nothing(scenario: OpenScenario) -> None:
    stage = scenario("scale 1-3-2-1")
    first, second, third = (stage.worker(name) for name in ("one", "two", "three"))
    first.start()
    stage.wait_ready(first)
    stage.load.start()
    stage.let_pass(3)
    for worker in (second, third):
        worker.start()
        stage.fault("joined")
    stage.wait_ready()
    stage.let_pass(3)
    for worker in (first, third):
        worker.stop()
        stage.fault("left")
        stage.let_pass(3)
    report = stage.conclude()
    assert report.clean, report.text()
    assert report.aborted_transactions <= 1, report.text()
