"""Latents laid out on a plane by t-SNE, by scikit-learn (imported here alone)."""

import numpy as np
from numpy.typing import NDArray

from encoders.errors import ConfigError
from retrieval.evaluation.pool import Latents

MOST_POINTS = 5000
_NEIGHBOURS = 30.0  # perplexity, as scikit-learn's default


def require_scikit_learn() -> None:
    """Look for the library.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import sklearn.manifold  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "the plots need scikit-learn, which is not installed: pip install 'ctsearch[evaluate]'"
        ) from error


def sampled(volumes: int, seed: int) -> NDArray[np.intp]:
    """Return the rows that are laid out: all, or MOST_POINTS of them drawn by the seed, in order."""
    if volumes <= MOST_POINTS:
        return np.arange(volumes)
    drawn = np.random.default_rng(seed).choice(volumes, MOST_POINTS, replace=False)
    return np.sort(drawn)


def lay_out(unit_NL: Latents, seed: int) -> NDArray[np.float64]:
    """Return places on a plane (N, 2): t-SNE by cosine distance, started from the principal components.

    Args:
        unit_NL: of unit length, 4 of them at least.
        seed: the same one gives the same picture.

    Raises:
        ConfigError: scikit-learn is not installed.
    """
    require_scikit_learn()
    from sklearn.manifold import TSNE

    # of unit vectors the squared Euclidean distance is twice the cosine distance, and PCA needs it Euclidean
    layout = TSNE(
        perplexity=min(_NEIGHBOURS, (len(unit_NL) - 1) / 3), init="pca", random_state=seed, metric="euclidean"
    )
    places: NDArray[np.float64] = layout.fit_transform(unit_NL).astype(np.float64)
    return places
