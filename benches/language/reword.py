"""Says in other words what components are: half of the words that have likes in pretrain.py are drawn anew, with a seed.

usage: python reword.py DESCRIPTIONS.csv OUT.csv SEED
"""

import csv
import random
import sys

from pretrain import reworded


def main():
    source, target, seed = sys.argv[1:]
    rng = random.Random(int(seed))
    with open(source, newline="") as file:
        rows = [(row["name"], reworded(row["text"], rng)) for row in csv.DictReader(file)]
    with open(target, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("name", "text"), *rows])


if __name__ == "__main__":
    main()
