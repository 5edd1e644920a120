"""What a browser would send of a form, were its button pressed without changing anything."""

from __future__ import annotations

from html.parser import HTMLParser


class _Reader(HTMLParser):
    """Collects the fields of one form."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._form = form
        self._inside = False
        self._select = ""
        self._first: str | None = None
        self._textarea = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag == "form":
            self._inside = self._form in (given.get("id"), given.get("action"))
        elif self._inside and tag == "input" and "name" in given:
            self._input(given)
        elif self._inside and tag == "select":
            self._select, self._first = given["name"], None
        elif self._inside and tag == "option":
            if self._first is None or "selected" in given:
                self._first = given["value"]
                self.fields[self._select] = given["value"]
        elif self._inside and tag == "textarea":
            self._textarea = given["name"]
            self.fields[self._textarea] = ""

    def _input(self, given: dict[str, str]) -> None:
        kind = given.get("type", "text")
        if kind in {"radio", "checkbox"}:
            if "checked" in given:
                self.fields[given["name"]] = given.get("value", "on")
        elif kind != "file":
            self.fields[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        elif tag == "textarea":
            self._textarea = ""

    def handle_data(self, data: str) -> None:
        if self._textarea:
            text = self.fields[self._textarea] + data
            self.fields[self._textarea] = text.removeprefix("\n")


def fields_of(html: str, form: str) -> dict[str, str]:
    """The fields of the form with this id or action; of several, of all of them."""
    reader = _Reader(form)
    reader.feed(html)
    assert reader.fields, f"there is no form {form}"
    return reader.fields
