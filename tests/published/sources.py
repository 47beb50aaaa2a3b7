"""The source texts of published numbers and claims, with their marks of emphasis and mathematics taken away."""

import re
from difflib import SequenceMatcher

from tests.places import paper

FILES = {
    "paper-v1": "000_369f27ac650decbf.txt",
    "paper-v2": "001_728ff9123c406c22.txt",
    "summary": "002_8e44602dce7b6f81.txt",
    "report-2021": "003_06dbc1920ee58956.txt",
    "rescience-2025": "rescience_2025.md",
}


def plain(text):
    """Return a text with straight quotation marks and single spaces, without emphasis and LaTeX."""
    for found, put in (("\\times", "×"), ("\\sim", "~"), ("’", "'"), ("“", '"'), ("”", '"')):
        text = text.replace(found, put)
    text = re.sub(r"[*$\\]", "", text)
    return re.sub(r"\s+", " ", re.sub(r"\s+×", "×", text))


def source(document):
    """Return the plain text of a document; skip the test where it is absent."""
    return plain(paper(FILES[document]).read_text())


def likeness(quote, text):
    """Return the share of a quote's words that the sentence most like it has in the same order.

    Numbers and single letters do not count: one of the texts has lost them.
    """
    wanted, best = words(quote), 0.0
    for sentence in map(words, re.split(r"(?<=[.:?!]) ", text)):
        if len(set(wanted) & set(sentence)) > 0.5 * len(set(wanted)):
            blocks = SequenceMatcher(None, wanted, sentence, autojunk=False).get_matching_blocks()
            best = max(best, sum(block.size for block in blocks) / len(wanted))
    return best


def words(text):
    return re.findall(r"[a-z][a-z'-]+", text.lower())
