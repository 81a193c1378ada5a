"""Runs of the label extractor: each a function that returns every number its training needs."""

from collections.abc import Callable
from dataclasses import dataclass

from encoders.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceLabelRun:
    """Boosted trees over what sentences say; for each label its own.

    Attributes:
        words: features kept for a label, those that part its reports most; the rules' votes come on top.
        rarest: reports in which a feature must occur.
        trees, depth, rate, leaf: of the boosting; `leaf` is the fewest reports in a leaf.
        reports_share, features_share: drawn for each tree and each node, against noise of the annotation.
        seed: of what is drawn.
    """

    words: int
    rarest: int
    trees: int
    depth: int
    rate: float
    leaf: int
    reports_share: float
    features_share: float
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerLabelRun:
    """An encoder of the Hugging Face family with 18 outputs, all weights trained by binary cross-entropy.

    Attributes:
        base: its id, or a local directory, which needs no network.
        max_tokens: of a window; a longer report is read in several, and the most certain one decides.
        epochs, batch_size: how long; a batch counts reports.
        peak_rate, warm_up_share, weight_decay, max_grad_norm: of AdamW.
        seed: of the new head and of the order.
    """

    base: str
    max_tokens: int
    epochs: int
    batch_size: int
    peak_rate: float
    warm_up_share: float
    weight_decay: float
    max_grad_norm: float
    seed: int = 0


LabelRun = SentenceLabelRun | TransformerLabelRun


def sentences() -> SentenceLabelRun:
    """The default: seconds on one core, no download."""
    return SentenceLabelRun(
        words=300,
        rarest=4,
        trees=200,
        depth=3,
        rate=0.06,
        leaf=4,
        reports_share=0.5,
        features_share=0.15,
    )


def radbert() -> TransformerLabelRun:
    """RadBERT fine-tuned, as the paper labels CT-RATE (arXiv 2403.17834); asks for a GPU and the weights."""
    return TransformerLabelRun(
        base="zzxslp/RadBERT-RoBERTa-4m",
        max_tokens=512,
        epochs=15,
        batch_size=16,
        peak_rate=5e-5,
        warm_up_share=0.1,
        weight_decay=0.01,
        max_grad_norm=1.0,
    )


def named_label_run(name: str) -> LabelRun:
    """The run of a name.

    Raises:
        ConfigError: there is none of that name.
    """
    runs: dict[str, Callable[[], LabelRun]] = {"sentences": sentences, "radbert": radbert}
    if name not in runs:
        raise ConfigError(f'found --run "{name}", which labels no reports; there is {", ".join(runs)}')
    return runs[name]()
