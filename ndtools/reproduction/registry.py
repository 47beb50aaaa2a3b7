"""All items, and the search for one by its name."""

import difflib
import re
from collections.abc import Sequence

from ndtools.errors import OptionError
from ndtools.reproduction.item import Item
from ndtools.reproduction.items.deblurring import FIG_1
from ndtools.reproduction.items.descent import FIG_5
from ndtools.reproduction.items.imagenet import TABLE_2
from ndtools.reproduction.items.iterations import FIG_7
from ndtools.reproduction.items.photographs import FIG_2, FIG_3, FIG_4, FIG_9, FIG_10
from ndtools.reproduction.items.report import REPORT_1, REPORT_2, REPORT_3, REPORT_4
from ndtools.reproduction.items.segmentation import FIG_6
from ndtools.reproduction.items.table_1 import TABLE_1
from ndtools.reproduction.items.testing import TESTING
from ndtools.reproduction.items.theory import EQUIVALENCE, PROPOSITIONS
from ndtools.reproduction.items.times import TABLE_3
from ndtools.reproduction.items.training import FIG_8, TABLE_4
from ndtools.reproduction.items.wall_time import COST, FIG_11, FIG_12

__all__ = ["ITEMS", "find_item"]

ITEMS: tuple[Item, ...] = (
    *(FIG_1, FIG_2, FIG_3, FIG_4, FIG_5, FIG_6, FIG_7, FIG_8, FIG_9, FIG_10, FIG_11, FIG_12),
    *(TABLE_1, TABLE_2, TABLE_3, TABLE_4),
    *(REPORT_1, REPORT_2, REPORT_3, REPORT_4),
    *PROPOSITIONS,
    EQUIVALENCE,
    COST,
    TESTING,
)
"""All items in the order in which they are listed."""


_SPELLED_OUT = re.compile(r"^(fig|table)(?:ure|\.)? *(?=\d)")


def find_item(name: str, items: Sequence[Item] = ITEMS) -> Item:
    """Return the item of an ID or alias.

    Parameters
    ----------
    name : str
        ID or alias, in any case; "figure 7" and "fig. 7" are fig7.
    items : sequence of Item
        Items to search. Default: all.

    Returns
    -------
    Item
        Item that has this ID or alias.

    Raises
    ------
    OptionError
        If there is none. The message names the nearest IDs.
    """
    names = {each.lower(): item for item in items for each in (item.id, *item.aliases)}
    word = _SPELLED_OUT.sub(lambda found: found[1], name.strip().lower())
    if word in names:
        return names[word]
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"they are {', '.join(item.id for item in items)}"
    raise OptionError("ids", f"must be that of an item such as fig7 or table3, got {name!r}; {hint}")
