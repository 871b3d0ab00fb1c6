"""``python -m contracts.schemas`` writes the schemas; with ``--check`` it only compares."""

import argparse
import sys

from contracts import schemas


def main() -> int:
    parser = argparse.ArgumentParser(prog="contracts.schemas", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if one is outdated")
    if parser.parse_args().check:
        stale = schemas.outdated()
        if stale:
            print("schemas are outdated, run `python -m contracts.schemas`:", *stale, sep="\n  ")
            return 1
        print(f"schemas: all {len(schemas.generate())} are up to date")
        return 0
    changed = schemas.write()
    print(*changed, sep="\n")
    print(f"schemas: {len(changed)} of {len(schemas.generate())} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
