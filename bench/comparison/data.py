"""The events of one comparison: made once by `tally generate`, and used by all systems."""
import csv
import os
import subprocess

from comparison import answers

ROWS_PRINTED_WHOLE = 20_000_000  # beyond, rows are compared for some days only


class Data:
    def __init__(self, build, folder, rows, days):
        self.build, self.folder, self.rows, self.days = build, folder, rows, days
        self.csv = os.path.join(folder, "events.csv")
        self.users = None  # {"heavy": …, "ordinary": …}, as soon as a store can be asked

    def generate(self):
        os.makedirs(self.folder, exist_ok=True)
        with open(self.csv + ".part", "wb") as f:
            subprocess.run([os.path.join(self.build, "bin", "tally"), "generate", "--rows", str(self.rows), "--days", str(self.days)],
                           stdout=f, check=True)
        os.replace(self.csv + ".part", self.csv)
        return {"bytes": os.path.getsize(self.csv)}

    def compared_days(self):
        """None: all rows. Else the days whose rows are compared, as their dates."""
        if self.rows <= ROWS_PRINTED_WHOLE:
            return None
        return ["2024-01-07", "2024-02-14", "2024-03-31"]

    def fingerprint(self):
        days = self.compared_days()
        with open(self.csv, newline="") as f:
            next(f)
            wanted = f if days is None else (line for line in f if line[:10] in days)  # a line begins with its timestamp
            return answers.fingerprint(answers.canonical_line(row) for row in csv.reader(wanted))
