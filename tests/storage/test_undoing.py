"""Undoing an import on both databases: what nobody has touched since is as it was."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from paceline.domain.errors import ConflictError, InvalidInputError, NotFoundError
from paceline.engine.imports import BadRowsError, Imported, import_contacts
from paceline.engine.undoing import undo_import
from paceline.storage import contacts, import_history, lists, replies, undoing
from paceline.storage.imports import discard
from paceline.storage.schema import audit_log, import_changes, import_rejects, imports
from paceline.storage.undoing import LeftAlone, Undone
from tests.storage.world import World

DAY_MS = 24 * 3_600_000
ANNA, BERT, CLEO = "+306912345678", "+306912345679", "+306912345670"


@pytest.fixture
def people(world: World) -> People:
    return People(world)


class People:
    """Imports into acme's contacts, and what became of them."""

    def __init__(self, world: World) -> None:
        self.world = world

    def put(self, *lines: str, **values: Any) -> Imported:
        self.world.pass_time(10)
        file = "\n".join(lines).encode()
        return asyncio.run(import_contacts(self.world.database, self.world.acme, [file], **values))

    def undo(self, imported: Imported) -> Undone:
        self.world.pass_time(10)
        return asyncio.run(
            undo_import(self.world.database, self.world.acme, imported.id, actor="tester")
        )

    def all(self) -> list[tuple[Any, ...]]:
        rows = self.world.read(contacts.page, self.world.acme, limit=500)
        return [(r.phone, r.first_name, r.last_name, r.attributes, r.updated_at) for r in rows]

    def id_of(self, phone: str) -> int:
        (row,) = self.world.read(contacts.page, self.world.acme, phone=phone)
        return int(row.id)

    def on_list(self, list_id: int) -> list[str]:
        rows = self.world.read(contacts.page, self.world.acme, list_id=list_id)
        return [row.phone for row in rows]


def test_an_undone_import_leaves_everything_as_it_was(people: People, monkeypatch) -> None:
    monkeypatch.setattr(undoing, "CHUNK", 2)
    world = people.world
    everybody = world.write(lists.create, world.acme, name="all").id
    people.put("phone,first_name,city", f"{ANNA},Anna,Athens", f"{BERT},Bert,Bonn")
    world.write(lists.add, world.acme, everybody, [people.id_of(BERT)])
    before = people.all()
    more = [f"+3069123400{n:02},New,{n}" for n in range(5)]
    again = people.put(
        "phone,first_name,tier", f"{ANNA},Annie,gold", f"{BERT},,", *more, list_id=everybody
    )
    assert (again.imported, again.updated) == (5, 2)
    assert len(people.on_list(everybody)) == 7
    undone = people.undo(again)
    assert (undone.removed, undone.restored, undone.left_alone) == (5, 2, {})
    assert people.all() == before
    assert people.on_list(everybody) == [BERT]
    (made,) = world.rows(imports, id=again.id)
    assert made.undone_at is not None
    assert world.rows(import_changes, import_id=again.id) == []
    assert world.rows(audit_log)[-1].action == "import.undo"


def test_two_imports_are_undone_one_after_the_other(people: People) -> None:
    first = people.put("phone,city", f"{ANNA},Athens")
    before = people.all()
    second = people.put("phone,city", f"{ANNA},Patras")
    assert people.undo(second).restored == 1
    assert people.all() == before
    assert people.undo(first).removed == 1
    assert people.all() == []


def test_an_earlier_import_does_not_undo_a_later_one(people: People) -> None:
    first = people.put("phone,city", f"{ANNA},Athens", f"{BERT},Bonn")
    people.put("phone,city", f"{ANNA},Patras")
    undone = people.undo(first)
    assert (undone.removed, undone.left_alone) == (1, {LeftAlone.CHANGED: 1})
    assert [(phone, attributes) for phone, _, _, attributes, _ in people.all()] == [
        (ANNA, {"city": "Patras"})
    ]


def test_who_was_changed_or_used_since_is_left_alone_and_it_is_said_why(people: People) -> None:
    world = people.world
    numbers = [f"+30691234567{n}" for n in range(8)]
    made = people.put("phone", *numbers)
    changed, deleted, on_list, replied, single, in_campaign, *rest = numbers
    world.pass_time(10)
    world.write(contacts.change, world.acme, people.id_of(changed), {"first_name": "X"})
    world.write(contacts.remove, world.acme, people.id_of(deleted))
    other, campaigns_list = (world.write(lists.create, world.acme, name=n).id for n in "ab")
    world.write(lists.add, world.acme, other, [people.id_of(on_list)])
    world.write(lists.add, world.acme, campaigns_list, [people.id_of(in_campaign)])
    world.write(
        replies.keep,
        world.main,
        world.acme,
        key="1",
        phone=replied,
        number="1",
        text="x",
        keyword=None,
    )
    world.single(single)
    world.start(world.draft(list_id=campaigns_list))
    undone = people.undo(made)
    assert (undone.removed, undone.restored) == (len(rest), 0)
    assert undone.left_alone == {
        LeftAlone.CHANGED: 1,
        LeftAlone.GONE: 1,
        LeftAlone.ON_OTHER_LIST: 1,
        LeftAlone.REPLIED: 1,
        LeftAlone.WRITTEN_TO: 2,
    }
    assert {phone for phone, *_ in people.all()} == set(numbers) - {deleted, *rest}


