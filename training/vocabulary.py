"""A small WordPiece vocabulary, learnt from reports; what it has no word for it spells."""

import string
import unicodedata
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from encoders.abnormalities import ABNORMALITIES, PROMPTS
from encoders.reports import FIRST, LAST, SPECIAL_TOKENS, UNKNOWN, ReportTokenizer

_SPELLING = string.ascii_lowercase + string.digits


def learn_vocabulary(texts: Iterable[str], size: int) -> ReportTokenizer:
    """Learn a lower-casing tokeniser of BERT's kind.

    Every letter and digit is a piece both at the beginning of a word and inside it, so that words that the
    texts lack are spelled rather than unknown; the prompts of `encoders.abnormalities` are always learnt.
    The same texts give the same vocabulary, in any process.

    Args:
        texts: reports, cleaned or not.
        size: of the vocabulary, special tokens included.
    """
    prompts = [
        template.format(name)
        for pair in PROMPTS.values()
        for template in (pair.present, pair.absent)
        for name in ABNORMALITIES
    ]
    # each letter inside a word, more often than the trainer's cut for rare ones
    spelled = " ".join(f"{first}{second}" for first in _SPELLING for second in _SPELLING)
    corpus = [*texts, *prompts, spelled]
    letters = sorted({letter for text in corpus for letter in text.lower() if not _stands_alone(letter)})
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        # letters inside words get fixed ids too: the trainer numbers them as it meets them, in an order that
        # differs from process to process, and breaks ties between words by these numbers
        special_tokens=[*SPECIAL_TOKENS, *(f"##{letter}" for letter in letters)],
        initial_alphabet=[*_SPELLING, *string.punctuation],
        continuing_subword_prefix="##",
        show_progress=False,
    )
    learning = _bert(Tokenizer(models.WordPiece(unk_token=UNKNOWN)))
    learning.train_from_iterator(corpus, trainer)
    return ReportTokenizer(_bert(Tokenizer(models.WordPiece(learning.get_vocab(), unk_token=UNKNOWN))))


def _stands_alone(letter: str) -> bool:
    """Whether BERT cuts words there, so that it is never inside one."""
    return letter.isspace() or letter in string.punctuation or unicodedata.category(letter).startswith("P")


def _bert(tokenizer: Tokenizer) -> Tokenizer:
    """Give a WordPiece model what BERT does before and after it."""
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    first, last = SPECIAL_TOKENS.index(FIRST), SPECIAL_TOKENS.index(LAST)  # the trainer puts them first
    tokenizer.post_processor = processors.BertProcessing((LAST, last), (FIRST, first))
    return tokenizer
