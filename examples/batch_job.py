#!/usr/bin/env python3
"""A small batch job for batch_job.yaml: learns to tell flowers apart, and says how well it does on rows that it kept back.

It reads the dataset at $CHAOSEATER_DATASET, and writes what it measured as its last line.
"""
import csv
import json
import os
import random
import sys

LABEL = "species"


def number(text):
    try:
        return float(text)
    except ValueError:
        return 0.0  # which does harm, as it would in a job that is no better


def centre(rows, columns):
    return [sum(number(row[column]) for row in rows) / len(rows) for column in columns]


def nearest(centres, row, columns):
    def distance(kind):
        return sum((number(row[column]) - middle) ** 2 for column, middle in zip(columns, centres[kind]))

    return min(centres, key=distance)


def main():
    with open(os.environ["CHAOSEATER_DATASET"], newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [column for column in rows[0] if column != LABEL]
    random.Random(1).shuffle(rows)  # the file has its kinds in turn: every third row would be of one kind
    test, training = rows[:len(rows) // 3], rows[len(rows) // 3:]
    kinds = sorted({row[LABEL] for row in training})
    centres = {kind: centre([row for row in training if row[LABEL] == kind], columns) for kind in kinds}
    right = sum(nearest(centres, row, columns) == row[LABEL] for row in test)
    print(f"learned from {len(training)} rows", file=sys.stderr)
    print(json.dumps({"accuracy": right / len(test), "rows": len(rows)}))


if __name__ == "__main__":
    main()
