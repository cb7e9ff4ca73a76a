"""A model that becomes wrong, for tests of the guard."""


class Spoilt:
    """Says no change for its first 60 answers, and a steady 9 bp from then on."""

    def __init__(self):
        self.answers = 0

    def predict(self, x):
        return 0.0 if self.answers < 60 else 9.0

    def learn(self, x, y):
        self.answers += 1
