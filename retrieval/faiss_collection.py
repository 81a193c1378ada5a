"""Latents in memory, searched by FAISS: the only file that imports it.

FAISS and torch each bring an OpenMP of their own. Two of them in one process are harmless only while one at
a time spins up threads, so torch keeps its own setting and FAISS gets its threads in `_use_threads` alone.
One question gets one thread: FAISS deals out questions, and a second thread only made one of them slower (7
ms became 11 to 32 for 47,000 latents of 512 numbers, 47 became 100 for 500,000). On macOS two copies of
libomp abort the process unless torch's was loaded first: `open_faiss` sees to it.
"""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from encoders.errors import ConfigError, InputError, StorageError

IndexKind = Literal["flat", "hnsw", "ivf-fp16", "pq-refine"]
INDEX_KINDS: tuple[IndexKind, ...] = get_args(IndexKind)
Latents = NDArray[np.float32]

_THREADS = max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
_HNSW_LINKS = 32
_HNSW_BUILD = 128
_HNSW_SEARCH = 128
_LISTS_LOOKED_AT = 4  # one in so many: of the first ten 32 of 736 lists kept .94, 128 .989, 256 .997
_PQ_BITS = 8
_MORE_THAN_MATCH, _NEAREST_AT_MOST = 4, 1024  # of all rows: tried where a filter leaves a quarter or more
_GPU_AT_MOST = 2048  # rows that FAISS finds on a GPU
_REFINED = 8  # how many times k the product quantiser proposes
_TRAINED_ON = 64  # latents a list or a code; more makes no better centres (FAISS warns below 39)
_LEARNS_FROM = 256 * _TRAINED_ON  # latents: with fewer there is nothing to gain over a flat index


@dataclass(frozen=True, slots=True, kw_only=True)
class NearestRows:
    """Rows by descending inner product with each query; -1 and -inf where there are no more."""

    row_QK: NDArray[np.int64]
    score_QK: Latents


def is_installed() -> bool:
    """Whether FAISS can be imported; nothing is."""
    return find_spec("faiss") is not None


