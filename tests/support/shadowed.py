"""Models with a planted law, for tests of challengers: right for so many answers, then off, or the other way round."""


class Early:
    """Off by 9 bp for its first 160 answers, and right from then on."""

    off = (0, 160)

    def __init__(self):
        self.answers = 0

    def predict(self, x):
        return 9.0 if self.off[0] <= self.answers < self.off[1] else 0.0

    def learn(self, x, y):
        self.answers += 1


class Late(Early):
    """Right for its first 160 answers, and off by 9 bp from then on."""

    off = (160, 10**9)


class Failing(Late):
    """As good as the best, until it fails."""

    def learn(self, x, y):
        super().learn(x, y)
        if self.answers == 25:
            raise RuntimeError("the disk of the feature is full")
