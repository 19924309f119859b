"""The page of metrics says what there is."""

from tests.metrics_page import PAGE, page


def test_the_page_is_as_the_code_makes_it() -> None:
    assert PAGE.read_text() == page(), "run `make docs`"
