"""Reports: cleaned, joined from their sections and cut into the tokens that a report tower reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from encoders.errors import ReportError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

REMOVED_CHARACTERS = str.maketrans("", "", "\"'()")  # as the published code removes them
EMPTY_SECTION = "not given"  # what CT-RATE writes into a section without text, with a full stop
PAD, UNKNOWN, FIRST, LAST = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
SPECIAL_TOKENS = (PAD, UNKNOWN, FIRST, LAST)
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")  # what a tokeniser's directory holds, the better one first


def clean_section(text: str) -> str:
    """Return a section as the report tower reads it: quotes and brackets removed, "Not given." empty."""
    cleaned = " ".join(text.translate(REMOVED_CHARACTERS).split())
    return "" if cleaned.rstrip(".").strip().lower() == EMPTY_SECTION else cleaned


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSections:
    """The two sections that are encoded, as the source wrote them."""

    findings: str = ""
    impression: str = ""

    @property
    def text(self) -> str:
        """Findings directly followed by the impression, cleaned; empty where neither was given."""
        return f"{clean_section(self.findings)} {clean_section(self.impression)}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenisedReports:
    """Token ids and mask (B, T) as int64, padded to the longest report; `cut` reports lost their end."""

    token_ids: npt.NDArray[np.int64]
    mask: npt.NDArray[np.int64]
    cut: int


class ReportTokenizer:
    """WordPiece tokens of BERT, read from a vocabulary or a tokenizer.json."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        tokenizer.no_truncation()  # a tokenizer.json may carry both; cutting is done by section, below
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._pad, self._first, self._last = (self._id(token) for token in (PAD, FIRST, LAST))

    @classmethod
    def from_path(cls, path: Path) -> "ReportTokenizer":
        """Read a vocabulary (one token a line), a tokenizer.json, or a directory that holds either.

        Raises:
            ReportError: there is none, it cannot be read, or it lacks BERT's special tokens.
        """
        file = _tokenizer_file(path)
        try:
            tokenizer = _from_json(file) if file.suffix == ".json" else _from_vocabulary(file)
        except OSError as error:
            raise ReportError(f"{file} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ReportError(f"{file} is not a vocabulary in UTF-8: {error}") from error
        try:
            return cls(tokenizer)
        except ReportError as error:
            raise ReportError(f"{file}: {error}") from error

    @property
    def vocabulary(self) -> int:
        """How many token ids there are."""
        return int(self._tokenizer.get_vocab_size())

    def to_json(self) -> str:
        """The tokeniser as the text of a tokenizer.json, which `from_path` reads back."""
        return str(self._tokenizer.to_str(pretty=True))

    def tokenise(self, reports: Sequence[str | ReportSections], max_tokens: int) -> TokenisedReports:
        """Turn reports into padded token ids.

        A report that is too long keeps its impression: the findings are cut first, then the impression's
        end. A plain string has no sections and loses its end.

        Args:
            reports: cleaned here; B of them.
            max_tokens: the longest that the report tower takes, its first and last token included.
        """
        sections = [_sections(report) for report in reports]
        findings = self._ids([clean_section(section.findings) for section in sections])
        impressions = self._ids([clean_section(section.impression) for section in sections])
        room = max_tokens - 2
        rows = []
        for finding, impression in zip(findings, impressions, strict=True):
            kept = impression[:room]
            rows.append([self._first, *finding[: room - len(kept)], *kept, self._last])
        cut = sum(len(f) + len(i) > room for f, i in zip(findings, impressions, strict=True))
        return self._padded(rows, cut)

    def _id(self, token: str) -> int:
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise ReportError(f"the tokeniser has no {token} token; give the one of a BERT encoder")
        return int(found)

    def _ids(self, texts: list[str]) -> list[list[int]]:
        encodings = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return [list(encoding.ids) for encoding in encodings]

    def _padded(self, rows: list[list[int]], cut: int) -> TokenisedReports:
        longest = max(map(len, rows), default=0)
        token_ids = np.full((len(rows), longest), self._pad, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for index, row in enumerate(rows):
            token_ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        return TokenisedReports(token_ids=token_ids, mask=mask, cut=cut)


def _sections(report: str | ReportSections) -> ReportSections:
    return ReportSections(findings=report) if isinstance(report, str) else report


def _tokenizer_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    for name in TOKENIZER_FILES:
        if (path / name).is_file():
            return path / name
    raise ReportError(f"{path} holds no tokeniser; it needs a {' or a '.join(TOKENIZER_FILES)}")


def _from_json(file: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    text = file.read_text(encoding="utf-8")
    try:
        return Tokenizer.from_str(text)
    except Exception as error:  # the library raises a bare Exception
        raise ReportError(f"{file} is not a tokenizer.json: {error}") from error


def _from_vocabulary(file: Path) -> "Tokenizer":
    """Build BERT's lower-casing tokeniser; transformers 5 makes an all-unknown one of a vocabulary file."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    lines = file.read_text(encoding="utf-8").removesuffix("\n").split("\n")  # some tokens are other line ends
    vocabulary = {token: index for index, token in enumerate(lines)}
    if len(vocabulary) < len(lines):
        raise ReportError(f"{file} names a token twice: {len(lines)} lines, {len(vocabulary)} different ones")
    missing = [token for token in SPECIAL_TOKENS if token not in vocabulary]
    if missing:
        raise ReportError(f"{file} has no {missing[0]} token; give a BERT vocabulary, one token a line")
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing((LAST, vocabulary[LAST]), (FIRST, vocabulary[FIRST]))
    tokenizer.add_special_tokens([token for token in (*SPECIAL_TOKENS, "[MASK]") if token in vocabulary])
    return tokenizer
