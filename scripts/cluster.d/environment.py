"""The directory of one cluster and its env.json: what was started, where, and how tests reach it.

env.json is written before the first process starts and after each change, so that whatever an interrupted `up` left
behind can be found and ended.
"""

import json
import os
import pathlib


class Environment:
    """One cluster's directory. `facts` is what env.json holds."""

    def __init__(self, directory, facts):
        self.directory = pathlib.Path(directory)
        self.facts = facts

    @classmethod
    def create(cls, directory, facts):
        """Claims an empty or new directory. FileExistsError: a cluster is there. NotADirectoryError: other files are."""
        directory = pathlib.Path(directory).absolute()
        directory.mkdir(parents=True, exist_ok=True)
        if (directory / "env.json").exists():
            raise FileExistsError(f"{directory} already holds a cluster")
        if any(directory.iterdir()):
            raise NotADirectoryError(f"{directory} is not empty, and what is in it is not a cluster")
        directory.chmod(0o700)
        # Exclusive: of two that start here at the same moment one is refused.
        with open(directory / "env.json", "x", encoding="utf-8") as claim:
            json.dump(facts, claim, indent=1)
        return cls(directory, facts)

    @classmethod
    def load(cls, directory):
        """Reads a cluster's directory. FileNotFoundError: no cluster is there."""
        directory = pathlib.Path(directory).absolute()
        with open(directory / "env.json", encoding="utf-8") as file:
            return cls(directory, json.load(file))

    def save(self):
        """Replaces env.json in one step: a reader sees the old or the new one, never a part."""
        partial = self.directory / "env.json.partial"
        partial.write_text(json.dumps(self.facts, indent=1), encoding="utf-8")
        os.replace(partial, self.directory / "env.json")

    def path(self, *parts):
        """A path in the directory, as text for a command line."""
        return str(self.directory.joinpath(*parts))

    def log(self, process):
        """Where a process writes its output."""
        return self.directory / f"{process}.log"
