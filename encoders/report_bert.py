"""The report tower: BERT, as transformers implements it, without its pooler."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from encoders.config import ReportEncoderConfig

if TYPE_CHECKING:
    from transformers import BertConfig


class ReportBert(nn.Module):
    """Token ids of a report to one vector (CXR-BERT, arXiv 2204.09817)."""

    def __init__(self, config: ReportEncoderConfig) -> None:
        from transformers import BertModel  # takes seconds, which a volume encoder alone need not wait for

        super().__init__()
        self.config = config
        self.bert = BertModel(_bert_config(config), add_pooling_layer=False)

    def forward(self, token_ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Return (B, C): the first token's state, or the mean over the tokens that the mask keeps.

        Args:
            token_ids_BT: int64, at most `max_tokens` long.
            mask_BT: 1 for a token, 0 for padding.
        """
        state_BTC: Tensor = self.bert(input_ids=token_ids_BT, attention_mask=mask_BT).last_hidden_state
        if self.config.pooling == "first":
            return state_BTC[:, 0]
        weight_BT1 = mask_BT.to(state_BTC.dtype)[..., None]
        return (state_BTC * weight_BT1).sum(dim=1) / weight_BT1.sum(dim=1).clamp(min=1)

    def fill_position_ids(self) -> None:
        """Write the constant buffers that no checkpoint holds, for a tower built on the meta device."""
        position_ids = torch.arange(self.config.max_tokens)[None]
        embeddings = self.bert.embeddings
        embeddings.register_buffer("position_ids", position_ids, persistent=False)
        embeddings.register_buffer("token_type_ids", torch.zeros_like(position_ids), persistent=False)


def _bert_config(config: ReportEncoderConfig) -> "BertConfig":
    from transformers import BertConfig

    bert = BertConfig(
        vocab_size=config.vocabulary,
        hidden_size=config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.feed_forward,
        max_position_embeddings=config.max_tokens,
        hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.dropout,
        layer_norm_eps=1e-12,
    )
    bert._attn_implementation = "sdpa"  # what `attn_implementation=` sets in from_pretrained
    return bert
