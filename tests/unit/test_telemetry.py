from __future__ import annotations

import ast
import io
import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from paceline import telemetry

SOURCE = Path(telemetry.__file__).parent
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
SECRET = "hunter2"


@pytest.fixture(autouse=True)
def _restored_logging():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def logged(level, output, log):
    """What `log(logger)` writes at this level and in this format."""
    stream = io.StringIO()
    telemetry.configure(level, output, stream)
    log(telemetry.get_logger("paceline.test"))
    return stream.getvalue()


def events(log, level="info"):
    return [json.loads(line) for line in logged(level, "json", log).splitlines()]


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestLines:
    def test_an_event_is_one_line_of_json_with_time_level_and_component(self):
        (event,) = events(lambda log: log.info("batch_sent", batch_id=7, text="a\nb"))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", event.pop("timestamp"))
        assert event == {
            "level": "info",
            "event": "batch_sent",
            "component": "paceline.test",
            "batch_id": 7,
            "text": "a\nb",
        }

    def test_auto_is_console_on_a_terminal_and_json_elsewhere(self):
        for stream, is_json in ((io.StringIO(), True), (Terminal(), False)):
            telemetry.configure("info", "auto", stream)
            telemetry.get_logger("x").info("started")
            assert stream.getvalue().startswith("{") is is_json

    @pytest.mark.parametrize("output", ["json", "console"])
    def test_less_serious_events_are_left_out(self, output):
        def log(log):
            log.info("quiet")
            log.warning("loud")

        written = logged("warning", output, log)
        assert "loud" in written
        assert "quiet" not in written

    def test_a_disabled_event_does_not_even_look_at_its_values(self):
        class Unprintable:
            def __str__(self):
                raise AssertionError

        assert events(lambda log: log.debug("quiet", value=Unprintable())) == []

    def test_a_logger_made_before_configure_obeys_it(self):
        log = telemetry.get_logger("early")
        first, second = io.StringIO(), io.StringIO()
        for stream in (first, second):
            telemetry.configure("info", "json", stream)
            log.info("started")
        assert first.getvalue().count("\n") == second.getvalue().count("\n") == 1

    @pytest.mark.parametrize("output", ["json", "console"])
    def test_a_broken_stream_loses_the_line_and_nothing_else(self, output):
        stream = io.StringIO()
        telemetry.configure("info", output, stream)
        stream.close()
        telemetry.get_logger("x").info("lost")

    @pytest.mark.parametrize("value", [float("nan"), 2**80, {1: {2}}, object, b"\xff", "\ud800"])
    def test_a_value_of_any_type_can_be_logged(self, value):
        assert len(events(lambda log: log.info("odd", value=value))) == 1

    @pytest.mark.parametrize("output", ["json", "console"])
    def test_a_traceback_is_written_without_the_local_variables(self, output):
        def log(log):
            local = SECRET.upper()
            try:
                int("broken")
            except ValueError:
                log.exception("it_broke", n=len(local))

        written = logged("info", output, log)
        assert "ValueError: invalid literal" in written
        assert SECRET.upper() not in written


class TestLibraries:
    def test_what_a_library_logs_comes_out_the_same_way(self):
        (event,) = events(lambda _: logging.getLogger("uvicorn.error").warning("port %d", 80))
        assert event["event"] == "library_message"
        assert (event["component"], event["level"]) == ("uvicorn.error", "warning")
        assert event["message"] == "port 80"

    def test_a_librarys_debug_lines_are_never_shown(self):
        assert events(lambda _: logging.getLogger("aiosqlite").debug("x"), level="debug") == []

    def test_a_library_whose_arguments_do_not_fit_still_gets_its_line(self, capsys, monkeypatch):
        monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own would object
        (event,) = events(lambda _: logging.getLogger("x").warning("port %d", SECRET))
        assert event["message"] == "port %d"
        assert SECRET not in capsys.readouterr().err

    def test_configuring_twice_does_not_double_a_librarys_lines(self):
        telemetry.configure("info", "json", io.StringIO())
        assert len(events(lambda _: logging.getLogger("x").warning("once"))) == 1


class TestMasking:
    @pytest.mark.parametrize(
        ("text", "masked"),
        [
            ("+306912345678", "***78"),
            ("+44 (0) 7911 123-456", "***56"),
            ("tel:447911123456,", "tel:***56,"),
            ("to=07911123456;x", "to=***56;x"),
            ("user_447911123456", "user_***56"),
            ("2026-11-24T10:00:00Z", "2026-11-24T10:00:00Z"),
            ("550e8400-e29b-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-446655440000"),
            ("a1b2c31234567890123456", "a1b2c31234567890123456"),
            ("123456789", "123456789"),
            ("1234567890123456", "1234567890123456"),
        ],
    )
    def test_numbers_in_text_keep_two_digits_and_other_digits_stay(self, text, masked):
        (event,) = events(lambda log: log.info("x", text=text))
        assert event["text"] == masked

    def test_ids_and_integers_stay(self):
        ids = {"id": "447911123456", "provider_message_id": "447911123456", "n": 447911123456}
        (event,) = events(lambda log: log.info("x", **ids))
        assert ids.items() <= event.items()

    @pytest.mark.parametrize(
        "name",
        ["key", "api_key", "Token", "webhook_secret", "PASSWORD", "Authorization", "public_keys"],
    )
    @pytest.mark.parametrize("value", [SECRET, [SECRET], {"a": SECRET}, 17171717, SECRET.encode()])
    def test_a_value_under_a_secrets_name_is_hidden_whole(self, name, value):
        written = logged(
            "info", "json", lambda log: log.info("x", **{name: value}, at={name: value})
        )
        assert SECRET not in written
        assert "17171717" not in written

    @pytest.mark.parametrize(
        "text",
        [
            f"postgresql://me:{SECRET}@db/sms",
            f"Authorization: Bearer {SECRET}",
            f"POST /webhooks/mitto/{SECRET}/dlr",
            f"https://h/dlr?token={SECRET}&x=1",
            f"{{'api_key': '{SECRET}'}}",
        ],
    )
    def test_a_secret_inside_a_text_is_hidden(self, text):
        def log(log):
            log.info("x", text=text)
            logging.getLogger("uvicorn.access").info("%s", text)
            try:
                int(text)
            except ValueError:
                log.exception("it_broke")

        for output in ("json", "console"):
            assert SECRET not in logged("info", output, log)

    def test_an_object_is_shown_by_its_text_and_not_field_by_field(self):
        @dataclass(repr=False)
        class Account:
            api_key: str

        written = logged("info", "json", lambda log: log.info("x", account=Account(SECRET)))
        assert SECRET not in written

    @given(
        st.recursive(
            st.just(f"to {447911123456}"),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["to", "447911123456"]), inner, max_size=3)
                | st.tuples(inner, st.none())
            ),
        ),
        st.sampled_from(["json", "console"]),
    )
    def test_a_number_never_appears_however_deep_it_lies(self, value, output):
        written = logged("info", output, lambda log: log.info("x", value=value))
        assert "447911123456" not in written


def test_every_event_in_the_source_is_named_in_snake_case():
    names = [name for file in SOURCE.rglob("*.py") for name in _event_names(file)]
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", name)] == []


def _event_names(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log" | "_log"), attr=level),
                args=[ast.Constant(value=str(name)), *_],
            ) if level in LEVELS:
                yield name
