"""The encoders of collections, loaded once however many threads ask, and the prompts that they read."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from encoders.abnormalities import ABNORMALITIES
from encoders.zero_shot import Prompts, encode_prompts, prompt_pair
from retrieval.asked_collection import load_collection_encoder
from retrieval.records import CollectionInfo

if TYPE_CHECKING:
    from encoders.encoder import Encoder


_MOST_PROMPTS = 256  # lists of findings in words: whoever asks may name any


class LoadedEncoders:
    """What was loaded stays in memory; what is there is found without waiting for what is being loaded."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._encoders: dict[int, Encoder] = {}
        self._prompts: dict[tuple[str, str, tuple[str, ...]], Prompts] = {}
        self._loading = threading.Lock()
        self._keeping = threading.Lock()

    def of(self, collection: CollectionInfo) -> "Encoder":
        """Return the encoder that made a collection.

        Raises:
            CheckpointError: it is not where it was, or is another one now.
        """
        found = self._encoders.get(collection.id)
        if found is not None:
            return found
        with self._loading:
            if collection.id not in self._encoders:
                self._encoders[collection.id] = load_collection_encoder(collection, self._device)
            return self._encoders[collection.id]

    def prompts(self, collection: CollectionInfo, findings: Sequence[str], prompt: str) -> Prompts:
        """Return findings in words as a collection's encoder reads them; none stands for the 18.

        Raises:
            CheckpointError: the encoder is not where it was, or is another one now.
            ReportError: it cannot read text.
        """
        pair = prompt_pair(prompt)
        asked = (collection.encoder_digest, f"{pair.present}|{pair.absent}", tuple(findings))
        found = self._prompts.get(asked)
        if found is not None:
            return found
        made = encode_prompts(self.of(collection), findings or ABNORMALITIES, pair)
        with self._keeping:
            while len(self._prompts) >= _MOST_PROMPTS:
                del self._prompts[next(iter(self._prompts))]  # the one that was made first
            return self._prompts.setdefault(asked, made)
