"""``python -m tests.golden [FOLDER]``: run every case of a folder, name the failed ones, count."""

import sys
from pathlib import Path

from tests.golden import HERE, cases, check


def main() -> int:
    folder = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else HERE
    if not (folder / "cases.json").exists():
        print(f"{folder} has no cases.json", file=sys.stderr)
        return 2
    passed = failed = 0
    for case in cases(folder):
        problem = check(case, folder)
        if problem:
            failed += 1
            print(f"FAILED {case['id']}: {problem}")
        else:
            passed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