def test_an_import_is_undone_once_and_within_thirty_days(people: People) -> None:
    made = people.put("phone", ANNA)
    people.undo(made)
    with pytest.raises(ConflictError, match="undone already"):
        people.undo(made)
    old = people.put("phone,x", ANNA, "bad", "worse,y")
    assert old.invalid == 2
    people.world.pass_time(29 * DAY_MS)
    assert people.world.write(import_history.forget_old) is False
    people.world.pass_time(2 * DAY_MS)
    while people.world.write(import_history.forget_old):
        pass
    assert people.world.rows(import_changes) == people.world.rows(import_rejects) == []
    with pytest.raises(ConflictError, match="too old"):
        people.undo(old)
    assert [row.id for row in people.world.read(import_history.page, people.world.acme)] == [
        old.id,
        made.id,
    ]


def test_too_old_is_too_old_also_before_its_changes_are_forgotten(people: People) -> None:
    old = people.put("phone", ANNA)
    people.world.pass_time(31 * DAY_MS)
    with pytest.raises(ConflictError, match="30 days"):
        people.undo(old)
    assert len(people.all()) == 1


def test_an_undo_that_began_in_time_may_end_a_day_later(people: People, monkeypatch) -> None:
    monkeypatch.setattr(undoing, "CHUNK", 1)
    made = people.put("phone", ANNA, BERT)
    people.world.pass_time(30 * DAY_MS - 60_000)
    people.world.write(undoing.undo_some, people.world.acme, made.id)
    people.world.pass_time(120_000)
    assert people.world.write(import_history.forget_old) is False
    assert people.undo(made).removed == 1
    assert people.all() == []


def test_each_part_of_an_undo_is_in_the_audit_log_with_what_it_did(
    people: People, monkeypatch
) -> None:
    monkeypatch.setattr(undoing, "CHUNK", 2)
    made = people.put("phone", ANNA, BERT, CLEO)
    people.undo(made)
    noted = [row for row in people.world.rows(audit_log) if row.action == "import.undo"]
    assert [row.detail["removed"] for row in noted] == [2, 1]


def test_undoing_that_broke_off_goes_on(people: People, monkeypatch) -> None:
    monkeypatch.setattr(undoing, "CHUNK", 2)
    made = people.put("phone", *(f"+30691234567{n}" for n in range(5)))
    first = people.world.write(undoing.undo_some, people.world.acme, made.id)
    assert (first.removed, first.finished) == (2, False)
    assert people.undo(made).removed == 3
    assert people.all() == []


def test_another_tenants_import_does_not_exist(people: People) -> None:
    made = people.put("phone", ANNA)
    rival = people.world.tenant("rival")
    with pytest.raises(NotFoundError):
        people.world.write(undoing.undo_some, rival, made.id)
    with pytest.raises(NotFoundError):
        people.world.read(import_history.get, rival, made.id)
    assert people.world.read(import_history.page, rival) == []
    assert len(people.all()) == 1


def test_a_contact_has_at_most_a_hundred_attributes_whoever_adds_them(people: People) -> None:
    world = people.world
    many = {f"a{n}": "x" for n in range(99)}
    contact_id = world.write(contacts.create, world.acme, phone=ANNA, attributes=many).id
    imported = people.put("phone,b,c", f"{ANNA},1,2", f"{BERT},1,2")
    assert (imported.imported, imported.updated, imported.invalid) == (1, 0, 1)
    assert imported.errors[0].row == 2
    assert "more than 100 attributes" in imported.errors[0].reason
    assert people.all()[0][3] == many
    with pytest.raises(BadRowsError, match="1 rows are invalid"):
        people.put("phone,b,c", f"{ANNA},1,2", f"{CLEO},1,2", strict=True)
    assert len(people.all()) == 2
    assert len(world.read(import_history.page, world.acme)) == 1
    with pytest.raises(InvalidInputError, match="more than 100"):
        world.write(contacts.change, world.acme, contact_id, {"attributes": {"b": "1", "c": "2"}})
    exchanged = {"attributes": {"a1": None, "b": "1", "c": "2"}}
    assert len(world.write(contacts.change, world.acme, contact_id, exchanged).attributes) == 100


def test_an_import_that_failed_or_died_is_not_shown(people: People) -> None:
    world = people.world
    with pytest.raises(InvalidInputError):
        people.put("phone", ANNA, '"')
    assert world.rows(imports) == []
    how: Any = {"name": "x.csv", "header": ["phone"], "list_id": None, "actor": "tester"}
    died = world.write(import_history.begin, world.acme, "died", **how)
    assert world.read(import_history.page, world.acme) == []
    with pytest.raises(NotFoundError):
        world.read(import_history.get, world.acme, died)
    world.write(discard, "died")
    assert world.rows(imports) == []
