"""`python -m MLOps doctor`: is everything here that the pipeline needs?"""

import argparse
import sys

from MLOps.doctor import diagnose, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m MLOps", description=__doc__)
    parser.add_argument("command", choices=["doctor"], help="check the machine, the packages, the data and the store")
    parser.parse_args()
    checks = diagnose()
    print(table(checks))
    return int(any(check.status == "failed" for check in checks))


if __name__ == "__main__":
    sys.exit(main())
