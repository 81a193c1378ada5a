"""Reports become the tokens that the published report tower was trained on."""

import csv
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.checkpoints import Weights
from encoders.config import CtClipConfig, ReportEncoderConfig, VolumeEncoderConfig
from encoders.ct_clip import CtClip
from encoders.encoder import Encoder, load_encoder
from encoders.errors import ReportError
from encoders.model_directory import write_model
from encoders.reports import ReportSections, ReportTokenizer, clean_section
from tests.shared import shared_file

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "no",
    "pleural",
    "effusion",
    ".",
    "nodule",
    "##s",
    "right",
    "left",
]
PAD, UNKNOWN, FIRST, LAST, NO, PLEURAL, EFFUSION, STOP, NODULE, PLURAL, RIGHT, LEFT = range(12)


@pytest.fixture
def small(tmp_path: Path) -> ReportTokenizer:
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return ReportTokenizer.from_path(tmp_path / "vocab.txt")


@pytest.fixture(scope="module")
def published() -> ReportTokenizer:
    return ReportTokenizer.from_path(shared_file("text/cxr_bert_vocab.txt"))


@pytest.fixture(scope="module")
def real_reports() -> list[ReportSections]:
    with shared_file("ct_rate/validation_reports.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [ReportSections(findings=row["Findings_EN"], impression=row["Impressions_EN"]) for row in rows]


@pytest.fixture(scope="module")
def encoder(published, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """A report tower with the published vocabulary and token limit, small otherwise, with random weights."""
    torch.manual_seed(0)
    config = CtClipConfig(
        volume=VolumeEncoderConfig(
            image_px=8, slices=4, patch_px=8, patch_slices=4, width=8, spatial_depth=1, temporal_depth=1
        ),
        report=ReportEncoderConfig(width=32, layers=2, heads=4, feed_forward=64),
        latent_dim=16,
    )
    directory = tmp_path_factory.mktemp("models") / "random"
    write_model(directory, Weights(config, CtClip(config).state_dict()), tokenizer=published)
    return load_encoder(directory)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (' Nodule (5 mm), "stable";\n patient\'s left lung. ', "Nodule 5 mm, stable; patients left lung."),
        ("Not given.", ""),
        (" not given ", ""),
        ("Contrast was not given.", "Contrast was not given."),
        ("", ""),
    ],
)
def test_a_section_loses_quotes_brackets_and_the_words_for_nothing(written, read) -> None:
    assert clean_section(written) == read


@pytest.mark.parametrize(
    ("findings", "impression", "joined"),
    [
        ("No effusion.", "Normal.", "No effusion. Normal."),
        ("No effusion. ", " Normal.", "No effusion. Normal."),
        ("No effusion.", "Not given.", "No effusion."),
        ("Not given.", "Normal.", "Normal."),
        ("Not given.", "Not given.", ""),
    ],
)
def test_findings_are_directly_followed_by_the_impression(findings, impression, joined) -> None:
    assert ReportSections(findings=findings, impression=impression).text == joined


def test_tokens_are_lower_case_word_pieces_between_first_and_last(small) -> None:
    found = small.tokenise(["No pleural EFFUSION.", "Nodules"], max_tokens=16)
    assert found.token_ids.tolist() == [
        [FIRST, NO, PLEURAL, EFFUSION, STOP, LAST],
        [FIRST, NODULE, PLURAL, LAST, PAD, PAD],
    ]
    assert found.mask.tolist() == [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]]
    assert found.cut == 0


@pytest.mark.parametrize(
    ("max_tokens", "kept", "cut"),
    [
        (9, [RIGHT, NODULE, STOP, NO, PLEURAL, EFFUSION, STOP], 0),
        (8, [RIGHT, NODULE, NO, PLEURAL, EFFUSION, STOP], 1),  # the findings' end goes first
        (6, [NO, PLEURAL, EFFUSION, STOP], 1),
        (4, [NO, PLEURAL], 1),  # the impression alone is too long: its end goes
    ],
)
def test_a_report_that_is_too_long_keeps_its_impression(max_tokens, kept, cut, small) -> None:
    report = ReportSections(findings="Right nodule.", impression="No pleural effusion.")
    found = small.tokenise([report], max_tokens)
    assert found.token_ids.tolist() == [[FIRST, *kept, LAST]]
    assert found.cut == cut


def test_known_words_have_their_line_in_the_published_vocabulary(published) -> None:
    lines = shared_file("text/cxr_bert_vocab.txt").read_text(encoding="utf-8").split("\n")
    words = ["[CLS]", "there", "is", "no", "pleural", "effusion", ".", "[SEP]"]
    found = published.tokenise(["There is no pleural effusion."], 512)
    assert found.token_ids.tolist() == [[lines.index(word) for word in words]]
    assert published.vocabulary == len(lines) == 30522


