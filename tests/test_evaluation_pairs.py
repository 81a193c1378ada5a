"""Products of pairs: equal vectors tie, however many pairs are asked for at once."""

import numpy as np
import pytest

from retrieval.evaluation.pairs import members_of, pair_products


@pytest.mark.parametrize("dim", [1, 3, 8, 33, 512])
def test_a_pairs_product_does_not_depend_on_what_else_is_asked_for(dim: int) -> None:
    draw = np.random.default_rng(dim)
    left = draw.standard_normal((20, dim)).astype(np.float32)
    right = draw.standard_normal((50, dim)).astype(np.float32)
    right[7] = right[41]
    rows, columns = np.divmod(np.arange(20 * 50), 50)
    together = pair_products(left, rows, right, columns)  # all of them, and so in another way
    alone = np.concatenate([pair_products(left, rows[[p]], right, columns[[p]]) for p in range(len(rows))])
    assert (together == alone).all()
    assert (together.reshape(20, 50)[:, 7] == together.reshape(20, 50)[:, 41]).all()
    assert together == pytest.approx((left.astype(float) @ right.astype(float).T).ravel())


def test_members_of_a_study_are_all_pairs_of_one_study() -> None:
    asked, held = np.array([2, 0, 5, 2]), np.array([0, 2, 7, 2, 0, 2])
    rows, columns = members_of(asked, held)
    found = set(zip(rows.tolist(), columns.tolist(), strict=True))
    expected = {(q, g) for q in range(4) for g in range(6) if asked[q] == held[g]}
    assert found == expected
    assert len(rows) == len(expected)
