"""A fine-tuned encoder as the extractor: a tiny real one, made here, without a network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, RobertaConfig, RobertaModel

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import CheckpointError, ConfigError
from encoders.report_labels import load_label_extractor
from encoders.transformer_labels import TransformerLabels, open_transformer
from tests.annotated_reports import write_annotated
from training.label_runs import TransformerLabelRun, radbert
from training.report_labels import train_report_labels, with_base

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "clear", "nodule", "effusion", "lung", "heart")
WINDOW = 12


@pytest.fixture(scope="module", params=["bert", "roberta"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder with random weights and no head; RadBERT is a RoBERTa, which counts positions later."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    is_bert = request.param == "bert"
    config = (BertConfig if is_bert else RobertaConfig)(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=WINDOW if is_bert else WINDOW + 1,
        pad_token_id=0,
        hidden_dropout_prob=0.0,
        initializer_range=0.2,  # with BERT's own 0.02 the first token would not hear of the others
    )
    (BertModel if is_bert else RobertaModel)(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    ).save_pretrained(folder)
    return folder


def tiny_run(base: Path) -> TransformerLabelRun:
    return replace(
        radbert(), base=str(base), max_tokens=WINDOW, epochs=150, batch_size=8, peak_rate=3e-3, seed=1
    )


def extractor(base: Path) -> TransformerLabels:
    torch.manual_seed(0)
    return open_transformer(str(base), max_tokens=WINDOW, device="cpu", is_local=True, name="tiny")


def reports_and_labels() -> tuple[list[str], np.ndarray]:
    """A nodule and an effusion, each alone, both, or neither."""
    reports, labels = [], np.zeros((32, 18), dtype=bool)
    for row in range(32):
        nodule, effusion = row % 2 == 1, row // 2 % 2 == 1
        reports.append(f"{'nodule' if nodule else 'clear'} lung {'effusion' if effusion else 'clear'} heart")
        labels[row, ABNORMALITIES.index("Lung nodule")] = nodule
        labels[row, ABNORMALITIES.index("Pleural effusion")] = effusion
    return reports, labels


def test_what_is_fine_tuned_is_written_read_again_and_labels(base: Path, tmp_path: Path) -> None:
    reports, labels = reports_and_labels()
    table = write_annotated(tmp_path / "annotated.csv", reports, labels)
    card = train_report_labels(tiny_run(base), table, tmp_path / "model")
    assert card.kind == "transformer"
    loaded = load_label_extractor(str(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.label_reports(reports), labels)


def test_a_long_report_says_what_any_of_its_windows_says(base: Path) -> None:
    model = extractor(base)
    words = ["heart", "lung"] * 10 + ["nodule"]
    windows = model.windows([" ".join(words)])
    assert windows.token_ids_WT.shape[1] <= WINDOW
    assert (windows.token_ids_WT == WORDS.index("nodule")).any()
    with torch.inference_mode():
        alone_WC = model.model(input_ids=windows.token_ids_WT, attention_mask=windows.mask_WT).logits
        together_NC = model.logits([" ".join(words)])
    torch.testing.assert_close(together_NC[0], alone_WC.max(dim=0).values)


def test_the_company_of_other_reports_changes_nothing(base: Path) -> None:
    model = extractor(base)
    reports = ["nodule lung", "heart " * 30, "clear", "effusion heart lung", ""]
    together = model.probabilities(reports)
    alone = np.concatenate([model.probabilities([report]) for report in reports])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_a_window_longer_than_the_encoder_reads_is_refused(base: Path) -> None:
    with pytest.raises(CheckpointError, match=f"reads {WINDOW} tokens and windows of 512"):
        open_transformer(str(base), max_tokens=512, device="cpu", is_local=True, name="tiny")


def test_a_folder_without_an_encoder_and_a_device_that_is_not_there_are_named(
    base: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="cannot be opened as a text encoder"):
        open_transformer(str(tmp_path), max_tokens=WINDOW, device="cpu", is_local=True, name="none")
    with pytest.raises(ConfigError, match="--device nonsense"):
        open_transformer(str(base), max_tokens=WINDOW, device="nonsense", is_local=True, name="tiny")


def test_a_local_encoder_takes_the_place_of_the_published_one(base: Path) -> None:
    assert radbert().base == "zzxslp/RadBERT-RoBERTa-4m"
    assert with_base(radbert(), base) == replace(radbert(), base=str(base))
