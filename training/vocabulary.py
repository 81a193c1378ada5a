"""A small WordPiece vocabulary, learnt from reports; what it has no word for it spells."""

import string
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from encoders.abnormalities import ABNORMALITIES, PROMPTS
from encoders.reports import FIRST, LAST, SPECIAL_TOKENS, UNKNOWN, ReportTokenizer

_SPELLING = string.ascii_lowercase + string.digits


def learn_vocabulary(texts: Iterable[str], size: int) -> ReportTokenizer:
    """Learn a lower-casing tokeniser of BERT's kind.

    Every letter and digit is a piece both at the beginning of a word and inside it, so that words that the
    texts lack are spelled rather than unknown; the prompts of `encoders.abnormalities` are always learnt.

    Args:
        texts: reports, cleaned or not.
        size: of the vocabulary, special tokens included.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    prompts = [
        template.format(name)
        for pair in PROMPTS.values()
        for template in (pair.present, pair.absent)
        for name in ABNORMALITIES
    ]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=[*_SPELLING, *string.punctuation],
        continuing_subword_prefix="##",
        show_progress=False,
    )
    # each letter inside a word, more often than the trainer's cut for rare ones
    spelled = [f"{first}{second}" for first in _SPELLING for second in _SPELLING]
    tokenizer.train_from_iterator([*texts, *prompts, " ".join(spelled)], trainer)
    first, last = SPECIAL_TOKENS.index(FIRST), SPECIAL_TOKENS.index(LAST)  # the trainer puts them first
    tokenizer.post_processor = processors.BertProcessing((LAST, last), (FIRST, first))
    return ReportTokenizer(tokenizer)
