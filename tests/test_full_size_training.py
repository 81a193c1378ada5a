"""One training step at the published dimensions, in a process of its own whose memory is measured."""

import json
import os
import subprocess
import sys

import pytest

ASKED = os.environ.get("CTSEARCH_FULL_SIZE") == "1"


@pytest.mark.slow
@pytest.mark.skipif(not ASKED, reason="takes minutes of a core and gigabytes; CTSEARCH_FULL_SIZE=1 runs it")
def test_a_full_size_step_of_two_volumes_stays_within_twenty_gigabytes() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "tests.full_size_step"], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr[-2000:]
    step = json.loads(process.stdout)
    assert step["peak_gb"] < 20
    assert step["finite"]
    assert step["loss"] > 0
    assert step["weights_moved"] >= 0.99 * step["weights"]  # a sum may come out the same
    assert step["rows_moved"] > 0
    assert step["width"] == 512
