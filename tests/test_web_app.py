"""The application as a whole: it starts, refuses strangers, and answers errors in one sentence."""

from sqlalchemy import Engine

from tests.web_app import client_of


def test_an_address_that_is_not_there_is_one_sentence_as_json_under_the_api(engine: Engine) -> None:
    answer = client_of(engine).get("/api/v1/nothing")
    assert answer.status_code == 404
    assert answer.json() == {"error": "Not Found"}


def test_an_address_that_is_not_there_is_a_page_elsewhere(engine: Engine) -> None:
    answer = client_of(engine).get("/nothing")
    assert answer.status_code == 404
    assert "Research use only" in answer.text
