"""Where a contrastive training starts: random weights, a model of ours, or a pretrained report tower."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch.distributed as dist

from encoders.ct_clip import CtClip
from encoders.encoder import build_model
from encoders.errors import CheckpointError, ConfigError
from encoders.model_card import TOKENIZER_FILE, read_card
from encoders.model_directory import read_model
from encoders.reports import ReportTokenizer
from retrieval.atomic_file import written_atomically
from training.contrastive_runs import ContrastiveRun
from training.distributed import Place
from training.examples import Example
from training.towers import new_model
from training.vocabulary import learn_vocabulary

_REPORTS_FOR_VOCABULARY = 2000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """A model before its first step, its tokeniser, and the run with the model's dimensions."""

    model: CtClip
    tokenizer: ReportTokenizer
    run: ContrastiveRun

    @property
    def longest_text(self) -> int:
        """Tokens that the report tower takes at most."""
        return 0 if self.run.model.report is None else self.run.model.report.max_tokens


def model_of(run: ContrastiveRun, init: Path | None) -> ContrastiveRun:
    """The run with the dimensions of the model that it starts from.

    Raises:
        CheckpointError: `init` is no model.
        ConfigError: it is a volume encoder alone.
    """
    config = run.model if init is None else read_card(init).config
    if config.report is None or not config.latent_dim:
        raise ConfigError("contrastive training needs both towers; give --init a whole CT-CLIP")
    return replace(run, model=config)


def starting_model(
    run: ContrastiveRun,
    examples: Sequence[Example],
    place: Place,
    folder: Path,
    *,
    init: Path | None = None,
    text_encoder: Path | None = None,
) -> Start:
    """Make the model that a training starts from, equal on every process.

    Args:
        run: with the model's dimensions.
        examples: whose reports a vocabulary is learnt from, where none is given.
        place: this process among the others.
        folder: of the training, which keeps a learnt vocabulary.
        init: a model's directory.
        text_encoder: a directory of a BERT as transformers writes it, with its vocab.txt: the report tower
            starts from it (the published training from CXR-BERT).

    Raises:
        CheckpointError: a model cannot be read, or the BERT has other dimensions.
        ReportError: there is no tokeniser with the model.
    """
    if init is not None:
        card = read_card(init)
        if card.tokenizer_file is None:
            raise CheckpointError(
                f"{init} has no tokeniser: import its checkpoint again with --tokenizer, and start from that"
            )
        return Start(build_model(read_model(card)), ReportTokenizer.from_path(card.tokenizer_file), run)
    tokenizer = (
        _learnt(run, examples, place, folder / TOKENIZER_FILE)
        if text_encoder is None
        else ReportTokenizer.from_path(text_encoder)
    )
    if run.model.report is None:
        raise ConfigError("contrastive training needs both towers; give such a model")
    report = replace(run.model.report, vocabulary=tokenizer.vocabulary)
    sized = replace(run, model=replace(run.model, report=report))
    model = new_model(sized.model, run.seed)
    model.log_temperature.data.fill_(run.log_temperature)
    if text_encoder is not None:
        _load_bert(model, text_encoder)
    return Start(model, tokenizer, sized)


def _learnt(run: ContrastiveRun, examples: Sequence[Example], place: Place, kept: Path) -> ReportTokenizer:
    """The tokeniser learnt from the reports, once a training: the first process tells the others."""
    told: list[str | None] = [None]
    if place.is_first:
        told = [_kept_vocabulary(run, examples, kept)]
    if place.processes > 1:
        dist.broadcast_object_list(told, device=place.device)
    return _from_text(told[0])


def _kept_vocabulary(run: ContrastiveRun, examples: Sequence[Example], kept: Path) -> str:
    if not kept.exists() and run.model.report is not None:
        texts = [one.report.text for one in examples[:_REPORTS_FOR_VOCABULARY]]
        learnt = learn_vocabulary(texts, run.model.report.vocabulary)
        _log.info("a vocabulary of %d was learnt from %d reports", learnt.vocabulary, len(texts))
        kept.parent.mkdir(parents=True, exist_ok=True)
        with written_atomically(kept) as stream:
            stream.write(learnt.to_json().encode())
    return kept.read_text(encoding="utf-8")


def _from_text(text: str | None) -> ReportTokenizer:
    from tokenizers import Tokenizer

    return ReportTokenizer(Tokenizer.from_str(text or ""))


def _load_bert(model: CtClip, directory: Path) -> None:
    from transformers import BertModel

    if model.report_tower is None:
        raise ConfigError("contrastive training needs both towers; give such a model")
    try:
        bert = BertModel.from_pretrained(str(directory), add_pooling_layer=False, local_files_only=True)
        model.report_tower.bert.load_state_dict(bert.state_dict())
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{directory} is no BERT of the run's dimensions ({str(error).splitlines()[0]}): give the folder "
            "of CXR-BERT with its config.json, weights and vocab.txt"
        ) from error
