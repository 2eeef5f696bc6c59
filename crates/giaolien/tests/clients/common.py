"""What the scripts share: arguments, the cases one by one, what a caller takes away."""

import argparse
import faulthandler
import pathlib
import random
import sys
import traceback

# A script that hangs says where, and ends.
SECONDS_MAX = 180
# A call that takes so long has failed.
CALL_SECONDS_MAX = 60

MIB = 1 << 20
VIETNAMESE = "hồ sơ đã đóng, 100%"


class Setting:
    """Where the gateway is, what to call it with, where to leave receipts."""

    def __init__(self, arguments):
        self.address = arguments.address
        self.pki = pathlib.Path(arguments.pki)
        self.out = pathlib.Path(arguments.out)

    def pem(self, name):
        return (self.pki / name).read_bytes()

    def keep(self, case, number, receipt):
        """Leaves a receipt for the test that runs this script."""
        check(isinstance(receipt, bytes) and receipt, f"no receipt but {receipt!r}")
        (self.out / f"{case}-{number}.receipt").write_bytes(receipt)


def check(condition, otherwise):
    if not condition:
        raise AssertionError(otherwise)


def equal(found, expected):
    check(found == expected, f"found {found!r:.300}, expected {expected!r:.300}")


def noise(size):
    """Bytes that nothing on the way can make smaller."""
    return random.Random(7).randbytes(size)


def main(cases, run):
    """Runs the cases named on the command line; `run` takes a case and the setting."""
    parser = argparse.ArgumentParser()
    for name in ("address", "pki", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("cases", nargs="+", choices=sorted(cases))
    arguments = parser.parse_args()
    faulthandler.dump_traceback_later(SECONDS_MAX, exit=True)
    setting = Setting(arguments)
    for name in arguments.cases:
        try:
            run(cases[name], setting)
        except Exception:
            traceback.print_exc()
            sys.exit(f"failed: {name}")
        print(f"ok {name}", flush=True)
