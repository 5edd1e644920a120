"""What a step of a transaction touches, and which steps of two transactions can change places.

All writing transactions are READ COMMITTED, so one transaction meets another in two ways only:

- Its locks, from the statement that takes them until it ends. They matter to whoever wants to lock
  or write in the same table.
- Its end. At that moment everything that it has written can be seen, and its locks are gone.

What it has written is not seen by anybody before. So two statements can change places unless both
lock or write in one table; a statement and the other one's end unless the statement touches what
that transaction has written or locked; and two ends never, because the judge looks at their order.

Tables stand for their rows: more steps are called dependent than are, which costs schedules and
hides none. What the two could meet in beside rows is counted in: a unique key and a sequence
belong to a table, and a foreign key that is written locks the row it points to. (Rows that others
point to are not deleted here.) Advisory locks count as one table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from paceline.storage.schema import metadata


@dataclass(frozen=True, slots=True)
class Step:
    """What a transaction would do next: a statement, or its end."""

    what: str
    reads: frozenset[str] = frozenset()
    """Every table that it names."""
    locks: frozenset[str] = frozenset()
    """Those in which it locks or writes rows; of an end, those in which its transaction did."""
    writes: frozenset[str] = frozenset()
    """Those in which it writes; of an end, what can be seen from now on."""
    ends: bool = False

    @property
    def brief(self) -> str:
        """For people: the verb, the table, and the lock that is asked for."""
        if self.ends:
            return self.what
        if changed := _CHANGES.match(self.what):
            return changed[0]
        asked = _FOR.search(self.what)
        tables = sorted(self.locks or self.reads)
        return " ".join(["SELECT", ", ".join(tables), *([asked[0]] if asked else [])])


def dependent(one: Step, other: Step) -> bool:
    """Whether it can make a difference which of the two, of two transactions, comes first."""
    if one.ends and other.ends:
        return True
    if other.ends:
        one, other = other, one
    if one.ends:
        return bool(one.locks & other.locks or one.writes & other.reads)
    return bool(one.locks & other.locks)


@cache
def statement_step(sql: str) -> Step:
    """The step of executing a statement."""
    writes = written(sql)
    locks = writes | _locked(sql) | _parents(sql, writes) | frozenset(_ADVISORY.findall(sql))
    return Step(" ".join(sql.split()), named(sql) | locks, locks, writes)


def end_step(steps: Iterable[Step], *, commits: bool) -> Step:
    """The end of a transaction that has taken these steps."""
    taken = list(steps)
    locks = frozenset[str]().union(*(step.locks for step in taken))
    if not commits:
        return Step("ROLLBACK", locks=locks, ends=True)
    writes = frozenset[str]().union(*(step.writes for step in taken))
    return Step("COMMIT", locks=locks, writes=writes, ends=True)


@cache
def written(sql: str) -> frozenset[str]:
    """Tables in which it writes."""
    return frozenset(_WRITES.findall(sql)) & _tables()


def named(sql: str) -> frozenset[str]:
    """Tables whose names stand anywhere in it."""
    return frozenset(re.findall(r"\w+", sql)) & _tables()


def _locked(sql: str) -> frozenset[str]:
    """Tables that ``FOR UPDATE`` and its like lock: those of ``OF``, else of the outer FROM; all
    that are named, where that is not as plain as day.
    """
    if not _FOR.search(sql):
        return frozenset()
    flat = _without_inner(sql)
    asked = _FOR.search(flat)
    if asked is None:
        return named(sql)
    source = asked["of"] or _FROM.findall(flat)[-1]
    return named(sql) if _INNER in source else named(source) or named(sql)


def _without_inner(sql: str) -> str:
    """The statement, with a mark for each part in parentheses."""
    left = ""
    while left != sql:
        left, sql = sql, re.sub(r"\([^()]*\)", _INNER, sql)
    return sql


def _parents(sql: str, written: frozenset[str]) -> frozenset[str]:
    """Tables whose rows a write locks because foreign keys that it sets point to them."""
    changed = _SET.search(sql)
    return frozenset(
        key.column.table.name
        for name in written
        for key in metadata.tables[name].foreign_keys
        if changed is None or re.search(rf"\b{key.parent.name}\s*=", changed[1])
    )


@cache
def _tables() -> frozenset[str]:
    return frozenset(metadata.tables)


_INNER = "\N{WHITE CIRCLE}"
_CHANGES = re.compile(r"(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)")
_WRITES = re.compile(r"\b(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)")
_FOR = re.compile(r"\bFOR (?:UPDATE|NO KEY UPDATE|SHARE|KEY SHARE)\b(?: OF (?P<of>[\w, ]+))?")
_FROM = re.compile(r"\bFROM (.*?)(?:\bWHERE\b|\bORDER BY\b|\bLIMIT\b|\bFOR\b)", re.DOTALL)
_ADVISORY = re.compile(r"\bpg\w*_(advisory)_\w*lock")
_SET = re.compile(r"\bUPDATE \w+ SET (.*?)(?:\bWHERE\b|$)", re.DOTALL)
