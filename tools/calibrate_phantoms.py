"""Fit `MEAN_SCALE` of `handbones.phantom.person` to the sizes of real bones; prints the table to paste there.

python tools/calibrate_phantoms.py [--rounds 5] [--count 240]
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from handbones.anatomy import ANATOMY, INDEX
from handbones.phantom import person

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import calibration


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=240)
    options = parser.parse_args()
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "table.json"
            sys.argv = ["calibration", "--count", str(options.count), "--size", "512", "--json", str(out)]
            calibration.main()
            found = json.loads(out.read_text())["bones"]
        for label, row in found.items():
            length, width = person.MEAN_SCALE[label]
            if ANATOMY[INDEX[label]].group == "carpals":  # turned as they are, they have no length of their own
                length = width = (length * width / row["area"]) ** 0.5
                person.MEAN_SCALE[label] = (length, width)
                continue
            if label not in ("Radius", "Ulna"):  # their length is the picture's border
                length /= row["length"]
            width /= (row["width"] * row["area"] / row["length"]) ** 0.5
            person.MEAN_SCALE[label] = (length, width)
    for label, (length, width) in person.MEAN_SCALE.items():
        print(f'    "{label}": ({length:.3f}, {width:.3f}),')


if __name__ == "__main__":
    main()
