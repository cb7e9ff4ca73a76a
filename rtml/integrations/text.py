"""A text as features: embedded by a small language model on this machine, cached by its content, never waited for long.

The model is optional: ``pip install rtml[text]`` brings WordLlama, whose weights are inside its wheel.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np

from rtml.core.clock import Clock
from rtml.features.feature_set import Feature, column

Encoder = Callable[[list[str]], np.ndarray]  # texts to vectors, shape (n, numbers)


class Text:
    """A column of texts that becomes as many columns of numbers as its vectors have.

    Its columns and features are declared like any others; their names carry the hash of the weights, so that other
    weights are another definition. A text that was seen before costs a look-up. One that takes longer than ``patience``
    stands as the default vector and is counted; it is embedded behind the scenes and there the next time.

    Parameters
    ----------
    name
        Of the column.
    encoder, version
        What makes vectors of texts, and the hash of its weights; WordLlama unless given.
    size
        Numbers of a vector that are used, the first ones: what a Matryoshka model is trained for.
    patience
        Longest wait for texts that are new, seconds.
    kept
        Vectors that are kept; the one that was used longest ago goes first.

    Examples
    --------
    >>> note = Text("note", hashed_words, "words", size=3)
    >>> note.columns
    ('note:words:0', 'note:words:1', 'note:words:2')
    >>> note.expand({"amount": [5.0], "note": ["rent for may"]}).keys() == {"amount", *note.columns}
    True
    """

    def __init__(
        self,
        name: str,
        encoder: Encoder | None = None,
        version: str = "",
        *,
        size: int = 64,
        patience: float = 0.05,
        kept: int = 100_000,
    ) -> None:
        if encoder is None:
            encoder, version = wordllama()
        if not version:
            raise ValueError("an encoder of your own needs a version, such as the hash of its weights")
        self.name, self.version, self.size = name, version, size
        self.columns = tuple(f"{name}:{version}:{place}" for place in range(size))
        self.default = np.zeros(size)
        self.counts: Counter[str] = Counter()  #: texts by what became of them: cached, embedded, late, failed
        self._encode, self._patience, self._most = encoder, patience, kept
        self._vectors: OrderedDict[str, np.ndarray] = OrderedDict()
        self._waiting: dict[str, Future[np.ndarray]] = {}
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="rtml-text")

    def features(self) -> list[Feature]:
        """One feature a number of the vector, 0 where there is no text."""
        meaning = f"what {self.name} says, number {{}} of its vector"
        return [Feature(c, column(c).fill(0.0), "", meaning.format(i)) for i, c in enumerate(self.columns)]

    def expand(self, table: Mapping[str, Iterable]) -> dict[str, Iterable]:
        """A table whose column of texts is replaced by the columns of numbers."""
        rest = {name: table[name] for name in table if name != self.name}
        vectors = self.embed(list(table[self.name]))
        return rest | {name: vectors[:, place] for place, name in enumerate(self.columns)}

    def embed(self, texts: Sequence[str | None]) -> np.ndarray:
        """Vectors of texts, shape (n, size), by the content of each; the default where there is none or no time."""
        clock = Clock()
        deadline = clock.elapsed() + int(self._patience * 1e9)
        there = {text: _key(text) for text in texts if isinstance(text, str) and text}
        for text, key in there.items():
            if key not in self._vectors and key not in self._waiting:
                self._waiting[key] = self._worker.submit(self._one, text)
        found = {text: self._found(key, (deadline - clock.elapsed()) / 1e9) for text, key in there.items()}
        return np.array([found.get(text or "", self.default) for text in texts]).reshape(len(texts), self.size)

    def close(self) -> None:
        """End the thread that embeds."""
        self._worker.shutdown(cancel_futures=True)

    def _found(self, key: str, wait_s: float) -> np.ndarray:
        if key in self._vectors:
            self.counts["cached"] += 1
            self._vectors.move_to_end(key)
            return self._vectors[key]
        try:
            vector = self._waiting[key].result(max(wait_s, 0.0))
        except TimeoutError:
            self.counts["late"] += 1
            return self.default
        except Exception:  # whatever an encoder of somebody else raises, a prediction goes on without the text
            self.counts["failed"] += 1
            del self._waiting[key]
            return self.default
        del self._waiting[key]
        self.counts["embedded"] += 1
        self._vectors[key] = vector
        while len(self._vectors) > self._most:
            self._vectors.popitem(last=False)
        return vector

    def _one(self, text: str) -> np.ndarray:
        vector = np.asarray(self._encode([text]), np.float64)[0, : self.size]
        if vector.shape != (self.size,) or not np.isfinite(vector).all():
            raise ValueError(f"the encoder gave {vector.shape} numbers, {self.size} finite ones are needed")
        return vector


@cache
def wordllama() -> tuple[Encoder, str]:
    """The encoder of WordLlama, and the hash of its weights; nothing is downloaded.

    Raises
    ------
    ImportError
        Where it is not installed, with the command that installs it.
    """
    try:
        package = import_module("wordllama")
    except ImportError as ex:
        raise ImportError("the text model is not installed: pip install 'rtml[text]'") from ex
    folder = Path(str(package.__file__)).parent
    weights = sorted((folder / "weights").glob("*.safetensors"))
    model = package.WordLlama.load(cache_dir=folder, disable_download=True)
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in weights)).hexdigest()[:8]
    return lambda texts: model.embed(texts, norm=True), digest


def hashed_words(texts: list[str]) -> np.ndarray:
    """Vectors of 64 numbers from the hashes of words alone: an encoder that knows no meaning, to compare with.

    Examples
    --------
    >>> a, b, c = hashed_words(["red shoe", "shoe red", ""])
    >>> bool((a == b).all()), np.linalg.norm(a).round(6), np.linalg.norm(c)
    (True, np.float64(1.0), np.float64(0.0))
    """
    made = np.zeros((len(texts), 64))
    for row, text in enumerate(texts):
        for word in text.lower().split():
            digest = hashlib.sha256(word.encode()).digest()
            made[row, digest[0] % 64] += 1.0 if digest[1] % 2 else -1.0
    return made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1.0)


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
