"""Who said what of which item: the form in which answers go into all that weighs them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Opinions:
    """Answers of people to items, as three parallel columns. A person gives an item one answer at most.

    Attributes
    ----------
    items, people, classes : (a,) int
        Of each answer: index of the item, of the person, and of the class that was chosen.
    n_items, n_people, n_classes : int
        How many there are; an item, a person or a class may be without any answer.
    """

    items: NDArray[np.int64]
    people: NDArray[np.int64]
    classes: NDArray[np.int64]
    n_items: int
    n_people: int
    n_classes: int

    def __len__(self) -> int:
        return len(self.items)

    def votes(self) -> NDArray[np.int64]:
        """How often each class was chosen for each item, (n_items, n_classes)."""
        counted = np.zeros((self.n_items, self.n_classes), dtype=np.int64)
        np.add.at(counted, (self.items, self.classes), 1)
        return counted

    def where(self, which: NDArray[np.bool_]) -> "Opinions":
        """Only these of the answers; the indices mean the same."""
        return Opinions(
            self.items[which], self.people[which], self.classes[which], self.n_items, self.n_people, self.n_classes
        )
