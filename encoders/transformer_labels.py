"""A fine-tuned Hugging Face encoder that labels reports, 18 logits a window of at most 512 tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import CheckpointError, ConfigError
from encoders.label_card import LabelCard

_OVERLAP = 64  # tokens that two windows of one report share: a sentence on their border is whole in one
_REPORTS_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Token ids and mask (W, T), and which report each window is of (W)."""

    token_ids_WT: Tensor
    mask_WT: Tensor
    report_W: Tensor


class TransformerLabels:
    """The extractor; what the best of a report's windows says counts."""

    def __init__(self, model: nn.Module, tokenizer: Any, *, max_tokens: int, name: str, device: str) -> None:
        self.name = name
        self.model = model.to(device).eval()
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._device = device

    def windows(self, reports: Sequence[str]) -> Windows:
        """Cut reports into windows of tokens, one after the other with an overlap."""
        tokens = self._tokenizer(
            [" ".join(report.split()) for report in reports],
            truncation=True,
            max_length=self._max_tokens,
            stride=min(_OVERLAP, self._max_tokens // 4),
            return_overflowing_tokens=True,
            padding=True,
            return_tensors="pt",
        )
        return Windows(
            token_ids_WT=tokens["input_ids"],
            mask_WT=tokens["attention_mask"],
            report_W=torch.as_tensor(tokens["overflow_to_sample_mapping"]),
        )

    def logits(self, reports: Sequence[str]) -> Tensor:
        """Return the logits of reports, (N, 18): of each abnormality the largest over their windows."""
        windows = self.windows(reports)
        logits_WC: Tensor = self.model(
            input_ids=windows.token_ids_WT.to(self._device), attention_mask=windows.mask_WT.to(self._device)
        ).logits
        rows_WC = windows.report_W.to(self._device)[:, None].expand_as(logits_WC)
        none_NC = logits_WC.new_full((len(reports), logits_WC.shape[1]), -torch.inf)
        largest_NC: Tensor = none_NC.scatter_reduce(0, rows_WC, logits_WC, reduce="amax")
        return largest_NC

    @torch.inference_mode()
    def probabilities(self, reports: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return how likely each of the 18 is, (N, 18)."""
        order = sorted(range(len(reports)), key=lambda row: len(reports[row]))  # spares padding
        found_NC = np.zeros((len(reports), len(ABNORMALITIES)), dtype=np.float32)
        for start in range(0, len(order), _REPORTS_AT_ONCE):
            rows = order[start : start + _REPORTS_AT_ONCE]
            found_NC[rows] = torch.sigmoid(self.logits([reports[row] for row in rows])).float().cpu().numpy()
        return found_NC

    def label_reports(self, reports: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return which of the 18 are more likely than not, (N, 18)."""
        labels: npt.NDArray[np.bool_] = self.probabilities(reports) > 0.5
        return labels

    def save(self, folder: Path) -> None:
        """Write weights, dimensions and tokeniser into a folder; nothing is pickled."""
        self.model.save_pretrained(folder, safe_serialization=True)  # type: ignore[operator]
        self._tokenizer.save_pretrained(folder)


def load_transformer_labels(card: LabelCard, *, device: str) -> TransformerLabels:
    """Load the extractor of a card whose files are whole.

    Raises:
        CheckpointError: its files do not fit.
        ConfigError: there is no such device.
    """
    max_tokens = card.settings.get("max_tokens")
    if not isinstance(max_tokens, int) or max_tokens < 8:
        raise CheckpointError(f"{card.directory} does not say how long its windows are: train it again")
    return open_transformer(
        str(card.directory), max_tokens=max_tokens, device=device, is_local=True, name=str(card.directory)
    )


def open_transformer(
    base: str, *, max_tokens: int, device: str, is_local: bool, name: str
) -> TransformerLabels:
    """Open an encoder with 18 outputs; a base that has none gets a new head.

    Args:
        base: a directory, or an id of the Hugging Face hub.
        max_tokens: of a window, special tokens included.
        device: as torch names it.
        is_local: whether the network may not be asked.
        name: what the extractor is called.

    Raises:
        CheckpointError: it is not there, cannot be read, or takes fewer tokens.
        ConfigError: there is no such device.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # a new head is no reason to warn
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=is_local)
        model = AutoModelForSequenceClassification.from_pretrained(
            base,
            local_files_only=is_local,
            num_labels=len(ABNORMALITIES),
            problem_type="multi_label_classification",
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{base} cannot be opened as a text encoder ({reason.rstrip('.')}): "
            "give a directory with its config.json, weights and tokeniser"
        ) from error
    _check_windows(base, model, max_tokens)
    try:
        return TransformerLabels(model, tokenizer, max_tokens=max_tokens, name=name, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"found --device {device}, which cannot be used: {reason}") from error


def _check_windows(base: str, model: Any, max_tokens: int) -> None:
    """Refuse windows longer than the encoder's positions (RoBERTa counts them from its padding id on)."""
    positions = getattr(model.config, "max_position_embeddings", max_tokens)
    if model.config.model_type in ("roberta", "xlm-roberta", "camembert"):
        positions -= (model.config.pad_token_id or 0) + 1
    if positions < max_tokens:
        raise CheckpointError(f"{base} reads {positions} tokens and windows of {max_tokens} were asked for")
