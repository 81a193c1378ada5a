"""Questions about cases, answered sentence by sentence."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from web.access.caller import Reader
from web.answering import answer_events, open_conversation
from web.api.problem_model import problems
from web.audit import record
from web.desk import desk_of

router = APIRouter(tags=["ask"])
MOST_CASES = 50
MOST_TURNS = 20
LONGEST_TURN = 20_000  # characters


class NamedCase(BaseModel):
    """A study by its data set and its name there."""

    dataset: str = Field(examples=["ct-rate"])
    study: str = Field(examples=["valid_53_a"])


class Turn(BaseModel):
    """A question that was asked before, and its answer."""

    question: str = Field(max_length=LONGEST_TURN)
    answer: str = Field(max_length=LONGEST_TURN)


class AskBody(BaseModel):
    """A question about stored cases."""

    model_config = ConfigDict(
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [
                {
                    "question": "Which of these have a nodule larger than 8 mm?",
                    "cases": [
                        {"dataset": "ct-rate", "study": "valid_53_a"},
                        {"dataset": "ct-rate", "study": "valid_12_a"},
                    ],
                    "history": [
                        {
                            "question": "Is there a nodule?",
                            "answer": "Yes: “Nodule.” [valid_53_a impression 1]",
                        }
                    ],
                }
            ]
        },
    )

    question: str = Field(description="In a sentence; at most 4,000 characters.")
    cases: list[NamedCase] = Field(
        min_length=1,
        max_length=MOST_CASES,
        description="What is asked about; of one case, a question about similar ones looks for these.",
    )
    mode: Literal["long_answer", "short_answer", "multiple_choice", "report_generation"] = Field(
        "long_answer", description="How long the answer is to be."
    )
    history: Annotated[list[Turn], Field(max_length=MOST_TURNS)] = Field(
        [], description="What was asked and answered before, oldest first."
    )
    collection: str | None = Field(None, description="Where similar cases are looked for.")


_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": (
            "Server-sent events: `sentence` (`text`) as each is checked, then one `answer`, the document of "
            "`ctsearch ask --json` with the data set of each citation; or `problem` (`error`)."
        ),
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": (
                    'event: sentence\ndata: {"text": "Yes: “Nodule.” [valid_53_a impression 1]"}\n\n'
                    'event: answer\ndata: {"answer": "Yes: “Nodule.” [valid_53_a impression 1]", '
                    '"refused": false, "backend": "extractive", "citations": [{"study": "valid_53_a", '
                    '"section": "impression", "sentence": 1, "quote": "Nodule.", "dataset": "ct-rate"}], '
                    '"warnings": []}\n\n'
                ),
            }
        },
    }
}


@router.post(
    "/ask",
    summary="Ask about cases",
    response_class=StreamingResponse,
    responses={**problems(404), **_STREAM},
)
def ask(request: Request, caller: Reader, asked: AskBody) -> StreamingResponse:
    """Answer from the reports of the cases named, with the sentences that the answer rests on.

    Every sentence is checked against what is stored before it is sent. Research use only.
    """
    from chat.answer import check_question
    from chat.context import Subject

    check_question(asked.question)
    desk = desk_of(request)
    names = tuple(dict.fromkeys((case.dataset, case.study) for case in asked.cases))
    conversation = open_conversation(
        desk,
        caller,
        Subject(names=names, collection=asked.collection),
        mode=asked.mode,
        history=tuple((turn.question, turn.answer) for turn in asked.history),
    )
    cases = ["/".join(name) for name in names]
    record(desk, caller, "ask", cases[0] if len(cases) == 1 else f"{len(cases)} cases", cases=cases)
    return StreamingResponse(
        answer_events(conversation, asked.question),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},  # nginx would hold sentences back
    )