def test_real_reports_hold_no_unknown_word_and_equal_the_library_s_own_tokens(
    published, real_reports
) -> None:
    from transformers import BertTokenizer

    lines = shared_file("text/cxr_bert_vocab.txt").read_text(encoding="utf-8").split("\n")
    library = BertTokenizer(vocab={word: index for index, word in enumerate(lines)}, do_lower_case=True)
    for report in real_reports[::16]:
        found = published.tokenise([report], 100_000).token_ids[0].tolist()
        assert found == library(report.text)["input_ids"]
        assert 1 not in found


def test_sections_and_their_joined_text_give_the_same_tokens(published, real_reports) -> None:
    apart = published.tokenise(real_reports[:100], 100_000)
    joined = published.tokenise([report.text for report in real_reports[:100]], 100_000)
    assert np.array_equal(apart.token_ids, joined.token_ids)


def test_every_real_report_that_is_cut_ends_with_its_impression(published, real_reports) -> None:
    found = published.tokenise(real_reports, 512)
    whole = published.tokenise(real_reports, 100_000)
    longer = whole.mask.sum(axis=1) > 512
    assert found.cut == longer.sum() > 0
    for index in np.flatnonzero(longer):
        impression = published.tokenise([ReportSections(impression=real_reports[index].impression)], 512)
        ending = impression.token_ids[0, 1:].tolist()
        assert found.token_ids[index].tolist()[-len(ending) :] == ending


def test_padding_to_the_longest_report_changes_nothing(encoder, published, real_reports) -> None:
    reports = real_reports[:24]
    latents = encoder.encode_reports(reports)
    tokens = published.tokenise(reports, 512)
    wide_ids = np.zeros((len(reports), 512), dtype=np.int64)
    wide_mask = np.zeros_like(wide_ids)
    wide_ids[:, : tokens.token_ids.shape[1]] = tokens.token_ids
    wide_mask[:, : tokens.mask.shape[1]] = tokens.mask
    torch.testing.assert_close(latents, encoder.encode_token_ids(wide_ids, wide_mask), atol=1e-6, rtol=0.0)


def test_reports_keep_their_order_whatever_their_length(encoder, real_reports) -> None:
    reports = real_reports[:40]
    alone = torch.cat([encoder.encode_reports([report]) for report in reports])
    torch.testing.assert_close(encoder.encode_reports(reports), alone, atol=1e-6, rtol=0.0)
    assert encoder.encode_reports([]).shape == (0, 16)


def test_the_log_says_how_many_reports_were_cut_and_nothing_of_what_they_say(encoder, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        encoder.encode_reports(["No nodule.", "Bilateral pleural effusion. " * 300])
    assert [record.getMessage() for record in caplog.records] == [
        "1 of 2 reports exceed 512 tokens and were cut"
    ]


def test_one_string_instead_of_a_list_is_refused(encoder) -> None:
    with pytest.raises(ReportError, match="put it in a list"):
        encoder.encode_reports("No pleural effusion.")


def test_a_tokeniser_is_read_from_a_directory_and_from_its_own_json(small, tmp_path) -> None:
    text = ["Right pleural effusion."]
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "tokenizer.json").write_text(small.to_json())
    for path in (tmp_path, tmp_path / "saved", tmp_path / "saved" / "tokenizer.json"):
        again = ReportTokenizer.from_path(path)
        assert again.tokenise(text, 16).token_ids.tolist() == small.tokenise(text, 16).token_ids.tolist()


def test_a_vocabulary_keeps_its_line_numbers_where_a_token_is_a_line_end_of_another_kind(tmp_path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n\x85\nnodule", encoding="utf-8")
    found = ReportTokenizer.from_path(tmp_path / "vocab.txt").tokenise(["nodule"], 8)
    assert found.token_ids.tolist() == [[2, 5, 3]]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("vocab.txt", b"[PAD]\n[UNK]\n[CLS]\nnodule\n", r"no \[SEP\] token"),
        ("vocab.txt", b"[PAD]\n[UNK]\n[CLS]\n[SEP]\nnodule\nnodule\n", "names a token twice"),
        ("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nß\n".encode("latin-1"), "not a vocabulary in UTF-8"),
        ("tokenizer.json", b"{}", "not a tokenizer.json"),
        ("tokenizer.json", b"nodule", "not a tokenizer.json"),
    ],
)
def test_a_file_that_is_no_tokeniser_is_refused_in_one_sentence(name, content, sentence, tmp_path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ReportError, match=sentence) as raised:
        ReportTokenizer.from_path(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_a_missing_tokeniser_is_named(tmp_path) -> None:
    with pytest.raises(ReportError, match="cannot be read"):
        ReportTokenizer.from_path(tmp_path / "vocab.txt")
    with pytest.raises(ReportError, match="holds no tokeniser"):
        ReportTokenizer.from_path(tmp_path)
