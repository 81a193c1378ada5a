"""The command in the poorest locale a server may have."""

import os
import subprocess
import sys

ASCII_ONLY = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_what_a_locale_cannot_print_becomes_a_question_mark_and_no_traceback() -> None:
    code = "import sys; sys.argv = ['ctsearch', 'search', '--help']\nfrom cli.main import main\nmain()\n"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="ascii",
        env=os.environ | ASCII_ONLY,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "cuda:1 ?" in ended.stdout  # an ellipsis