def index_kind(name: str) -> IndexKind:
    """Return the kind of index of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in INDEX_KINDS:
        raise ConfigError(f"there is no FAISS index {name!r}; take one of {', '.join(INDEX_KINDS)}")
    return name


class FaissCollection:
    """Unit latents (N, L) of one kind; a row is a position.

    `flat` compares every latent. `hnsw` (Malkov and Yashunin, TPAMI 2020), `ivf-fp16` (lists of halves) and
    `pq-refine` (Jégou et al., TPAMI 2011, with the latents themselves for the last word) look at a part of
    them; among rows that a filter left they look at all, because a filter after them loses rows silently.
    """

    def __init__(self, index: Any, kind: IndexKind) -> None:
        self._index = index
        self.kind = kind
        self._on_gpu = _on_gpu(index) if kind == "flat" else None

    @classmethod
    def build(cls, blocks: Iterable[Latents], latent_dim: int, kind: IndexKind) -> "FaissCollection":
        """Put latents into a new index.

        Args:
            blocks: of latents (n, L).
            latent_dim: L.
            kind: which index; fewer latents than one can learn from become a flat one.
        """
        faiss = open_faiss()
        _use_threads(_THREADS)
        flat = faiss.IndexFlatIP(latent_dim)
        for latent_nL in blocks:
            flat.add(latent_nL)
        if kind == "flat" or flat.ntotal < _LEARNS_FROM:
            return cls(flat, "flat")
        latent_NL = flat.reconstruct_n(0, flat.ntotal)
        index = _untrained(faiss, latent_dim, flat.ntotal, kind)
        index.train(latent_NL)
        index.add(latent_NL)
        return cls(index, kind)

    @classmethod
    def read(cls, path: Path, kind: IndexKind) -> "FaissCollection":
        """Map an index from a file; its pages are read when they are searched.

        Raises:
            InputError: it is no index of FAISS.
        """
        faiss = open_faiss()
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise InputError(f"{path.name} is no index that FAISS can read: build it again") from error
        return cls(index, kind)

    def write(self, path: Path) -> None:
        """Write the index into a file, and let it reach the disk.

        Raises:
            StorageError: it cannot be written.
        """
        try:
            open_faiss().write_index(self._index, str(path))
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
        except (RuntimeError, OSError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise StorageError(
                f"{path} cannot be written ({reason}): make room or set CTSEARCH_HOME to another folder"
            ) from error

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def latent_dim(self) -> int:
        """L."""
        return int(self._index.d)

    def is_exact(self, *, filtered: bool) -> bool:
        """Whether the nearest rows are certainly among those that are returned."""
        return self.kind == "flat" or (filtered and self.kind in ("hnsw", "pq-refine"))

    def nearest(self, query_QL: Latents, k: int, among_N: NDArray[np.bool_] | None = None) -> NearestRows:
        """Return the k rows nearest to each query.

        Args:
            query_QL: (Q, L) float32.
            k: how many; fewer come where there are fewer rows.
            among_N: which rows may be found; None is all of them.
        """
        k = min(k, len(self) if among_N is None else int(among_N.sum()))
        if k == 0:
            empty = np.empty((len(query_QL), 0))
            return NearestRows(row_QK=empty.astype(np.int64), score_QK=empty.astype(np.float32))
        query_QL = np.ascontiguousarray(query_QL, np.float32)
        _use_threads(min(len(query_QL), _THREADS))
        if among_N is not None and self.kind == "flat":
            found = self._nearest_of_all_that_match(query_QL, k, among_N)
            if found is not None:
                return found
        if among_N is None:
            index = self._on_gpu if self._on_gpu is not None and k <= _GPU_AT_MOST else self._index
            parameters = self._unfiltered(k)
        else:
            bits = np.packbits(among_N, bitorder="little")  # alive until the search is over
            index, parameters = self._filtered(bits)
        score_QK, row_QK = index.search(query_QL, k, params=parameters)
        return NearestRows(row_QK=row_QK, score_QK=score_QK)

    def _nearest_of_all_that_match(
        self, query_QL: Latents, k: int, among_N: NDArray[np.bool_]
    ) -> NearestRows | None:
        """Return the rows that match among the nearest of all, or None where they are too few.

        With a bitmap FAISS leaves the batched product for one row after the other: half as fast again.
        """
        wanted = int(_MORE_THAN_MATCH * k * len(among_N) / among_N.sum())
        if wanted > _NEAREST_AT_MOST:
            return None
        score_QW, row_QW = self._index.search(query_QL, min(wanted, len(among_N)))
        matches_QW = among_N[row_QW]
        if (matches_QW.sum(1) < k).any():
            return None
        place_QK = np.argsort(~matches_QW, axis=1, kind="stable")[:, :k]
        return NearestRows(
            row_QK=np.take_along_axis(row_QW, place_QK, 1), score_QK=np.take_along_axis(score_QW, place_QK, 1)
        )

    def _unfiltered(self, k: int) -> Any:
        """Return how the whole index is searched."""
        faiss = open_faiss()
        if self.kind == "flat":
            return None
        if self.kind == "hnsw":
            return faiss.SearchParametersHNSW(efSearch=max(_HNSW_SEARCH, k))
        index = faiss.downcast_index(self._index)
        lists = index if self.kind == "ivf-fp16" else faiss.downcast_index(index.base_index)
        part = faiss.SearchParametersIVF(nprobe=max(1, lists.nlist // _LISTS_LOOKED_AT))
        if self.kind == "ivf-fp16":
            return part
        return faiss.IndexRefineSearchParameters(k_factor=_REFINED, base_index_params=part)

    def _filtered(self, bits: NDArray[np.uint8]) -> tuple[Any, Any]:
        """Return what is searched among the rows of a bitmap, all of them, and how."""
        faiss = open_faiss()
        chosen = faiss.IDSelectorBitmap(len(self), faiss.swig_ptr(bits))
        if self.kind == "ivf-fp16":
            index = faiss.downcast_index(self._index)
            return index, faiss.SearchParametersIVF(sel=chosen, nprobe=index.nlist)
        plain = faiss.SearchParameters(sel=chosen)
        if self.kind == "hnsw":
            return faiss.downcast_index(faiss.downcast_index(self._index).storage), plain
        if self.kind == "pq-refine":
            return faiss.downcast_index(faiss.downcast_index(self._index).refine_index), plain
        return self._index, plain


@cache
def open_faiss() -> Any:
    """Return the module.

    Raises:
        ConfigError: it is not installed.
    """
    if not is_installed():
        raise ConfigError(
            "FAISS is not installed: run pip install 'ctsearch[cpu]' (or [gpu]), "
            "or search with --engine pgvector"
        )
    if sys.platform == "darwin":
        import torch  # noqa: F401 - its OpenMP first
    import faiss

    return faiss


def _use_threads(count: int) -> None:
    """Set how many threads FAISS takes for this thread's calls; other threads have a setting of their own."""
    open_faiss().omp_set_num_threads(count)


def _untrained(faiss: Any, latent_dim: int, count: int, kind: IndexKind) -> Any:
    """Return an empty index of a kind, its size fit for a number of latents."""
    metric = faiss.METRIC_INNER_PRODUCT
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(latent_dim, _HNSW_LINKS, metric)
        index.hnsw.efConstruction = _HNSW_BUILD
        return index
    lists = min(count // _TRAINED_ON, round(4 * count**0.5))
    coarse = faiss.IndexFlatIP(latent_dim)
    if kind == "ivf-fp16":
        index = faiss.IndexIVFScalarQuantizer(
            coarse, latent_dim, lists, faiss.ScalarQuantizer.QT_fp16, metric, False
        )
    else:
        index = faiss.IndexIVFPQ(coarse, latent_dim, lists, _codes(latent_dim), _PQ_BITS, metric)
    index.own_fields = True
    coarse.this.disown()  # the index frees it
    index.cp.max_points_per_centroid = _TRAINED_ON
    if kind == "ivf-fp16":
        return index
    refined = faiss.IndexRefineFlat(index)
    refined.own_fields = True
    index.this.disown()
    return refined


def _codes(latent_dim: int) -> int:
    """How many codes a latent becomes: about one for 8 numbers, each of equally many numbers."""
    return max(codes for codes in range(1, max(1, latent_dim // 8) + 1) if latent_dim % codes == 0)


def _on_gpu(index: Any) -> Any:
    """Copy a flat index to the first GPU, where faiss-gpu is installed and there is one; else None.

    Filtered searches stay on the CPU: the GPU's index takes no bitmap.
    """
    faiss = open_faiss()
    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
        return None
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
